"""Offsets that the stream has read, committed to a consumer group, where every tool that looks at groups sees them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from ipdsf_spark.config import KafkaConfig
from ipdsf_spark.kafka.client import client_options
from ipdsf_spark.monitoring.lag import Partition

logger = logging.getLogger(__name__)

POLL_S: Final = 0.0


class GroupCommitter:
    """Commits to a group that nobody is a member of.

    The checkpoint stays the truth: nothing is ever read from what is committed here.

    Args:
        kafka: login.
        bootstrap: where Kafka is.
        group: its name.
    """

    def __init__(self, kafka: KafkaConfig, bootstrap: str, group: str) -> None:
        self.group = group
        self._told = ""
        self._consumer = Consumer(
            client_options(kafka, bootstrap)
            | {"group.id": group, "enable.auto.commit": False, "on_commit": self._heard}
        )

    def commit(self, read: Mapping[Partition, int]) -> None:
        """Commit the next offset of every partition; raises nothing, and waits for nothing."""
        places = [TopicPartition(topic, number, offset) for (topic, number), offset in read.items()]
        if not places:
            return
        try:
            self._consumer.commit(offsets=places, asynchronous=True)
            self._consumer.poll(POLL_S)
        except KafkaException as error:
            self._tell(error.args[0])

    def close(self) -> None:
        """Wait for what is on its way."""
        self._consumer.close()

    def _heard(self, error: KafkaError | None, places: list[TopicPartition]) -> None:
        if error is not None:
            self._tell(error)

    def _tell(self, error: KafkaError) -> None:
        if error.str() != self._told:
            self._told = error.str()
            logger.warning("offsets are not committed to group %s: %s", self.group, error.str())
