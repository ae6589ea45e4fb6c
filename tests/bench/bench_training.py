"""Training and reading with two workers: packing, reader speed, and two Horovod processes against two single ones.

python tests/bench/bench_training.py [--volumes DIR] [--samples 1600] [--repeats 2] [--record results.jsonl]

Two single-worker trainings side by side are what the machine can give: the Horovod job, with one thread per worker and
the same cubes per worker, is measured against the sum of their rates, in turns. Without --volumes, phantoms are packed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from recording import append, entry_of

from ipdsf_spark.experiments.training_commands import begin, history_of, phantoms, rate_of, trained_together
from ipdsf_spark.imaging.history import TrainingHistory

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
    parser.add_argument("--samples", type=int, default=1_600, help="cubes per worker")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=2)
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

        common = ["ct", "train", "--name", "bench", "--task", "denoise", "--threads", "1", "--json", *where]
        common += ["--set", f"training.batch={args.batch}", "--set", "training.validation_share=0.0"]
        common += [word for override in args.set for word in ("--set", override)]
        ratios, rates = [], []
        for turn in range(args.repeats):
            alone = [folder / f"alone-{turn}-{k}" for k in range(2)]
            trained_together([begin(*common, "--samples", str(args.samples), "-o", out) for out in alone])
            together = folder / f"together-{turn}"
            begin(*common, "--workers", "2", "--samples", str(2 * args.samples), "-o", together).answers()
            side_by_side, by_horovod = sum(rate_of(history_of(out)) for out in alone), rate_of(history_of(together))
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
        facts["step_ms_by_horovod"] = parts_of(history_of(together))
        facts["step_ms_alone"] = parts_of(history_of(alone[0]))
        print("one step by Horovod [ms]:", facts["step_ms_by_horovod"])
        print("one step alone [ms]:     ", facts["step_ms_alone"])
    if args.record:
        append(args.record, facts)


def parts_of(history: TrainingHistory) -> dict[str, float]:
    return {name: round(ms, 2) for name, ms in history.step_times_ms().items()}


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
