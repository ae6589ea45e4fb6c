"""Time of the text readers per profile on one core, from bytes to `Profiles`.

    python tests/bench/bench_text_readers.py [--record results.jsonl]

Files of a simulated day as the instruments write them, of 4 profiles (one minute at 15 s, as a stream brings them) and
of 240 (an hour): other files in every round, so that no result is that of one file read over and over. Beside them the
real text logs of $IPDSF_DATA or ../shared/data, if they are there. Checksums are verified.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from statistics import median

import numpy as np
from recording import append, entry_of

from ipdsf_spark.lidar import instruments
from ipdsf_spark.lidar.simulator import FileBank, simulate_day
from ipdsf_spark.lidar.site import Site

REPOSITORY = Path(__file__).resolve().parents[2]
SITE = Site("munich", 48.15, 11.57)
MORNING = np.datetime64("2026-06-21T08:00", "us")
ROUNDS = 60


def simulated_files() -> dict[str, list[bytes]]:
    """Files of CL51 and CL31, by what is printed."""
    found = {}
    for instrument in ("cl51", "cl31"):
        day = simulate_day(SITE, "2026-06-21", rng=np.random.default_rng(1), instrument=instrument)
        for minutes in (1, 60):
            bank = FileBank([day], minutes=minutes)
            starts = [MORNING + number * bank.length for number in range(60 // minutes * 2)]
            files = [bank.file("bench", 0, start).raw for start in starts]
            found[f"{day.instrument.name}, {4 * minutes} profiles a file"] = files
    return found


def real_files() -> dict[str, list[bytes]]:
    """The real text logs that give profiles and no reason, by what is printed."""
    folder = Path(os.environ.get("IPDSF_DATA", REPOSITORY.parent / "shared" / "data"), "ceilometer")
    found: dict[str, list[bytes]] = {}
    for path in sorted(folder.rglob("*")):
        raw = path.read_bytes() if path.suffix.lower() in {".dat", ".txt"} else b""
        decoded = instruments.decode(raw, name=path.name)
        if decoded.blocks and not decoded.rejected:
            block = decoded.blocks[0]
            kind = f"{decoded.instrument} message {block.message_type}, {block.beta.shape[1]} gates, real"
            found.setdefault(f"{kind}, {decoded.num_profiles} profiles a file", []).append(raw)
    return found


def per_profile_ms(files: list[bytes]) -> tuple[float, float]:
    """Best and median time per profile, the files in turn."""
    counts = [instruments.decode(raw).num_profiles for raw in files]
    taken = []
    for turn in range(ROUNDS):
        raw, count = files[turn % len(files)], counts[turn % len(files)]
        started = time.perf_counter()
        instruments.decode(raw)
        taken.append((time.perf_counter() - started) * 1e3 / count)
    return min(taken), median(taken)


def main() -> None:
    """Print a table, and append it as one JSON line to the file given by --record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", type=Path, help="append the results as one JSON line")
    args = parser.parse_args()
    results = []
    print(f"{'ms per profile':64} {'best':>7} {'median':>7}")
    for kind, files in (simulated_files() | real_files()).items():
        best, middle = per_profile_ms(files)
        results.append({"kind": kind, "files": len(files), "best_ms": round(best, 4), "median_ms": round(middle, 4)})
        print(f"{kind:64} {best:7.3f} {middle:7.3f}")
    if args.record:
        append(args.record, entry_of("text_readers", unit="ms per profile, one core", results=results))


if __name__ == "__main__":
    main()
