"""Half an hour of the streaming job: memory of its processes, files on disk, and what their slopes make in a year.

    python tests/bench/bench_soak.py                                  1,200 sites at a file a minute, 30 minutes
    python tests/bench/bench_soak.py --minutes 5 --sites 600 --plot soak.png

Memory: what the Java heap holds after a full collection, the resident memory of the driver's Python, what workers hold
of their own (unique set size). Files: those of the checkpoint and of the archive, which is compacted every five minutes
here instead of every hour. The first third is warm-up. The slope is Theil and Sen's with its 95 % interval, the year a
straight line: an interval that holds zero is a bound, not a finding. What the machine does besides hardly matters.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from recording import append, entry_of
from scipy.stats import theilslopes

from ipdsf_spark.config import load
from ipdsf_spark.devkafka import EmbeddedKafka
from ipdsf_spark.experiments.bank import sender_command, write_bank
from ipdsf_spark.progress import progress_bar

EVERY_S = 20.0
SETTLED = 1 / 3  # of the run is warm-up
HOURS_OF_A_YEAR = 8_766.0
NAMES = ("java_heap_mb", "java_resident_mb", "driver_mb", "workers_mb", "checkpoint_files", "checkpoint_mb",
         "archive_files", "archive_mb", "threads", "open_files")  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--sites", type=int, default=1_200, help="each sends a file a minute")
    parser.add_argument("--operators", nargs="*", default=["layers"])
    parser.add_argument("--plot", type=Path, help="picture of the run")
    parser.add_argument("--record", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, EmbeddedKafka(Path(folder, "kafka")) as kafka:
        bank = Path(folder, "bank")
        write_bank(bank)
        overrides = [
            f"kafka.bootstrap_servers={kafka.bootstrap_servers}",
            f'stream.directory="{folder}/stream"',
            f"stream.operators={json.dumps(args.operators)}",
            "stream.archive_compact_every_s=300",
            'monitoring.listen=""',
        ]
        samples, files, last = soak(args, overrides, bank, Path(folder))
    result = entry_of(
        "soak", sites=args.sites, minutes=args.minutes, operators=args.operators, files=files,
        last_batch=last, slopes={name: slope_of(samples, name) for name in NAMES},
    )  # fmt: skip
    print(json.dumps(result, indent=1))
    if args.plot:
        plot(samples, args.plot)
    if args.record:
        append(args.record, result)
    return 0


def soak(
    args: argparse.Namespace, overrides: list[str], bank: Path, folder: Path
) -> tuple[list[dict[str, float]], int, dict[str, Any]]:
    """Samples, files sent, and what the job said of its last batch."""
    rate, count = args.sites / 60, int(args.minutes * args.sites)
    words = [word for override in overrides for word in ("--set", override)]
    log = folder / "job.jsonl"
    with log.open("w") as out, (folder / "job.err").open("w") as err:
        job = subprocess.Popen(
            [sys.executable, "-m", "ipdsf_spark.cli.main", "stream", "--json", *words],
            stdout=out, stderr=err, env=os.environ, start_new_session=True,
        )  # fmt: skip
    sender = subprocess.Popen(
        sender_command(load(overrides=overrides), bank, sites=args.sites, rate=rate, count=count),
        stdout=subprocess.PIPE,
    )
    samples: list[dict[str, float]] = []
    began = time.monotonic()
    try:
        with progress_bar(total=round(60 * args.minutes), unit="s", desc="soak") as bar:
            while sender.poll() is None:
                samples.append({"hours": (time.monotonic() - began) / 3600, **sample(job.pid, folder / "stream")})
                bar.update(round(3600 * samples[-1]["hours"]) - bar.n)
                if job.poll() is not None:
                    raise SystemExit(f"the job ended: {(folder / 'job.err').read_text()[-2000:]}")
                with suppress(subprocess.TimeoutExpired):
                    sender.wait(EVERY_S)
        job.send_signal(signal.SIGTERM)
        job.wait(120)
    finally:
        sender.kill()
        if job.poll() is None:
            os.killpg(job.pid, signal.SIGKILL)
    told = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return samples, count, {name: told[-1][name] for name in ("id", "lag", "totals")}


def sample(pid: int, folder: Path) -> dict[str, float]:
    """Memory of the job's processes and files of its folders now; NaN for what is not there yet."""
    found = dict.fromkeys(NAMES, float("nan"))
    root = psutil.Process(pid)
    found["driver_mb"] = root.memory_info().rss / 1e6
    own = [(name_of(process), process) for process in root.children(recursive=True)]
    java = next((process for name, process in own if name == "java"), None)
    if java is not None:
        found["java_resident_mb"] = java.memory_info().rss / 1e6
        found["threads"], found["open_files"] = java.num_threads(), java.num_fds()
        found["java_heap_mb"] = heap_mb(java.pid)
    workers = [process for name, process in own if name.startswith("python")]
    if workers:
        found["workers_mb"] = sum(map(unique_bytes, workers)) / 1e6
    for name in ("checkpoint", "archive"):
        sizes = [size for path in (folder / name).rglob("*") if (size := size_of(path)) is not None]
        found[f"{name}_files"], found[f"{name}_mb"] = len(sizes), sum(sizes) / 1e6
    return found


def name_of(process: psutil.Process) -> str:
    """Its program; empty if it has ended meanwhile."""
    try:
        return str(process.name())
    except psutil.NoSuchProcess:
        return ""


def heap_mb(pid: int) -> float:
    """What the heap holds after a full collection."""
    subprocess.run(["jcmd", str(pid), "GC.run"], capture_output=True, check=False)
    told = subprocess.run(["jcmd", str(pid), "GC.heap_info"], capture_output=True, text=True, check=False).stdout
    return sum(
        float(used) for used in re.findall(r"(?:heap|generation|PSYoungGen|ParOldGen)\s+total \d+K, used (\d+)K", told)
    ) / 1e3 or float("nan")


def unique_bytes(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().uss)
    except psutil.Error:
        return 0


def size_of(path: Path) -> int | None:
    try:
        return path.stat().st_size if path.is_file() else None
    except FileNotFoundError:
        return None


def slope_of(samples: list[dict[str, float]], name: str) -> dict[str, float | bool]:
    """Median of the settled part, slope per hour with its 95 % interval, and the straight line of a year."""
    hours = np.array([each["hours"] for each in samples])
    values = np.array([each[name] for each in samples])
    chosen = np.isfinite(values) & (hours >= SETTLED * hours[-1])
    slope, _, low, high = theilslopes(values[chosen], hours[chosen], alpha=0.95)
    return {
        "median": round(float(np.median(values[chosen])), 1),
        "highest": round(float(np.nanmax(values)), 1),
        "per_hour": round(float(slope), 2),
        "per_hour_low": round(float(low), 2),
        "per_hour_high": round(float(high), 2),
        "year_high": round(float(high) * HOURS_OF_A_YEAR),
    }


def plot(samples: list[dict[str, float]], path: Path) -> None:
    """Every quantity against time."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 5, figsize=(16, 6), layout="constrained", sharex=True)
    for axis, name in zip(axes.flat, NAMES, strict=True):
        axis.plot([60 * each["hours"] for each in samples], [each[name] for each in samples], ".-", ms=3, lw=0.8)
        axis.set_title(name.replace("_", " "), fontsize=10)
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
    for axis in axes[-1]:
        axis.set_xlabel("minutes")
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    sys.exit(main())
