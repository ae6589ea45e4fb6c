"""Seconds from send to product of a whole network: broker, replayed sites, the streaming job, a reader of its products.

    python tests/bench/bench_stream.py                                          18,000 files at 200/s, 50 partitions
    python tests/bench/bench_stream.py --partitions 150
    python tests/bench/bench_stream.py --sites 10000 --rate 167 --count 20000   10,000 sites at a file a minute
    python tests/bench/bench_stream.py --held 50000 --rate 20 --count 1200      50,000 more sites in state, silent
    python tests/bench/bench_stream.py --lever fetch_wait|coalesce|daemon|compiler   one lever off

Everything runs on this machine, the sending network included. Latency is per newest file of a site and batch: from the
send time in its header to the time Kafka wrote the product, after a tenth of the run.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from recording import append, entry_of

from ipdsf_spark.config import Config, load
from ipdsf_spark.devkafka import EmbeddedKafka
from ipdsf_spark.experiments.bank import fill, sender_command, write_bank
from ipdsf_spark.experiments.live import latencies_s
from ipdsf_spark.experiments.settings import LEVERS
from ipdsf_spark.monitoring.progress import Batch, Totals
from ipdsf_spark.stream.job import StreamJob

WARM_UP_S = 20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--partitions", type=int, default=50)
    parser.add_argument("--sites", type=int, default=3000)
    parser.add_argument("--rate", type=float, default=200.0, help="files per second")
    parser.add_argument("--count", type=int, default=18_000, help="files")
    parser.add_argument("--held", type=int, default=0, help="sites that have sent a file before, so that state is held")
    parser.add_argument("--lever", choices=LEVERS, default="none", help="which lever is off")
    parser.add_argument("--record", help="file to append one JSON line to")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, EmbeddedKafka(Path(folder, "kafka")) as kafka:
        write_bank(Path(folder, "bank"))
        overrides = [
            f"kafka.bootstrap_servers={kafka.bootstrap_servers}",
            f"kafka.partitions={args.partitions}",
            f'stream.directory="{folder}/stream"',
            *LEVERS[args.lever],
        ]
        result = measure(args, load(overrides=overrides), Path(folder, "bank"))
    print(json.dumps(result, indent=1))
    if args.record:
        append(Path(args.record), result)
    return 0


def measure(args: argparse.Namespace, config: Config, bank: Path) -> dict[str, object]:
    batches: list[tuple[float, Batch]] = []

    def watch(batch: Batch, totals: Totals) -> None:
        batches.append((time.monotonic(), batch))
        print(f"{totals.read} of {args.count} read, lag {batch.lag}", file=sys.stderr)

    job = StreamJob(config, on_batch=watch).start()
    if args.held:
        fill(config, bank, sites=args.held, count=args.held)
        job.drain()
    num_before = len(batches)
    warm_up = int(WARM_UP_S * args.rate)
    network = {"sites": args.sites, "rate": args.rate}
    # Workers are forked, code is compiled, every partition gets its consumer, and sites get their state.
    begin = args.sites if args.held else 0  # files that sites have sent already would be duplicates
    first = sender_command(config, bank, **network, count=warm_up, begin=begin)
    subprocess.run(first, check=True, capture_output=True)
    job.drain()
    started = time.time()
    rest = sender_command(config, bank, **network, count=args.count, begin=begin + warm_up)
    sender = subprocess.run(rest, check=True, capture_output=True, text=True)
    job.queries[0].processAllAvailable()  # the live query; the archive has a slower trigger of its own
    excess_s = time.time() - started - args.count / args.rate
    job.stop()
    seconds = np.array(latencies_s(config, since_ms=1000 * (started + 0.1 * args.count / args.rate)))
    p50, p95, p99 = np.percentile(seconds, [50, 95, 99])
    durations = [batch.duration_ms for _, batch in batches[num_before + 2 :]]
    phases = sorted({name for duration in durations for name in duration})
    totals = job.listener.totals
    return {
        **entry_of("stream"),
        "lever_off": args.lever,
        "partitions": args.partitions,
        "sites": args.sites,
        "held": args.held,
        "files_per_s": args.rate,
        "files": args.count,
        "p50_s": round(float(p50), 3),
        "p95_s": round(float(p95), 3),
        "p99_s": round(float(p99), 3),
        "max_s": round(float(seconds.max()), 3),
        "excess_s": round(excess_s, 2),
        "max_lag_files": max(batch.lag for _, batch in batches[num_before:]),
        "median_batch_ms": {name: float(np.median([d.get(name, 0) for d in durations])) for name in phases},
        "sender": json.loads(sender.stdout),
        "is_balanced": totals.is_balanced,
        "profiles": totals.profiles,
        "products": totals.products,
    }


if __name__ == "__main__":
    sys.exit(main())
