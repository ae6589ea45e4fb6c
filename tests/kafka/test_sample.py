"""The size of recent and of waiting files bounds what one batch may hold."""

from __future__ import annotations

from functools import partial

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer

from ipdsf_spark.config import KafkaConfig
from ipdsf_spark.devkafka import EmbeddedKafka
from ipdsf_spark.kafka import ensure_topics
from ipdsf_spark.kafka.reading import patiently
from ipdsf_spark.kafka.sample import UNKNOWN_BYTES, admission, sampled_sizes

pytestmark = pytest.mark.kafka
MEGABYTE = 1_000_000


def topic_with(kafka: EmbeddedKafka, name: str, sizes: list[list[int]]) -> KafkaConfig:
    """A files topic with records of these sizes, a list for each partition."""
    config = KafkaConfig(
        files_topic=f"{name}.files",
        products_topic=f"{name}.layers",
        quarantine_topic=f"{name}.bad",
        partitions=len(sizes),
    )
    ensure_topics(config, kafka.bootstrap_servers)
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "message.max.bytes": 8 * MEGABYTE})
    for partition, of_partition in enumerate(sizes):
        for size in of_partition:
            producer.produce(config.files_topic, bytes(size), partition=partition)
    assert producer.flush(30.0) == 0
    return config


def test_a_batch_holds_as_many_files_as_the_bytes_allow(kafka: EmbeddedKafka) -> None:
    config = topic_with(kafka, "even", [[500_000] * 4] * 3)

    found = admission(config, kafka.bootstrap_servers, max_bytes=20 * MEGABYTE, max_files=2_000)

    assert (found.max_files, found.num_sampled) == (40, 9)


def test_the_bound_on_rows_holds_for_small_files_and_one_file_is_always_admitted(kafka: EmbeddedKafka) -> None:
    config = topic_with(kafka, "small", [[100], [3 * MEGABYTE]])

    assert admission(config, kafka.bootstrap_servers, max_bytes=10**12, max_files=7).max_files == 7
    assert admission(config, kafka.bootstrap_servers, max_bytes=1, max_files=7).max_files == 1


def test_an_empty_topic_is_a_guess_that_says_so(kafka: EmbeddedKafka) -> None:
    config = topic_with(kafka, "empty", [[], []])

    found = admission(config, kafka.bootstrap_servers, max_bytes=10 * UNKNOWN_BYTES, max_files=2_000)

    assert (found.max_files, found.num_sampled) == (10, 0)


def test_a_partition_between_two_leaders_is_asked_again_and_another_error_is_not() -> None:
    between = [KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE]

    def ask(errors: list[int]) -> int:
        if errors:
            raise KafkaException(KafkaError(errors.pop()))
        return 7

    assert patiently(partial(ask, between), 10.0) == 7
    with pytest.raises(KafkaException):
        patiently(partial(ask, [KafkaError.NOT_LEADER_FOR_PARTITION]), -1.0)
    with pytest.raises(KafkaException):
        patiently(partial(ask, [KafkaError.TOPIC_AUTHORIZATION_FAILED]), 10.0)


def test_a_backlog_of_large_files_counts_although_small_ones_come_in_now(kafka: EmbeddedKafka) -> None:
    config = topic_with(kafka, "mixed", [[700_000] * 5 + [1_000] * 2] * 2)

    assert sorted(sampled_sizes(config, kafka.bootstrap_servers)) == [1_000] * 2 + [700_000] * 4
    found = admission(config, kafka.bootstrap_servers, max_bytes=7 * MEGABYTE, max_files=2_000)
    assert found.max_files == 10


def test_of_many_partitions_some_are_looked_at(kafka: EmbeddedKafka) -> None:
    config = topic_with(kafka, "many", [[1_000]] * 101)

    assert len(sampled_sizes(config, kafka.bootstrap_servers)) == 34
