"""The edge node with a folder of many files: memory, CPU of a look, and what SIGKILL loses or repeats.

    python tests/bench/bench_edge.py                                   100,000 files, eight kills
    python tests/bench/bench_edge.py --files 20000 --bytes 20000 --kills 16

Starts a broker of its own and the agent as the command does, with the folder full before it begins. It is killed while
it takes in and while it sends, and runs to the end once. Then the agent waits in the same folder, and its CPU is
counted while nothing happens. Values are random: nothing that is equal by chance hides a loss.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil
from confluent_kafka import Consumer, TopicPartition
from recording import append, entry_of

from ipdsf_spark.config import KafkaConfig
from ipdsf_spark.devkafka.embedded import EmbeddedKafka
from ipdsf_spark.kafka.headers import SHA256, header_of
from ipdsf_spark.kafka.topics import ensure_topics

IDLE_S = 30.0
HOLDS_MB = 150.0


def agent_of(watched: Path, home: Path, bootstrap: str, *more: str) -> subprocess.Popen[bytes]:
    sets = [f"kafka.bootstrap_servers={bootstrap}", f'edge.directory="{home}"', "edge.settle_s=0.0"]
    words = [word for each in sets for word in ("--set", each)]
    command = [sys.executable, "-m", "ipdsf_spark.cli.main", "edge", "--watch", str(watched), "--site", "oslo"]
    return subprocess.Popen([*command, *words, *more], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def followed(process: subprocess.Popen[bytes], seconds: float) -> float:
    """Most memory [MB] that it held until it ended or the time was over."""
    most, watched, until = 0.0, psutil.Process(process.pid), time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < until:
        try:
            most = max(most, watched.memory_info().rss / 1e6)
        except psutil.NoSuchProcess:
            break
        time.sleep(0.05)
    return most


def arrived(bootstrap: str, topic: str, partitions: int) -> Counter[str]:
    """How often each checksum came."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "bench", "enable.partition.eof": True})
    consumer.assign([TopicPartition(topic, part, 0) for part in range(partitions)])
    found, ended = Counter[str](), 0
    while ended < partitions:
        message = consumer.poll(30.0)
        if message is None:
            raise SystemExit("Kafka stopped answering")
        if message.error():
            ended += 1
            continue
        found[header_of(message.headers(), SHA256)] += 1
    consumer.close()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--bytes", type=int, default=2_000, help="of each file")
    parser.add_argument("--kills", type=int, default=8)
    parser.add_argument("--record", type=Path)
    args = parser.parse_args()
    draw = random.Random(5)
    with tempfile.TemporaryDirectory(prefix="bench-edge-") as scratch, EmbeddedKafka(Path(scratch, "kafka")) as kafka:
        root, topics = Path(scratch), KafkaConfig()
        watched = root / "instrument"
        watched.mkdir()
        for number in range(args.files):
            (watched / f"{number:06d}.dat").write_bytes(os.urandom(args.bytes))
        ensure_topics(topics, kafka.bootstrap_servers)
        most = []
        begun = time.monotonic()
        for _ in range(args.kills):
            process = agent_of(watched, root / "edge", kafka.bootstrap_servers)
            most.append(followed(process, draw.uniform(1.0, 12.0)))
            process.send_signal(signal.SIGKILL)
            process.wait()
        process = agent_of(watched, root / "edge", kafka.bootstrap_servers, "--once")
        most.append(followed(process, 3_600.0))
        seconds = time.monotonic() - begun
        found = arrived(kafka.bootstrap_servers, topics.files_topic, topics.partitions)
        process = agent_of(watched, root / "edge", kafka.bootstrap_servers)
        most.append(followed(process, 15.0))
        idle = psutil.Process(process.pid)
        before = sum(idle.cpu_times()[:2])
        most.append(followed(process, IDLE_S))
        busy = (sum(idle.cpu_times()[:2]) - before) / IDLE_S
        process.send_signal(signal.SIGTERM)
        process.wait()
    facts = {
        "files": args.files,
        "bytes_each": args.bytes,
        "kills": args.kills,
        "lost": args.files - len(found),
        "repeated": sum(found.values()) - len(found),
        "most_memory_mb": round(max(most), 1),
        "seconds": round(seconds, 1),
        "cpu_share_while_nothing_happens": round(busy, 4),
    }
    print("\n".join(f"{name:34} {value}" for name, value in facts.items()))
    if args.record:
        append(args.record, entry_of("edge", **facts))
    return 0 if not facts["lost"] and not facts["repeated"] and facts["most_memory_mb"] < HOLDS_MB else 1


if __name__ == "__main__":
    sys.exit(main())
