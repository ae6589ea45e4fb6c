"""Reading a topic from here to its present end, and single records, in bounded memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from ipdsf_spark.config import KafkaConfig
from ipdsf_spark.errors import BrokerError
from ipdsf_spark.kafka.client import Listener, client_options, failure, group_id

TIMEOUT_S: Final = 10.0
PREFETCH_KB: Final = 16_384  # of records that the client holds beside the one in hand
FETCH_WAIT_MS: Final = 5  # a record that is asked for is there already: the client's 500 would be waited for in vain
# Whoever follows topics without pause asks the broker as often as it answers: at 5 ms that is as much work as a stream.
FOLLOWED_WAIT_MS, FOLLOWED_BYTES = 1_000, 1_048_576
BETWEEN_LEADERS: Final = (KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE)
NOT_THERE: Final = (
    *(KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION),
    *(KafkaError._PARTITION_EOF, KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE),
)
T = TypeVar("T")

NEAR: Final = 50  # records that are skipped by reading on; further ahead is a seek


@contextmanager
def consumer_of(kafka: KafkaConfig, bootstrap: str, purpose: str, *, is_following: bool = False) -> Iterator[Consumer]:
    """A consumer that belongs to no group of anybody else and commits nothing.

    Args:
        kafka: login.
        bootstrap: where Kafka is.
        purpose: part of the group's name.
        is_following: it waits for what is written from now on, and a second is soon enough.

    Raises:
        BrokerError: Kafka refuses or does not answer.
    """
    listener = Listener()
    options = client_options(kafka, bootstrap) | {
        "group.id": group_id(kafka, purpose),
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "error",
        "fetch.wait.max.ms": FOLLOWED_WAIT_MS if is_following else FETCH_WAIT_MS,
        "fetch.min.bytes": FOLLOWED_BYTES if is_following else 1,
        "queued.max.messages.kbytes": PREFETCH_KB,
        "fetch.message.max.bytes": max(kafka.max_message_bytes, 1_048_576),
        "fetch.max.bytes": max(kafka.max_message_bytes, PREFETCH_KB * 1024),
        "error_cb": listener,
    }
    consumer: Consumer | None = None
    try:
        consumer = Consumer(options)
        yield consumer
    except KafkaException as error:
        if consumer is not None:
            consumer.poll(0.0)  # lets the listener hear
        listener.forget_older(2 * TIMEOUT_S)
        raise failure(error.args[0], kafka, bootstrap, listener) from error
    finally:
        if consumer is not None:
            consumer.close()


def bounds(consumer: Consumer, topic: str, bootstrap: str) -> dict[int, tuple[int, int]]:
    """Oldest offset and present end of every partition.

    Raises:
        BrokerError: there is no such topic, or this client may not read it.
    """
    found = consumer.list_topics(topic, timeout=TIMEOUT_S).topics[topic]
    if found.error is not None and found.error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
        raise BrokerError(f"Kafka at {bootstrap} does not show this user topic {topic}: ask for the right (ACL)")
    if found.error is not None:
        raise BrokerError(f"no topic {topic} at {bootstrap}: {found.error.str()}")
    return {partition: ends_of(consumer, topic, partition) for partition in sorted(found.partitions)}


def ends_of(consumer: Consumer, topic: str, partition: int, *, within_s: float = TIMEOUT_S) -> tuple[int, int]:
    """Oldest offset and present end of a partition; waits while it is between two leaders.

    Raises:
        KafkaException: it does not answer.
    """
    place = TopicPartition(topic, partition)
    low, high = patiently(lambda: consumer.get_watermark_offsets(place, timeout=TIMEOUT_S), within_s)
    return int(low), int(high)


def patiently(ask: Callable[[], T], within_s: float) -> T:
    """The answer; while the partition is between two leaders it is asked for again, for so long.

    A topic just made, or a broker just gone, has a leader within moments.

    Raises:
        KafkaException: no answer.
    """
    deadline = time.monotonic() + within_s
    while True:
        try:
            return ask()
        except KafkaException as error:
            if error.args[0].code() not in BETWEEN_LEADERS or time.monotonic() > deadline:
                raise
        time.sleep(0.1)


def records(
    consumer: Consumer, topic: str, bootstrap: str, starts: Mapping[int, int] | None = None
) -> Iterator[Message]:
    """Every record up to the end that the topic has now; what is written meanwhile is not waited for.

    Args:
        consumer: from `consumer_of`.
        topic: which.
        bootstrap: for the message of an error.
        starts: offset to begin at in each partition; the oldest by default.

    Raises:
        BrokerError: no such topic, or Kafka stopped answering.
    """
    ends: dict[int, int] = {}
    begin: list[TopicPartition] = []
    for partition, (low, high) in bounds(consumer, topic, bootstrap).items():
        start = max(low, (starts or {}).get(partition, low))
        if start < high:
            ends[partition] = high
            begin.append(TopicPartition(topic, partition, start))
    if begin:
        consumer.assign(begin)
    while ends:
        message = consumer.poll(TIMEOUT_S)
        if message is None:
            raise BrokerError(f"Kafka at {bootstrap} stopped answering within {TIMEOUT_S:.0f} s")
        partition, offset = place(message)
        if (error := message.error()) is not None:
            if error.code() != KafkaError._PARTITION_EOF:
                raise KafkaException(error)
            ends.pop(partition, None)
            continue
        if partition not in ends:
            continue
        if offset < ends[partition]:
            yield message
        if offset >= ends[partition] - 1:
            ends.pop(partition)
            consumer.incremental_unassign([TopicPartition(topic, partition)])


def place(message: Message) -> tuple[int, int]:
    """Partition and offset of a record; -1 for what an event has not."""
    partition, offset = message.partition(), message.offset()
    return (-1 if partition is None else partition), (-1 if offset is None else offset)


class RecordFetcher:
    """Single records by topic, partition and offset; cheap when asked for in that order.

    Args:
        consumer: from `consumer_of`, used by nobody else meanwhile.
    """

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self._next: tuple[str, int, int] | None = None

    def fetch(self, topic: str, partition: int, offset: int) -> Message | None:
        """The record, or None if it is not (or no longer) there.

        Raises:
            KafkaException: Kafka does not answer, or not to this client: that says nothing about the record.
        """
        try:
            low, high = ends_of(self._consumer, topic, partition)
        except KafkaException as error:
            if error.args[0].code() in NOT_THERE:
                return None
            raise
        if not low <= offset < high:
            return None
        ahead = offset - self._next[2] if self._next is not None and self._next[:2] == (topic, partition) else -1
        if not 0 <= ahead <= NEAR:
            self._consumer.assign([TopicPartition(topic, partition, offset)])
        self._next = None
        while True:
            message = self._consumer.poll(TIMEOUT_S)
            if message is None:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
            if (event := message.error()) is not None:
                if event.code() in NOT_THERE:
                    return None
                raise KafkaException(event)
            found = place(message)
            if message.topic() != topic or found[0] != partition or found[1] < offset:
                continue
            self._next = (topic, partition, found[1] + 1)
            return message if found[1] == offset else None
