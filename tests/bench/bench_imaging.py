"""The imaging flow on real CT: pack, train a task, and judge it on a patient it has not seen.

python tests/bench/bench_imaging.py [--ct DIR] [-o WORK] [--task denoise] [--workers 2] [--samples N] [--record FILE]

DIR holds `train` and `test`: $IPDSF_DATA/ct or ../shared/data/ct if not given. WORK keeps the storage array and the
models, so that runs of several tasks, without and with Horovod, share the packed cubes; `ipdsf ct evaluate` then draws
them together.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

NAME = "chest"
REPOSITORY = Path(__file__).resolve().parents[2]


def ipdsf(*arguments: str | Path) -> list[dict[str, Any]]:
    command = [sys.executable, "-W", "ignore", "-m", "ipdsf_spark.cli.main", *map(str, arguments), "--json"]
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("{")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = Path(os.environ.get("IPDSF_DATA", REPOSITORY.parent / "shared" / "data"))
    parser.add_argument("--ct", type=Path, default=data / "ct")
    parser.add_argument("-o", "--out", type=Path, default=REPOSITORY / "out" / "imaging")
    parser.add_argument("--task", default="denoise")
    parser.add_argument("--workers", type=int, default=0, help="Horovod processes; 0 = without")
    parser.add_argument("--threads", type=int, default=1, help="per worker")
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--slices", type=int, default=24, help="of the test volume, from the middle; 0 = all")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--record", type=Path)
    args = parser.parse_args()
    if not args.ct.is_dir():
        print(f"no CT volumes at {args.ct}: name some with --ct")
        return
    out = args.out.absolute()
    where = ["--set", f"storage.root={out / 'storage'}", "--set", f"training.cache_directory={out / 'cache'}"]
    overrides = [word for override in args.set for word in ("--set", override)]
    volumes = {split: sorted((args.ct / split).iterdir()) for split in ("train", "test")}
    ipdsf("ct", "pack", "--name", NAME, "--train", *volumes["train"], "--test", *volumes["test"], *where)

    model = f"{NAME}-{args.task}" + (f"-{args.workers}-workers" if args.workers else "")
    common = ["--name", NAME, "--task", args.task, "--model", model, "--threads", str(args.threads), *where, *overrides]
    (trained,) = ipdsf("ct", "train", *common, "--workers", str(args.workers), "--samples", str(args.samples))
    cases = ipdsf("ct", "evaluate", *volumes["test"], "--model", model, "--slices", str(args.slices), *where)
    facts = {
        "bench": "imaging",
        "command": " ".join(["python", *sys.argv]),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        "training": {k: v for k, v in trained.items() if k != "model"},
        "cases": cases,
    }
    for case in cases:
        print(f"{case['volume']}, {args.task}: {case['window']['psnr_db']:.2f} dB, SSIM {case['window']['ssim']:.4f}")
    if args.record:
        with args.record.open("a", encoding="utf-8") as file:
            file.write(json.dumps(facts) + "\n")


if __name__ == "__main__":
    main()
