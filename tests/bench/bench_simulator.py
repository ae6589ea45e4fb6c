"""How fast a simulated network is: a whole day per instrument, files dealt from a bank, and a picture.

python tests/bench/bench_simulator.py --record out/bench.jsonl
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np

from ipdsf_spark import plots
from ipdsf_spark.lidar.layers.mixing_height import Layers, retrieve
from ipdsf_spark.lidar.simulator import INSTRUMENTS, FileBank, SimulatedDay, simulate_day
from ipdsf_spark.lidar.site import Site

MUNICH = Site("munich", 48.15, 11.57, 539.0)


def seconds(work: Callable[[], object], repeat: int = 3) -> float:
    """The best of several runs."""
    best = float("inf")
    for _ in range(repeat):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


def simulated(name: str) -> SimulatedDay:
    return simulate_day(MUNICH, "2026-06-15", rng=np.random.default_rng(1), scenario="mixed", instrument=name)


def dealt(bank: FileBank, times: np.ndarray) -> None:
    for at in times:
        bank.file("a", 0, at)


def drawn(day: SimulatedDay, layers: Layers) -> None:
    plots.curtain(day.profiles, layers, site="x").canvas.draw()


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed of the simulator")
    parser.add_argument("--record", type=Path, help="file that gets one JSON line")
    args = parser.parse_args()
    record: dict[str, object] = {
        "bench": "simulator",
        "when": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "machine": platform.processor() or platform.machine(),
    }
    for name in INSTRUMENTS:
        day = simulated(name)
        bank = FileBank([day], minutes=1)
        minutes = np.datetime64("2026-06-15T08:00") + np.arange(60)
        layers = retrieve([day.profiles], MUNICH)
        found = {
            "day_s": seconds(partial(simulated, name)),
            "encode_ms": 1e3 / 60 * seconds(partial(dealt, bank, minutes), 1),
            "deal_ms": 1e3 / 60 * seconds(partial(dealt, bank, minutes + np.timedelta64(365, "D"))),
            "curtain_s": seconds(partial(drawn, day, layers)),
        }
        record[name] = {key: round(value, 4) for key, value in found.items()}
        print(
            f"{name:8s} day {found['day_s']:.2f} s   file of a minute: written {found['encode_ms']:.2f} ms, "
            f"dealt {found['deal_ms']:.3f} ms   picture {found['curtain_s']:.2f} s"
        )
    if args.record:
        args.record.parent.mkdir(parents=True, exist_ok=True)
        with args.record.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
