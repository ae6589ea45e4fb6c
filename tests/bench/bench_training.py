"""Training and reading with two workers: packing, reader speed, and two Horovod processes against two single ones.

python tests/bench/bench_training.py [--volumes DIR] [--windows 12] [--window-s 15] [--record results.jsonl]

Two single-worker trainings side by side are what the machine can give: the Horovod job, with one thread per worker and
the same cubes per worker, is measured against the sum of their rates. Machines change their speed by a third within
minutes, so both run at once and are stopped and continued in turns of seconds (SIGSTOP, SIGCONT): the steps of a
window are compared with those of the window beside it. Without --volumes, phantoms are packed.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import psutil
from recording import append, entry_of

from ipdsf_spark.experiments.training_commands import Command, begin, history_of, phantoms
from ipdsf_spark.imaging.history import HISTORY_FILE, SETTLING_STEPS, TrainingHistory

STOPPED = 1.6  # times the median step: it was stopped meanwhile, or has just been continued
START_S = 300.0

SHAPE, SPACING_MM = (60, 384, 384), (5.0, 0.95, 0.95)
READER = """
import sys, time
from ipdsf_spark.config import load
from ipdsf_spark.packing.reading import cube_batches
from ipdsf_spark.packing.reference import reference_of
found = reference_of(load(overrides=["storage.root=" + sys.argv[1]]), "bench")
urls, shard = found.files * 4, int(sys.argv[2])
begin = time.perf_counter()
number = sum(len(keys) for _, keys in cube_batches(urls, 32, shard=shard, num_shards=2))
print(number, time.perf_counter() - begin)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--volumes", type=Path, help="folder of CT volumes instead of phantoms")
    parser.add_argument("--batch", type=int, default=8, help="cubes of a worker's step")
    parser.add_argument("--windows", type=int, default=12, help="of each side")
    parser.add_argument("--window-s", type=float, default=15.0, help="length of a window [s]")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--record", type=Path)
    args = parser.parse_args()
    facts = entry_of("training")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        storage, cache = folder / "storage", folder / "cache"
        where = ["--set", f"storage.root={storage}", "--set", f"training.cache_directory={cache}"]
        volumes = sorted(args.volumes.iterdir()) if args.volumes else phantoms(folder / "volumes", 2, SHAPE, SPACING_MM)
        (packed,) = begin("ct", "pack", "--name", "bench", "--json", "--train", *volumes, *where).answers()
        facts["packing"] = {k: packed[k] for k in ("volumes", "cubes", "cubes_per_s", "bytes_per_cube", "seconds")}
        print(f"packing: {packed['cubes']} cubes, {packed['cubes_per_s']} per s, {packed['bytes_per_cube']} bytes each")
        facts["reader_cubes_per_s"] = round(reader_rate(storage))
        print(f"reader: {facts['reader_cubes_per_s']} cubes of 32³ per s from 2 processes")

        common = ["ct", "train", "--name", "bench", "--task", "denoise", "--threads", "1", *where]
        common += ["--set", f"training.batch={args.batch}", "--set", "training.validation_share=0.0"]
        common += [word for override in args.set for word in ("--set", override)]
        alone, together = [folder / f"alone-{k}" for k in range(2)], folder / "together"
        endless = ("--samples", "10000000")
        single = [begin(*common, *endless, "-o", out) for out in alone]
        by_horovod = begin(*common, "--workers", "2", *endless, "-o", together)
        try:
            in_turns(
                lambda: [command.process.pid for command in single],
                lambda: workers_of(by_horovod),
                [*alone, together],
                windows=args.windows,
                window_s=args.window_s,
            )
        finally:
            for command in (*single, by_horovod):
                command.end()
        facts |= compared([history_of(out) for out in alone], history_of(together), args.batch)
        for name in ("ratio", "ratio_of_windows", "step_ms_by_horovod", "step_ms_alone"):
            print(f"{name}: {facts[name]}")
    if args.record:
        append(args.record, facts)


def workers_of(command: Command) -> list[int]:
    """Processes of a Horovod job that train; Spark and the launcher are left to run."""
    found = psutil.Process(command.process.pid).children(recursive=True)
    return [process.pid for process in found if any("gloo_exec_fn" in word for word in process.cmdline())]


def in_turns(
    first: Callable[[], Sequence[int]],
    second: Callable[[], Sequence[int]],
    folders: Sequence[Path],
    *,
    windows: int,
    window_s: float,
) -> None:
    """Let one side work while the other is stopped, and the other way round; all are running at the end."""
    deadline = time.monotonic() + START_S
    while not all(num_steps(folder) > SETTLING_STEPS for folder in folders):
        if time.monotonic() > deadline:
            raise SystemExit(f"the trainings have not made {SETTLING_STEPS} steps within {START_S:.0f} s")
        time.sleep(0.5)
    sides = (first(), second())
    try:
        for window in range(2 * windows):
            active, idle = sides if window % 2 == 0 else sides[::-1]
            told(idle, signal.SIGSTOP)
            told(active, signal.SIGCONT)
            time.sleep(window_s)
            print(f"window {window // 2 + 1} of {windows}", end="\r", file=sys.stderr, flush=True)
    finally:
        told([*sides[0], *sides[1]], signal.SIGCONT)


def told(pids: Sequence[int], number: signal.Signals) -> None:
    for pid in pids:
        os.kill(pid, number)


def num_steps(folder: Path) -> int:
    history = folder / HISTORY_FILE
    return max(history.read_bytes().count(b"\n") - 1, 0) if history.is_file() else 0


def window_steps_s(history: TrainingHistory) -> list[float]:
    """Mean seconds of a step in every window: what lies between steps that were stopped on their way."""
    seconds = np.diff(history["seconds"])[SETTLING_STEPS:]
    usual = float(np.median(seconds))
    cuts = np.flatnonzero(seconds > STOPPED * usual)
    runs = np.split(seconds, cuts)
    return [float(run[1:].mean()) for run in runs[1:-1] if len(run) > 2]


def compared(alone: Sequence[TrainingHistory], together: TrainingHistory, batch: int) -> dict[str, object]:
    """Rates of both sides [cubes/s] and their ratio, over all windows and window by window."""
    singles = [window_steps_s(history) for history in alone]
    shared = window_steps_s(together)
    rates_alone = [batch / a + batch / b for a, b in zip(*singles, strict=False)]
    rates_together = [2 * batch / step for step in shared]
    pairs = [b / a for a, b in zip(rates_alone, rates_together, strict=False)]
    return {
        "two_alone_cubes_per_s": round(float(np.mean(rates_alone)), 2),
        "two_by_horovod_cubes_per_s": round(float(np.mean(rates_together)), 2),
        "ratio": round(float(np.mean(rates_together) / np.mean(rates_alone)), 4),
        "ratio_of_windows": [round(pair, 3) for pair in pairs],
        "step_ms_by_horovod": parts_of(together),
        "step_ms_alone": parts_of(alone[0]),
    }


def parts_of(history: TrainingHistory) -> dict[str, float]:
    """Median milliseconds of a step by what they went to: means would hold the time in which it was stopped."""
    names = {"data": "data_s", "forward and backward": "compute_s", "allreduce": "allreduce_s", "rest": "rest_s"}
    return {label: round(1000 * float(np.median(history[name][SETTLING_STEPS:])), 2) for label, name in names.items()}


def reader_rate(storage: Path) -> float:
    begin = time.perf_counter()
    readers = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", READER, str(storage), str(shard)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for shard in range(2)
    ]
    numbers, seconds = zip(*(map(float, reader.communicate()[0].split()) for reader in readers), strict=True)
    assert time.perf_counter() > begin
    return float(sum(numbers) / max(seconds))


if __name__ == "__main__":
    main()
