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
from topics import make_anew, records_in

from ipdsf_spark.config import Config, load, with_overrides
from ipdsf_spark.devkafka import EmbeddedKafka
from ipdsf_spark.errors import ConfigError
from ipdsf_spark.kafka import ensure_topics
from ipdsf_spark.kafka.quarantine import read as read_quarantine
from ipdsf_spark.spark.session import build_session
from ipdsf_spark.stream import network_query
from ipdsf_spark.stream.network_query import NetworkQuery, acknowledge
from ipdsf_spark.stream.network_rows import COMPONENTS_KIND, NETWORK_KIND, SITE_KIND
from ipdsf_spark.stream.network_state import StateFiles
from tests.waiting import await_that

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
    config = config_for("fixed-network", kafka, tmp_path / "fixed")
    send(config, averages(0, 10))
    drained(config, session)

    other = config_for("fixed-network", kafka, tmp_path / "fixed", "network.rank=4")
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


def look_until_it_begins_again(query: NetworkQuery) -> None:
    """As it does every few seconds: a broker may not describe a topic in the moment in which it is made."""
    before = query.query

    def has_begun_again() -> bool:
        query.look_again()
        return query.query is not before

    await_that(has_begun_again, "another run of the query")


def test_a_site_that_is_added_while_the_network_runs_takes_part_and_is_not_quarantined(
    kafka: EmbeddedKafka, session: SparkSession, tmp_path: Path
) -> None:
    table = tmp_path / "sites.toml"
    lines = [f"[{site}]\nlatitude_deg = 59.9\nlongitude_deg = 10.7\n" for site in SITES]
    table.write_text("\n".join(lines[1:]), encoding="utf-8")
    config = config_for("sites", kafka, tmp_path / "sites", f'sites.file="{table}"')
    query = NetworkQuery(config, spark=session).start()
    try:
        send(config, [each for each in averages(0, 5) if not each[0].startswith(b"site-0|")])
        query.drain()
        assert sorted(query.stage.slices.newest) == SITES[1:]

        table.write_text("\n".join(lines), encoding="utf-8")
        look_until_it_begins_again(query)
        send(config, averages(5, 10))
        query.drain()
    finally:
        query.stop()

    assert sorted(query.stage.slices.newest) == SITES
    assert read_quarantine(config.kafka, kafka.bootstrap_servers) == []


@pytest.mark.parametrize("is_running", [True, False])
def test_what_the_network_has_learnt_outlives_the_topic_that_it_was_learnt_from(
    kafka: EmbeddedKafka,
    session: SparkSession,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    is_running: bool,
) -> None:
    name = f"outlives-{is_running}"
    config = config_for(name, kafka, tmp_path / name, "stream.fail_on_data_loss=false")
    send(config, averages(0, 20))
    query = NetworkQuery(config, spark=session).start()
    try:
        query.drain()
        if not is_running:
            query.stop()
        make_anew(config, config.kafka.averages_topic)
        if is_running:
            look_until_it_begins_again(query)
        send(config, averages(20, 50))  # more than before: no offset tells that the topic is another one
        if not is_running:
            query = NetworkQuery(config, spark=session).start()
        query.drain()
    finally:
        query.stop()

    rows = [json.loads(value) for values in products(kafka, config).values() for value in values]
    slices = sorted(row["time"] for row in rows if row["kind"] == NETWORK_KIND)
    assert len(slices) == 48  # all but those that wait for later ones: none of the first of the new topic is missing
    assert not [row["quality"] for row in rows if row.get("quality")]  # and nothing began anew

    drained(config, session)  # a restart finds the place that it kept
    with monkeypatch.context() as patched:
        patched.setattr(network_query, "held_parameters", lambda directory: {})
        with pytest.raises(ConfigError, match="has lost its parameters"):
            NetworkQuery(config, spark=session).start()
    refusing = config_for(name, kafka, tmp_path / name)
    make_anew(config, config.kafka.averages_topic)

    def is_refused() -> bool:
        try:
            NetworkQuery(refusing, spark=session).start().stop()
        except ConfigError as error:
            return "with all that the network has learnt" in str(error)
        return False

    await_that(is_refused, "the refusal of a topic that was made anew")


def test_a_query_that_is_begun_again_in_the_midst_of_a_batch_takes_the_state_of_the_one_before(
    kafka: EmbeddedKafka, session: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = config_for("whole-again", kafka, tmp_path / "whole")
    send(whole, averages(0, 20))
    drained(whole, session)
    config = config_for("begun-again", kafka, tmp_path / "again")
    table = tmp_path / "sites.toml"
    table.write_text("[default]\nlatitude_deg = 59.9\nlongitude_deg = 10.7\n", encoding="utf-8")
    config = with_overrides(config, [f'sites.file="{table}"'])
    send(config, averages(0, 20))
    query = NetworkQuery(config, spark=session)

    def cut_off(self: NetworkQuery, records: object) -> None:
        raise RuntimeError("cut off")

    with monkeypatch.context() as patched:  # the stage has gone on, nothing was said
        patched.setattr(NetworkQuery, "_publish", cut_off)
        query.start()
        with pytest.raises(StreamingQueryException, match="cut off"):
            query.drain()
    table.write_text("[default]\nlatitude_deg = 59.8\nlongitude_deg = 10.7\n", encoding="utf-8")
    with pytest.raises(StreamingQueryException, match="cut off"):
        query.look_again()  # what ended a query is not hidden by another start
    query.start()
    query.drain()
    query.stop()

    assert sorted(products(kafka, config)) == sorted(products(kafka, whole))
