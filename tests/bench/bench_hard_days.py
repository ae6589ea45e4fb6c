"""Heights on days that can fail a retrieval, by hour of the day, beside the naive steepest gradient.

python tests/bench/bench_hard_days.py [--seeds 2] [--kinds clear desert ...]
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np

from ipdsf_spark.lidar.averages.build import averages_of
from ipdsf_spark.lidar.layers.layer_tracker import LayerTracker
from ipdsf_spark.lidar.layers.product import Layers
from ipdsf_spark.lidar.layers.scoring import BOUND_M, failures, score, steepest_m
from ipdsf_spark.lidar.layers.settings import LayerSettings
from ipdsf_spark.lidar.simulator.hard_days import CLASSES, hard_day
from ipdsf_spark.lidar.simulator.hard_kinds import HELD_BACK, KINDS

PROFILES = 5  # of an interval


@dataclass(frozen=True, eq=False)
class Day:
    """A day's truth and heights on product times."""

    edge_m: np.ndarray
    is_seen: np.ndarray
    is_wet: np.ndarray
    hour_class: np.ndarray
    heights: dict[str, tuple[np.ndarray, np.ndarray]]


def day_of(name: str, seed: int) -> Day:
    day = hard_day(name, seed=seed)
    averages = averages_of(day.profiles, 300)
    beta = np.stack([average.mean() for average in averages])
    top_m = min(day.site.max_height_m, float(averages[0].range_m[-1]) - 200.0)
    naive_m = steepest_m(beta, averages[0].range_m, 150.0, top_m)
    heights = {"steepest": (naive_m, np.full(len(naive_m), np.nan))}
    tracker = LayerTracker(day.site, LayerSettings())
    told = Layers.concatenate([*(tracker.step((average,), ()) for average in averages), tracker.flush()])
    for label, is_meant in (("provisional", told.provisional), ("final", ~told.provisional)):
        heights[label] = told.mixing_height_m[is_meant], told.uncertainty_m[is_meant]

    def cut(values: np.ndarray) -> np.ndarray:
        return values.reshape(-1, PROFILES)

    rain = day.profiles.beta[:, 30] > 1e-5
    return Day(
        np.median(cut(day.edge_m), axis=1),
        cut(day.is_seen).all(axis=1),
        cut(day.profiles.is_fog | rain).any(axis=1),
        cut(day.hour_class)[:, 2],
        heights,
    )


def joined(days: list[Day], label: str) -> np.ndarray:
    """Errors of all dry times whose top can be seen."""
    return np.concatenate(
        [np.where(day.is_seen & ~day.is_wet, day.heights[label][0] - day.edge_m, np.nan) for day in days]
    )


def told(title: str, days: list[Day]) -> None:
    print(title)
    for label in ("steepest", "provisional", "final"):
        for number, name in enumerate(CLASSES):
            height, sigma, edge, available = [], [], [], []
            for day in days:
                rows = (day.hour_class == number) & ~day.is_wet
                available.append(np.isfinite(day.heights[label][0][rows]))
                rows &= day.is_seen
                height.append(day.heights[label][0][rows])
                sigma.append(day.heights[label][1][rows])
                edge.append(day.edge_m[rows])
            found = score(*(np.concatenate(part) for part in (height, sigma, edge)))
            share = float(np.concatenate(available).mean())
            print(
                f"  {label:12} {name:8} RMSE {found.rmse_m:6.0f} m  bias {found.bias_m:6.0f} m  heights {share:4.0%}"
                f"  within 2 sigma {found.within_2_sigma:4.0%}"
            )
        error_m = joined(days, label)
        print(f"  {label:12} all      RMSE {np.sqrt(np.nanmean(error_m**2)):6.1f} m")
        error = [np.where(day.is_wet, np.nan, day.heights[label][0] - day.edge_m) for day in days]
        hidden = np.concatenate([error_m[~day.is_seen & ~day.is_wet] for day, error_m in zip(days, error, strict=True)])
        wrong = float(np.mean(np.abs(hidden) > BOUND_M)) if hidden.size else float("nan")
        print(
            f"  {label:12} failures {sum(map(failures, error))}, of {hidden.size} hidden tops wrong by more than "
            f"{BOUND_M:.0f} m: {wrong:.0%}"
        )
    both = joined(days, "provisional"), joined(days, "final")
    has_both = np.isfinite(both[0]) & np.isfinite(both[1])
    rmse_m = [float(np.sqrt(np.mean(part[has_both] ** 2))) for part in both]
    print(f"  where both are given: provisional {rmse_m[0]:.1f} m, final {rmse_m[1]:.1f} m")


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--kinds", nargs="*", help="some kinds only")
    args = parser.parse_args()
    for title, kinds in (("kinds for work", KINDS), ("kinds held back", HELD_BACK)):
        names = [name for name in kinds if not args.kinds or name in args.kinds]
        if names:
            told(title, [day_of(name, seed) for name in names for seed in range(args.seeds)])


if __name__ == "__main__":
    main()
