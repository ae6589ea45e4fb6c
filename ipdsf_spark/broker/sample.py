"""How large recent records are, so that a batch can be bounded by bytes where Kafka only counts rows."""

from __future__ import annotations

import logging
import uuid
from typing import Final

from confluent_kafka import Consumer, TopicPartition

from ipdsf_spark.broker.client import client_options
from ipdsf_spark.config import KafkaConfig

logger = logging.getLogger(__name__)

PER_PARTITION: Final = 2
MAX_SAMPLED: Final = 200
TIMEOUT_S: Final = 10.0
EMPTY_TOPIC_BYTES: Final = 131_072  # assumed per file until there are some


def max_files_within(kafka: KafkaConfig, bootstrap: str, max_bytes: int, max_files: int) -> int:
    """Rows to admit to one micro-batch so that it stays near `max_bytes`, at least one per partition.

    Args:
        kafka: topic and login.
        bootstrap: where Kafka is.
        max_bytes: bound on the bytes of a batch.
        max_files: bound on its rows.
    """
    sizes = recent_sizes(kafka, bootstrap)
    typical = sum(sizes) / len(sizes) if sizes else EMPTY_TOPIC_BYTES
    files = int(max_bytes / max(typical, 1.0))
    admitted = max(1, min(max_files, files))
    logger.info("recent files have %.0f bytes: up to %d per batch", typical, admitted)
    return admitted


def recent_sizes(kafka: KafkaConfig, bootstrap: str) -> list[int]:
    """Bytes of the newest records of every partition of the files topic."""
    options = client_options(kafka, bootstrap) | {
        "group.id": f"ipdsf-sample-{uuid.uuid4()}",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "fetch.max.bytes": max(kafka.max_message_bytes, 1_048_576),
    }
    consumer = Consumer(options)
    try:
        listed = consumer.list_topics(kafka.files_topic, timeout=TIMEOUT_S).topics[kafka.files_topic]
        starts: list[TopicPartition] = []
        for partition in listed.partitions:
            low, high = consumer.get_watermark_offsets(TopicPartition(kafka.files_topic, partition), timeout=TIMEOUT_S)
            if high > low:
                starts.append(TopicPartition(kafka.files_topic, partition, max(low, high - PER_PARTITION)))
        consumer.assign(starts)
        wanted, ended = len(starts), 0
        sizes: list[int] = []
        while ended < wanted and len(sizes) < MAX_SAMPLED:
            message = consumer.poll(TIMEOUT_S)
            if message is None:
                break
            if message.error():
                ended += 1  # the end of a partition
            else:
                sizes.append(len(message.value() or b""))
        return sizes
    finally:
        consumer.close()
