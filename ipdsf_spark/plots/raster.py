"""Profiles of any gates and times on the regular grid of a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.layers import screening
from ipdsf_spark.lidar.profiles import Float64, Profiles, Time

MAX_COLUMNS = 1440
MAX_ROWS = 420


@dataclass(frozen=True, eq=False)
class Raster:
    """Mean backscatter per cell.

    Attributes:
        time_edges: (C + 1,) datetime64[us].
        height_edges_m: (R + 1,) above the instrument.
        beta: (R, C) mean attenuated backscatter, NaN where nothing was measured.
        is_absolute: beta is in m-1 sr-1, by the instrument's, the site's or a typical calibration.
    """

    time_edges: Time
    height_edges_m: Float64
    beta: Float64
    is_absolute: bool


def raster(
    blocks: Sequence[Profiles], top_m: float, *, calibration: float | None = None, max_columns: int = MAX_COLUMNS
) -> Raster:
    """The picture's cells.

    Args:
        blocks: profiles of one site; at least one with a time.
        top_m: highest cell.
        calibration: the site's factor to m-1 sr-1, None = the instrument's.
        max_columns: cells along time.

    Raises:
        ValueError: no profile has a time.
    """
    stamps = np.concatenate([block.time[~np.isnat(block.time)] for block in blocks])
    if not len(stamps):
        raise ValueError("no profile has a time: nothing to draw")
    first, last = stamps.min().astype(np.int64), stamps.max().astype(np.int64)
    step = _column_us(np.unique(stamps.astype(np.int64)), last - first, max_columns)
    num_columns = int((last - first) // step) + 1
    spacing_m = max([top_m / MAX_ROWS, *(block.range_resolution_m for block in blocks)])
    num_rows = max(1, int(np.ceil(top_m / spacing_m)))
    total, count = np.zeros((num_rows, num_columns)), np.zeros((num_rows, num_columns))
    is_absolute = True
    for block in blocks:
        factor, is_known = _factor(block, calibration)
        is_absolute &= is_known
        for tilt in np.unique(np.rint(block.tilt_deg)):
            here = np.flatnonzero((np.rint(block.tilt_deg) == tilt) & ~np.isnat(block.time))
            height_m = block.range_m * np.cos(np.radians(tilt))
            below = np.flatnonzero((height_m >= 0) & (height_m < num_rows * spacing_m))
            if not len(here) or not len(below):
                continue
            rows = (height_m[below] / spacing_m).astype(np.int64)
            columns = (block.time[here].astype(np.int64) - first) // step
            _add(total, count, block.beta[np.ix_(here, below)].astype(np.float64) * factor, rows, columns)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(count > 0, total / count, np.nan)
    return Raster(
        time_edges=(first + step * np.arange(num_columns + 1)).astype("datetime64[us]"),
        height_edges_m=np.arange(num_rows + 1, dtype=np.float64) * spacing_m,
        beta=mean,
        is_absolute=is_absolute,
    )


def raster_of_averages(
    averages: Sequence[Mapping[str, Any]], top_m: float, *, calibration: float | None = None
) -> Raster:
    """The picture's cells from archived averages, on the blocks of the first of them.

    Args:
        averages: of one site and instrument in time order, as rows of the table of averages: `start`, `interval_s`,
            `instrument`, `is_calibrated`, `tilt_deg`, `block_first_m`, `block_length_m` and `beta`.
        top_m: highest cell.
        calibration: the site's factor to m-1 sr-1, None = the instrument's.

    Raises:
        ValueError: there is no average.
    """
    if not averages:
        raise ValueError("no average: nothing to draw")
    one = averages[0]
    step = np.timedelta64(int(one["interval_s"]), "s").astype("timedelta64[us]")
    start = np.array([row["start"] for row in averages], "datetime64[us]")
    column = ((start - start[0]) // step).astype(np.int64)
    slant = np.cos(np.radians(one["tilt_deg"]))
    length_m = one["block_length_m"] * slant
    lowest_m = one["block_first_m"] * slant - length_m / 2
    num_rows = max(1, int(np.ceil((top_m - lowest_m) / length_m)))
    beta = np.full((num_rows, int(column[-1]) + 1), np.nan)
    is_absolute = True
    for at, row in zip(column.tolist(), averages, strict=True):
        known = screening.calibration(row["instrument"], calibration, is_calibrated=bool(row["is_calibrated"]))
        values = np.asarray(row["beta"], np.float64)[:num_rows] * known[0]
        beta[: len(values), at] = values
        is_absolute &= known[1] or known[0] != 1.0
    edges_m = lowest_m + length_m * np.arange(num_rows + 1)
    return Raster(start[0] + step * np.arange(beta.shape[1] + 1), edges_m, beta, is_absolute)


def _add(total: Float64, count: Float64, beta: Float64, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> None:
    """Add profiles to the cells they lie in, touching no others: a day comes in hundreds of blocks.

    Args:
        total: (R, C) sums so far, changed in place.
        count: (R, C) values in them, changed in place.
        beta: (T, G) of T profiles.
        rows: (G,) row of every gate, ascending.
        columns: (T,) column of every profile.
    """
    is_there = np.isfinite(beta)
    starts = np.flatnonzero(np.diff(rows, prepend=-1))
    low, wide = int(columns.min()), int(np.ptp(columns)) + 1
    for target, values in ((total, np.where(is_there, beta, 0.0)), (count, is_there.astype(np.float64))):
        per_cell = np.zeros((wide, len(starts)))
        np.add.at(per_cell, columns - low, np.add.reduceat(values, starts, axis=1))
        target[rows[starts], low : low + wide] += per_cell.T


def _column_us(stamps: NDArray[np.int64], span: int, max_columns: int) -> int:
    """Width of a column: the profiles' own step where the picture has room for it."""
    own = int(np.median(np.diff(stamps))) if len(stamps) > 1 else 60_000_000
    # Half a step more, so that jitter in the stamps leaves no empty columns between two profiles.
    return max(own + own // 2 if span // max(own, 1) < max_columns else 0, span // max_columns + 1, 1)


def _factor(block: Profiles, calibration: float | None) -> tuple[float, bool]:
    """Factor to m-1 sr-1, and whether the result is in that unit."""
    factor, is_known = screening.calibration(block.instrument, calibration, is_calibrated=block.is_calibrated)
    return factor, is_known or factor != 1.0
