"""The classes of many files as one series per set of gates, in bounded steps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.averages.average import Average
from ipdsf_spark.lidar.products.plain import instant, number
from ipdsf_spark.lidar.profiles import Float64, Profiles, Time
from ipdsf_spark.lidar.site import Site
from ipdsf_spark.lidar.targets.classes import TargetFlag
from ipdsf_spark.lidar.targets.column import Column, column_of_averages, column_of_profiles
from ipdsf_spark.lidar.targets.records import classes_of, edges_of, values_of
from ipdsf_spark.lidar.targets.rules import Targets, classify

MOST_PROFILES: Final = 720  # classified together: faint signal is averaged over neighbours, memory stays bounded


@dataclass(frozen=True, eq=False)
class Series:
    """Classes on one set of gates, in time order.

    Attributes:
        instrument: maker and model.
        time: (N,) UTC.
        edges_m: (G + 1,) heights of the edges of the gates above the instrument.
        classes: (N, G) `Target` values.
        flags: (N,) `TargetFlag` bits.
        base_m, bottom_m, top_m: (N,) of the lowest cloud [m]; NaN where none.
        maker_base_m: (N,) the lowest base that the instrument reports [m]; NaN where none.
        records: N plain values, as the stream publishes them, or none.
    """

    instrument: str
    time: Time
    edges_m: Float64
    classes: NDArray[np.int8]
    flags: NDArray[np.int32]
    base_m: Float64
    bottom_m: Float64
    top_m: Float64
    maker_base_m: Float64
    records: tuple[dict[str, Any], ...]

    def __len__(self) -> int:
        """Number of profiles or intervals."""
        return len(self.time)


def series_of_profiles(
    blocks: Iterable[Profiles],
    site: Site,
    *,
    surface_temperature_k: float | None = None,
    with_records: bool = False,
) -> list[Series]:
    """One series per instrument and set of gates, the longest first.

    Args:
        blocks: profiles with a time.
        site: calibration, lowest height, altitude.
        surface_temperature_k: near the ground; None = the standard atmosphere's.
        with_records: whether plain values are made, which take the memory of months of files.
    """
    parts: dict[tuple[object, ...], list[Series]] = {}
    for together in _gathered(blocks):
        column = column_of_profiles(together, site, surface_temperature_k=surface_temperature_k)
        lowest = np.concatenate([_lowest(block.vertical_base_m) for block in together])
        part = _series(column, classify(column), lowest, with_records=with_records)
        parts.setdefault(_gates(together[0]), []).append(part)
    return sorted((_joined(each) for each in parts.values()), key=len, reverse=True)


def series_of_averages(
    averages: Sequence[Average],
    site: Site,
    *,
    interval_s: int,
    surface_temperature_k: float | None = None,
    with_records: bool = False,
) -> list[Series]:
    """As `series_of_profiles`, of averages: what the stream publishes.

    Args:
        averages: in time order.
        site: calibration, lowest height, altitude.
        interval_s: length of an interval.
        surface_temperature_k: near the ground; None = the standard atmosphere's.
        with_records: whether plain values are made.
    """
    parts: dict[tuple[object, ...], list[Series]] = {}
    for average in averages:
        if not average.block_total.size:
            continue
        column = column_of_averages([average], site, interval_s=interval_s, surface_temperature_k=surface_temperature_k)
        bases_m = average.cloud_base_m
        lowest = np.array([float(np.median(bases_m)) if bases_m.size else np.nan])
        key = (average.instrument, average.first_m, average.resolution_m, average.block_total.size)
        part = _series(column, classify(column), lowest, with_records=with_records)
        parts.setdefault(key, []).append(part)
    return sorted((_joined(each) for each in parts.values()), key=len, reverse=True)


def series_of_records(records: Sequence[Mapping[str, Any]], *, instrument: str = "") -> Series:
    """The classes that records of the stream tell, on the edges that they name.

    Args:
        records: of one site, in time order, as `records.values_of` makes them, with their `time`.
        instrument: maker and model.
    """
    heights = {float(at) for record in records for low, high, _ in record["classes"] for at in (low, high)}
    edges_m = np.array(sorted(heights))
    classes = np.array([classes_of(record["classes"], edges_m) for record in records], np.int8)

    def metres(name: str) -> Float64:
        return np.array([number(record.get(name)) for record in records])

    return Series(
        instrument=instrument,
        time=np.array([instant(record["time"]) for record in records], "datetime64[us]"),
        edges_m=edges_m,
        classes=classes.reshape(len(records), max(len(edges_m) - 1, 0)),
        flags=np.array([_bits(record["quality"]) for record in records], np.int32),
        base_m=metres("cloud_base_m"),
        bottom_m=metres("cloud_bottom_m"),
        top_m=metres("cloud_top_m"),
        maker_base_m=metres("maker_cloud_base_m"),
        records=(),
    )


def _bits(names: Iterable[str]) -> int:
    return sum(int(TargetFlag[name.upper()]) for name in names)


def _gathered(blocks: Iterable[Profiles]) -> Iterator[list[Profiles]]:
    """Consecutive blocks of the same gates, up to `MOST_PROFILES` together."""
    held: list[Profiles] = []
    for block in blocks:
        if not len(block) or not block.range_m.size:
            continue
        if held and (_gates(held[0]) != _gates(block) or sum(map(len, held)) >= MOST_PROFILES):
            yield held
            held = []
        held.append(block)
    if held:
        yield held


def _gates(block: Profiles) -> tuple[object, ...]:
    has_depolarisation = block.depolarisation is not None
    return block.instrument, block.range_m.size, float(block.range_m[0]), float(block.range_m[-1]), has_depolarisation


def _series(column: Column, targets: Targets, maker_base_m: Float64, *, with_records: bool) -> Series:
    num = len(column.time) if with_records else 0
    return Series(
        instrument=column.instrument,
        time=column.time,
        edges_m=edges_of(column),
        classes=targets.classes,
        flags=targets.flags,
        base_m=targets.base_m,
        bottom_m=targets.bottom_m,
        top_m=targets.top_m,
        maker_base_m=maker_base_m,
        records=tuple(values_of(column, targets, row) for row in range(num)),
    )


def _joined(parts: Sequence[Series]) -> Series:
    """Parts of one set of gates in time order; profiles that came twice count once."""
    time = np.concatenate([part.time for part in parts])
    _, order = np.unique(time, return_index=True)
    records = [record for part in parts for record in part.records]

    def together(name: str) -> NDArray[Any]:
        return np.asarray(np.concatenate([getattr(part, name) for part in parts])[order])

    return Series(
        instrument=parts[0].instrument,
        time=time[order],
        edges_m=parts[0].edges_m,
        classes=together("classes"),
        flags=together("flags"),
        base_m=together("base_m"),
        bottom_m=together("bottom_m"),
        top_m=together("top_m"),
        maker_base_m=together("maker_base_m"),
        records=tuple(records[row] for row in order.tolist()) if records else (),
    )


def _lowest(heights_m: NDArray[np.float32]) -> Float64:
    """(T,) the lowest of each row, NaN where there is none."""
    if not heights_m.shape[1]:
        return np.full(len(heights_m), np.nan)
    lowest = np.where(np.isfinite(heights_m), heights_m, np.inf).min(axis=1)
    return np.where(np.isfinite(lowest), lowest, np.nan).astype(np.float64)
