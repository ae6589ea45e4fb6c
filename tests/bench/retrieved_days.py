"""Days that went through profiles and retrieval, with their truth and their curtain: what a forecast meets in a stream.

Plain days in a row at one site, in which the weather persists, and hard days, of which nothing is known the day before.
A folder keeps them, one file each; the retrieval costs about two seconds of a processor per day.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from datetime import date
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.forecast.filling import fitted_factors, reasons_of
from ipdsf_spark.forecast.judging import FORECAST, RIVALS, has_flag, judged
from ipdsf_spark.forecast.rows import observed_of_layers
from ipdsf_spark.forecast.series import Observed, Series, seconds_of
from ipdsf_spark.forecast.simulated import SitePlans, draw_site
from ipdsf_spark.forecast.table import Table, table_of
from ipdsf_spark.lidar.averages.build import averages_of
from ipdsf_spark.lidar.edges.image import Cells, columns_of
from ipdsf_spark.lidar.edges.learned import features
from ipdsf_spark.lidar.edges.settings import EdgeSettings
from ipdsf_spark.lidar.layers.replay import replay
from ipdsf_spark.lidar.profiles import Profiles
from ipdsf_spark.lidar.simulator import simulate
from ipdsf_spark.lidar.simulator.hard_days import hard_day
from ipdsf_spark.lidar.simulator.hard_kinds import HELD_BACK, KINDS
from ipdsf_spark.lidar.site import Site

INSTRUMENTS: Final = ("cl31", "cl51", "chm15k")
DAYS: Final = 6  # of a plain run
WARM_UP_STEPS: Final = {"plain": 2 * 288, "hard": 72}  # before anything is judged
LABELS: Final = {"plain": "plain days in a row", "hard": "hard days"}
NUM_HEIGHTS: Final = 64  # cells of the curtain ...
CELL_M: Final = 60.0  # ... each two of the edges' image
CHANNELS: Final = 3  # signal over noise, signal over that near the ground, what is there


@dataclass(frozen=True)
class Day:
    """Which days: `hard` of a kind, or a `plain` run of `DAYS` at a site of its own."""

    group: str
    kind: str
    seed: int

    @property
    def name(self) -> str:
        """Of its file."""
        return f"{self.group}-{self.kind}-{self.seed}"


@dataclass(frozen=True, eq=False)
class Retrieved:
    """Of T intervals.

    Attributes:
        day: which days.
        series: of one site; the target is the truth, also in gaps.
        curtain: (T, C, K) as `lidar.edges.learned` shows the image to a network, on cells of `CELL_M`.
    """

    day: Day
    series: Series
    curtain: NDArray[np.float16]


Forecast = Callable[[Retrieved, Table], NDArray[np.float32]]


def plain_days(seed: int, numbers: Iterable[int]) -> list[Day]:
    """Runs at sites of these numbers."""
    return [Day("plain", str(number), seed) for number in numbers]


def hard_days(kinds: Iterable[str], seeds: Iterable[int]) -> list[Day]:
    """Every kind with every seed."""
    return [Day("hard", kind, seed) for seed in seeds for kind in kinds]


JUDGED: Final = [*plain_days(77, range(12)), *hard_days(HELD_BACK, (5,))]
WORK_KINDS: Final = [name for name in KINDS if name != "wrong_longitude"]
WORK_SEED: Final = 78
TRAINING: Final = [*plain_days(WORK_SEED, range(17)), *hard_days(WORK_KINDS, (21, 22))]
VALIDATION: Final = [*plain_days(WORK_SEED, range(17, 20)), *hard_days(WORK_KINDS, (23,))]


def made(day: Day) -> Retrieved:
    """Simulate and retrieve."""
    if day.group == "hard":
        simulated = hard_day(day.kind, seed=day.seed)
        return _retrieved(day, simulated.profiles, simulated.site, simulated.mixing_height_m)
    rng = np.random.default_rng([day.seed, int(day.kind)])
    site = draw_site(rng, int(day.kind))
    start = date(2027, int(rng.integers(1, 13)), int(rng.integers(1, 20)))
    time = np.datetime64(start, "us") + np.arange(1440 * DAYS) * np.timedelta64(60, "s")
    instrument = INSTRUMENTS[int(day.kind) % len(INSTRUMENTS)]
    run = simulate(site, time, rng=rng, instrument=instrument, cadence_s=60.0, plan=SitePlans(site, start, rng))
    return _retrieved(day, run.profiles, site, run.true_mixing_height_m)


def _retrieved(day: Day, profiles: Profiles, site: Site, truth_m: NDArray[np.float64]) -> Retrieved:
    first, seen = observed_of_layers(replay([profiles], site).issued)
    middle = (seconds_of(first + np.arange(len(seen.flags))) * 1e6).astype("datetime64[us]")
    origin = profiles.time[0]
    known = (profiles.time - origin) / np.timedelta64(1, "s")
    target_m = np.interp((middle - origin) / np.timedelta64(1, "s"), known, truth_m)
    place = np.array([site.latitude_deg]), np.array([site.longitude_deg])
    series = Series((day.name,), *place, first, seen, target_m[:, None], has_target_in_gaps=True)
    return Retrieved(day, series, curtain_of(profiles, site, first, len(series)))


def curtain_of(profiles: Profiles, site: Site, first: int, num: int) -> NDArray[np.float16]:
    """(T, C, K) of `num` intervals from number `first` on; 0 where nothing was measured."""
    settings = EdgeSettings()
    cells = Cells.of(site, settings)
    columns = columns_of(averages_of(profiles, settings.averaging_s), site, cells, settings)
    fine = np.zeros((CHANNELS, len(columns), 2 * NUM_HEIGHTS), np.float32)
    shown = features(columns, cells)[:CHANNELS, :, : 2 * NUM_HEIGHTS]
    fine[:, :, : shown.shape[2]] = shown
    curtain = np.zeros((num, CHANNELS, NUM_HEIGHTS), np.float16)
    at = columns["index"] - first
    inside = (at >= 0) & (at < num)
    pairs = fine.reshape(CHANNELS, len(columns), NUM_HEIGHTS, 2).mean(axis=3)
    curtain[at[inside]] = pairs.transpose(1, 0, 2)[inside]
    return curtain


def kept(folder: Path, days: Iterable[Day], tell: Callable[[str], None] = print) -> list[Retrieved]:
    """These days from a folder; those that are not there are made first, so that a run that was ended goes on."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for day in days:
        path = folder / f"{day.name}.npz"
        if not path.exists():
            tell(day.name)
            _save(path, made(day))
        found.append(_load(path, day))
    return found


def _save(path: Path, retrieved: Retrieved) -> None:
    series = retrieved.series
    arrays: dict[str, Any] = {field.name: getattr(series.observed, field.name) for field in fields(Observed)}
    arrays |= {"start": series.start, "target_m": series.target_m, "curtain": retrieved.curtain}
    part = path.with_name(f"part-{path.name}")
    np.savez_compressed(part, latitude_deg=series.latitude_deg, longitude_deg=series.longitude_deg, **arrays)
    part.replace(path)


def _load(path: Path, day: Day) -> Retrieved:
    with np.load(path) as held:
        arrays = dict(held)
    seen = Observed(*(arrays[field.name] for field in fields(Observed)))
    place = arrays["latitude_deg"], arrays["longitude_deg"]
    series = Series((day.name,), *place, int(arrays["start"]), seen, arrays["target_m"], has_target_in_gaps=True)
    return Retrieved(day, series, arrays["curtain"])


def judged_days(
    many: Iterable[Retrieved],
    forecast_of: Forecast,
    damping: NDArray[np.float64],
) -> dict[str, dict[str, Any]]:
    """Errors and honesty of a forecast on days of each group: where a height is seen by lead, and in gaps now.

    Args:
        many: none of which the forecast was trained on.
        forecast_of: (T, 1, L, 3) quantiles of a table.
        damping: of the damped trend.

    Returns:
        by group and lead: `num` heights, `covered` share, `width_m` and `rmse_m` by method.
    """
    sums: dict[str, dict[str, float]] = {}
    for retrieved in many:
        table = table_of(retrieved.series)
        quantiles_m, has = forecast_of(retrieved, table), has_flag(table, "has_height")
        warm = np.arange(len(table)) >= WARM_UP_STEPS[retrieved.day.group]
        for group, where in (("seen", has), ("gaps", ~has)):
            for line in judged(table, quantiles_m, damping, warm[:, None] & where):
                if (line.lead_min == 0) != (group == "gaps"):
                    continue
                total = sums.setdefault(f"{LABELS[retrieved.day.group]}, {group}, {line.lead_min} min", {})
                num = line.errors[FORECAST].num
                parts = {"num": 1.0, "covered": line.covered, "width_m": line.width_m}
                parts |= {name: errors.rmse_m**2 for name, errors in line.errors.items()}
                for name, value in parts.items():
                    total[name] = total.get(name, 0.0) + num * value
    return {name: _means(total) for name, total in sums.items()}


def _means(total: dict[str, float]) -> dict[str, Any]:
    num = total["num"]
    rmse_m = {name: round((total[name] / num) ** 0.5, 1) for name in (FORECAST, *RIVALS)}
    covered, width_m = round(total["covered"] / num, 4), round(total["width_m"] / num, 1)
    return {"num": int(num), "covered": covered, "width_m": width_m, "rmse_m": rmse_m}


@dataclass(frozen=True, eq=False)
class Gaps:
    """N intervals in which no height was seen, after the warm-up.

    Attributes:
        quantiles_m: (N, 3) at lead 0.
        truth_m: (N,).
        reasons: (N,) as `filling.reasons_of`.
        runs: (N,) name of the days.
        groups: (N,) plain or hard.
    """

    quantiles_m: NDArray[np.float64]
    truth_m: NDArray[np.float64]
    reasons: NDArray[np.int64]
    runs: NDArray[np.str_]
    groups: NDArray[np.str_]

    @property
    def is_covered(self) -> NDArray[np.bool_]:
        """(N,)."""
        return (self.truth_m >= self.quantiles_m[:, 0]) & (self.truth_m <= self.quantiles_m[:, 2])

    @property
    def factors(self) -> NDArray[np.float32]:
        """How much wider they must be, where `quantiles_m` is not widened."""
        return fitted_factors(self.quantiles_m, self.truth_m, self.reasons, self.runs)


def gaps_of(many: Iterable[Retrieved], forecast_of: Forecast) -> Gaps:
    """All gaps of these days."""
    parts = []
    for retrieved in many:
        table = table_of(retrieved.series)
        reasons = reasons_of(table.features[:, 0])
        at = np.flatnonzero((reasons >= 0) & (np.arange(len(table)) >= WARM_UP_STEPS[retrieved.day.group]))
        quantiles_m = forecast_of(retrieved, table)[at, 0, 0].astype(np.float64)
        names = [np.full(len(at), name) for name in (retrieved.day.name, retrieved.day.group)]
        parts.append((quantiles_m, retrieved.series.target_m[at, 0], reasons[at], *names))
    return Gaps(*(np.concatenate(values) for values in zip(*parts, strict=True)))
