"""Seconds from send to product of a whole network: broker, replayed sites, the streaming job, a reader of its products.

    python tests/bench/bench_stream.py                                          18,000 files at 200/s, 50 partitions
    python tests/bench/bench_stream.py --partitions 150
    python tests/bench/bench_stream.py --sites 10000 --rate 167 --count 20000   10,000 sites at a file a minute
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
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
from confluent_kafka import Consumer, TopicPartition
from recording import append, entry_of

from ipdsf_spark.config import Config, load
from ipdsf_spark.devkafka import EmbeddedKafka
from ipdsf_spark.lidar.simulator import simulate_day
from ipdsf_spark.lidar.simulator.bank import FileBank
from ipdsf_spark.lidar.site import Site
from ipdsf_spark.loadgen.replay import Feed, replay
from ipdsf_spark.monitoring.progress import Batch, Totals
from ipdsf_spark.stream.job import StreamJob

INSTRUMENTS = ("cl51", "cl31", "cl51", "cl31", "chm15k")
LEVERS = {
    "none": [],
    "fetch_wait": ["stream.fetch_max_wait_ms=500"],
    "coalesce": ["stream.python_tasks=100000"],
    "compiler": ['stream.driver_java_options="-XX:+UseG1GC"'],
    "daemon": ["stream.warm_daemon=false"],
}
SENDER = "--send"
WARM_UP_S = 20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--partitions", type=int, default=50)
    parser.add_argument("--sites", type=int, default=3000)
    parser.add_argument("--rate", type=float, default=200.0, help="files per second")
    parser.add_argument("--count", type=int, default=18_000, help="files")
    parser.add_argument("--lever", choices=LEVERS, default="none", help="which lever is off")
    parser.add_argument("--record", help="file to append one JSON line to")
    parser.add_argument("--begin", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument(SENDER, nargs=2, metavar=("BOOTSTRAP", "DIR"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.send:
        return send(args, *args.send)
    with tempfile.TemporaryDirectory() as folder, EmbeddedKafka(Path(folder, "kafka")) as kafka:
        write_bank(Path(folder, "bank"), minutes=60)
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


def write_bank(root: Path, *, minutes: int) -> None:
    """An hour of one-minute files of each kind of instrument; replayed sites share them."""
    site = Site("bank", 48.1, 11.6)
    for number, name in enumerate(INSTRUMENTS):
        day = simulate_day(
            site, date(2026, 6, 21), rng=np.random.default_rng(number), instrument=name, scenario="clear"
        )
        bank = FileBank([day], minutes=1)
        folder = root / f"{number}-{name}"
        folder.mkdir(parents=True)
        for minute in range(minutes):
            at = np.datetime64("2026-06-21T09:00", "us") + np.timedelta64(minute, "m")
            file = bank.file(folder.name, 0, at)
            (folder / f"{minute:02d}-{file.name}").write_bytes(file.raw)


def feeds_in(root: Path) -> Iterator[Feed]:
    for folder in sorted(root.iterdir()):
        yield Feed(folder.name, sorted(folder.iterdir()))


def send(args: argparse.Namespace, bootstrap: str, folder: str) -> int:
    """The network, in a process of its own."""
    config = load(overrides=[f"kafka.partitions={args.partitions}"])
    feeds = list(feeds_in(Path(folder)))
    done = replay(
        feeds, config.kafka, bootstrap, rate=args.rate, num_sites=args.sites, count=args.count, begin=args.begin
    )
    print(json.dumps({"sent": done.sent, "failed": done.failed, "seconds": done.seconds, "cpu_s": time.process_time()}))
    return 0


def measure(args: argparse.Namespace, config: Config, bank: Path) -> dict[str, object]:
    batches: list[tuple[float, Batch]] = []

    def watch(batch: Batch, totals: Totals) -> None:
        batches.append((time.monotonic(), batch))
        print(f"{totals.read} of {args.count} read, lag {batch.lag}", file=sys.stderr)

    job = StreamJob(config, on_batch=watch).start()
    bootstrap = config.kafka.bootstrap_servers
    command = [sys.executable, __file__, SENDER, bootstrap, str(bank), "--partitions", str(args.partitions)]
    command += ["--sites", str(args.sites), "--rate", str(args.rate), "--count"]
    # Workers are forked, code is compiled, every partition gets its consumer, and sites get their state.
    warm_up = str(int(WARM_UP_S * args.rate))
    subprocess.run([*command, warm_up], check=True, capture_output=True)
    job.drain()
    started = time.time()
    sender = subprocess.run([*command, str(args.count), "--begin", warm_up], check=True, capture_output=True, text=True)
    job.queries[0].processAllAvailable()  # the live query; the archive has a slower trigger of its own
    excess_s = time.time() - started - args.count / args.rate
    job.stop()
    seconds = latencies(config, since_ms=1000 * (started + 0.1 * args.count / args.rate))
    p50, p95, p99 = np.percentile(seconds, [50, 95, 99])
    durations = [batch.duration_ms for _, batch in batches[2:]]
    phases = sorted({name for duration in durations for name in duration})
    totals = job.listener.totals
    return {
        **entry_of("stream"),
        "lever_off": args.lever,
        "partitions": args.partitions,
        "sites": args.sites,
        "files_per_s": args.rate,
        "files": args.count,
        "p50_s": round(float(p50), 3),
        "p95_s": round(float(p95), 3),
        "p99_s": round(float(p99), 3),
        "max_s": round(float(seconds.max()), 3),
        "excess_s": round(excess_s, 2),
        "max_lag_files": max(batch.lag for _, batch in batches),
        "median_batch_ms": {name: float(np.median([d.get(name, 0) for d in durations])) for name in phases},
        "sender": json.loads(sender.stdout),
        "is_balanced": totals.is_balanced,
        "profiles": totals.profiles,
        "products": totals.products,
    }


def latencies(config: Config, *, since_ms: float) -> np.ndarray:
    """Seconds from send to product, of products whose file was sent after `since_ms`."""
    consumer = Consumer(
        {"bootstrap.servers": config.kafka.bootstrap_servers, "group.id": "bench", "enable.partition.eof": True}
    )
    parts = consumer.list_topics(config.kafka.products_topic, timeout=10).topics[config.kafka.products_topic].partitions
    consumer.assign([TopicPartition(config.kafka.products_topic, part, 0) for part in parts])
    found, ended = [], 0
    while ended < len(parts):
        message = consumer.poll(10)
        if message is None:
            break
        if message.error():
            ended += 1
            continue
        sent_ms = json.loads(message.value())["sent_ms"]
        if sent_ms >= since_ms:
            found.append((message.timestamp()[1] - sent_ms) / 1000.0)
    consumer.close()
    return np.array(found)


if __name__ == "__main__":
    sys.exit(main())
