"""Faults of the node beside the instrument. Counted is what stands in the files topic, record by record."""

from __future__ import annotations

import json
import os
from collections import Counter
from typing import Final

from ipdsf_spark.config import load
from ipdsf_spark.drill.clocks import YEAR_S, WrongClock
from ipdsf_spark.drill.deadline import DrillError
from ipdsf_spark.drill.ground import TOLD, Ground
from ipdsf_spark.drill.outcome import Account, Found
from ipdsf_spark.drill.small_disks import filled, mounted
from ipdsf_spark.drill.verbs import Verb
from ipdsf_spark.kafka import ensure_topics, headers
from ipdsf_spark.kafka.reading import consumer_of, records

FILES: Final = 150
EDGE_TOPIC: Final = "kafka.files_topic=edge.files"  # of no job: what nodes send here no instrument would say


class EdgeSite:
    """One node: the folder that its instrument writes to, and its agent as a process.

    Args:
        ground: of the drill.
        site: its id.
        environment: of the agent's process.
    """

    def __init__(self, ground: Ground, site: str, environment: dict[str, str] | None = None) -> None:
        ground.topics()
        self.site = site
        self.ground = ground
        self.kafka = load(overrides=[*ground.overrides, EDGE_TOPIC]).kafka
        ensure_topics(self.kafka, self.kafka.bootstrap_servers)
        self.watched = ground.folder / f"{site}-instrument"
        self.watched.mkdir()
        self.home = ground.folder / f"{site}-edge"
        self.written: Counter[str] = Counter()
        settings = (
            EDGE_TOPIC,
            f"edge.directory={json.dumps(str(self.home))}",
            "edge.settle_s=0.3",
            "edge.poll_s=0.1",
        )
        self.agent: Verb = ground.verb(
            "edge", "--watch", str(self.watched), "--site", site, settings=settings, environment=environment
        )

    def write(self, count: int) -> None:
        """The instrument writes so many further files."""
        first = sum(self.written.values())
        for number in range(first, first + count):
            name = f"{number:05d}.dat"
            (self.watched / name).write_bytes(name.encode() * 500)
            self.written[name] += 1

    def arrived(self) -> dict[str, list[int]]:
        """Times of sending of every record of the site, by file."""
        kafka = self.kafka
        found: dict[str, list[int]] = {}
        with consumer_of(kafka, kafka.bootstrap_servers, "drill-edge") as consumer:
            for message in records(consumer, kafka.files_topic, kafka.bootstrap_servers):
                if message.key() == self.site.encode():
                    told = message.headers()
                    name = headers.header_of(told, headers.FILE)
                    found.setdefault(name, []).append(int(headers.header_of(told, headers.SENT_MS) or 0))
        return found

    def account(self) -> Account:
        """Files written against records in the topic."""
        arrived = self.arrived()
        return Account(
            sent=sum(self.written.values()),
            lost=sum(name not in arrived for name in self.written),
            repeated=sum(max(0, len(times) - 1) for times in arrived.values()),
        )

    def await_arrived(self, num: int) -> None:
        """Wait until so many files are in the topic.

        Raises:
            DrillError: it takes too long, or the agent has ended.
        """

        def is_so() -> bool:
            if not self.agent.is_running:
                raise DrillError(f"the agent ended with {self.agent.ended_with}: {self.agent.tail()}")
            return len(self.arrived()) >= num

        self.ground.deadline.until(is_so, f"{num} files of {self.site} in the topic")

    def end(self, found_s: float, told: list[str], remark: str) -> Found:
        """The agent ends; what is in the topic is counted."""
        self.agent.stop()
        return Found(self.account(), None, found_s, tuple(told[:3]), remark)


def edge_killed(ground: Ground) -> Found:
    """The agent is killed while it sends, three times, and started again."""
    node = EdgeSite(ground, "edge-killed")
    node.agent.start()
    for number in range(1, 4):
        before = sum(node.written.values())
        node.write(FILES)
        node.await_arrived(before + 1)
        node.agent.kill()
        ground.mark()
        node.agent.start()
        node.await_arrived(number * FILES)
    status = ground.answer_of("edge", "--site", node.site, "--status",
                              settings=(f"edge.directory={json.dumps(str(node.home))}",))  # fmt: skip
    return node.end(ground.since_mark_s(), [*node.agent.said(TOLD), *status[:2]], "killed three times")


def spool_full(ground: Ground) -> Found:
    """The disk of the agent's copies and journal is full: sending goes on, copies are kept again afterwards."""
    node = EdgeSite(ground, "edge-full")
    mounted(node.home, ground.stack)
    node.agent.start()
    node.write(FILES // 3)
    node.await_arrived(FILES // 3)
    filler = filled(node.home)
    node.write(FILES // 3)
    node.await_arrived(2 * FILES // 3)
    node.agent.kill()  # on a full disk, and the power goes as well
    node.agent.start()
    filler.unlink()
    ground.mark()
    node.write(FILES // 3)
    node.await_arrived(FILES)
    return node.end(ground.since_mark_s(), node.agent.said(TOLD), "sent while it was full; killed on the full disk")


def clock_wrong(ground: Ground) -> Found:
    """The agent's machine begins ten years ahead, and its clock is put back by eleven while it sends."""
    clock = WrongClock(ground.folder)
    clock.set(10 * YEAR_S)
    node = EdgeSite(ground, "edge-clock", clock.environment)
    node.agent.start()
    node.write(FILES)
    node.await_arrived(FILES)
    ground.deadline.until(lambda: bool(node.agent.said("ahead of Kafka")), "a word about a clock that is ahead")
    clock.set(-YEAR_S)
    ground.mark()
    node.write(FILES)
    node.await_arrived(2 * FILES)
    caught_up_s = ground.since_mark_s()
    began_ms = 1000 * (os.path.getmtime(node.watched) - 86_400)
    wrong = sum(not began_ms < time < began_ms + 2 * 86_400_000 for times in node.arrived().values() for time in times)
    remark = f"{wrong} of {2 * FILES} times of sending are wrong by more than a day"
    return node.end(caught_up_s, node.agent.said(TOLD), remark)
