"""The account of a drill: what was sent against what a consumer reads at the end."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from confluent_kafka import Consumer, Message, TopicPartition

from ipdsf_spark.config import KafkaConfig
from ipdsf_spark.drill.outcome import Account
from ipdsf_spark.drill.recorded import INTERVAL_US
from ipdsf_spark.kafka.client import client_options, group_id
from ipdsf_spark.kafka.quarantine import letter_of
from ipdsf_spark.kafka.reading import TIMEOUT_S, consumer_of, records

KIND: Final = "layers"
SAME_M: Final = 0.2  # heights are published to 0.1 m


@dataclass(frozen=True)
class Sent:
    """One file that was sent.

    Attributes:
        site: whose.
        file: its name.
        profiles: by interval; empty if no instrument would say that.
    """

    site: str
    file: str
    profiles: Mapping[int, int]


@dataclass
class Read:
    """What the topics say; `product` and `letter` take one record after the other.

    Attributes:
        profiles: of the newest product of each site and interval.
        finals: heights that a final product of a site and interval ever had.
        letters: site, file and position of the source record of every dead letter.
        newest_sent_ms: when the newest file that any product knows of was sent.
    """

    profiles: dict[tuple[str, int], int] = field(default_factory=dict)
    finals: dict[tuple[str, int], list[float | None]] = field(default_factory=dict)
    letters: set[tuple[str, str, str]] = field(default_factory=set)
    newest_sent_ms: int = 0

    def product(self, value: bytes) -> None:
        """A record of the products topic."""
        said: dict[str, Any] = json.loads(value)
        self.newest_sent_ms = max(self.newest_sent_ms, int(said.get("sent_ms") or 0))
        if said.get("kind") != KIND:
            return
        time = np.datetime64(str(said["time"]).rstrip("Z"), "us")
        place = str(said["site"]), int(time.astype(np.int64) // INTERVAL_US)
        self.profiles[place] = int(said["num_profiles"])
        if not said["provisional"]:
            self.finals.setdefault(place, []).append(said["mixing_height_m"])

    def letter(self, message: Message) -> None:
        """A record of the quarantine topic."""
        said = letter_of(message)
        self.letters.add((said.site, said.file, said.position))

    def account(self, sent: Iterable[Sent]) -> Account:
        """What of the files that were sent is there.

        A file is lost if an interval lacks profiles of it, or, being unreadable, if it has no letter. An interval with
        more profiles than were sent, two final heights, or two letters about one file are repeated.
        """
        files = list(sent)
        expected: Counter[tuple[str, int]] = Counter()
        for each in files:
            expected.update({(each.site, interval): num for interval, num in each.profiles.items()})
        letters = Counter((site, file) for site, file, _ in self.letters)
        times_sent = Counter((each.site, each.file) for each in files)
        lost = quarantined = 0
        for each in files:
            num_letters = letters[each.site, each.file]
            is_whole = bool(each.profiles) and all(
                self.profiles.get((each.site, interval), 0) >= expected[each.site, interval]
                for interval in each.profiles
            )
            quarantined += num_letters > 0
            lost += not (is_whole or num_letters)
        repeated = sum(self.profiles.get(place, 0) > num for place, num in expected.items())
        repeated += sum(differ(heights) for place, heights in self.finals.items() if place in expected)
        repeated += sum(max(0, letters[place] - num) for place, num in times_sent.items())
        return Account(len(files), lost, repeated, quarantined)


def differ(heights: list[float | None]) -> bool:
    """Whether a final height was said twice, and not the same."""
    known = [height for height in heights if height is not None]
    return bool(known) and (len(known) < len(heights) or max(known) - min(known) > SAME_M)


def read_topics(kafka: KafkaConfig, bootstrap: str) -> Read:
    """Products and quarantine from their beginning to their end.

    Raises:
        BrokerError: Kafka does not answer.
    """
    read = Read()
    for topic, take in takers(kafka, read).items():
        with consumer_of(kafka, bootstrap, "drill") as consumer:
            for message in records(consumer, topic, bootstrap):
                take(message)
    return read


def takers(kafka: KafkaConfig, read: Read) -> dict[str, Callable[[Message], None]]:
    """What to do with a record of each topic."""
    return {
        kafka.products_topic: lambda message: read.product(message.value() or b"{}"),
        kafka.quarantine_topic: read.letter,
    }


class Follower:
    """Reads products and quarantine while they are written; brokers may come and go.

    Args:
        kafka: topics and login.
        bootstrap: where Kafka is.
    """

    def __init__(self, kafka: KafkaConfig, bootstrap: str) -> None:
        self.read = Read()
        self._takers = takers(kafka, self.read)
        options = {"group.id": group_id(kafka, "drill-follower"), "enable.auto.commit": False}
        self._consumer = Consumer(client_options(kafka, bootstrap) | options)
        listed = self._consumer.list_topics(timeout=TIMEOUT_S).topics
        places = [TopicPartition(name, part, 0) for name in self._takers for part in listed[name].partitions]
        self._consumer.assign(places)

    def look(self) -> Read:
        """Everything that has been written up to now."""
        while messages := self._consumer.consume(500, timeout=0.2):
            for message in messages:
                if message.error() is None:
                    self._takers[str(message.topic())](message)
        return self.read

    def close(self) -> None:
        """Leave."""
        self._consumer.close()
