"""The files topic is deleted and made anew under a running job."""

from __future__ import annotations

from pathlib import Path

import pytest
from confluent_kafka import Producer
from topics import make_anew

from ipdsf_spark.config import Config, load
from ipdsf_spark.devkafka import EmbeddedKafka
from ipdsf_spark.errors import ConfigError
from ipdsf_spark.kafka import ensure_topics
from ipdsf_spark.stream.job import StreamJob
from tests.waiting import await_that

pytestmark = [pytest.mark.spark, pytest.mark.kafka, pytest.mark.slow]

NAMES = ("files", "averages", "products", "sites", "quarantine")
BEFORE, AFTER = 2, 5  # more than before: no offset tells that the topic is another one


def config_for(name: str, kafka: EmbeddedKafka, tmp_path: Path, *, may_lose: bool) -> Config:
    config = load(
        overrides=[
            f"kafka.bootstrap_servers={kafka.bootstrap_servers}",
            *(f"kafka.{each}_topic={name}.{each}" for each in NAMES),
            "kafka.partitions=1",
            f'stream.directory="{tmp_path / "stream"}"',
            f"stream.fail_on_data_loss={str(not may_lose).lower()}",
            "stream.driver_memory_mb=1024",
        ]
    )
    ensure_topics(config.kafka, kafka.bootstrap_servers)
    return config


def send(config: Config, files: list[bytes]) -> None:
    producer = Producer({"bootstrap.servers": config.kafka.bootstrap_servers})
    for number, raw in enumerate(files):
        headers = [("file", f"{number}.dat".encode()), ("sent_ms", str(1_624_262_400_000 + number).encode())]
        producer.produce(config.kafka.files_topic, raw, "oslo", headers=headers)
    assert producer.flush(30) == 0


def await_read(job: StreamJob, number: int) -> None:
    """Spark tells its listeners of a batch a moment after it has ended."""
    await_that(lambda: job.listener.totals.read == number, f"{number} files read")


def look_until_it_follows(job: StreamJob) -> None:
    """As the job does every few seconds: a broker may not describe a topic in the moment in which it is made."""
    before = job.queries[0]

    def follows() -> bool:
        job.look_again()
        return job.queries[0] is not before

    await_that(follows, "a query on the new topic")


@pytest.mark.parametrize("may_lose", [False, True])
def test_a_topic_that_was_made_anew_with_more_records_than_before_is_not_read_from_its_midst(
    kafka: EmbeddedKafka, tmp_path: Path, cl51_files: list[bytes], may_lose: bool
) -> None:
    config = config_for(f"anew-{may_lose}", kafka, tmp_path, may_lose=may_lose)
    send(config, cl51_files[:BEFORE])
    job = StreamJob(config, with_archive=False).start()
    try:
        job.drain()
        await_read(job, BEFORE)

        make_anew(config, config.kafka.files_topic)
        if not may_lose:
            with pytest.raises(ConfigError, match="was made anew"):
                look_until_it_follows(job)
            return
        look_until_it_follows(job)
        send(config, (cl51_files * AFTER)[:AFTER])
        job.drain()
        await_read(job, BEFORE + AFTER)
    finally:
        job.stop()
