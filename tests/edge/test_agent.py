"""The agent beside the instrument, against a real Kafka: nothing lost, nothing repeated."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from ipdsf_spark.config import EdgeConfig, KafkaConfig
from ipdsf_spark.devkafka import EmbeddedKafka
from ipdsf_spark.edge import store
from ipdsf_spark.edge.agent import EdgeAgent
from ipdsf_spark.edge.arrived import checksums_since, ends
from ipdsf_spark.edge.journal import DELIVERED, PENDING, Entry, Journal
from ipdsf_spark.errors import InputError
from ipdsf_spark.kafka import ensure_topics

NOBODY = "localhost:1"  # no Kafka listens there


def edge_config(tmp_path: Path, **changes: object) -> EdgeConfig:
    watched = tmp_path / "instrument"
    watched.mkdir(exist_ok=True)
    settings = {"watch": str(watched), "directory": str(tmp_path / "edge"), "settle_s": 0.0, "poll_s": 0.05}
    return EdgeConfig(**(settings | changes))  # type: ignore[arg-type]


def topic(name: str, **changes: object) -> KafkaConfig:
    return KafkaConfig(
        files_topic=f"{name}.files",
        products_topic=f"{name}.layers",
        quarantine_topic=f"{name}.bad",
        partitions=3,
        **changes,  # type: ignore[arg-type]
    )


def sha256_of(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder to watch"):
        EdgeAgent(EdgeConfig(watch=str(tmp_path / "none")), KafkaConfig(), NOBODY, "oslo")


def test_a_file_is_taken_in_only_when_it_has_stopped_changing(tmp_path: Path) -> None:
    now = [1_000_000.0]
    edge = edge_config(tmp_path, settle_s=2.0)
    agent = EdgeAgent(edge, KafkaConfig(), NOBODY, "oslo", clock=lambda: now[0])
    path = Path(edge.watch, "day.dat")
    path.write_bytes(b"begun")
    os.utime(path, (now[0], now[0]))

    assert agent.take_in() == 0
    now[0] += 1.0
    path.write_bytes(b"begun, and finished")
    os.utime(path, (now[0], now[0]))
    assert agent.take_in() == 0
    now[0] += 1.9
    assert agent.take_in() == 0
    now[0] += 0.2
    assert agent.take_in() == 1
    assert agent.take_in() == 0

    (entry,) = agent.journal.pending(9)
    assert entry.sha256 == sha256_of(b"begun, and finished")


def test_days_without_network_keep_every_file(tmp_path: Path) -> None:
    edge = edge_config(tmp_path)
    agent = EdgeAgent(edge, topic("offline"), NOBODY, "oslo")
    for number in range(5):
        Path(edge.watch, f"{number}.dat").write_bytes(b"%d" % number)

    agent.take_in()

    assert agent.journal.counts() == {"pending": 5, "delivered": 0, "refused": 0}
    assert [store.read(tmp_path / "edge" / "oslo" / "copies", e) for e in agent.journal.pending(9)] == [
        b"%d" % number for number in range(5)
    ]


def test_the_budget_never_deletes_what_was_not_delivered(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.sqlite")
    root = tmp_path / "copies"
    for number, state in enumerate([DELIVERED, PENDING, DELIVERED]):
        raw = b"%d" % number * 1000
        copy = store.keep(root, f"{number}.dat", sha256_of(raw), raw, seen_s=1000.0 + number)
        entry = Entry(sha256_of(raw), f"{number}.dat", copy, len(raw), 1000.0 + number, PENDING, in_flight=False)
        journal.add(entry)
        if state == DELIVERED:
            journal.settle([(entry, DELIVERED, "")])

    deleted = store.prune(root, journal, budget_bytes=500, keep_days=1000, now_s=2000.0)

    assert deleted == 2
    assert [store.read(root, entry) for entry in journal.pending(9)] == [b"1" * 1000]


@pytest.mark.kafka
def test_every_file_arrives_once_with_its_name_and_checksum(tmp_path: Path, kafka: EmbeddedKafka) -> None:
    config, edge = topic("once"), edge_config(tmp_path)
    ensure_topics(config, kafka.bootstrap_servers)
    raws = [b"file %d" % number for number in range(20)]
    for number, raw in enumerate(raws):
        Path(edge.watch, f"{number:02d}.dat").write_bytes(raw)

    for _ in range(3):  # a restart finds nothing left to do
        agent = EdgeAgent(edge, config, kafka.bootstrap_servers, "oslo")
        agent.take_in()
        assert agent.send_pending()

    assert sum(ends(config, kafka.bootstrap_servers).values()) == 20
    assert checksums_since(config, kafka.bootstrap_servers, {}, key="oslo") == {sha256_of(raw) for raw in raws}


@pytest.mark.kafka
def test_a_file_in_flight_that_had_arrived_is_not_sent_again(tmp_path: Path, kafka: EmbeddedKafka) -> None:
    config, edge = topic("inflight"), edge_config(tmp_path)
    ensure_topics(config, kafka.bootstrap_servers)
    Path(edge.watch, "a.dat").write_bytes(b"arrived")
    agent = EdgeAgent(edge, config, kafka.bootstrap_servers, "oslo")
    agent.take_in()
    (entry,) = agent.journal.pending(9)
    before = ends(config, kafka.bootstrap_servers)
    assert agent.send_pending()
    # the power went between the acknowledgement and the journal:
    agent.journal.settle([(entry, PENDING, "")])
    agent.journal.mark_in_flight([entry], before)

    again = EdgeAgent(edge, config, kafka.bootstrap_servers, "oslo")
    assert again.send_pending()

    assert sum(ends(config, kafka.bootstrap_servers).values()) == 1
    assert again.journal.counts()["delivered"] == 1


@pytest.mark.kafka
def test_a_file_over_the_limit_is_refused_with_the_reason_and_its_neighbours_go(
    tmp_path: Path, kafka: EmbeddedKafka
) -> None:
    config, edge = topic("limit", max_message_bytes=1000), edge_config(tmp_path)
    ensure_topics(config, kafka.bootstrap_servers)
    Path(edge.watch, "a-large.dat").write_bytes(bytes(2000))
    Path(edge.watch, "b-small.dat").write_bytes(b"small")
    agent = EdgeAgent(edge, config, kafka.bootstrap_servers, "oslo")

    agent.take_in()
    assert agent.send_pending()

    assert agent.journal.counts() == {"pending": 0, "delivered": 1, "refused": 1}
    ((name, reason),) = agent.journal.refused()
    assert name == "a-large.dat"
    assert "2000 bytes, kafka.max_message_bytes allows 1000" in reason


@pytest.mark.kafka
@pytest.mark.slow
def test_an_agent_killed_again_and_again_neither_loses_nor_repeats(tmp_path: Path, kafka: EmbeddedKafka) -> None:
    config, edge = topic("edge-killed"), edge_config(tmp_path)
    ensure_topics(config, kafka.bootstrap_servers)
    raws = [os.urandom(20_000) for _ in range(300)]
    for number, raw in enumerate(raws):
        Path(edge.watch, f"{number:03d}.dat").write_bytes(raw)
    overrides = [
        f"kafka.bootstrap_servers={kafka.bootstrap_servers}",
        f"kafka.files_topic={config.files_topic}",
        f'edge.directory="{edge.directory}"',
        "edge.settle_s=0.0",
    ]
    command = [sys.executable, "-m", "ipdsf_spark.cli.main", "edge", "--watch", edge.watch, "--site", "oslo"]
    command += [word for override in overrides for word in ("--set", override)]

    for kill_after in (40, 120, 210):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60.0
        while sum(ends(config, kafka.bootstrap_servers).values()) < kill_after and time.monotonic() < deadline:
            assert process.poll() is None
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    subprocess.run([*command, "--once"], check=True, stdout=subprocess.DEVNULL)

    assert sum(ends(config, kafka.bootstrap_servers).values()) == 300
    arrived = checksums_since(config, kafka.bootstrap_servers, {}, key="oslo")
    assert arrived == {sha256_of(raw) for raw in raws}
    assert Counter(Journal(Path(edge.directory, "oslo", "journal.sqlite")).counts()) == Counter(delivered=300)
