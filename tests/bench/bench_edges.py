"""Edges of the time–height image on hard days: Canny's path, and a network of `ipdsf edges train` beside it.

python tests/bench/bench_edges.py [--seeds 2] [--model edges.npz] [--record results.jsonl]

A true edge is a fall or rise of the simulated signal without noise, seen through the windows of the classical detector;
an edge within 100 m of it is right. Kinds held back were not looked at when a threshold was chosen, and no network
has seen them. Days of training have other seeds. The cost is processor time of the operator, from state bytes to state
bytes, one interval after the other, beside that of the heights.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from recording import append, entry_of

from ipdsf_spark.lidar.averages.average_bytes import rounded
from ipdsf_spark.lidar.averages.build import averages_of
from ipdsf_spark.lidar.edges.detector import EdgeDetector
from ipdsf_spark.lidar.edges.examples import day_image
from ipdsf_spark.lidar.edges.lines import newest_rows
from ipdsf_spark.lidar.edges.scoring import NEAR_M, Found, compared
from ipdsf_spark.lidar.edges.settings import LEARNED, EdgeSettings
from ipdsf_spark.lidar.edges.tracker import EdgeTracker
from ipdsf_spark.lidar.operators import News, Parameters, operator_named
from ipdsf_spark.lidar.simulator.hard_days import CLASSES, hard_day
from ipdsf_spark.lidar.simulator.hard_kinds import HELD_BACK, KINDS

LEAST_CONTRAST = 0.05  # of a mixing layer's top over 150 m; where it is smaller there is nothing to see


def score(
    kinds: Mapping[str, object], seeds: int, settings: EdgeSettings, detector: EdgeDetector | None
) -> dict[str, float]:
    """F1 of all edges and of decreases, and the share of seen mixing layer tops with an edge, by hour class."""
    decreases, both = Found(), Found()
    hits: dict[str, list[bool]] = {name: [] for name in CLASSES}
    for name in kinds:
        for seed in range(seeds):
            image = day_image(name, seed, settings)
            day, top_m = image.day, image.day.site.max_height_m
            averages = averages_of(day.profiles, settings.averaging_s)
            tracker = EdgeTracker(day.site, settings, detector)
            rows = newest_rows([*tracker.step(averages), *tracker.flush()])
            edges = [row.edges for row in rows]
            decreases += compared(edges, image.truth, top_m, -1)
            both += compared(edges, image.truth, top_m)
            per = len(day.edge_m) // len(rows)
            edge_m, contrast = (np.median(values.reshape(-1, per), axis=1) for values in (day.edge_m, day.contrast))
            is_seen = day.is_seen.reshape(-1, per).all(axis=1) & (contrast > LEAST_CONTRAST)
            hour_class = day.hour_class.reshape(-1, per)[:, per // 2]
            for at in np.flatnonzero(is_seen):
                near = any(edge.sign < 0 and abs(edge.height_m - edge_m[at]) <= NEAR_M for edge in edges[at])
                hits[CLASSES[hour_class[at]]].append(near)
    found = {
        "decreases: recall": decreases.recall,
        "decreases: precision": decreases.precision,
        "decreases: F1": decreases.f1,
        "both signs: F1": both.f1,
    }
    found |= {f"mixing layer tops with an edge, {name}": float(np.mean(hits[name])) for name in CLASSES}
    return found


def operator_cost_ms(name: str) -> float:
    """Least of three processor times per interval of a clear day, from bytes to bytes."""
    day = hard_day("clear", seed=0)
    averages = [rounded(average)[0] for average in averages_of(day.profiles, 300)]
    operator = operator_named(name, Parameters())

    def through() -> None:
        state = b""
        for average in averages:
            _, state = operator.step(day.site, News(closed=(average,)), state)

    return least_s(through) / len(averages) * 1e3


def least_s(work: Callable[[], object]) -> float:
    spent = []
    for _ in range(3):
        start = time.process_time()
        work()
        spent.append(time.process_time() - start)
    return min(spent)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=2, help="days per kind")
    parser.add_argument("--model", type=Path, help="a network of ipdsf edges train")
    parser.add_argument("--record", type=Path)
    args = parser.parse_args()
    detectors: dict[str, tuple[EdgeSettings, EdgeDetector | None]] = {"canny": (EdgeSettings(), None)}
    if args.model:
        from ipdsf_spark.deep_edges import model_file
        from ipdsf_spark.lidar.edges.learned import LearnedDetector

        network, about = model_file.from_bytes(args.model.read_bytes(), name=str(args.model))
        learned = LearnedDetector(model_file.probability_of(network), int(about["reach"]), LEARNED)
        detectors["network"] = LEARNED, learned
    results: dict[str, float] = {}
    for label, (settings, detector) in detectors.items():
        for title, kinds in (("kinds for work", KINDS), ("kinds held back", HELD_BACK)):
            print(f"{label}, {title}", flush=True)
            for name, value in score(kinds, args.seeds, settings, detector).items():
                print(f"  {name:45} {value:6.3f}", flush=True)
                results[f"{label}, {title}: {name}"] = round(value, 4)
    for name in ("layers", "edges"):
        results[f"{name}: processor ms per interval"] = cost = operator_cost_ms(name)
        print(f"{name} operator, state from bytes to bytes: {cost:.2f} ms of processor per interval", flush=True)
    if args.record:
        append(args.record, entry_of("edges", results=results))


if __name__ == "__main__":
    main()
