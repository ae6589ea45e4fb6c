"""What the tests of the edge share: a node with its folder and clocks in hand, and what has arrived."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from ipdsf_spark.config import EdgeConfig, KafkaConfig
from ipdsf_spark.edge.agent import EdgeAgent

NOBODY = "localhost:1"  # no Kafka listens there
DAY_S = 86_400.0


def topic(name: str, **changes: Any) -> KafkaConfig:
    """Topics of one test."""
    names = {"files_topic": f"{name}.files", "products_topic": f"{name}.layers", "quarantine_topic": f"{name}.bad"}
    return KafkaConfig(**(names | {"partitions": 3} | changes))


def sha256_of(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


@dataclass
class Clocks:
    """Both clocks of a machine, in the hand of a test."""

    wall_s: float = 1_790_000_000.0
    monotonic_s: float = 1_000.0

    def passes(self, seconds: float) -> None:
        self.wall_s += seconds
        self.monotonic_s += seconds


@dataclass
class Node:
    """A machine beside an instrument: a folder, a place for the agent, clocks; agents start and end on it."""

    root: Path
    kafka: KafkaConfig = field(default_factory=KafkaConfig)
    bootstrap: str = NOBODY
    clocks: Clocks = field(default_factory=Clocks)
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def watched(self) -> Path:
        return self.root / "instrument"

    @property
    def home(self) -> Path:
        return self.root / "edge" / "oslo"

    @property
    def edge(self) -> EdgeConfig:
        base = {"watch": str(self.watched), "directory": str(self.root / "edge"), "settle_s": 0.0, "poll_s": 0.05}
        return EdgeConfig(**(base | self.settings))

    def agent(self) -> EdgeAgent:
        """The agent, as after a start of the machine."""
        return EdgeAgent(
            self.edge,
            self.kafka,
            self.bootstrap,
            "oslo",
            clock=lambda: self.clocks.wall_s,
            monotonic=lambda: self.clocks.monotonic_s,
        )

    def write(self, name: str, raw: bytes, *, age_s: float = 0.0) -> Path:
        """The instrument writes a file, now or some time ago."""
        path = self.watched / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw)
        stamp = self.clocks.wall_s - age_s
        os.utime(path, (stamp, stamp))
        return path

    def append(self, name: str, raw: bytes) -> None:
        """The instrument goes on writing a file."""
        path = self.watched / name
        with path.open("ab") as file:
            file.write(raw)
        os.utime(path, (self.clocks.wall_s, self.clocks.wall_s))

    def passes(self, agent: EdgeAgent, seconds: float = 100.0) -> bool:
        """Time passes, and the agent does its round."""
        self.clocks.passes(seconds)
        agent.take_in()
        return agent.send_pending()


@dataclass(frozen=True)
class Record:
    """What a receiver reads."""

    key: str
    value: bytes
    headers: dict[str, str]


def records_of(node: Node) -> list[Record]:
    options = {"bootstrap.servers": node.bootstrap, "group.id": "test", "enable.partition.eof": True}
    consumer = Consumer(options)
    consumer.assign([TopicPartition(node.kafka.files_topic, part, 0) for part in range(node.kafka.partitions)])
    found, ended = [], 0
    while ended < node.kafka.partitions:
        message = consumer.poll(20.0)
        assert message is not None, "Kafka stopped answering"
        if message.error():
            ended += 1
            continue
        headers = {key: value.decode() for key, value in message.headers() or []}
        found.append(Record(message.key().decode(), message.value(), headers))
    consumer.close()
    return found


def arrived(node: Node) -> Counter[bytes]:
    """How often each value was read."""
    return Counter(record.value for record in records_of(node))


def once(*values: bytes) -> Counter[bytes]:
    return Counter(dict.fromkeys(values, 1))
