"""What has arrived in the files topic: where it ends, and the checksums since a point."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from ipdsf_spark.config import KafkaConfig
from ipdsf_spark.kafka.client import client_options

TIMEOUT_S: Final = 10.0


def ends(kafka: KafkaConfig, bootstrap: str) -> dict[int, int]:
    """Next offset of every partition of the files topic.

    Raises:
        KafkaException: Kafka does not answer, or there is no such topic.
    """
    consumer = _consumer(kafka, bootstrap)
    try:
        topic = consumer.list_topics(kafka.files_topic, timeout=TIMEOUT_S).topics[kafka.files_topic]
        if topic.error is not None:
            raise KafkaException(topic.error)
        return {
            partition: consumer.get_watermark_offsets(TopicPartition(kafka.files_topic, partition), timeout=TIMEOUT_S)[
                1
            ]
            for partition in topic.partitions
        }
    finally:
        consumer.close()


def checksums_since(kafka: KafkaConfig, bootstrap: str, marks: Mapping[int, int], *, key: str) -> set[str]:
    """SHA-256 of every record of one site at or after `marks` (partition: offset).

    Raises:
        KafkaException: Kafka does not answer.
    """
    stops = {partition: end for partition, end in ends(kafka, bootstrap).items() if end > marks.get(partition, 0)}
    found: set[str] = set()
    if not stops:
        return found
    consumer = _consumer(kafka, bootstrap)
    try:
        consumer.assign([TopicPartition(kafka.files_topic, part, marks.get(part, 0)) for part in stops])
        open_parts = set(stops)
        while open_parts:
            message = consumer.poll(TIMEOUT_S)
            if message is None:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
            partition = message.partition() or 0
            if (error := message.error()) is not None:
                if error.code() != KafkaError._PARTITION_EOF:
                    raise KafkaException(error)
                open_parts.discard(partition)
                continue
            if message.key() == key.encode():
                found.add(header_of(message, "sha256"))
            if (message.offset() or 0) + 1 >= stops.get(partition, 0):
                open_parts.discard(partition)
        return found
    finally:
        consumer.close()


def header_of(message: Message, name: str) -> str:
    """A record's header as text, empty if it has none of that name."""
    for header in message.headers() or []:
        key, value = header[0], header[1]
        if key == name and value is not None:
            return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return ""


def _consumer(kafka: KafkaConfig, bootstrap: str) -> Consumer:
    options = client_options(kafka, bootstrap) | {
        "group.id": f"ipdsf-edge-{uuid.uuid4()}",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "earliest",
        "fetch.max.bytes": max(kafka.max_message_bytes, 52_428_800),
    }
    return Consumer(options)
