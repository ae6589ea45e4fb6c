"""Series that somebody measured: kept in one file, split by site and by time, with gaps planted."""

from __future__ import annotations

import hashlib
import io
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.errors import InputError, said_of_arrays
from ipdsf_spark.forecast.memory import PER_DAY
from ipdsf_spark.forecast.series import Observed, Series

HELD_OUT: Final = 0.25  # share of the sites, at least one, that are not trained on ...
LATER: Final = 0.3  # ... and of the time, its end, in which they are judged
LEAST_DAYS: Final = 4
PLANTED: Final = 0.08  # share of the time that is hidden from the network
PLANTED_H: Final = 1.5  # mean length of what is hidden


def save_series(path: Path, series: Series) -> None:
    """Write a series; the file is whole or not there."""
    content = io.BytesIO()
    seen = {field.name: getattr(series.observed, field.name) for field in fields(Observed)}
    arrays = {name: values.astype(np.float32) if values.dtype == float else values for name, values in seen.items()}
    np.savez_compressed(
        content,
        sites=np.array(series.sites),
        latitude_deg=series.latitude_deg,
        longitude_deg=series.longitude_deg,
        start=series.start,
        target_m=series.target_m.astype(np.float32),
        **arrays,
    )
    part = path.with_name(f".{path.name}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    part.write_bytes(content.getvalue())
    part.replace(path)


def load_series(path: Path) -> tuple[Series, str]:
    """A series and the SHA-256 of its file.

    Raises:
        InputError: it is not there or no series.
    """
    try:
        content = path.read_bytes()
        with np.load(io.BytesIO(content), allow_pickle=False) as held:
            arrays = {name: held[name] for name in held.files}
        seen: dict[str, NDArray[Any]] = {field.name: _wide(arrays[field.name]) for field in fields(Observed)}
        series = Series(
            tuple(str(name) for name in arrays["sites"]),
            arrays["latitude_deg"],
            arrays["longitude_deg"],
            int(arrays["start"]),
            Observed(**seen),
            _wide(arrays["target_m"]),
        )
    except (OSError, KeyError, ValueError, BadZipFile) as error:
        raise InputError(f"{path} holds no series of heights: {said_of_arrays(error)}") from error
    return series, hashlib.sha256(content).hexdigest()


def _wide(values: NDArray[Any]) -> NDArray[Any]:
    return values.astype(np.float64) if values.dtype == np.float32 else values


def split_by_site_and_time(series: Series) -> tuple[Series, Series]:
    """Training sites in the earlier time, with planted gaps, and held-out sites in the later time.

    A lone site is split by time alone.

    Raises:
        InputError: there is too little of it.
    """
    num, sites = series.target_m.shape
    cut = int(num * (1.0 - LATER)) // PER_DAY * PER_DAY
    if cut < LEAST_DAYS * PER_DAY or num - cut < PER_DAY:
        raise InputError(f"{num // PER_DAY} day(s) of heights are too few to train on; {2 * LEAST_DAYS} are needed")
    order = np.random.default_rng(0).permutation(sites)
    held = max(1, round(HELD_OUT * sites))
    train, judged = (order[held:], order[:held]) if sites > 1 else (order, order)
    return with_planted_gaps(part_of(series, train, 0, cut)), part_of(series, judged, cut, num)


def share_of_sites(series: Series, rank: int, size: int) -> Series:
    """Every `size`-th site, as many for every rank.

    Raises:
        InputError: there are fewer sites than ranks.
    """
    sites = len(series.sites)
    if sites < size:
        raise InputError(f"{sites} site(s) cannot be shared among {size} workers")
    return part_of(series, np.arange(sites - sites % size)[rank::size], 0, len(series))


def part_of(series: Series, sites: NDArray[np.int64], begin: int, end: int) -> Series:
    """Some sites and intervals."""
    observed = Observed(*(getattr(series.observed, field.name)[begin:end, sites] for field in fields(Observed)))
    return Series(
        tuple(series.sites[site] for site in sites),
        series.latitude_deg[sites],
        series.longitude_deg[sites],
        series.start + begin,
        observed,
        series.target_m[begin:end, sites],
        series.has_target_in_gaps,
    )


def with_planted_gaps(series: Series, seed: int = 0) -> Series:
    """The same with stretches in which nothing is seen although the target is known: how else to learn to fill gaps?"""
    rng = np.random.default_rng([seed, len(series)])
    num_intervals, num_sites = series.target_m.shape
    hidden = np.zeros((num_intervals, num_sites), bool)
    mean_steps = PLANTED_H * PER_DAY / 24
    for site in range(num_sites):
        for begin in rng.integers(0, len(hidden), round(PLANTED * len(hidden) / mean_steps)).tolist():
            hidden[begin : begin + 1 + int(rng.exponential(mean_steps)), site] = True
    nothing = Observed.nothing(*hidden.shape)
    seen = series.observed
    changed = {
        name: np.where(hidden, getattr(nothing, name), getattr(seen, name))
        for name in ("height_m", "sigma_m", "below_m", "residual_m")
    }
    return replace(series, observed=replace(seen, **changed))
