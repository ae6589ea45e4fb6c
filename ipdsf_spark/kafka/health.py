"""Whether every partition has a leader and all its copies."""

from __future__ import annotations

from dataclasses import dataclass

from confluent_kafka import KafkaException

from ipdsf_spark.config import KafkaConfig
from ipdsf_spark.errors import BrokerError
from ipdsf_spark.kafka.client import Listener, explained
from ipdsf_spark.kafka.topics import TIMEOUT_S, admin


@dataclass(frozen=True)
class Health:
    """What is wrong with the topics of a cluster.

    Attributes:
        leaderless: partitions that nobody can write to or read from, as topic-partition.
        under_replicated: partitions with a leader that have fewer copies in step than they should.
    """

    leaderless: tuple[str, ...]
    under_replicated: tuple[str, ...]

    @property
    def is_sound(self) -> bool:
        """Nothing is wrong."""
        return not self.leaderless and not self.under_replicated


def health(kafka: KafkaConfig, bootstrap: str, *, timeout_s: float = TIMEOUT_S) -> Health:
    """Ask Kafka about all partitions.

    Raises:
        BrokerError: it does not answer, or does not let this client in.
    """
    listener = Listener()
    client = admin(kafka, bootstrap, listener)
    try:
        listed = client.list_topics(timeout=timeout_s)
    except KafkaException as error:
        client.poll(0.0)  # lets the listener hear
        raise BrokerError(explained(error.args[0], kafka, bootstrap, listener)) from error
    leaderless, behind = [], []
    for name, topic in sorted(listed.topics.items()):
        for number, partition in sorted(topic.partitions.items()):
            if partition.leader < 0:
                leaderless.append(f"{name}-{number}")
            elif len(partition.isrs) < len(partition.replicas):
                behind.append(f"{name}-{number}")
    return Health(tuple(leaderless), tuple(behind))
