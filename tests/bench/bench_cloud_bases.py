"""Own cloud bases beside those that instruments report, of every real profile that has one; and what classes cost.

    python tests/bench/bench_cloud_bases.py [--record results.jsonl]

Needs the real files of $IPDSF_DATA or ../shared/data. A base counts as found within two gates of the profile.
Profiles that stand in two files (the same instrument at the same time) count once.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from recording import append, entry_of

from ipdsf_spark.lidar import instruments
from ipdsf_spark.lidar.averages.build import averages_of
from ipdsf_spark.lidar.operators import News, Parameters, operator_named
from ipdsf_spark.lidar.profiles import Profiles
from ipdsf_spark.lidar.site import Site
from ipdsf_spark.lidar.targets.column import column_of_profiles
from ipdsf_spark.lidar.targets.rules import classify

REPOSITORY = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("IPDSF_DATA", REPOSITORY.parent / "shared" / "data"), "ceilometer")
SITE = Site("anywhere", 50.0, 10.0)
GATES = 2.0
ROUNDING_M = 0.1


def blocks() -> Iterator[Profiles]:
    for path in sorted(DATA.rglob("*")):
        if path.is_file() and path.suffix not in {".csv", ".bi"}:
            yield from instruments.decode(path.read_bytes(), name=path.name).blocks


def told(name: str, value: float, unit: str) -> dict[str, float]:
    print(f"{name:<66} {value:9.3f} {unit}", flush=True)
    return {name: round(float(value), 4)}


def against_instruments(found: list[Profiles]) -> dict[str, float]:
    """Per instrument and in all: share of profiles whose lowest own base, or any own base, is the reported one."""
    seen: set[tuple[str, str]] = set()
    rows: list[tuple[str, float, bool, bool]] = []
    num_blank = num_extra = num_without = 0
    for block in found:
        column = column_of_profiles([block], SITE)
        targets = classify(column)
        gate_m = float(block.range_m[1] - block.range_m[0])
        for row in range(len(block)):
            key = (block.instrument, str(block.time[row]))
            if key in seen and not np.isnat(block.time[row]):
                continue
            seen.add(key)
            reported = block.vertical_base_m[row][np.isfinite(block.vertical_base_m[row])]
            own = np.array([cloud.base_m * column.slant for cloud in targets.clouds[row]])
            if not np.isfinite(block.beta[row]).any():
                num_blank += reported.size > 0
                continue
            if not reported.size:
                num_without += 1
                num_extra += own.size > 0 and bool(np.isnan(block.vertical_visibility_m[row]))
                continue
            away_m = own - reported.min()
            limit_m = GATES * gate_m + ROUNDING_M
            first = float(away_m[0]) if own.size else float("nan")
            rows.append((block.instrument, first, abs(first) <= limit_m, bool((np.abs(away_m) <= limit_m).any())))
    results: dict[str, float] = {}
    for name in [*sorted({row[0] for row in rows}), "all"]:
        chosen = [row for row in rows if name in (row[0], "all")]
        results |= told(f"{name}: profiles with a base", len(chosen), "")
        results |= told(f"{name}: lowest own base within two gates", float(np.mean([row[2] for row in chosen])), "")
        results |= told(f"{name}: any own base within two gates", float(np.mean([row[3] for row in chosen])), "")
        results |= told(f"{name}: lowest own base - reported, median", float(np.nanmedian([r[1] for r in chosen])), "m")
    results |= told("profiles with a reported base and no signal at all, not counted", num_blank, "")
    results |= told("profiles without a reported base or vertical visibility", num_without, "")
    results |= told("of these with a cloud of our own", num_extra, "")
    return results


def cost(found: list[Profiles]) -> dict[str, float]:
    """CPU of the operators per interval of five minutes, and of single profiles."""
    averages = [average for block in found for average in averages_of(block, 300)]
    results: dict[str, float] = {}
    for name in ("targets", "calibration"):
        made, state = operator_named(name, Parameters()), b""
        begin = time.process_time()
        for average in averages:
            _, state = made.step(SITE, News(closed=[average]), b"" if name == "targets" else state)
        results |= told(f"{name}: CPU per interval", 1e3 * (time.process_time() - begin) / len(averages), "ms")
    begin = time.process_time()
    for block in found:
        classify(column_of_profiles([block], SITE))
    num = sum(map(len, found))
    return results | told("classes of a single profile: CPU", 1e3 * (time.process_time() - begin) / num, "ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", type=Path, help="append the results as one JSON line")
    args = parser.parse_args()
    if not DATA.is_dir():
        parser.exit(0, f"the real files are not here: {DATA} does not exist, and IPDSF_DATA names no other folder\n")
    found = list(blocks())
    results = against_instruments(found) | cost(found)
    if args.record:
        append(args.record, entry_of("cloud_bases", results=results))


if __name__ == "__main__":
    main()
