"""What an instrument and the retrieval see of a true height, as measured on simulated days; and a sampler of that.

Making raw files of years would take days. The share of heights that are missing in rain, fog, under clouds and in every
part of the day, how long they stay missing, the errors and their memory, mistaken layers and stated uncertainties were
measured on days that went through genuine files and the retrieval (`tests/bench/bench_forecast.py --observe`, which
writes `observation.json`): on plain days and on the hard ones of `lidar.simulator.hard_days`. Every simulated site
lies somewhere between the two.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.forecast.series import AMBIGUOUS, CAPPED, FOG, RAIN, Observed, seconds_of
from ipdsf_spark.forecast.simulated import SiteYears
from ipdsf_spark.forecast.sun import sun_at
from ipdsf_spark.lidar.profiles import Float64

Bools = NDArray[np.bool_]
Cells = NDArray[np.int64]
WEATHERS: Final = ("clear", "cloud", "fog", "rain")
HOURS: Final = ("night", "growth", "noon", "evening")
EVENING_H: Final = 1.5  # before sunset, as the retrieval's classes
FEW: Final = 60  # a cell of fewer intervals takes its hour's numbers of all weathers
GROSS: Final = (200.0, 0.25)  # an error above this many metres and this share of the height is a mistaken layer
CLEARLY: Final = 1.1  # times the lowest height: a bound there is a false one
HORIZON: Final = -0.0145  # sine of the sun's elevation at sunset
FILE: Final = "observation.json"


@dataclass(frozen=True, eq=False)
class Samples:
    """N intervals of retrieved days, in the order of time, with the truth.

    Attributes:
        truth_m, seen_m, stated_m, below_m: (N,) metres, NaN where there is none.
        cells: (N,) weather and hour, as `cells_of` numbers them.
        flags: (N,) bits of `series`.
        has_residual: (N,) a residual layer was told.
        day: (N,) number of the run; intervals of one run follow one another.
        instrument: (N,) number of the instrument.
    """

    truth_m: Float64
    seen_m: Float64
    stated_m: Float64
    below_m: Float64
    cells: Cells
    flags: NDArray[np.uint8]
    has_residual: Bools
    day: NDArray[np.int64]
    instrument: NDArray[np.int64]


def cells_of(elevation_sine: Float64, hour_angle: Float64, half_day: Float64, rain: Bools, fog: Bools,
             cloud: Bools) -> Cells:  # fmt: skip
    """Number of the cell of `WEATHERS` × `HOURS` that every interval belongs to."""
    is_night = elevation_sine < HORIZON
    is_evening = half_day - hour_angle < EVENING_H * 2 * np.pi / 24
    hour = np.where(is_night, 0, np.where(is_evening, 3, np.where(hour_angle < 0, 1, 2)))
    weather = np.where(rain, 3, np.where(fog, 2, np.where(cloud, 1, 0)))
    return np.asarray(4 * weather + hour)


def measured(samples: Samples) -> dict[str, Any]:
    """The numbers of one kind of days; what `observe` draws from."""
    has = np.isfinite(samples.seen_m)
    hidden = np.isfinite(samples.below_m)
    error = samples.seen_m - samples.truth_m
    follows = np.diff(samples.day, prepend=-1) == 0
    hour = samples.cells % 4
    limits = {}
    for instrument in np.unique(samples.instrument).tolist():
        mine = (samples.instrument == instrument) & (samples.cells < 8)
        limits[str(instrument)] = _lowest_m(samples.truth_m[mine], has[mine], hidden[mine])
    cells = []
    for cell in range(16):
        mine = (samples.cells == cell) & ~hidden
        if mine.sum() < FEW:
            mine = (hour == cell % 4) & (samples.cells < 8) & ~hidden if cell < 8 else mine
        cells.append(_numbers(mine, has, error, follows, samples))
    lowest_m = np.array([limits[str(number)] for number in samples.instrument.tolist()])
    above = samples.truth_m >= CLEARLY * lowest_m
    for cell, numbers in enumerate(cells):
        numbers |= _false_bounds((samples.cells == cell) & (samples.cells < 8) & above, hidden, follows)
    core = has & (np.abs(error) < GROSS[0])
    pairs = core[1:] & core[:-1] & follows[1:]
    gross = has & (np.abs(error) > np.maximum(GROSS[0], GROSS[1] * samples.truth_m))
    stays = gross[1:][gross[:-1] & has[1:] & follows[1:]]
    over_m = samples.below_m - samples.truth_m
    false = hidden & above
    return {
        "intervals": len(has),
        "cells": cells,
        "error_memory": _or(np.corrcoef(error[1:][pairs], error[:-1][pairs])[0, 1] if pairs.sum() > 9 else 0.7, 0.7),
        "gross_errors_m": _percentiles(error[gross], 0.0),
        "gross_stays": float(np.clip(stays.mean(), 0.5, 0.98)) if stays.size else 0.9,
        "lowest_m": limits,
        "false_bound_ratios": _percentiles(samples.below_m[false] / samples.truth_m[false], 0.7),
        "bound_above_m": _or(np.median(over_m[hidden & (over_m > 0)]) if hidden.any() else 60.0, 60.0),
    }


def _numbers(mine: Bools, has: Bools, error: Float64, follows: Bools, samples: Samples) -> dict[str, float]:
    seen = mine & has
    medium = float(np.median(error[seen])) if seen.any() else 0.0
    core = seen & (np.abs(error - medium) <= np.maximum(GROSS[0], GROSS[1] * samples.truth_m))
    after = np.flatnonzero(mine & follows)
    before_has = has[after - 1]
    lost, stays = ~has[after][before_has], ~has[after][~before_has]
    flags = samples.flags
    return {
        "num": int(mine.sum()),
        "lost": _or(lost.mean() if lost.size > 5 else (~has[mine]).mean() if mine.any() else 0.0, 0.0),
        "stays_lost": _or(stays.mean() if stays.size > 5 else 0.9, 0.9),
        "bias_m": medium,
        "sigma_m": _or(np.sqrt(np.mean((error[core] - medium) ** 2)) if core.any() else 20.0, 20.0),
        "gross": 1.0 - float(core.sum()) / max(int(seen.sum()), 1) if seen.any() else 0.0,
        "stated_m": _or(np.median(samples.stated_m[seen]) if seen.any() else 40.0, 40.0),
        "residual": float(samples.has_residual[mine].mean()) if mine.any() else 0.0,
        "capped": float(((flags[mine] & CAPPED) > 0).mean()) if mine.any() else 0.0,
        "ambiguous": float(((flags[mine] & AMBIGUOUS) > 0).mean()) if mine.any() else 0.0,
    }


def _false_bounds(mine: Bools, hidden: Bools, follows: Bools) -> dict[str, float]:
    """How often a bound is told of a top that clearly lies above the lowest height, and how often it goes on."""
    after = np.flatnonzero(mine & follows)
    was = hidden[after - 1]
    begins, goes_on = hidden[after][~was], hidden[after][was]
    return {
        "false_bound": _or(begins.mean() if begins.size > 5 else 0.0, 0.0),
        "stays_false_bound": _or(goes_on.mean() if goes_on.size > 5 else 0.5, 0.5),
    }


def _percentiles(values: Float64, otherwise: float) -> list[float]:
    return np.percentile(values, [10, 30, 50, 70, 90]).round(3).tolist() if values.size else [otherwise]


def _lowest_m(truth_m: Float64, has: Bools, hidden: Bools) -> float:
    """Height below which the top is told as a bound rather than as a height."""
    edges = np.arange(60.0, 420.0, 20.0)
    for low in edges:
        mine = (truth_m >= low) & (truth_m < low + 20.0)
        if mine.sum() > 10 and has[mine].mean() > hidden[mine].mean():
            return float(low)
    return 200.0


def _or(value: Any, otherwise: float) -> float:
    return float(value) if np.isfinite(value) else otherwise


def measured_tables() -> dict[str, Any]:
    """The numbers that come with the package: of plain and of hard days."""
    text = (resources.files("ipdsf_spark.forecast") / FILE).read_text(encoding="utf-8")
    tables: dict[str, Any] = json.loads(text)
    return tables


def observe(years: SiteYears, tables: Mapping[str, Any], rng: np.random.Generator) -> Observed:
    """What would have been seen of a site's years.

    Args:
        years: the truth.
        tables: as `measured_tables`.
        rng: decides the site's difficulty and everything else.
    """
    plain, hard = tables["plain"], tables["hard"]
    hardness = float(rng.uniform())
    num = len(years.height_m)
    index = years.start + np.arange(num)
    sun = sun_at(seconds_of(index), years.site.latitude_deg, years.site.longitude_deg)
    has_cloud = np.isfinite(years.cloud_m)
    cells = cells_of(sun.elevation_sine, sun.hour_angle, sun.half_day, years.rain, years.fog, has_cloud)

    def of_cells(name: str) -> Float64:
        both = [np.array([cell[name] for cell in table["cells"]]) for table in (plain, hard)]
        return np.asarray(((1 - hardness) * both[0] + hardness * both[1])[cells])

    instruments = list(plain["lowest_m"].values())
    lowest_m = float(rng.choice(instruments)) * float(rng.uniform(0.9, 1.1))
    hidden = years.height_m < lowest_m
    blocked = years.rain | years.fog
    lost = _chain(of_cells("lost"), of_cells("stays_lost"), rng)
    mistaken, mistake_m = _mistakes(of_cells("gross"), plain, hard, hardness, rng)
    memory = (1 - hardness) * plain["error_memory"] + hardness * hard["error_memory"]
    noise = _red(num, memory, rng)
    sigma_m = of_cells("sigma_m") * float(rng.lognormal(0.0, 0.25))
    height_m = years.height_m + of_cells("bias_m") + sigma_m * noise
    height_m = np.where(mistaken, years.height_m + mistake_m, height_m)
    false = _chain(of_cells("false_bound"), of_cells("stays_false_bound"), rng) & ~hidden
    has = ~(hidden | false | blocked | lost)
    height_m = np.where(has, np.maximum(height_m, lowest_m), np.nan)
    below_m = np.where(hidden & ~blocked, lowest_m + plain["bound_above_m"] * rng.lognormal(0.0, 0.2, num), np.nan)
    ratio = _each_time(false, plain["false_bound_ratios"] + hard["false_bound_ratios"], rng)
    below_m = np.where(false & ~blocked, np.maximum(ratio * years.height_m, lowest_m), below_m)
    stated_m = of_cells("stated_m") * rng.lognormal(0.0, 0.25, num)
    draw = rng.random((3, num))
    flags = np.zeros(num, np.uint8)
    flags |= np.where(years.rain, RAIN, 0).astype(np.uint8)
    flags |= np.where(years.fog & ~years.rain, FOG, 0).astype(np.uint8)
    flags |= np.where(~blocked & (draw[0] < of_cells("capped")), CAPPED, 0).astype(np.uint8)
    flags |= np.where(~blocked & (draw[1] < of_cells("ambiguous")), AMBIGUOUS, 0).astype(np.uint8)
    residual_m = np.where(~blocked & (draw[2] < of_cells("residual")), years.residual_m, np.nan)
    has_data = np.ones(num, bool)
    for begin in rng.integers(0, num, max(1, num // (30 * 288))).tolist():  # an instrument or its line is down
        has_data[begin : begin + int(rng.exponential(24)) + 1] = False
    cloud_m = np.where(years.fog, np.nan, years.cloud_m)

    def known(values: Float64) -> Float64:
        return np.where(has_data, values, np.nan)

    return Observed(
        known(height_m),
        known(np.where(has, stated_m, np.nan)),
        known(below_m),
        known(cloud_m),
        known(residual_m),
        np.where(has_data, flags, 0).astype(np.uint8),
        has_data,
    )


def _chain(begins: Float64, stays: Float64, rng: np.random.Generator) -> Bools:
    """(T,) a state that begins and stays with given chances."""
    draws = rng.random(len(begins))
    found = np.empty(len(begins), bool)
    is_on = False
    for at, (draw, begin, stay) in enumerate(zip(draws.tolist(), begins.tolist(), stays.tolist(), strict=True)):
        is_on = draw < (stay if is_on else begin)
        found[at] = is_on
    return found


def _mistakes(share: Float64, plain: Mapping[str, Any], hard: Mapping[str, Any], hardness: float,
              rng: np.random.Generator) -> tuple[Bools, Float64]:  # fmt: skip
    """(T,) another layer is taken, and how far it lies from the truth, the same until the mistake ends."""
    table = hard if rng.random() < hardness else plain
    stays = np.full(len(share), table["gross_stays"])
    is_on = _chain(share * (1.0 - stays), stays, rng)
    return is_on, _each_time(is_on, table["gross_errors_m"], rng)


def _each_time(is_on: Bools, values: Sequence[float], rng: np.random.Generator) -> Float64:
    """(T,) one of `values`, drawn anew whenever a state begins."""
    begins = np.diff(is_on.astype(np.int8), prepend=0) > 0
    drawn = rng.choice(np.asarray(values), int(begins.sum()) + 1)
    return np.asarray(drawn[np.maximum(np.cumsum(begins) - 1, 0)])


def _red(num: int, memory: float, rng: np.random.Generator) -> Float64:
    """(T,) noise of unit variance whose neighbours are correlated."""
    shocks = rng.normal(0.0, np.sqrt(1 - memory**2), num)
    found, value = np.empty(num), float(rng.normal())
    for at, shock in enumerate(shocks.tolist()):
        value = memory * value + shock
        found[at] = value
    return found
