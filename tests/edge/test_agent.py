"""The agent beside the instrument, against a real Kafka: nothing lost, nothing repeated, in order."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from edge_node import NOBODY, Node, records_of, sha256_of, topic

from ipdsf_spark.config import EdgeConfig, KafkaConfig
from ipdsf_spark.devkafka import EmbeddedKafka
from ipdsf_spark.edge import sender
from ipdsf_spark.edge.agent import EdgeAgent
from ipdsf_spark.edge.entry import MISSING, PENDING, REFUSED
from ipdsf_spark.edge.journal import Journal
from ipdsf_spark.edge.sender import Sender
from ipdsf_spark.errors import ConfigError, InputError
from ipdsf_spark.kafka import ensure_topics
from tests.topic_ends import ends


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder to watch"):
        EdgeAgent(EdgeConfig(watch=str(tmp_path / "none")), KafkaConfig(), NOBODY, "oslo")


def test_a_login_without_its_secret_stops_the_agent_before_it_begins(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("IPDSF_KAFKA_PASSWORD", raising=False)
    node.kafka = KafkaConfig(security_protocol="SASL_SSL", sasl_mechanism="PLAIN")

    with pytest.raises(ConfigError, match="IPDSF_KAFKA_PASSWORD is not set"):
        node.agent()


def test_days_without_network_keep_every_file(node: Node) -> None:
    agent = node.agent()
    for number in range(5):
        node.write(f"{number}.dat", b"%d" % number)

    agent.take_in()

    assert agent.journal.counts() == {"pending": 5, "delivered": 0, "refused": 0, "missing": 0}
    assert [agent.store.read(entry) for entry in agent.journal.pending(9)] == [b"%d" % number for number in range(5)]


def test_what_a_broker_refused_waits_again_once_as_much_is_allowed_and_its_copy_is_there(node: Node) -> None:
    agent = node.agent()
    for name, num_bytes in (("a-small.dat", 900), ("b-large.dat", 3_000), ("c-without-copy.dat", 800), ("d-gone", 700)):
        node.write(name, bytes(num_bytes))
    agent.take_in()
    states = {"d-gone": MISSING}
    agent.journal.put(
        replace(entry, state=states.get(entry.name, REFUSED), copy="" if "without" in entry.name else entry.copy)
        for entry in agent.journal.pending(9)
    )
    agent.close()
    node.kafka = replace(node.kafka, max_message_bytes=1_000)

    again = node.agent()

    assert [(entry.name, entry.reason) for entry in again.journal.pending(9)] == [("a-small.dat", "")]
    assert again.journal.counts() == {"pending": 1, "delivered": 0, "refused": 2, "missing": 1}


def test_records_are_handed_over_in_batches_that_fit_into_memory_the_oldest_first(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "BATCH", 4)
    monkeypatch.setattr(sender, "BATCH_BYTES", 1_000)
    agent = node.agent()
    sizes = [400, 500, 200, 5_000, 1, 2, 3, 4, 5]
    for number, size in enumerate(sizes):
        node.write(f"{number}.dat", bytes([number]) * size)
    agent.take_in()
    before_kafka_said_its_time = agent.sender._next(agent.journal, 0)
    agent.sender._has_asked_time = True
    agent.clock.heard(node.clocks.wall_s)

    batches, after = [], 0
    while batch := agent.sender._next(agent.journal, after):
        after = batch[-1].seq
        batches.append([entry.bytes for entry in batch])

    assert [entry.bytes for entry in before_kafka_said_its_time] == [400]
    assert batches == [[400, 500], [200], [5_000], [1, 2, 3, 4], [5]]


@pytest.mark.kafka
def test_every_file_arrives_once_with_its_name_checksum_and_number(connected: Node) -> None:
    raws = [b"file %d" % number for number in range(20)]
    for number, raw in enumerate(raws):
        connected.write(f"{number:02d}.dat", raw)

    for _ in range(3):  # a restart finds nothing left to do
        agent = connected.agent()
        agent.take_in()
        assert agent.send_pending()

    records = records_of(connected)
    assert [record.value for record in records] == raws
    assert {record.key for record in records} == {"oslo"}
    assert [record.headers["sha256"] for record in records] == [sha256_of(raw) for raw in raws]
    assert [record.headers["seq"] for record in records] == [str(number) for number in range(1, 21)]
    assert {(record.headers["offset"], record.headers.get("grown")) for record in records} == {("0", None)}


@pytest.mark.kafka
def test_files_go_in_the_order_they_were_written_and_numbers_in_names_count(connected: Node) -> None:
    agent = connected.agent()
    for name, age_s in (("b-newest.dat", 1.0), ("day-10.dat", 60.0), ("day-9.dat", 60.0), ("z-oldest.dat", 90.0)):
        connected.write(name, name.encode(), age_s=age_s)

    assert agent.take_in() == 4
    assert agent.send_pending()

    sent = [(record.headers["file"], int(record.headers["seq"])) for record in records_of(connected)]
    assert sent == [("z-oldest.dat", 1), ("day-9.dat", 2), ("day-10.dat", 3), ("b-newest.dat", 4)]


@pytest.mark.kafka
def test_a_file_in_flight_that_had_arrived_is_not_sent_again(connected: Node) -> None:
    connected.write("a.dat", b"arrived")
    agent = connected.agent()
    agent.take_in()
    (entry,) = agent.journal.pending(9)
    before = ends(connected.kafka, connected.bootstrap)
    assert agent.send_pending()
    # the power went between the acknowledgement and the journal:
    (sent,) = agent.journal.of_file("a.dat")
    marks = {part: before[part] for part in agent.journal.marks()}
    agent.journal.put([replace(sent, state=PENDING, in_flight=True)], marks=marks)

    again = connected.agent()
    assert again.send_pending()

    assert len(records_of(connected)) == 1
    assert again.journal.counts()["delivered"] == 1
    assert again.store.read(again.journal.of_file("a.dat")[0]) == b"arrived"
    assert entry.copy.startswith("waiting/")


@pytest.mark.kafka
def test_a_file_over_the_limit_is_refused_with_the_reason_and_its_neighbours_go(connected: Node) -> None:
    connected.kafka = replace(connected.kafka, max_message_bytes=1000)
    connected.write("a-large.dat", bytes(2000), age_s=2.0)
    connected.write("b-small.dat", b"small")
    agent = connected.agent()

    agent.take_in()
    assert agent.send_pending()

    assert agent.journal.counts() == {"pending": 0, "delivered": 1, "refused": 1, "missing": 0}
    (refused,) = agent.journal.refused()
    assert refused.name == "a-large.dat"
    assert "2000 bytes, kafka.max_message_bytes allows 1000" in refused.reason


@pytest.mark.kafka
@pytest.mark.slow
def test_an_agent_killed_again_and_again_neither_loses_nor_repeats(tmp_path: Path, kafka: EmbeddedKafka) -> None:
    config = topic("edge-killed")
    ensure_topics(config, kafka.bootstrap_servers)
    watched = tmp_path / "instrument"
    watched.mkdir()
    raws = [os.urandom(20_000) for _ in range(300)]
    for number, raw in enumerate(raws):
        (watched / f"{number:03d}.dat").write_bytes(raw)
    overrides = [
        f"kafka.bootstrap_servers={kafka.bootstrap_servers}",
        f"kafka.files_topic={config.files_topic}",
        f'edge.directory="{tmp_path / "edge"}"',
        "edge.settle_s=0.0",
    ]
    command = [sys.executable, "-m", "ipdsf_spark.cli.main", "edge", "--watch", str(watched), "--site", "oslo"]
    command += [word for override in overrides for word in ("--set", override)]

    for kill_after in (40, 120, 210):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60.0
        while sum(ends(config, kafka.bootstrap_servers).values()) < kill_after and time.monotonic() < deadline:
            assert process.poll() is None
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    subprocess.run([*command, "--once"], check=True, stdout=subprocess.DEVNULL)

    node = Node(tmp_path, config, kafka.bootstrap_servers)
    assert Counter(record.headers["sha256"] for record in records_of(node)) == Counter(map(sha256_of, raws))
    assert Counter(Journal(tmp_path / "edge" / "oslo" / "journal.sqlite").counts()) == Counter(delivered=300)


def test_an_agent_that_is_asked_to_stop_does_not_wait_a_minute_for_a_kafka_that_is_away(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "STOPS_WITHIN_S", 0.1)
    monkeypatch.setattr(sender, "FLUSHED_AT_A_TIME_S", 0.1)
    monkeypatch.setattr(Sender, "_mark_end", lambda self, journal: None)
    node.write("a.dat", b"a")
    agent = node.agent()
    agent.take_in()
    asked = iter([False, True])
    began = time.monotonic()

    assert not agent.send_pending(should_stop=lambda: next(asked, True))

    assert time.monotonic() - began < 10.0
    (entry,) = agent.journal.in_flight()  # what became of it is asked at the next start
    assert entry.name == "a.dat"
    agent.close()
