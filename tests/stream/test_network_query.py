"""The query on the network against a real Kafka: interrupted anywhere it says the same, and nothing ends it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from confluent_kafka import Producer
from network_records import FIRST, message, network_beta
from pyspark.errors import StreamingQueryException
from pyspark.sql import SparkSession
from topics import records_in

from ipdsf_spark.config import Config, load
from ipdsf_spark.devkafka import EmbeddedKafka
from ipdsf_spark.errors import ConfigError
from ipdsf_spark.kafka import ensure_topics
from ipdsf_spark.kafka.quarantine import read as read_quarantine
from ipdsf_spark.spark.session import build_session
from ipdsf_spark.stream.network_query import NetworkQuery, acknowledge
from ipdsf_spark.stream.network_rows import COMPONENTS_KIND, NETWORK_KIND, SITE_KIND
from ipdsf_spark.stream.network_state import StateFiles

pytestmark = [pytest.mark.kafka, pytest.mark.spark, pytest.mark.slow]

SITES = [f"site-{number}" for number in range(6)]
NUM_SLICES = 60
IN_2090 = 12_623_000


def config_for(name: str, kafka: EmbeddedKafka, folder: Path, *overrides: str) -> Config:
    topics = ("files", "averages", "products", "sites", "quarantine")
    config = load(
        overrides=[
            f"kafka.bootstrap_servers={kafka.bootstrap_servers}",
            *(f"kafka.{topic}_topic={name}.{topic}" for topic in topics),
            "kafka.partitions=2",
            f'stream.directory="{folder}"',
            "stream.driver_memory_mb=1024",
            "network.rank=3",
            "network.num_cells=20",
            "network.warm_up_intervals=12",
            "network.wait_intervals=2",
            "network.trigger_s=1",
            *overrides,
        ]
    )
    ensure_topics(config.kafka, kafka.bootstrap_servers)
    return config


@pytest.fixture(scope="module")
def session(kafka: EmbeddedKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    config = config_for("session", kafka, tmp_path_factory.mktemp("session"))
    session = build_session(config, app_name="network")
    yield session
    session.stop()


def send(config: Config, records: list[tuple[bytes, bytes | None]]) -> None:
    """Keys and values of averages."""
    producer = Producer({"bootstrap.servers": config.kafka.bootstrap_servers})
    for key, value in records:
        producer.produce(config.kafka.averages_topic, value, key)
    assert producer.flush(30) == 0


def averages(first: int, stop: int) -> list[tuple[bytes, bytes | None]]:
    beta = network_beta(NUM_SLICES, SITES, np.random.default_rng(2))
    return [
        (f"{site}|{index}".encode(), message(site, index, beta[number, line]))
        for number, index in enumerate(range(FIRST, FIRST + NUM_SLICES))
        if first <= number < stop
        for line, site in enumerate(SITES)
    ]


def products(kafka: EmbeddedKafka, config: Config) -> dict[str, set[bytes]]:
    """Everything that was ever said under each key."""
    said: dict[str, set[bytes]] = {}
    for key, value, _ in records_in(kafka, config.kafka.products_topic):
        said.setdefault(key, set()).add(value)
    return said


def drained(config: Config, session: SparkSession) -> NetworkQuery:
    query = NetworkQuery(config, spark=session).start()
    query.drain()
    query.stop()
    return query


def test_a_network_that_was_interrupted_in_every_way_says_what_an_uninterrupted_one_says(
    kafka: EmbeddedKafka, session: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = config_for("whole", kafka, tmp_path / "whole")
    send(whole, averages(0, NUM_SLICES))
    drained(whole, session)
    cut = config_for("cut", kafka, tmp_path / "cut", "network.max_averages_per_batch=100")

    send(cut, averages(0, 25))
    drained(cut, session)
    send(cut, averages(25, 45))
    written = StateFiles.write

    def full_disk(self: StateFiles, batch: int, *rest: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:  # rows are published, the state is not
        patched.setattr(StateFiles, "write", full_disk)
        query = NetworkQuery(cut, spark=session).start()
        with pytest.raises(StreamingQueryException, match="No space left on device"):
            query.drain()

    def lost_after(self: StateFiles, batch: int, small: bytes, model: bytes | None, model_batch: int) -> int:
        written(self, batch, small, model, model_batch)
        raise RuntimeError("planted")  # state is kept, Spark has not noted the batch

    with monkeypatch.context() as patched:
        patched.setattr(StateFiles, "write", lost_after)
        query = NetworkQuery(cut, spark=session).start()
        with pytest.raises(StreamingQueryException):
            query.drain()
    send(cut, averages(45, NUM_SLICES))
    drained(cut, session)

    expected, found = products(kafka, whole), products(kafka, cut)
    assert found == expected  # also: a batch that was repeated said the very same
    kinds = [key.split("|")[1] for key in found]
    assert kinds.count(NETWORK_KIND) == NUM_SLICES - 2
    assert kinds.count(SITE_KIND) == len(SITES) * kinds.count(COMPONENTS_KIND) > 0


def test_records_that_are_no_averages_are_quarantined_and_the_network_goes_on(
    kafka: EmbeddedKafka, session: SparkSession, tmp_path: Path
) -> None:
    config = config_for("odd", kafka, tmp_path / "odd")
    good = averages(0, 20)
    odd: list[tuple[bytes, bytes | None]] = [
        (b"site-0|x", b"no average"),
        (b"\xff\xfe", b""),
        (b"tombstone", None),
        (b"site-1|x", message("site-1", FIRST, np.full(60, np.nan), interval_s=60)),
        (b"site-2|x", message("site-2", IN_2090, np.full(60, 1e-6))),
    ]
    send(config, [*good[:50], *odd, *good[50:]])

    query = drained(config, session)

    letters = read_quarantine(config.kafka, kafka.bootstrap_servers)
    reasons = sorted(f"{letter.site}: {letter.reason}" for letter in letters)
    assert [reason.split(":")[0] for reason in reasons] == ["site-0", "site-1", "site-2", "tombstone", "��"]
    assert "an interval of 60 s in a network of 300 s" in reasons[1]
    assert "1 interval(s) that begin after their record was written" in reasons[2]
    assert all(letter.position.startswith("odd.averages-") for letter in letters)
    rows = [json.loads(value) for values in products(kafka, config).values() for value in values]
    assert sum(row["kind"] == NETWORK_KIND for row in rows) == 18
    assert query.stage.slices.last == FIRST + 17


def test_a_checkpoint_refuses_other_cells_and_a_lost_state_begins_anew_and_says_so(
    kafka: EmbeddedKafka, session: SparkSession, tmp_path: Path
) -> None:
    config = config_for("fixed", kafka, tmp_path / "fixed")
    send(config, averages(0, 10))
    drained(config, session)

    other = config_for("fixed", kafka, tmp_path / "fixed", "network.rank=4")
    with pytest.raises(ConfigError, match="rank was 3, is 4"):
        NetworkQuery(other, spark=session).start()

    acknowledge(config, ["site-1"])
    for path in (tmp_path / "fixed" / "checkpoint" / "network" / "state").iterdir():
        path.write_bytes(b"damaged")
    send(config, averages(10, 20))
    query = drained(config, session)

    rows = [json.loads(value) for values in products(kafka, config).values() for value in values]
    assert [row["quality"] for row in rows if row["quality"]] == [["state_began_anew"]]
    assert query.stage.num_acknowledged == 1
