"""Draining a backlog: the streaming job against a pool of plain consumers with the same kernels, cores and broker.

    python tests/bench/bench_pool.py                    6,000 files of 3,000 sites, alternating twice
    python tests/bench/bench_pool.py --turns 3 --count 12000

The pool is as many processes as there are cores. Each reads its half of the partitions, decodes, runs the operators
with its sites' state in memory, and produces the same records with the same acknowledgements. It commits nothing,
keeps nothing over a restart and knows no lateness of batches: what it does not do is what Spark's share pays for.
CPU time is that of all processes of either side, driver and Python workers included; the broker is neither's.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from recording import append, entry_of

from ipdsf_spark.experiments.bank import fill
from ipdsf_spark.experiments.bench import Bench
from ipdsf_spark.experiments.drain import Drained, drain_by_consumers, drain_by_stream

LIMIT_S = 900.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=6_000, help="files of the backlog")
    parser.add_argument("--sites", type=int, default=3_000)
    parser.add_argument("--partitions", type=int, default=50)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--operators", nargs="*", help="operators of both sides (default: those of the configuration)")
    parser.add_argument("--record", help="file to append one JSON line to")
    args = parser.parse_args()
    turns = []
    operators = [f"stream.operators={json.dumps(args.operators)}"] if args.operators else []
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), is_quiet=True, overrides=operators)
        with bench.kafka() as kafka:
            for turn in range(args.turns):
                config, overrides = bench.topics(f"turn{turn}", kafka.bootstrap_servers, partitions=args.partitions)
                count, warm_up = args.count, args.count // 2
                fill(config, bench.bank(), sites=args.sites, count=count + warm_up)
                found = {}
                for side in ("pool", "stream") if turn % 2 == 0 else ("stream", "pool"):
                    if side == "pool":
                        done = drain_by_consumers(config, overrides, count, warm_up, limit_s=LIMIT_S)
                    else:
                        done = drain_by_stream(config, count, warm_up, limit_s=LIMIT_S, without=kafka.pids)
                    found[side] = told(done)
                turns.append(found)
                print(json.dumps(found), file=sys.stderr)
    result = entry_of(
        "pool",
        files=args.count,
        sites=args.sites,
        partitions=args.partitions,
        turns=turns,
        ratio_of_files_per_s=[round(t["stream"]["files_per_s"] / t["pool"]["files_per_s"], 3) for t in turns],
        ratio_of_cpu_per_file=[round(t["stream"]["cpu_ms"] / t["pool"]["cpu_ms"], 3) for t in turns],
    )
    print(json.dumps(result, indent=1))
    if args.record:
        append(Path(args.record), result)
    return 0


def told(found: Drained) -> dict[str, float]:
    return {
        "files": found.files,
        "files_per_s": round(found.files_per_s, 1),
        "cpu_ms": round(found.cpu_ms_per_file, 3),
        "seconds": round(found.seconds, 2),
    }


if __name__ == "__main__":
    sys.exit(main())
