"""Training and reading with two workers: packing, reader speed, and two Horovod processes against two single ones.

python tests/bench/bench_training.py [--volumes DIR] [--samples 1600] [--repeats 2] [--record results.jsonl]

Two single-worker trainings side by side are what the machine can give: the Horovod job, with one thread per worker and
the same cubes per worker, is measured against the sum of their rates, in turns. Without --volumes, phantoms are packed.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ipdsf_spark.ct.phantom import chest_phantom
from ipdsf_spark.ct.provenance import Provenance
from ipdsf_spark.ct.writing import write_volume

SETTLING_STEPS = 10
PARTS = {"data": "data_s", "forward and backward": "compute_s", "allreduce": "allreduce_s", "rest": "rest_s"}
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


def ipdsf(*arguments: str | Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "ignore", "-m", "ipdsf_spark.cli.main", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def answer_of(process: subprocess.Popen[str]) -> dict[str, Any]:
    said, _ = process.communicate()
    assert process.returncode == 0, said
    return dict(json.loads(said.splitlines()[-1]))


def steps_of(folder: Path) -> list[dict[str, float]]:
    """The steps after the first ones, in which caches and threads settle."""
    with (folder / "history.csv").open(newline="", encoding="utf-8") as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)][SETTLING_STEPS:]


def rate_of(folder: Path) -> float:
    steps = steps_of(folder)
    return (steps[-1]["samples"] - steps[0]["samples"]) / (steps[-1]["seconds"] - steps[0]["seconds"])


def parts_of(folder: Path) -> dict[str, float]:
    steps = steps_of(folder)
    return {name: round(1000 * statistics.fmean(step[column] for step in steps), 2) for name, column in PARTS.items()}


def phantoms(folder: Path) -> list[Path]:
    provenance = Provenance("phantom", datetime.now(UTC))
    paths = []
    for seed in range(2):
        volume = chest_phantom((60, 384, 384), seed=seed, spacing_mm=(5.0, 0.95, 0.95)).volume
        paths.append(write_volume(folder / f"phantom-{seed}.nii.gz", volume, provenance))
    return paths


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--volumes", type=Path, help="folder of CT volumes instead of phantoms")
    parser.add_argument("--samples", type=int, default=1_600, help="cubes per worker")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--record", type=Path)
    args = parser.parse_args()
    facts: dict[str, Any] = {"bench": "training", "command": " ".join(["python", *sys.argv])}
    facts |= {"date": datetime.now(UTC).isoformat(timespec="seconds")}
    facts |= {"machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        storage, cache = folder / "storage", folder / "cache"
        where = ["--set", f"storage.root={storage}", "--set", f"training.cache_directory={cache}"]
        volumes = sorted(args.volumes.iterdir()) if args.volumes else phantoms(folder)
        packed = answer_of(ipdsf("ct", "pack", "--name", "bench", "--json", "--train", *volumes, *where))
        facts["packing"] = {k: packed[k] for k in ("volumes", "cubes", "cubes_per_s", "bytes_per_cube", "seconds")}
        print(f"packing: {packed['cubes']} cubes, {packed['cubes_per_s']} per s, {packed['bytes_per_cube']} bytes each")
        facts["reader_cubes_per_s"] = round(reader_rate(storage))
        print(f"reader: {facts['reader_cubes_per_s']} cubes of 32³ per s from 2 processes")

        common = ["ct", "train", "--name", "bench", "--task", "denoise", "--threads", "1", "--json", *where]
        common += ["--set", f"training.batch={args.batch}", "--set", "training.validation_share=0.0"]
        common += [word for override in args.set for word in ("--set", override)]
        ratios, rates = [], []
        for turn in range(args.repeats):
            alone = [folder / f"alone-{turn}-{k}" for k in range(2)]
            running = [ipdsf(*common, "--samples", str(args.samples), "-o", out) for out in alone]
            for process in running:
                answer_of(process)
            together = folder / f"together-{turn}"
            answer_of(ipdsf(*common, "--workers", "2", "--samples", str(2 * args.samples), "-o", together))
            side_by_side, by_horovod = sum(rate_of(out) for out in alone), rate_of(together)
            ratios.append(by_horovod / side_by_side)
            rates.append((side_by_side, by_horovod))
            print(
                f"turn {turn + 1}: two alone {side_by_side:.1f} cubes/s, two by Horovod {by_horovod:.1f}: "
                f"{100 * ratios[-1]:.1f} %",
                flush=True,
            )
        facts["two_alone_cubes_per_s"] = [round(a, 2) for a, _ in rates]
        facts["two_by_horovod_cubes_per_s"] = [round(b, 2) for _, b in rates]
        facts["ratio"] = [round(r, 4) for r in ratios]
        facts["step_ms_by_horovod"] = parts_of(together)
        facts["step_ms_alone"] = parts_of(alone[0])
        print("one step by Horovod [ms]:", facts["step_ms_by_horovod"])
        print("one step alone [ms]:     ", facts["step_ms_alone"])
    if args.record:
        with args.record.open("a", encoding="utf-8") as file:
            file.write(json.dumps(facts) + "\n")


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
