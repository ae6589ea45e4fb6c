"""What simulated days look like after the retrieval, what the forecast is worth on them, and what it costs.

python tests/bench/bench_forecast.py --observe          measure the retrieval; writes forecast/observation.json
python tests/bench/bench_forecast.py --real [MODEL]     forecasts from heights of genuine files, made and retrieved here
python tests/bench/bench_forecast.py --speed [MODEL]    CPU time of the operator per site and interval

--record FILE appends what was found, with machine and command.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from recording import append, entry_of

from ipdsf_spark.forecast.folder import load_model, shipped_folder
from ipdsf_spark.forecast.judging import damping_of, forecasts_m, has_flag, judged
from ipdsf_spark.forecast.network_years import NetworkPlan, validation_series
from ipdsf_spark.forecast.observation import FILE, Samples, cells_of, measured
from ipdsf_spark.forecast.operator import operator_of
from ipdsf_spark.forecast.rows import middle_us_of, observed_of_layers
from ipdsf_spark.forecast.series import AMBIGUOUS, CAPPED, FOG, RAIN, Series, seconds_of
from ipdsf_spark.forecast.simulated import SitePlans, draw_site
from ipdsf_spark.forecast.sun import sun_at
from ipdsf_spark.forecast.table import table_of
from ipdsf_spark.lidar.layers.replay import replay
from ipdsf_spark.lidar.operators import News, Row
from ipdsf_spark.lidar.products.quality import Quality
from ipdsf_spark.lidar.simulator import simulate
from ipdsf_spark.lidar.simulator.hard_days import HELD_BACK, KINDS, hard_day

INSTRUMENTS = ("cl31", "cl51", "chm15k")
PLAIN_RUNS, RUN_DAYS = 36, 3
HARD_SEEDS = (11, 12)
REAL_SITES, REAL_DAYS = 12, 6
WARM_UP_DAYS = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--observe", action="store_true")
    parser.add_argument("--real", nargs="?", const=shipped_folder(), type=Path, metavar="MODEL")
    parser.add_argument("--speed", nargs="?", const=shipped_folder(), type=Path, metavar="MODEL")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--record", type=Path)
    args = parser.parse_args()
    results: dict[str, object] = {}
    if args.observe:
        observe(args.processes)
    if args.real:
        results |= on_real_files(args.real, args.processes)
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


def real_series(number: int) -> Series:
    """Days in a row through genuine profiles and the retrieval, in which the weather persists; another seed."""
    rng = np.random.default_rng([77, number])
    site = draw_site(rng, number)
    start = date(2027, int(rng.integers(1, 13)), int(rng.integers(1, 20)))
    time_ = np.datetime64(start, "us") + np.arange(1440 * REAL_DAYS) * np.timedelta64(60, "s")
    instrument = INSTRUMENTS[number % len(INSTRUMENTS)]
    day = simulate(site, time_, rng=rng, instrument=instrument, cadence_s=60.0, plan=SitePlans(site, start, rng))
    first, seen = observed_of_layers(replay([day.profiles], site).issued)
    middle = (seconds_of(first + np.arange(len(seen.flags))) * 1e6).astype("datetime64[us]")
    place = np.array([site.latitude_deg]), np.array([site.longitude_deg])
    return Series((site.id,), *place, first, seen, day.truth_at(middle)[:, None], has_target_in_gaps=True)


def hard_series(name: str) -> Series:
    """A kind of day that no constant was chosen by."""
    day = hard_day(name, seed=5)
    first, seen = observed_of_layers(replay([day.profiles], day.site).issued)
    middle = (seconds_of(first + np.arange(len(seen.flags))) * 1e6).astype("datetime64[us]")
    origin = day.profiles.time[0]
    known = (day.profiles.time - origin) / np.timedelta64(1, "s")
    truth_m = np.interp((middle - origin) / np.timedelta64(1, "s"), known, day.mixing_height_m)
    place = np.array([day.site.latitude_deg]), np.array([day.site.longitude_deg])
    return Series((name,), *place, first, seen, truth_m[:, None], has_target_in_gaps=True)


def on_real_files(folder: Path, processes: int) -> dict[str, object]:
    model = load_model(folder)
    damping = damping_of(table_of(validation_series(NetworkPlan(validation=2, later_days=60))))
    with ProcessPoolExecutor(processes) as pool:
        groups = {
            "plain days in a row": (list(pool.map(real_series, range(REAL_SITES))), WARM_UP_DAYS * 288),
            "hard days": (list(pool.map(hard_series, HELD_BACK)), 72),
        }
    results: dict[str, object] = {"model": model.sha256}
    for name, (many, warm_steps) in groups.items():
        results[name] = told(name, many, warm_steps, model, damping)
    return results


def told(name, many, warm_steps, model, damping) -> dict[str, object]:
    found: dict[str, object] = {}
    for group, leads in (("seen", slice(1, None)), ("gaps", slice(0, 1))):
        by_lead: dict[int, dict[str, list[float]]] = {}
        for series in many:
            table = table_of(series)
            quantiles = forecasts_m(table, model)
            has = has_flag(table, "has_height")
            warm = np.broadcast_to((np.arange(len(table)) >= warm_steps)[:, None], has.shape)
            for line in judged(table, quantiles, damping, warm & (has if group == "seen" else ~has))[leads]:
                at = by_lead.setdefault(line.lead_min, {"covered": [], "num": []})
                num = line.errors["LSTM"].num
                at["num"].append(num)
                at["covered"].append(line.covered * num)
                for method, one in line.errors.items():
                    at.setdefault(method, []).append(one.rmse_m**2 * num)
        for lead, at in by_lead.items():
            num = sum(at.pop("num"))
            covered = sum(at.pop("covered")) / num
            rmse = {method: round((sum(values) / num) ** 0.5, 1) for method, values in at.items()}
            print(f"{name}, {group}, {lead} min: {num} heights, {100 * covered:.1f} % in the interval, RMSE {rmse}")
            found[f"{group} {lead}"] = {"num": num, "covered": round(covered, 4), "rmse_m": rmse}
    return found


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
