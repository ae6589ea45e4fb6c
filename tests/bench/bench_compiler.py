"""What the JVM's optimising compiler is worth to a stream that runs for long: two streams at once, one with it.

    python tests/bench/bench_compiler.py [--rate 50] [--minutes 9] [--record results.jsonl]

It compiles in the background for minutes, on the cores that the stream needs, and what it has compiled is faster ever
after. Both streams have a broker and a network of their own and share the machine's cores, so that whatever else the
machine does meets both alike; told is, minute by minute, the median batch, latency and CPU of each.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from recording import append, entry_of

from ipdsf_spark.config import load
from ipdsf_spark.devkafka import EmbeddedKafka
from ipdsf_spark.experiments.bank import sender_command, write_bank
from ipdsf_spark.experiments.cpu import processes_of
from ipdsf_spark.experiments.live import latencies_s
from ipdsf_spark.monitoring.progress import Batch, Totals
from ipdsf_spark.stream.job import StreamJob

SIDES = {"without": [], "with": ['stream.driver_java_options="-XX:+UseSerialGC"']}
SITES, PARTITIONS = 3_000, 50
SETTLED_S = 5.0  # of a minute, whose files were sent in the minute before


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=50.0, help="files per second of each stream")
    parser.add_argument("--minutes", type=int, default=9)
    parser.add_argument("--record", type=Path, help="file to append one JSON line to")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)  # what this script starts twice
    parser.add_argument("--bank", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        one_side(args.side, args.bank, args.rate, args.minutes)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        bank = Path(folder, "bank")
        write_bank(bank)
        told = ["--rate", str(args.rate), "--minutes", str(args.minutes), "--bank", str(bank)]
        command = [sys.executable, "-W", "ignore", __file__, *told]
        running = {
            side: subprocess.Popen([*command, "--side", side], stdout=subprocess.PIPE, text=True) for side in SIDES
        }
        try:
            lines = {side: process.communicate()[0].splitlines() for side, process in running.items()}
        finally:
            for process in running.values():
                process.terminate()
    found = {side: [json.loads(line) for line in said if line.startswith("{")] for side, said in lines.items()}
    if args.record:
        append(args.record, entry_of("compiler", rate=args.rate, sites=SITES, partitions=PARTITIONS, minutes=found))
    return 0 if all(len(minutes) == args.minutes for minutes in found.values()) else 1


def one_side(side: str, bank: Path, rate: float, minutes: int) -> None:
    """A broker, a network and the stream, minute by minute."""
    batches: list[float] = []

    def watch(batch: Batch, totals: Totals) -> None:
        batches.append(batch.duration_ms.get("triggerExecution", 0.0))

    with tempfile.TemporaryDirectory() as folder, EmbeddedKafka(Path(folder, "kafka")) as kafka:
        others = processes_of(kafka)
        overrides = [f"kafka.bootstrap_servers={kafka.bootstrap_servers}", f"kafka.partitions={PARTITIONS}"]
        overrides += [f'stream.directory="{folder}/stream"', 'monitoring.listen=""', *SIDES[side]]
        config = load(overrides=overrides)
        job = StreamJob(config, on_batch=watch).start()
        count = int(60 * rate)
        for minute in range(minutes):
            before, num_batches, num_read = cpu_of_stream(others), len(batches), job.listener.totals.read
            started = time.time()
            command = sender_command(config, bank, sites=SITES, rate=rate, count=count, begin=minute * count)
            subprocess.run(command, check=True, capture_output=True)
            read = max(job.listener.totals.read - num_read, 1)
            seconds = latencies_s(config, since_ms=1000 * (started + SETTLED_S))
            cpu = {name: 1000 * (s - before[name]) / read for name, s in cpu_of_stream(others).items()}
            said: dict[str, Any] = {
                "side": side,
                "minute": minute,
                "batches": len(batches) - num_batches,
                "median_batch_ms": _at(50, batches[num_batches:], 0),
                "p50_s": _at(50, seconds, 2),
                "p99_s": _at(99, seconds, 2),
                "cpu_ms": {name: round(ms, 2) for name, ms in cpu.items()},
            }
            line = json.dumps(said)
            print(line, flush=True)
            print(line, file=sys.stderr, flush=True)
        job.stop()


def _at(percentile: float, values: Sequence[float], digits: int) -> float | None:
    """None of nothing: the first minute of a stream may end before its first batch does."""
    return round(float(np.percentile(values, percentile)), digits) if len(values) else None


def cpu_of_stream(others: Collection[int]) -> dict[str, float]:
    """CPU seconds of the JVM and of the Python workers; the broker is not counted."""
    seconds = {"jvm": 0.0, "python": 0.0}
    for child in psutil.Process().children(recursive=True):
        if child.pid in others:
            continue
        try:
            times, name = child.cpu_times(), child.name()
        except psutil.Error:
            continue  # it has just ended
        if "java" in name:
            seconds["jvm"] += times.user + times.system
        else:
            seconds["python"] += times.user + times.system + times.children_user + times.children_system
    return seconds


if __name__ == "__main__":
    sys.exit(main())
