"""What has arrived in the files topic: the records of one site from a point on, and where the topic ends."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from ipdsf_spark.config import KafkaConfig
from ipdsf_spark.edge.entry import APPENDED, DELIVERED, KINDS, WHOLE, Entry
from ipdsf_spark.kafka import headers
from ipdsf_spark.kafka.client import Listener, client_options, group_id
from ipdsf_spark.kafka.reading import ends_of, patiently

TIMEOUT_S: Final = 10.0
ELECTION_S: Final = 5.0  # a topic just made, or a broker just gone, has a leader within moments
FETCH_BYTES: Final = 131_072  # Kafka gives at least one batch, however large


@dataclass(frozen=True)
class Arrived:
    """A record of the site in the topic.

    Attributes:
        entry: what the journal would know of it.
        partition, offset: where it is.
    """

    entry: Entry
    partition: int
    offset: int


class Meter:
    """Bytes of values read, whosoever they are."""

    def __init__(self) -> None:
        self.bytes = 0


class FilesTopic:
    """The files topic as one site sees it. No question is asked about partitions that hold other sites only.

    Args:
        kafka: topic and login.
        bootstrap: where Kafka is.
        site: key of the records.
        listener: hears why this client is not let in.
    """

    def __init__(self, kafka: KafkaConfig, bootstrap: str, site: str, listener: Listener | None = None) -> None:
        self._topic, self._key = kafka.files_topic_of(site), site.encode()
        options = client_options(kafka, bootstrap) | {
            "group.id": group_id(kafka, "edge"),
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "error_cb": listener or Listener(),
            "auto.offset.reset": "earliest",
            # Little at a time: what is read beyond the site's own records is waste.
            "fetch.message.max.bytes": FETCH_BYTES,
            "fetch.max.bytes": max(kafka.max_message_bytes, 1_048_576),
            "queued.min.messages": 1,
            "queued.max.messages.kbytes": 1_024,
        }
        self._consumer = Consumer(options)
        self._partitions: frozenset[int] = frozenset()

    def __contains__(self, partition: int) -> bool:
        """Whether the topic had this partition when that of the site was asked for."""
        return partition in self._partitions

    def close(self) -> None:
        """Leave."""
        self._consumer.close()

    def partition(self) -> int:
        """The partition of this site's key.

        Raises:
            KafkaException: Kafka does not answer, there is no such topic, or the partition has no leader.
        """
        return patiently(self._partition, ELECTION_S)

    def _partition(self) -> int:
        listed = self._consumer.list_topics(self._topic, timeout=TIMEOUT_S)
        topic = listed.topics[self._topic]
        if topic.error is not None:
            raise KafkaException(topic.error)
        self._partitions = frozenset(topic.partitions)
        chosen = partition_of(self._key, len(topic.partitions))
        if topic.partitions[chosen].leader < 0:
            raise KafkaException(KafkaError(KafkaError.LEADER_NOT_AVAILABLE))
        return chosen

    def end(self, partition: int) -> int:
        """Next offset of a partition.

        Raises:
            KafkaException: it does not answer.
        """
        return ends_of(self._consumer, self._topic, partition, within_s=ELECTION_S)[1]

    def offset_at(self, partition: int, time_s: float) -> int:
        """Offset of the first record that Kafka took at this time [s since 1970] or later; the end if there is none.

        Raises:
            KafkaException: it does not answer.
        """
        asked = TopicPartition(self._topic, partition, int(time_s * 1000))
        (found,) = patiently(lambda: self._consumer.offsets_for_times([asked], timeout=TIMEOUT_S), ELECTION_S)
        if found.error is not None:
            raise KafkaException(found.error)
        return int(found.offset) if found.offset >= 0 else self.end(partition)

    def records(
        self, partition: int, start: int, meter: Meter, *, until_s: float | None = None, most_bytes: float = math.inf
    ) -> Iterator[Arrived]:
        """The site's records of a partition from an offset to its present end.

        Args:
            partition: of the site.
            start: first offset.
            meter: counts what is read.
            until_s: what Kafka took later than this [s since 1970] is not looked at, where it stamps what it takes.
            most_bytes: ends once the meter shows more, whosoever the records are.

        Raises:
            KafkaException: it stops answering.
        """
        stop = self.end(partition)
        if start >= stop:
            return
        self._consumer.assign([TopicPartition(self._topic, partition, start)])
        try:
            while True:
                message = self._consumer.poll(TIMEOUT_S)
                if message is None:
                    raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
                if (error := message.error()) is not None:
                    if error.code() == KafkaError._PARTITION_EOF:
                        return
                    raise KafkaException(error)
                meter.bytes += len(message.value() or b"")
                offset = message.offset() or 0
                kind, stamp_ms = message.timestamp()
                if until_s is not None and kind == TIMESTAMP_LOG_APPEND_TIME and stamp_ms > until_s * 1000:
                    return
                if message.key() == self._key:
                    yield Arrived(_entry_of(message), partition, offset)
                if offset + 1 >= stop or meter.bytes > most_bytes:
                    return
        finally:
            self._consumer.unassign()


def _entry_of(message: Message) -> Entry:
    held = message.headers() or []
    grown = headers.header_of(held, headers.GROWN)
    return Entry(
        name=headers.header_of(held, headers.FILE),
        start=_number(headers.header_of(held, headers.OFFSET)) if grown == APPENDED else 0,
        sha256=headers.header_of(held, headers.SHA256),
        bytes=len(message.value() or b""),
        kind=grown if grown in KINDS else WHOLE,
        preamble=_number(headers.header_of(held, headers.PREAMBLE)),
        supersedes=headers.header_of(held, headers.SUPERSEDES),
        seq=_number(headers.header_of(held, headers.SEQ)),
        state=DELIVERED,
        delivered_s=message.timestamp()[1] / 1000.0,
    )


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0


def partition_of(key: bytes, num_partitions: int) -> int:
    """The partition that Kafka's own clients choose for a key (murmur2, as in the Java client)."""
    return (_murmur2(key) & 0x7FFFFFFF) % num_partitions


def _murmur2(data: bytes) -> int:
    """Austin Appleby's MurmurHash2, 32 bits, with the seed of Kafka's `Utils.murmur2`."""
    mask, factor = 0xFFFFFFFF, 0x5BD1E995
    value = (0x9747B28C ^ len(data)) & mask
    whole = len(data) & ~3
    for place in range(0, whole, 4):
        word = int.from_bytes(data[place : place + 4], "little") * factor & mask
        word = (word ^ word >> 24) * factor & mask
        value = (value * factor & mask) ^ word
    if rest := data[whole:]:
        value = (value ^ int.from_bytes(rest, "little")) * factor & mask
    value = (value ^ value >> 13) * factor & mask
    return value ^ value >> 15


def newest_timestamp_s(kafka: KafkaConfig, bootstrap: str, site: str) -> float | None:
    """The newest time of a record that Kafka has accepted where a site's files go [s]; None if there is none."""
    admin = AdminClient(client_options(kafka, bootstrap))
    try:
        name = kafka.files_topic_of(site)
        topic = admin.list_topics(name, timeout=TIMEOUT_S).topics[name]
        wanted = {
            TopicPartition(name, part): OffsetSpec.max_timestamp()  # type: ignore[no-untyped-call]
            for part, held in topic.partitions.items()
            if held.leader >= 0
        }
        newest = 0
        for future in admin.list_offsets(wanted, request_timeout=TIMEOUT_S).values():
            with contextlib.suppress(KafkaException):
                newest = max(newest, int(future.result(TIMEOUT_S).timestamp))
        return newest / 1000.0 if newest > 0 else None
    except KafkaException:
        return None
