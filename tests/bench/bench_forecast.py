"""What simulated days look like after the retrieval, what the forecast is worth on them, and what it costs.

python tests/bench/bench_forecast.py --observe          measure the retrieval; writes forecast/observation.json
python tests/bench/bench_forecast.py --real [MODEL] --days FOLDER
                                                        forecasts from heights of genuine files, made and retrieved here
python tests/bench/bench_forecast.py --calibrate OUT [--from MODEL] --days FOLDER
                                                        how much wider filled gaps must be, of other such days
python tests/bench/bench_forecast.py --speed [MODEL]    CPU time of the operator per site and interval

--record FILE appends what was found, with machine and command.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from recording import append, entry_of
from retrieved_days import (
    INSTRUMENTS,
    JUDGED,
    LABELS,
    TRAINING,
    VALIDATION,
    Retrieved,
    gaps_of,
    judged_days,
    kept,
)

from ipdsf_spark.forecast.filling import REASONS
from ipdsf_spark.forecast.folder import load_model, save_model, shipped_folder
from ipdsf_spark.forecast.judging import damping_of, forecasts_m
from ipdsf_spark.forecast.model import FACTORS, ForecastModel, arrays_of
from ipdsf_spark.forecast.network_years import NetworkPlan, validation_series
from ipdsf_spark.forecast.observation import FILE, Samples, cells_of, measured
from ipdsf_spark.forecast.operator import operator_of
from ipdsf_spark.forecast.rows import middle_us_of
from ipdsf_spark.forecast.series import AMBIGUOUS, CAPPED, FOG, RAIN
from ipdsf_spark.forecast.simulated import SitePlans, draw_site
from ipdsf_spark.forecast.sun import sun_at
from ipdsf_spark.forecast.table import table_of
from ipdsf_spark.lidar.layers.replay import replay
from ipdsf_spark.lidar.operators import News, Row
from ipdsf_spark.lidar.products.quality import Quality
from ipdsf_spark.lidar.simulator import simulate
from ipdsf_spark.lidar.simulator.hard_days import hard_day
from ipdsf_spark.lidar.simulator.hard_kinds import KINDS

PLAIN_RUNS, RUN_DAYS = 36, 3
HARD_SEEDS = (11, 12)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--observe", action="store_true")
    parser.add_argument("--real", nargs="?", const=shipped_folder(), type=Path, metavar="MODEL")
    parser.add_argument("--calibrate", type=Path, metavar="OUT", help="folder of the model that is written")
    parser.add_argument("--from", dest="source", type=Path, default=shipped_folder(), metavar="MODEL")
    parser.add_argument("--days", type=Path, help="folder in which retrieved days are kept (default: made anew)")
    parser.add_argument("--speed", nargs="?", const=shipped_folder(), type=Path, metavar="MODEL")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--record", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as anew:
        measure(args, args.days or Path(anew))


def measure(args: argparse.Namespace, days: Path) -> None:
    results: dict[str, object] = {}
    if args.observe:
        observe(args.processes)
    if args.calibrate:
        results |= calibrate(args.source, args.calibrate, days)
    if args.real:
        results |= on_real_files(args.real, days)
    if args.speed:
        results |= speed(args.speed)
    if args.record:
        append(args.record, entry_of("forecast", results=results))


def observe(processes: int) -> None:
    """The retrieval on plain and hard days; `HELD_BACK` kinds are left to the check."""
    hard = [(name, seed) for name in KINDS if name != "wrong_longitude" for seed in HARD_SEEDS]
    with ProcessPoolExecutor(processes) as pool:
        plain_parts = list(pool.map(plain_run, range(PLAIN_RUNS)))
        hard_parts = list(pool.map(hard_run, hard, range(len(hard))))
    tables = {"plain": measured(joined(plain_parts)), "hard": measured(joined(hard_parts))}
    for table in tables.values():
        table["cells"] = [{key: round(value, 4) for key, value in cell.items()} for cell in table["cells"]]
    target = Path(__file__).resolve().parents[2] / "ipdsf_spark" / "forecast" / FILE
    target.write_text(json.dumps(tables, indent=1) + "\n", encoding="utf-8")
    for name, table in tables.items():
        print(f"{name}: {table['intervals']} intervals, lowest heights {table['lowest_m']}")


def plain_run(number: int) -> Samples:
    """Days in a row at one site of the network, through an instrument and the retrieval."""
    rng = np.random.default_rng([7, number])
    site = draw_site(rng, number)
    start = date(2026, int(rng.integers(1, 13)), int(rng.integers(1, 25)))
    time_ = np.datetime64(start, "us") + np.arange(1440 * RUN_DAYS) * np.timedelta64(60, "s")
    kind = number % len(INSTRUMENTS)
    day = simulate(site, time_, rng=rng, instrument=INSTRUMENTS[kind], cadence_s=60.0, plan=SitePlans(site, start, rng))
    layers = replay([day.profiles], site).issued
    at = np.searchsorted(time_, layers.time)
    weather = day.weather
    return samples_of(
        layers, day.truth_at(layers.time), site, weather.is_rain[at], weather.is_fog[at],
        np.isfinite(weather.cloud_base_m[at]), number, kind,
    )  # fmt: skip


def hard_run(of: tuple[str, int], number: int) -> Samples:
    """A hard day; what can be seen is the local edge."""
    day = hard_day(of[0], seed=of[1])
    layers = replay([day.profiles], day.site).issued
    profiles = day.profiles
    at = np.clip(np.searchsorted(profiles.time, layers.time), 0, len(profiles.time) - 1)
    cloud = np.isfinite(profiles.cloud_base_m).any(axis=1)[at]
    return samples_of(
        layers, day.edge_m[at], day.site, profiles.is_precipitation[at], profiles.is_fog[at], cloud, number, 0
    )


def samples_of(layers, truth_m, site, rain, fog, cloud, run, instrument) -> Samples:
    seconds = layers.time.astype("datetime64[us]").astype(np.int64) / 1e6
    sun = sun_at(seconds, site.latitude_deg, site.longitude_deg)
    flags = np.zeros(len(layers), np.uint8)
    for bit, quality in ((RAIN, Quality.PRECIPITATION), (FOG, Quality.FOG), (CAPPED, Quality.CLOUD_CAPPED),
                         (AMBIGUOUS, Quality.AMBIGUOUS)):  # fmt: skip
        flags |= np.where(layers.quality & quality, bit, 0).astype(np.uint8)
    return Samples(
        truth_m,
        layers.mixing_height_m,
        layers.uncertainty_m,
        layers.below_m,
        cells_of(sun.elevation_sine, sun.hour_angle, sun.half_day, rain, fog, cloud),
        flags,
        np.isfinite(layers.residual_height_m),
        np.full(len(layers), run),
        np.full(len(layers), instrument),
    )


def joined(parts: list[Samples]) -> Samples:
    return Samples(*(np.concatenate([getattr(part, name) for part in parts]) for name in Samples.__dataclass_fields__))


def on_real_files(folder: Path, days: Path) -> dict[str, object]:
    model = load_model(folder)
    damping = damping_of(table_of(validation_series(NetworkPlan(validation=2, later_days=60))))
    plain = not_widened(model)
    held = kept(days, JUDGED)
    found = {
        label: judged_days(held, lambda _, table, one=one: forecasts_m(table, one), damping)
        for label, one in (("as it is", model), ("filled gaps not widened", plain))
    }
    for name, line in found["as it is"].items():
        said = (
            f"{name}: {line['num']} heights, {100 * line['covered']:.1f} % in the interval of {line['width_m']:.0f} m"
        )
        before = found["filled gaps not widened"][name]
        if before["covered"] != line["covered"]:
            said += f" (not widened {100 * before['covered']:.1f} %, {before['width_m']:.0f} m)"
        print(f"{said}, RMSE {line['rmse_m']}")
    by_reason = gaps_by_reason(held, model, plain)
    return {"model": model.sha256, **found, "gaps by reason": by_reason}


def gaps_by_reason(held: list[Retrieved], model: ForecastModel, plain: ForecastModel) -> dict[str, object]:
    """Share of gaps whose truth lies in the interval, and where it lies else, by why no height is seen."""
    after, before = (gaps_of(held, lambda _, table, one=one: forecasts_m(table, one)) for one in (model, plain))
    found: dict[str, object] = {}
    for group in LABELS:
        for number, reason in enumerate(REASONS):
            mine = (after.reasons == number) & (after.groups == group)
            if not mine.any():
                continue
            covered = [float(gaps.is_covered[mine].mean()) for gaps in (before, after)]
            above = float((before.truth_m > before.quantiles_m[:, 2])[mine].mean())
            rmse_m = float(np.sqrt(np.mean((before.quantiles_m[:, 1] - before.truth_m)[mine] ** 2)))
            runs = len(np.unique(after.runs[mine]))
            print(
                f"{LABELS[group]}, {reason}: {mine.sum()} gaps of {runs} runs, RMSE {rmse_m:.0f} m, in the interval "
                f"not widened {100 * covered[0]:.0f} % (above it {100 * above:.0f} %), now {100 * covered[1]:.0f} %"
            )
            found[f"{group}, {reason}"] = {"num": int(mine.sum()), "runs": runs, "covered": covered, "rmse_m": rmse_m}
    return found


def calibrate(folder: Path, out: Path, days: Path) -> dict[str, object]:
    """The same weights with the factors that days for work demand; those that are judged are not looked at."""
    model = load_model(folder)
    work = [*TRAINING, *VALIDATION]
    gaps = gaps_of(kept(days, work), lambda _, table: forecasts_m(table, not_widened(model)))
    said = {name: np.round(pair, 2).tolist() for name, pair in zip(REASONS, gaps.factors.astype(float), strict=True)}
    facts: dict[str, object] = {"command": "python tests/bench/bench_forecast.py --calibrate OUT --days FOLDER"}
    facts |= {"runs": len(work), "gaps": len(gaps.truth_m), "factors": said}
    parts = list(zip(model.input_weights, model.hidden_weights, model.biases, strict=True))
    arrays = arrays_of(parts, (model.head_weights, model.head_bias)) | {FACTORS: gaps.factors}
    sha256 = save_model(out, arrays, dict(model.facts) | {"filled": facts})
    print(f"{len(gaps.truth_m)} gaps of {len(work)} runs; factors below and above the median: {said}\n{sha256}")
    return {"model": sha256, "filled": facts}


def not_widened(model: ForecastModel) -> ForecastModel:
    """The model without the factors of its filled gaps."""
    return replace(model, filled_factors=np.ones_like(model.filled_factors))


def speed(folder: Path, intervals: int = 2000) -> dict[str, object]:
    """CPU time of the operator, state from bytes and to bytes and the row's JSON included."""
    op, site = operator_of(load_model(folder)), draw_site(np.random.default_rng(1), 1)
    first, state = 5_950_000, b""
    begun = time.process_time()
    for index in range(first, first + intervals):
        values = {"mixing_height_m": 500.0 + index % 288, "uncertainty_m": 30.0, "quality": []}
        row = Row("layers", middle_us_of(index), values)
        found, state = op.step(site, News(closed=(SimpleNamespace(index=index),), rows={"layers": (row,)}), state)
        json.dumps(found[0].values)
    ms = 1e3 * (time.process_time() - begun) / intervals
    print(f"operator: {ms:.2f} CPU ms per site and interval, {len(state)} bytes of state")
    return {"ms_per_interval": round(ms, 3), "state_bytes": len(state)}


if __name__ == "__main__":
    main()
