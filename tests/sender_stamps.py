"""Topics whose records keep the time that their sender gives them, so that a test can write what is days old."""

from __future__ import annotations

from confluent_kafka.admin import NewTopic

from ipdsf_spark.config import KafkaConfig
from ipdsf_spark.kafka.topics import STAMPED, admin, topic_settings
from tests.waiting import await_that


def topics_stamped_by_senders(kafka: KafkaConfig, bootstrap: str) -> None:
    """The topics as an administrator may have made them; those that this project makes are stamped by the broker."""
    client = admin(kafka, bootstrap)  # ends what it was asked for when it is not held any more
    wanted = [
        NewTopic(name, partitions, kafka.replication_factor, config=settings | {STAMPED: "CreateTime"})
        for name, (partitions, settings) in topic_settings(kafka).items()
        if name not in client.list_topics(timeout=30.0).topics
    ]
    for future in client.create_topics(wanted, operation_timeout=30.0).values():
        future.result(30.0)
    names = {topic.topic for topic in wanted}
    # The broker shows them a moment later.
    await_that(lambda: names <= client.list_topics(timeout=30.0).topics.keys(), "the new topics are shown")
