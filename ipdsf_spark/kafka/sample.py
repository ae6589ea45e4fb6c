"""How large recent records are, so that a batch can be bounded by bytes where Kafka only counts rows."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Final

from confluent_kafka import Consumer, KafkaException, TopicPartition

from ipdsf_spark.config import KafkaConfig
from ipdsf_spark.errors import BrokerError
from ipdsf_spark.kafka.client import Listener, client_options, failure, group_id, made
from ipdsf_spark.kafka.reading import ends_of

logger = logging.getLogger(__name__)

SAMPLED_AT: Final = (0.0, 0.5, 1.0)  # of what a partition holds: a backlog may differ from what comes in now
MAX_PARTITIONS: Final = 50  # sampled, evenly spread
TIMEOUT_S: Final = 10.0
Partition = tuple[str, int]  # topic and number
UNKNOWN_BYTES: Final = 131_072  # assumed per file until there are some


@dataclass(frozen=True)
class Admission:
    """What one micro-batch may hold.

    Attributes:
        max_files: rows.
        num_sampled: records whose size it rests on; with 0 of them it is a guess.
    """

    max_files: int
    num_sampled: int


def admission(kafka: KafkaConfig, bootstrap: str, max_bytes: int, max_files: int) -> Admission:
    """Rows to admit to one micro-batch so that it stays within `max_bytes`.

    The larger half of the sample decides, so that small files of today do not admit a batch of yesterday's large ones.
    Where Kafka does not answer there is no sample, only a guess: a running stream does not end for it.

    Args:
        kafka: topic and login.
        bootstrap: where Kafka is.
        max_bytes: bound on the bytes of a batch.
        max_files: bound on its rows.
    """
    try:
        sizes = sorted(sampled_sizes(kafka, bootstrap))
    except BrokerError as error:
        logger.warning("the size of files is a guess: %s", error)
        sizes = []
    larger = sizes[len(sizes) // 2 :]
    typical = sum(larger) / len(larger) if larger else UNKNOWN_BYTES
    admitted = max(1, min(max_files, int(max_bytes / max(typical, 1.0))))
    logger.info("files have %.0f bytes (%d sampled): up to %d per batch", typical, len(sizes), admitted)
    return Admission(admitted, len(sizes))


def sampled_sizes(kafka: KafkaConfig, bootstrap: str) -> list[int]:
    """Bytes of the oldest, a middle and the newest record of the partitions of the files topic.

    Raises:
        BrokerError: Kafka refuses or does not answer.
    """
    listener = Listener()
    options = client_options(kafka, bootstrap) | {
        "group.id": group_id(kafka, "sample"),
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "queued.min.messages": 1,  # one record of each partition is wanted, not all that follow it
        "fetch.max.bytes": max(kafka.max_message_bytes, 1_048_576),
        "error_cb": listener,
    }
    consumer = made(Consumer, options)
    try:
        listed = _partitions(consumer, kafka)
        held: dict[Partition, tuple[int, int]] = {}
        deadline = time.monotonic() + TIMEOUT_S
        for partition in listed[:: max(1, -(-len(listed) // MAX_PARTITIONS))]:  # of none where no site has a topic yet
            try:
                low, high = ends_of(consumer, *partition, within_s=deadline - time.monotonic())
            except KafkaException:
                continue  # it has no leader: the others speak for it
            if high > low:
                held[partition] = low, high
        places = {
            (partition, low + round(share * (high - 1 - low)))
            for partition, (low, high) in held.items()
            for share in SAMPLED_AT
        }
        return [size for turn in _turns(places) for size in _sizes_at(consumer, turn)]
    except KafkaException as error:
        consumer.poll(0.0)  # lets the listener hear
        raise failure(error.args[0], kafka, bootstrap, listener) from error
    finally:
        consumer.close()


def _partitions(consumer: Consumer, kafka: KafkaConfig) -> list[Partition]:
    """Of the files topic, or of every site's."""
    if not kafka.topic_per_site:
        listed = consumer.list_topics(kafka.files_topic, timeout=TIMEOUT_S).topics[kafka.files_topic]
        return [(kafka.files_topic, number) for number in sorted(listed.partitions)]
    topics = consumer.list_topics(timeout=TIMEOUT_S).topics
    own = kafka.files_topic_of("")
    return sorted((name, number) for name in topics if name.startswith(own) for number in topics[name].partitions)


def _turns(places: set[tuple[Partition, int]]) -> list[dict[Partition, int]]:
    """Places to look at, each partition at most once a turn."""
    turns: list[dict[Partition, int]] = []
    for partition, offset in sorted(places):
        turn = next((turn for turn in turns if partition not in turn), None)
        if turn is None:
            turns.append(turn := {})
        turn[partition] = offset
    return turns


def _sizes_at(consumer: Consumer, places: dict[Partition, int]) -> list[int]:
    """Bytes of the first record at or after each offset."""
    consumer.assign([TopicPartition(*partition, offset) for partition, offset in places.items()])
    sizes: list[int] = []
    pending = set(places)
    while pending:
        message = consumer.poll(TIMEOUT_S)
        if message is None:
            break
        partition = message.topic() or "", message.partition() or 0
        if partition in pending:
            pending.discard(partition)
            if not message.error():
                sizes.append(len(message.value() or b""))
    return sizes
