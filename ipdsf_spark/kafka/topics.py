"""The four topics: files in; averages and products (compacted) out; quarantine."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic  # type: ignore[attr-defined]

from ipdsf_spark.config import KafkaConfig
from ipdsf_spark.errors import BrokerError
from ipdsf_spark.kafka.client import client_options

logger = logging.getLogger(__name__)

TIMEOUT_S: Final = 30.0
PRODUCT_PARTITIONS: Final = 4
QUARANTINE_PARTITIONS: Final = 1
AVERAGES_KEPT_MS: Final = 30 * 86_400_000  # the archive keeps them for good


def admin(kafka: KafkaConfig, bootstrap: str) -> AdminClient:
    """An admin client."""
    return AdminClient(client_options(kafka, bootstrap))


def num_partitions(kafka: KafkaConfig, bootstrap: str, *, timeout_s: float = TIMEOUT_S) -> dict[str, int]:
    """Partitions of every topic.

    Raises:
        BrokerError: no broker answers.
    """
    try:
        listed = admin(kafka, bootstrap).list_topics(timeout=timeout_s)
    except KafkaException as error:
        raise BrokerError(f"no Kafka answers at {bootstrap}: {error.args[0].str()}") from error
    return {name: len(topic.partitions) for name, topic in listed.topics.items()}


def ensure_topics(kafka: KafkaConfig, bootstrap: str) -> None:
    """Create what is missing of the four topics; grow the files topic to the configured partitions.

    Raises:
        BrokerError: the broker refuses, or the files topic has more partitions than configured.
    """
    have = num_partitions(kafka, bootstrap)
    size = {"max.message.bytes": str(kafka.max_message_bytes)}
    compacted = {
        "cleanup.policy": "compact",
        "min.cleanable.dirty.ratio": "0.1",
        "segment.ms": "600000",
        "max.compaction.lag.ms": "900000",
    }
    wanted: Mapping[str, tuple[int, dict[str, str]]] = {
        kafka.files_topic: (kafka.partitions, size),
        kafka.averages_topic: (PRODUCT_PARTITIONS, size | {"retention.ms": str(AVERAGES_KEPT_MS)}),
        kafka.products_topic: (PRODUCT_PARTITIONS, compacted),
        kafka.quarantine_topic: (QUARANTINE_PARTITIONS, size | {"retention.ms": str(_quarantine_kept_ms(kafka))}),
    }
    client = admin(kafka, bootstrap)
    new = [
        NewTopic(name, partitions, kafka.replication_factor, config=config)
        for name, (partitions, config) in wanted.items()
        if name not in have
    ]
    if new:
        _await(client.create_topics(new, operation_timeout=TIMEOUT_S), "create")
    held = have.get(kafka.files_topic)
    if held is not None and held > kafka.partitions:
        raise BrokerError(
            f"topic {kafka.files_topic} has {held} partitions, kafka.partitions is {kafka.partitions}: partitions "
            f"cannot be taken away; set kafka.partitions={held} or use another kafka.files_topic"
        )
    if held is not None and held < kafka.partitions:
        logger.warning("topic %s grows from %d to %d partitions", kafka.files_topic, held, kafka.partitions)
        _await(client.create_partitions([NewPartitions(kafka.files_topic, kafka.partitions)]), "grow")
    _await_metadata(kafka, bootstrap, {name: partitions for name, (partitions, _) in wanted.items()})


def _quarantine_kept_ms(kafka: KafkaConfig) -> int:
    """What could not be read is nobody's to forget: without a number of days, Kafka's word for ever."""
    return kafka.quarantine_keep_days * 86_400_000 or -1


def _await_metadata(kafka: KafkaConfig, bootstrap: str, wanted: Mapping[str, int]) -> None:
    """Brokers learn of new partitions a moment after the controller has made them."""
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        have = num_partitions(kafka, bootstrap)
        late = [name for name in wanted if name not in have]
        if not late and have[kafka.files_topic] >= wanted[kafka.files_topic]:
            return
        if time.monotonic() > deadline:
            raise BrokerError(
                f"{bootstrap} does not show {', '.join(late) or kafka.files_topic} after {TIMEOUT_S:.0f} s"
            )
        time.sleep(0.05)


def _await(futures: Mapping[str, object], verb: str) -> None:
    for topic, future in futures.items():
        try:
            future.result(TIMEOUT_S)  # type: ignore[attr-defined]
        except KafkaException as error:
            if error.args[0].name() != "TOPIC_ALREADY_EXISTS":  # somebody else was faster: as good
                raise BrokerError(f"cannot {verb} topic {topic}: {error.args[0].str()}") from error
