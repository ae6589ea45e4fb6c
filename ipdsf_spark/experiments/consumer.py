"""A process with one or more plain Kafka consumers, members of one group: `python -m ipdsf_spark.experiments.consumer`.

Its orders come as JSON on the first line of standard input. Members take their partitions and wait; the line `go` lets
them read, and the end of the input ends them, so that none outlives who started it. What it has done so far is told as
a JSON line several times a second.

Work `transfer` reads and counts, which is what the presentation's throughput is; `analysis` runs the analytic tasks.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

BATCH: Final = 500
TELL_EVERY_S: Final = 0.1
LEAVE_S: Final = 15.0
PREFETCHED_KB: Final = 8_192  # a member's share of memory: there may be a hundred and more
Take = Callable[[Sequence[Message]], None]


@dataclass
class Member:
    """One consumer and what it has read.

    Attributes:
        name: its client id.
        received, received_bytes: records and their values.
        last_s: monotonic time after the newest batch.
        partitions: it holds.
        offsets: of each partition, the stretches [begin, end) it has read.
    """

    name: str
    received: int = 0
    received_bytes: int = 0
    last_s: float = 0.0
    partitions: list[int] = field(default_factory=list)
    offsets: dict[int, list[list[int]]] = field(default_factory=dict)

    def count(self, messages: Sequence[Message]) -> None:
        """A batch more."""
        for message in messages:
            partition, offset = message.partition() or 0, message.offset() or 0
            stretches = self.offsets.setdefault(partition, [])
            if stretches and stretches[-1][1] == offset:
                stretches[-1][1] = offset + 1
            else:
                stretches.append([offset, offset + 1])
            self.received_bytes += len(message.value() or b"")
        self.received += len(messages)
        self.last_s = time.monotonic()


def read(member: Member, options: Mapping[str, Any], topic: str, take: Take, signs: tuple[Any, Any]) -> None:
    """Read as a member of the group until the second sign; nothing before the first one."""
    go, end = signs
    consumer = Consumer({**options, "client.id": member.name})

    def assigned(_: Consumer, partitions: list[TopicPartition]) -> None:
        consumer.assign(partitions)
        member.partitions = sorted(partition.partition for partition in partitions)
        if not go.is_set():
            consumer.pause(partitions)

    def revoked(_: Consumer, partitions: list[TopicPartition]) -> None:
        consumer.unassign()
        member.partitions = []

    consumer.subscribe([topic], on_assign=assigned, on_revoke=revoked)
    is_reading = False
    while not end.is_set():
        if go.is_set() and not is_reading:
            consumer.resume(consumer.assignment())
            is_reading = True
        batch = [message for message in consumer.consume(BATCH, 0.1) if not message.error()]
        if batch:
            take(batch)
            member.count(batch)
    consumer.close()


def main() -> int:
    """Be a process of consumers."""
    orders = json.loads(sys.stdin.readline())
    take: Take = _nothing
    if orders["work"] == "analysis":
        from ipdsf_spark.config import load
        from ipdsf_spark.experiments.analyst import Analyst

        take = Analyst(load(overrides=orders["overrides"])).take
    options = {
        "bootstrap.servers": orders["bootstrap"],
        "group.id": orders["group"],
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "fetch.wait.max.ms": 5,
        "queued.max.messages.kbytes": PREFETCHED_KB,
        "heartbeat.interval.ms": 500,
        "session.timeout.ms": 10_000,
        "log_level": 0,
        **orders["options"],
    }
    members = [Member(name) for name in orders["members"]]
    go, end, told_end = threading.Event(), threading.Event(), threading.Event()
    threads = [
        threading.Thread(target=read, args=(member, options, orders["topic"], take, (go, end)), daemon=True)
        for member in members
    ]
    for thread in threads:
        thread.start()
    teller = threading.Thread(target=_tell, args=(members, told_end), daemon=True)
    teller.start()
    for line in sys.stdin:
        if line.strip() == "go":
            go.set()
    end.set()
    until_s = time.monotonic() + LEAVE_S
    for thread in threads:
        thread.join(max(0.0, until_s - time.monotonic()))
    told_end.set()
    teller.join()
    _say({"members": [asdict(member) for member in members]})
    os._exit(0)  # a member that cannot leave its group, because its broker is gone, would hold us up


def _tell(members: Sequence[Member], told_end: threading.Event) -> None:
    while not told_end.wait(TELL_EVERY_S):
        received = sum(member.received for member in members)
        last_s = max(member.last_s for member in members)
        _say({"received": received, "last_s": last_s, "cpu_s": time.process_time()})


def _say(facts: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def _nothing(messages: Sequence[Message]) -> None:
    """What arrives is enough."""


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (BrokenPipeError, KeyboardInterrupt, KafkaException):
        sys.exit(1)
