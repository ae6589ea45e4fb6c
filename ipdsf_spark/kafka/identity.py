"""Which topic it is: a topic that was deleted and made anew has its name, and another identity."""

from __future__ import annotations

from typing import Final

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from ipdsf_spark.errors import BrokerError

TIMEOUT_S: Final = 10.0


def topic_identity(client: AdminClient, topic: str) -> str:
    """The id that the broker gave the topic when it was made.

    Args:
        client: from `kafka.topics.admin`.
        topic: its name.

    Raises:
        BrokerError: no broker answers, or it has no such topic.
    """
    try:
        future = client.describe_topics(TopicCollection([topic]), request_timeout=TIMEOUT_S)[topic]
        return str(future.result(TIMEOUT_S).topic_id)
    except (KafkaException, TimeoutError) as error:
        why = str(error) or f"no answer within {TIMEOUT_S:.0f} s"  # a time-out says nothing itself
        raise BrokerError(f"Kafka does not describe topic {topic}: {why}") from error
