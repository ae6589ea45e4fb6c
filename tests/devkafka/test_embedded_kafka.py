"""A real Kafka, started and stopped; brokers and parents that die."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from ipdsf_spark.config import KafkaConfig, load
from ipdsf_spark.devkafka import EmbeddedKafka, resolve_bootstrap
from ipdsf_spark.errors import BrokerError
from ipdsf_spark.kafka import ensure_topics, num_partitions

pytestmark = pytest.mark.kafka


def values_of(bootstrap: str, topic: str, partitions: int) -> list[bytes]:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "test", "enable.partition.eof": True})
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(partitions)])
    found, ended = [], 0
    while ended < partitions:
        message = consumer.poll(20.0)
        assert message is not None, "Kafka stopped answering"
        if message.error():
            ended += 1
        else:
            found.append(message.value())
    consumer.close()
    return found


def is_alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_topics_are_made_with_the_configured_partitions_and_once(kafka: EmbeddedKafka) -> None:
    config = KafkaConfig(
        files_topic="made.files", products_topic="made.layers", quarantine_topic="made.bad", partitions=7
    )

    ensure_topics(config, kafka.bootstrap_servers)
    ensure_topics(config, kafka.bootstrap_servers)

    assert num_partitions(config, kafka.bootstrap_servers)["made.files"] == 7


def test_the_files_topic_grows_but_never_shrinks(kafka: EmbeddedKafka) -> None:
    names = {"files_topic": "grown.files", "products_topic": "grown.layers", "quarantine_topic": "grown.bad"}
    ensure_topics(KafkaConfig(**names, partitions=3), kafka.bootstrap_servers)

    ensure_topics(KafkaConfig(**names, partitions=5), kafka.bootstrap_servers)

    assert num_partitions(KafkaConfig(**names), kafka.bootstrap_servers)["grown.files"] == 5
    with pytest.raises(BrokerError, match=r"has 5 partitions, kafka.partitions is 2"):
        ensure_topics(KafkaConfig(**names, partitions=2), kafka.bootstrap_servers)


def test_without_a_broker_the_error_says_how_to_start_one(tmp_path: Path) -> None:
    config = load(overrides=[f'broker.directory="{tmp_path}"'])

    with pytest.raises(BrokerError, match="ipdsf broker start"):
        resolve_bootstrap(config)


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_when_one_of_two_brokers_dies(tmp_path: Path) -> None:
    config = KafkaConfig(partitions=4, replication_factor=2)
    acknowledged: list[bytes] = []

    with EmbeddedKafka(tmp_path, brokers=2) as kafka:
        ensure_topics(config, kafka.bootstrap_servers)
        producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "acks": "all", "enable.idempotence": True})
        for number in range(400):
            value = b"%d" % number
            producer.produce(
                config.files_topic,
                value,
                key=str(number % 16),
                on_delivery=lambda error, message: None if error else acknowledged.append(message.value()),
            )
            if number == 200:
                producer.flush(30.0)
                kafka.stop_node(1, how=signal.SIGKILL)
        producer.flush(60.0)
        held = values_of(kafka.bootstrap_servers, config.files_topic, config.partitions)

    assert len(acknowledged) == 400
    assert sorted(held) == sorted(acknowledged)


PARENT = """
import sys, time
from ipdsf_spark.broker import EmbeddedKafka
kafka = EmbeddedKafka(sys.argv[1])
kafka.start()
print(kafka.nodes[0].pid, flush=True)
time.sleep(600)
"""


@pytest.mark.slow
def test_no_broker_outlives_a_parent_that_was_killed(tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    watchdog = int(parent.stdout.readline())
    children = [int(pid) for pid in Path(f"/proc/{watchdog}/task/{watchdog}/children").read_text().split()]
    assert children, "the watchdog has no broker"

    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()

    deadline = time.monotonic() + 30.0
    while any(map(is_alive, [watchdog, *children])) and time.monotonic() < deadline:
        os.sched_yield()
    assert not any(map(is_alive, [watchdog, *children]))
