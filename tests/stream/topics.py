"""Reading a topic as it is."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from confluent_kafka import Consumer, TopicPartition

from ipdsf_spark.config import Config
from ipdsf_spark.devkafka import EmbeddedKafka
from ipdsf_spark.kafka import ensure_topics
from ipdsf_spark.kafka.topics import admin
from tests.waiting import await_that


def records_in(kafka: EmbeddedKafka, topic: str) -> list[tuple[str, bytes, dict[str, str]]]:
    """Key, value and headers of every record of a topic, repeated ones included."""
    consumer = Consumer(
        {"bootstrap.servers": kafka.bootstrap_servers, "group.id": "look", "enable.partition.eof": True}
    )
    parts = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    consumer.assign([TopicPartition(topic, part, 0) for part in parts])
    found, ended = [], 0
    while ended < len(parts):
        message = consumer.poll(10)
        assert message is not None
        if message.error():
            ended += 1
            continue
        headers = {name: value.decode() for name, value in message.headers() or []}
        found.append((message.key().decode(), message.value() or b"", headers))
    consumer.close()
    return found


def await_records(kafka: EmbeddedKafka, topic: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until a job has written into a topic; the cores are the job's meanwhile."""
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap_servers, "group.id": "await"})
    parts = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    consumer.assign([TopicPartition(topic, part, 0) for part in parts])
    deadline = time.monotonic() + 180.0
    while (message := consumer.poll(0.5)) is None or message.error():
        assert process.poll() is None, log.read_text()[-3000:]
        assert time.monotonic() < deadline, log.read_text()[-3000:]
    consumer.close()


def make_anew(config: Config, topic: str) -> None:
    """Delete a topic and make it again."""
    client = admin(config.kafka, config.kafka.bootstrap_servers)
    client.delete_topics([topic], operation_timeout=30.0)[topic].result(30.0)
    await_that(lambda: topic not in client.list_topics(timeout=10.0).topics, "the end of the topic")
    ensure_topics(config.kafka, config.kafka.bootstrap_servers)
