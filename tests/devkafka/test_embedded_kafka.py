"""A real Kafka, started and stopped; brokers and parents that die."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from confluent_kafka import KafkaError, Producer
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic

from ipdsf_spark.config import KafkaConfig, load
from ipdsf_spark.devkafka import EmbeddedKafka, resolve_bootstrap
from ipdsf_spark.errors import BrokerError
from ipdsf_spark.kafka import ensure_files_topic, ensure_topics, num_partitions, topics
from ipdsf_spark.kafka.topics import topic_settings

pytestmark = pytest.mark.kafka


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


@pytest.mark.parametrize("seen", [{}, {"raced1.files": 2}], ids=["not shown yet", "before the other grew it"])
def test_topics_that_somebody_else_makes_in_the_same_moment_are_taken_as_they_are(
    kafka: EmbeddedKafka, monkeypatch: pytest.MonkeyPatch, seen: dict[str, int]
) -> None:
    raced = f"raced{len(seen)}"
    others = ("averages", "products", "sites", "quarantine")
    config = KafkaConfig(
        files_topic=f"{raced}.files", partitions=5, **{f"{name}_topic": f"{raced}.{name}" for name in others}
    )
    client = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    made = [NewTopic(name, 5 if seen else 2, 1) for name in topic_settings(config)]
    for future in client.create_topics(made, operation_timeout=30.0).values():
        future.result(30.0)
    answers = [seen]
    look = topics.num_partitions
    monkeypatch.setattr(topics, "num_partitions", lambda *asked: answers.pop() if answers else look(*asked))
    monkeypatch.setattr(topics, "TIMEOUT_S", 5.0)

    ensure_topics(config, kafka.bootstrap_servers)

    assert num_partitions(config, kafka.bootstrap_servers)[f"{raced}.files"] == 5
    asked = client.describe_configs(
        [ConfigResource(ConfigResource.Type.TOPIC, name) for name in topic_settings(config)]
    )
    stamped = {answer.result(30.0)["message.timestamp.type"].value for answer in asked.values()}
    assert stamped == {"LogAppendTime"}


def test_without_a_broker_the_error_says_how_to_start_one(tmp_path: Path) -> None:
    config = load(overrides=[f'broker.directory="{tmp_path}"'])

    with pytest.raises(BrokerError, match="ipdsf broker start"):
        resolve_bootstrap(config)


def test_products_are_compacted_files_are_stamped_by_the_broker_and_sizes_are_allowed(kafka: EmbeddedKafka) -> None:
    config = KafkaConfig(files_topic="set.files", products_topic="set.layers", quarantine_topic="set.bad", partitions=2)
    ensure_topics(config, kafka.bootstrap_servers)
    client = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    names = (config.files_topic, config.products_topic, config.quarantine_topic)

    asked = client.describe_configs([ConfigResource(ConfigResource.Type.TOPIC, name) for name in names])

    held = {
        place.name: {key: entry.value for key, entry in answer.result(30.0).items()} for place, answer in asked.items()
    }
    assert held["set.layers"]["cleanup.policy"] == "compact"
    assert held["set.files"]["cleanup.policy"] == "delete"
    assert {settings["message.timestamp.type"] for settings in held.values()} == {"LogAppendTime"}
    assert {held[name]["max.message.bytes"] for name in ("set.files", "set.bad")} == {str(config.max_message_bytes)}


def test_a_job_whose_clock_is_a_day_ahead_writes_to_topics_that_an_earlier_version_made(kafka: EmbeddedKafka) -> None:
    config = KafkaConfig(
        files_topic="ahead.files",
        averages_topic="ahead.averages",
        products_topic="ahead.layers",
        sites_topic="ahead.sites",
        quarantine_topic="ahead.bad",
        partitions=2,
    )
    client = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    for future in client.create_topics([NewTopic(name, 1, 1) for name in topic_settings(config)]).values():
        future.result(30.0)
    answers: dict[str, KafkaError | None] = {}

    ensure_topics(config, kafka.bootstrap_servers)
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    for name in topic_settings(config):
        producer.produce(
            name,
            b"a product",
            key="oslo",
            timestamp=int(time.time() * 1000) + 86_400_000,
            on_delivery=lambda error, message: answers.__setitem__(message.topic(), error),
        )
    producer.flush(30.0)

    assert answers == dict.fromkeys(topic_settings(config))


@pytest.mark.parametrize(("copies", "in_sync"), [(1, "1"), (2, "1"), (3, "2")])
def test_one_broker_may_be_down_whatever_the_number_of_copies(copies: int, in_sync: str) -> None:
    settings = topic_settings(KafkaConfig(replication_factor=copies))

    assert {config["min.insync.replicas"] for _, config in settings.values()} == {in_sync}


def test_who_only_sends_makes_no_topic_where_one_is(kafka: EmbeddedKafka) -> None:
    names = {"files_topic": "only.files", "products_topic": "only.layers", "quarantine_topic": "only.bad"}
    client = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    for future in client.create_topics([NewTopic("only.files", 3, 1)]).values():
        future.result(30.0)

    held = ensure_files_topic(KafkaConfig(**names, partitions=9), kafka.bootstrap_servers)

    assert held == 3
    assert {"only.layers", "only.bad"}.isdisjoint(num_partitions(KafkaConfig(), kafka.bootstrap_servers))


def test_a_wrong_password_reads_as_one_and_a_right_one_is_let_in(
    kafka: EmbeddedKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = KafkaConfig(security_protocol="SASL_PLAINTEXT", sasl_mechanism="PLAIN")
    monkeypatch.setenv("IPDSF_KAFKA_USERNAME", "edge")
    monkeypatch.setenv("IPDSF_KAFKA_PASSWORD", "wrong")
    with pytest.raises(BrokerError, match=r"authentication failed at .*IPDSF_KAFKA_PASSWORD"):
        num_partitions(config, kafka.login_servers)

    monkeypatch.setenv("IPDSF_KAFKA_PASSWORD", "secret")

    assert num_partitions(config, kafka.login_servers) == num_partitions(KafkaConfig(), kafka.bootstrap_servers)


def test_a_folder_with_a_cluster_of_another_size_is_refused(tmp_path: Path) -> None:
    (tmp_path / "node-1" / "data").mkdir(parents=True)
    (tmp_path / "node-1" / "data" / "meta.properties").touch()
    (tmp_path / "ports.json").write_text("[1, 2, 3]")

    with pytest.raises(BrokerError, match="belong to 1 broker"):
        EmbeddedKafka(tmp_path, brokers=2).start()


PARENT = """
import sys, time
from ipdsf_spark.devkafka import EmbeddedKafka
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
