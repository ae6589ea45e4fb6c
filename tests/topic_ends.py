"""How many records the files topic has taken."""

from __future__ import annotations

from ipdsf_spark.config import KafkaConfig
from ipdsf_spark.kafka.reading import bounds, consumer_of


def ends(kafka: KafkaConfig, bootstrap: str) -> dict[int, int]:
    """Next offset of every partition."""
    with consumer_of(kafka, bootstrap, "ends") as consumer:
        return {number: end for number, (_, end) in bounds(consumer, kafka.files_topic, bootstrap).items()}
