"""Kafka is away for longer than its clients wait: the query ends, the job does not."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from pyspark.errors import StreamingQueryException

from ipdsf_spark.config import KafkaConfig, load
from ipdsf_spark.devkafka import EmbeddedKafka
from ipdsf_spark.errors import IpdsfError
from ipdsf_spark.kafka import ensure_topics
from ipdsf_spark.kafka.client import spark_options
from ipdsf_spark.kafka.sites import read_sites
from ipdsf_spark.stream import ended, live
from ipdsf_spark.stream.away import LONGEST_PAUSE_S, Outage, is_passing
from ipdsf_spark.stream.job import StreamJob
from tests.waiting import await_that

TRACE = """[STREAM_FAILED] Query [id = 1, runId = 2] terminated with exception: Writing job aborted SQLSTATE: XXKST
JVM stacktrace:
org.apache.spark.SparkException: [WRITING_JOB_ABORTED] Writing job aborted SQLSTATE: 40000
Caused by: org.apache.spark.SparkException: Job aborted due to stage failure
Caused by: {cause}
\tat here
Caused by: org.apache.kafka.common.KafkaException: and what it wraps
"""
OF_KAFKA = "org.apache.kafka.common.errors."
PASSES = (
    f"{OF_KAFKA}TimeoutException: Topic ceilometer.products not present in metadata after 60000 ms.",
    f"{OF_KAFKA}TimeoutException: Expiring 2 record(s) for a-0:120000 ms has passed since batch creation",
    f"{OF_KAFKA}DisconnectException",
    f"{OF_KAFKA}NotEnoughReplicasException: Messages are rejected since there are fewer in-sync replicas",
    "java.util.concurrent.TimeoutException: Cannot fetch record for offset 7 in 120000 milliseconds",
    "org.apache.kafka.common.config.ConfigException: No resolvable bootstrap urls given in bootstrap.servers",
)
STAYS = (
    "java.io.IOException: No space left on device",
    f"{OF_KAFKA}SaslAuthenticationException: Authentication failed",
    f"{OF_KAFKA}TopicAuthorizationException: Not authorized to access topics: [a]",
    f"{OF_KAFKA}UnknownTopicOrPartitionException: This server does not host this topic-partition.",
    f"{OF_KAFKA}RecordTooLargeException: The message is 9 bytes",
    "java.util.concurrent.TimeoutException: Futures timed out after [300 seconds]",
)


@pytest.mark.parametrize("cause", PASSES)
def test_brokers_that_do_not_answer_come_back_by_themselves(cause: str) -> None:
    assert is_passing(TRACE.format(cause=cause))
    assert is_passing(cause)


@pytest.mark.parametrize("cause", STAYS)
def test_full_disks_refused_logins_and_lost_topics_do_not_mend_themselves(cause: str) -> None:
    assert not is_passing(TRACE.format(cause=cause))
    assert not is_passing(cause)


class Pauses:
    """Seconds that were waited; somebody asks to stop after as many pauses."""

    def __init__(self, until_stop: int) -> None:
        self.seconds: list[float] = []
        self._until_stop = until_stop

    def __call__(self, seconds: float) -> bool:
        self.seconds.append(seconds)
        return len(self.seconds) >= self._until_stop


def failure(cause: str) -> StreamingQueryException:
    return StreamingQueryException(TRACE.format(cause=cause))


NOBODY = ("127.0.0.1:9", ("files",))  # the port of `discard`, where nobody listens


def test_what_does_not_pass_is_not_waited_for() -> None:
    pauses = Pauses(1)
    assert not Outage("it", KafkaConfig(), *NOBODY, pauses).is_over(failure(STAYS[0]), has_run=True, has_ever_run=True)
    assert not pauses.seconds


def test_a_first_query_that_never_reached_kafka_is_a_fault_of_the_setting_and_no_outage() -> None:
    pauses = Pauses(1)
    outage = Outage("it", KafkaConfig(), *NOBODY, pauses)
    assert not outage.is_over(failure(PASSES[0]), has_run=False, has_ever_run=False)
    assert not pauses.seconds


@pytest.mark.kafka
def test_a_query_that_fails_again_before_its_first_batch_is_begun_less_and_less_often(kafka: EmbeddedKafka) -> None:
    config = load(overrides=[f"kafka.bootstrap_servers={kafka.bootstrap_servers}"]).kafka
    pauses = Pauses(1_000)
    outage = Outage("it", config, kafka.bootstrap_servers, ("files",), pauses)

    assert outage.is_over(failure(PASSES[0]), has_run=True, has_ever_run=True)
    for _ in range(7):
        assert outage.is_over(failure(PASSES[0]), has_run=False, has_ever_run=True)

    assert pauses.seconds == [5.0, 10.0, 20.0, 40.0, 80.0, 160.0, LONGEST_PAUSE_S, LONGEST_PAUSE_S]
    assert outage.is_over(failure(PASSES[0]), has_run=True, has_ever_run=True)
    assert pauses.seconds[-1] == 5.0


@pytest.mark.slow
def test_who_asks_to_stop_while_kafka_is_away_does_not_wait_for_it(caplog: pytest.LogCaptureFixture) -> None:
    pauses = Pauses(2)
    with caplog.at_level(logging.WARNING):
        outage = Outage("it", KafkaConfig(), *NOBODY, pauses)
        assert not outage.is_over(failure(PASSES[0]), has_run=True, has_ever_run=True)
    assert len(pauses.seconds) == 2
    assert "it still waits for Kafka" in caplog.text


def impatient(kafka: KafkaConfig, bootstrap: str, *rest: Any) -> Mapping[str, str]:
    """Clients that wait for seconds, where Kafka's own wait for one or two minutes."""
    patience = {"request.timeout.ms": 2_000, "default.api.timeout.ms": 3_000, "max.block.ms": 3_000}
    patience |= {"delivery.timeout.ms": 4_000, "linger.ms": 0}
    return spark_options(kafka, bootstrap, *rest) | {f"kafka.{name}": str(value) for name, value in patience.items()}


@pytest.mark.spark
@pytest.mark.kafka
@pytest.mark.long
def test_the_job_outlives_an_outage_that_ends_its_query_and_loses_and_repeats_nothing(
    tmp_path: Path, cl51_files: list[bytes], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(live, "spark_options", impatient)
    with EmbeddedKafka(tmp_path / "kafka") as kafka:
        config = load(
            overrides=[
                f"kafka.bootstrap_servers={kafka.bootstrap_servers}",
                "kafka.partitions=1",
                f'stream.directory="{tmp_path / "stream"}"',
                "stream.driver_memory_mb=1024",
            ]
        )
        ensure_topics(config.kafka, kafka.bootstrap_servers)

        def send(files: list[bytes], first: int) -> None:
            producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
            for number, raw in enumerate(files, first):
                headers = [("file", f"{number}.dat".encode()), ("sent_ms", str(1_624_262_400_000 + number).encode())]
                producer.produce(config.kafka.files_topic, raw, "oslo", headers=headers)
            assert producer.flush(30) == 0

        job = StreamJob(config, with_archive=False).start()
        failed: list[BaseException] = []

        def run() -> None:
            try:
                with ended.named("the live query"):
                    job.run_until_stopped()
            except IpdsfError as error:
                failed.append(error)

        running = threading.Thread(target=run)
        running.start()
        try:
            send(cl51_files[:3], 0)
            await_that(lambda: job.listener.totals.read == 3, "three files read")
            before = job.queries[0]

            kafka.stop_node(1, how=signal.SIGKILL)
            await_that(lambda: not before.isActive, "the query has ended", timeout_s=90.0)
            await_that(lambda: "waits until Kafka answers" in caplog.text or bool(failed), "somebody is told")
            assert not failed
            kafka.start_node(1)
            send(cl51_files[3:6], 3)

            await_that(lambda: job.listener.totals.read == 6, "six files read", timeout_s=120.0)
            assert job.listener.totals.profiles == 6 * 20
            (site,) = read_sites(config.kafka, kafka.bootstrap_servers)
            assert (site.files, site.used, site.duplicate, site.late) == (6, 6 * 20, 0, 0)
            assert job.queries[0] is not before
        finally:
            job.ask_to_stop()
            running.join(60.0)
        assert not failed
        assert not running.is_alive()
