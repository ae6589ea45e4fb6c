"""Cost and accuracy of the boundary-layer retrieval, one process.

python tests/bench/bench_layers.py [--accuracy] [--record results.jsonl]

Costs are processor times: the least of several repetitions, so that a shared machine does not blur them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
from recording import append, entry_of

from ipdsf_spark.lidar.averages.build import averages_of
from ipdsf_spark.lidar.layers.layer_tracker import LayerTracker
from ipdsf_spark.lidar.layers.mixing_height import LayerSettings, retrieve
from ipdsf_spark.lidar.layers.replay import replay
from ipdsf_spark.lidar.profiles import Profiles
from ipdsf_spark.lidar.simulator import INSTRUMENTS, SCENARIOS, reference_plan, simulate_day
from ipdsf_spark.lidar.site import Site

SITE = Site("munich", 48.15, 11.57, 539.0)
DAY = "2026-06-15"
SETTINGS = LayerSettings()
PLACES = {
    "48 N June": (Site("a", 48.0, 11.0), "2026-06-15"),
    "60 N September": (Site("b", 60.0, 10.7), "2026-09-09"),
    "35 S July": (Site("c", -35.0, 149.0), "2026-07-15"),
    "40 N 105 W April": (Site("d", 40.0, -105.0), "2026-04-10"),
    "48 N January": (Site("e", 48.0, 11.0), "2026-01-20"),
    "68 N May": (Site("f", 68.0, 24.0), "2026-05-01"),
}
HARD = ((0.45, 3600.0), (0.7, 3600.0), (1.0, 0.0))  # strength of the residual layer, time to fall to it [s]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accuracy", action="store_true", help="also track simulated days and compare with the truth")
    parser.add_argument("--record", type=Path)
    args = parser.parse_args()
    results: dict[str, float] = {}
    for name in ("cl51", "cl61", "chm15k"):
        results |= stream_costs(name)
    results |= kernel_costs("E-PROFILE 511 gates of 30 m", eprofile_day())
    results |= kernel_costs("CL51 1540 gates of 10 m", simulated("cl51"))
    if args.accuracy:
        results |= accuracy()
    if args.record:
        append(args.record, entry_of("layers", results=results))


def least_ms(work: Callable[[], object], times: int, repetitions: int = 7) -> float:
    """Processor milliseconds per unit of `work`, which does `times` units."""
    spent = []
    for _ in range(repetitions):
        start = time.process_time()
        work()
        spent.append(time.process_time() - start)
    return min(spent) / times * 1e3


def told(name: str, value: float, unit: str) -> dict[str, float]:
    print(f"{name:<64} {value:9.3f} {unit}", flush=True)
    return {name: round(value, 4)}


def simulated(instrument: str, cadence_s: float = 15.0) -> Profiles:
    day = simulate_day(
        SITE, DAY, rng=np.random.default_rng(1), plan=reference_plan(), instrument=instrument, cadence_s=cadence_s
    )
    return day.profiles


def eprofile_day() -> Profiles:
    """5-min profiles of 511 gates of 30 m."""
    fine = simulated("chm15k", cadence_s=300.0)
    beta = fine.beta[:, : 511 * 2].reshape(len(fine), 511, 2).mean(axis=2)
    return replace(fine, beta=beta, range_m=(np.arange(511) + 0.5) * 30.0, range_resolution_m=30.0)


def rows_of(profiles: Profiles, rows: slice) -> Profiles:
    cut = {
        field.name: getattr(profiles, field.name)[rows]
        for field in fields(Profiles)
        if isinstance(getattr(profiles, field.name), (np.ndarray, tuple)) and field.name != "range_m"
    }
    return replace(profiles, **cut)


def stream_costs(instrument: str) -> dict[str, float]:
    """A file of five minutes that closes its interval: the operator's state from bytes to bytes."""
    averages = averages_of(simulated(instrument), SETTINGS.averaging_s)
    warm = LayerTracker(SITE, SETTINGS)
    warm.step(averages[:150], ())
    state = warm.to_bytes()

    def through_bytes() -> None:
        raw = state
        for average in averages[150:]:
            tracker = LayerTracker.from_bytes(raw, SITE, SETTINGS)
            tracker.step((average,), ())
            raw = tracker.to_bytes()

    num = len(averages) - 150
    found = told(f"{instrument}: state from bytes, one interval closed, to bytes", least_ms(through_bytes, num), "ms")
    found |= told(f"{instrument}: bytes of the state", len(state), "bytes")
    return found


def kernel_costs(name: str, profiles: Profiles) -> dict[str, float]:
    """A day of 5-min averages through the whole retrieval at once."""
    averages = averages_of(profiles, SETTINGS.averaging_s)

    def whole() -> None:
        tracker = LayerTracker(SITE, SETTINGS)
        tracker.step(averages, ())
        tracker.flush()

    return told(f"{name}: averages to heights per profile", least_ms(whole, len(averages)), "ms")


def accuracy() -> dict[str, float]:
    """RMSE against the truth, with the share of intervals that got a height and of errors within one sigma."""
    found: dict[str, float] = {}
    for noise in (0.02, 0.05, 0.10):
        runs = [
            simulate_day(SITE, DAY, rng=np.random.default_rng(seed), plan=reference_plan(), noise=noise)
            for seed in range(4)
        ]
        final = [(retrieve([day.profiles], SITE), day) for day in runs]
        seen = [(replay([day.profiles], SITE).issued, day) for day in runs]
        found |= told(f"reference day, noise {noise}: final RMSE", rmse_m(final), "m")
        found |= told(f"reference day, noise {noise}: provisional RMSE", rmse_m(seen), "m")
    found |= hard_days()
    for scenario in SCENARIOS:
        runs = [
            (
                site,
                simulate_day(
                    site, day, rng=np.random.default_rng(seed), scenario=scenario, instrument=name, cadence_s=30
                ),
            )
            for seed, ((site, day), name) in enumerate(
                ((place, name) for place in PLACES.values() for name in INSTRUMENTS), start=100
            )
        ]
        final = [(retrieve([day.profiles], site), day) for site, day in runs]
        seen = [(replay([day.profiles], site).issued, day) for site, day in runs]
        errors = [layers.mixing_height_m - day.truth_at(layers.time) for layers, day in final]
        sigma = np.concatenate([layers.uncertainty_m for layers, _ in final])
        error = np.concatenate(errors)
        has_height = np.isfinite(error)
        is_dry = np.concatenate([layers.quality & 6 == 0 for layers, _ in final])
        found |= told(f"{scenario}: final RMSE of {len(runs)} days", rmse_m(final), "m")
        found |= told(f"{scenario}: worst day", max(rmse_m([run]) for run in final), "m")
        found |= told(f"{scenario}: provisional RMSE", rmse_m(seen), "m")
        found |= told(f"{scenario}: share of dry intervals with a height", float(has_height[is_dry].mean()), "")
        for num_sigmas in (1, 2):
            within = np.abs(error[has_height]) <= num_sigmas * sigma[has_height]
            found |= told(f"{scenario}: share of errors within {num_sigmas} sigma", float(within.mean()), "")
    return found


def hard_days() -> dict[str, float]:
    """The reference day with a residual layer that is as strong as the mixing layer, at once or for an hour."""
    found: dict[str, float] = {}
    for residual, decay_s in HARD:
        plan = replace(reference_plan(), residual=residual, residual_decay_s=decay_s)
        for noise in (0.02, 0.05, 0.10):
            runs = [
                simulate_day(
                    SITE, DAY, rng=np.random.default_rng(seed), plan=plan, noise=noise, instrument=name, cadence_s=30
                )
                for seed in range(2)
                for name in ("cl31", "chm15k")
            ]
            name = f"residual layer {residual:g}, fading over {decay_s:g} s, noise {noise}"
            final = [(retrieve([day.profiles], SITE), day) for day in runs]
            found |= told(f"{name}: final RMSE", rmse_m(final), "m")
            found |= told(
                f"{name}: provisional RMSE", rmse_m([(replay([day.profiles], SITE).issued, day) for day in runs]), "m"
            )
            share = float(np.mean([np.isfinite(layers.mixing_height_m).mean() for layers, _ in final]))
            found |= told(f"{name}: share with a height", share, "")
    return found


def rmse_m(runs: list[tuple]) -> float:
    errors = np.concatenate([layers.mixing_height_m - day.truth_at(layers.time) for layers, day in runs])
    return float(np.sqrt(np.nanmean(errors**2)))


if __name__ == "__main__":
    main()
