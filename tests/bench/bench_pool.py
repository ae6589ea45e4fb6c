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
import multiprocessing
import os
import sys
import tempfile
import time
from pathlib import Path

import psutil
from bench_stream import feeds_in, write_bank
from confluent_kafka import Consumer, Producer, TopicPartition
from recording import append, entry_of

from ipdsf_spark.config import Config, load
from ipdsf_spark.devkafka import EmbeddedKafka
from ipdsf_spark.kafka import ensure_topics
from ipdsf_spark.loadgen.replay import replay
from ipdsf_spark.monitoring.progress import Batch, Totals
from ipdsf_spark.sites import site_named, sites_of
from ipdsf_spark.stream.decode import Decoder
from ipdsf_spark.stream.job import StreamJob
from ipdsf_spark.stream.live import stage_of
from ipdsf_spark.stream.piece import Piece
from ipdsf_spark.stream.site_stage import Share

BATCH = 500
TOPICS = ("files", "averages", "products", "sites", "quarantine")


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
    with tempfile.TemporaryDirectory() as folder, EmbeddedKafka(Path(folder, "kafka")) as kafka:
        write_bank(Path(folder, "bank"), minutes=60)
        feeds = list(feeds_in(Path(folder, "bank")))
        for turn in range(args.turns):
            overrides = [
                f"kafka.bootstrap_servers={kafka.bootstrap_servers}",
                f"kafka.partitions={args.partitions}",
                *(f"kafka.{name}_topic=turn{turn}.{name}" for name in TOPICS),
                f'stream.directory="{folder}/stream{turn}"',
                *([f"stream.operators={json.dumps(args.operators)}"] if args.operators else []),
            ]
            config = load(overrides=overrides)
            ensure_topics(config.kafka, kafka.bootstrap_servers)
            warm_up = args.count // 2
            replay(
                feeds, config.kafka, kafka.bootstrap_servers, rate=1e6, num_sites=args.sites, count=args.count + warm_up
            )
            sides = {"pool": drain_by_pool, "stream": drain_by_stream}
            order = list(sides) if turn % 2 == 0 else list(reversed(sides))
            found = {name: sides[name](config, kafka.bootstrap_servers, args.count, warm_up) for name in order}
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


def cpu_s(process: psutil.Process) -> float:
    """CPU seconds of a process and all its living descendants."""
    total = 0.0
    for each in [process, *process.children(recursive=True)]:
        try:
            times = each.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


def drain_by_stream(config: Config, bootstrap: str, count: int, warm_up: int) -> dict[str, float]:
    """The job drains everything; timed from the end of the batch that completes the first files."""
    me = psutil.Process()
    marks: list[tuple[int, float, float]] = []

    def mark(batch: Batch, totals: Totals) -> None:
        marks.append((totals.read, time.monotonic(), cpu_s(me)))

    job = StreamJob(config, on_batch=mark, with_archive=False).start()
    job.drain()
    while not marks or marks[-1][0] < count + warm_up:
        time.sleep(0.05)
    job.stop()
    begin = next(each for each in marks if each[0] >= warm_up)
    files, seconds, cpu = (end - start for start, end in zip(begin, marks[-1], strict=True))
    return told(files, seconds, cpu)


def drain_by_pool(config: Config, bootstrap: str, count: int, warm_up: int) -> dict[str, float]:
    """Processes drain the first files to warm up, wait for one another, then the rest."""
    num = os.cpu_count() or 1
    context = multiprocessing.get_context("spawn")
    barrier, queue = context.Barrier(num + 1), context.Queue()
    shares = [list(range(config.kafka.partitions))[k::num] for k in range(num)]
    workers = [
        context.Process(target=consume, args=(config, bootstrap, share, barrier, queue, warm_up)) for share in shares
    ]
    for worker in workers:
        worker.start()
    barrier.wait()
    started = time.monotonic()
    done = [queue.get() for _ in workers]
    seconds = time.monotonic() - started
    for worker in workers:
        worker.join()
    return told(sum(files for files, _ in done), seconds, sum(cpu for _, cpu in done))


def told(files: int, seconds: float, cpu: float) -> dict[str, float]:
    return {
        "files": files,
        "files_per_s": round(files / seconds, 1),
        "cpu_ms": round(1000 * cpu / files, 3),
        "seconds": round(seconds, 2),
    }


def consume(config: Config, bootstrap: str, share: list[int], barrier: object, queue: object, warm_up: int) -> None:
    """One consumer of the pool."""
    sites, stage = sites_of(config), stage_of(config)
    decoder = Decoder(sites, config.layers.averaging_s, config.kafka.max_message_bytes)
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "pool",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 5,
        }
    )
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "linger.ms": 5})
    states: dict[str, bytes] = {}
    topic = config.kafka.files_topic
    consumer.assign([TopicPartition(topic, partition, 0) for partition in share])

    def drain(limit: int) -> int:
        ended: set[int] = set()
        done = 0
        while len(ended) < len(share) and done < limit:
            batch = []
            for message in consumer.consume(min(BATCH, limit - done), 1.0):
                if message.error():
                    ended.add(message.partition())
                    continue
                ended.discard(message.partition())
                batch.append(message)
            pieces: dict[str, list[Piece]] = {}
            for message in batch:
                headers = dict(message.headers() or [])
                group, raw, *_ = decoder.row_of(
                    message.key().decode(),
                    message.value(),
                    headers.get("file", b"").decode(),
                    int(headers["sent_ms"]),
                    message.timestamp()[1],
                    None,
                    topic,
                    message.partition(),
                    message.offset(),
                )
                pieces.setdefault(group, []).append(Piece.from_bytes(raw))
            shares = [
                Share(site_named(sites, site_id), found, states.get(site_id, b"")) for site_id, found in pieces.items()
            ]
            for site_id, outcome in zip(pieces, stage.step_many(shares), strict=True):
                if outcome.state is not None:
                    states[site_id] = outcome.state.to_bytes()
                for record in outcome.records:
                    producer.produce(record.topic, record.value, record.key, headers=record.headers)
                    producer.poll(0)
            producer.flush()
            done += len(batch)
        return done

    drain(warm_up // (os.cpu_count() or 1))
    barrier.wait()  # type: ignore[attr-defined]
    before = time.process_time()
    files = drain(10**9)
    queue.put((files, time.process_time() - before))  # type: ignore[attr-defined]
    consumer.close()


if __name__ == "__main__":
    sys.exit(main())
