"""`ipdsf broker` as a program uses it: started, asked and stopped, answers as JSON on standard output only."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from ipdsf_spark.cli.main import main
from ipdsf_spark.config import EdgeConfig, KafkaConfig, load
from ipdsf_spark.devkafka.daemon import stopped_nodes
from ipdsf_spark.devkafka.nodes import Node, recorded
from ipdsf_spark.devkafka.processes import is_running
from ipdsf_spark.edge.agent import EdgeAgent
from ipdsf_spark.edge.arrived import partition_of
from ipdsf_spark.kafka import num_partitions

REPOSITORY = Path(__file__).resolve().parents[2]
RAN: set[str] = set()  # commands as the operator's page shows them


def command_of(directory: Path, action: str, *words: str) -> list[str]:
    RAN.add(" ".join(["ipdsf", "broker", action, *words]))
    return ["broker", action, "--directory", str(directory), *words, "--json"]


def in_a_process(directory: Path, action: str, *words: str) -> tuple[int, Any, str]:
    """Exit code, the JSON on standard output, and what was said to a person."""
    command = [sys.executable, "-m", "ipdsf_spark.cli.main", *command_of(directory, action, *words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=180)
    return done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr


def ipdsf_broker(directory: Path, action: str, *words: str) -> tuple[int, Any, str]:
    """The same by this process."""
    answer, said = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(answer), contextlib.redirect_stderr(said):
        code = main(command_of(directory, action, *words))
    return code, json.loads(answer.getvalue()) if answer.getvalue() else None, said.getvalue()


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """A folder for a broker, which is stopped whatever happens."""
    yield tmp_path / "broker"
    ipdsf_broker(tmp_path / "broker", "stop")


@pytest.mark.kafka
@pytest.mark.slow
def test_a_broker_is_started_asked_and_stopped(directory: Path) -> None:
    started, answer, said = in_a_process(directory, "start", "--partitions", "6")
    asked, status, _ = in_a_process(directory, "status")
    again, _, refusal = in_a_process(directory, "start")
    kafka = load().kafka
    partitions = num_partitions(kafka, answer["bootstrap_servers"])
    stopped, end, _ = in_a_process(directory, "stop")
    after, nothing, _ = in_a_process(directory, "status")

    assert (started, said) == (0, "starting Kafka ...\n")
    assert answer == status
    assert answer["running"]
    (node,) = answer["nodes"]
    assert answer["bootstrap_servers"] == f"localhost:{node['port']}"
    assert partitions[kafka.files_topic] == 6
    assert asked == 0
    assert again == 1
    assert "a broker runs already" in refusal
    assert (stopped, end) == (0, {"stopped": 1})
    assert (after, nothing["running"], nothing["nodes"]) == (1, False, [])
    assert (status["leaderless"], status["under_replicated"], status["stopped_nodes"]) == ([], [], [])
    cmdline = Path(f"/proc/{node['pid']}/cmdline")  # empty once it has ended and waits to be reaped
    assert not cmdline.exists() or not cmdline.read_bytes()


@contextlib.contextmanager
def beginning(directory: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """`ipdsf broker start` as a scheduler runs it; whatever a test does, it ends."""
    # A shell starts what stands in its background with Ctrl-C ignored, and so would the tests it starts there be.
    command = ["env", "--default-signal=INT", sys.executable, "-m", "ipdsf_spark.cli.main"]
    command += command_of(directory, "start", *words)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as started:
        try:
            yield started
        finally:
            started.kill()


def launched(directory: Path, starting: subprocess.Popen[str], *, besides: int = 0) -> Node:
    """The node that is being started, as soon as its process is there; long before it answers."""
    while starting.poll() is None:
        for node in recorded(directory):
            if node.pid not in {0, besides}:
                return node
        time.sleep(0.01)
    raise AssertionError(starting.stderr and starting.stderr.read())


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_start_that_is_ended_before_it_is_done_leaves_no_broker(directory: Path, number: signal.Signals) -> None:
    with beginning(directory) as starting:
        node = launched(directory, starting)
        starting.send_signal(number)
        code = starting.wait(60.0)

    assert code == (130 if number == signal.SIGINT else 128 + number)
    assert not is_running(node)
    assert recorded(directory) == []


@pytest.mark.kafka
@pytest.mark.slow
def test_a_node_whose_start_is_ended_does_not_run_and_is_told_as_stopped(directory: Path) -> None:
    _, first, _ = ipdsf_broker(directory, "start")
    ipdsf_broker(directory, "stop", "--node", "1")

    with beginning(directory, "--node", "1") as starting:
        node = launched(directory, starting, besides=first["nodes"][0]["pid"])
        starting.send_signal(signal.SIGTERM)
        code = starting.wait(60.0)

    assert code == 128 + signal.SIGTERM
    assert not is_running(node)
    assert [each.id for each in stopped_nodes(directory)] == [1]


@pytest.mark.kafka
@pytest.mark.slow
def test_what_a_broker_held_is_there_when_it_is_started_again_at_the_same_port(directory: Path) -> None:
    _, first, _ = ipdsf_broker(directory, "start", "--partitions", "3")
    ipdsf_broker(directory, "stop")

    _, second, _ = ipdsf_broker(directory, "start", "--partitions", "3")

    assert second["bootstrap_servers"] == first["bootstrap_servers"]
    assert num_partitions(load().kafka, second["bootstrap_servers"])[load().kafka.files_topic] == 3


@pytest.mark.long
@pytest.mark.kafka
@pytest.mark.slow
def test_one_of_two_brokers_dies_under_load_is_named_started_again_and_nothing_is_lost(directory: Path) -> None:
    code, answer, _ = ipdsf_broker(directory, "start", "--brokers", "2", "--partitions", "4")
    assert code == 0
    bootstrap = answer["bootstrap_servers"]
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    for future in admin.create_topics([NewTopic("single", 2, 1)]).values():  # without a second copy
        future.result(30.0)
    kafka = load().kafka
    acknowledged: list[bytes] = []
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "enable.idempotence": True, "log_level": 0})
    for number in range(400):
        producer.produce(
            kafka.files_topic,
            b"%d" % number,
            key=str(number % 16),
            on_delivery=lambda error, message: None if error else acknowledged.append(message.value()),
        )
        if number == 200:
            producer.flush(30.0)
            os.kill(next(node["pid"] for node in answer["nodes"] if node["id"] == 1), signal.SIGKILL)
    producer.flush(60.0)
    asked, status, _ = ipdsf_broker(directory, "status")
    held = values_of(status["bootstrap_servers"], kafka.files_topic, 4)
    sites = [next(site for site in "abcdefgh" if partition_of(site.encode(), 2) == part) for part in (0, 1)]
    could_send = [send_as(site, status["bootstrap_servers"], directory.parent) for site in sites]
    again, after, _ = ipdsf_broker(directory, "restart", "--node", "1")
    stopped = ipdsf_broker(directory, "stop", "--node", "1")[:2]
    ended = ipdsf_broker(directory, "stop")[:2]

    assert len(acknowledged) == 400
    assert sorted(held) == sorted(acknowledged)
    assert asked == 1
    assert status["stopped_nodes"] == [1]
    assert {f"{kafka.files_topic}-{part}" for part in range(4)} <= set(status["under_replicated"])
    (leaderless,) = status["leaderless"]
    assert could_send == [leaderless != "single-0", leaderless != "single-1"]
    assert (again, after["stopped_nodes"], after["leaderless"], after["under_replicated"]) == (0, [], [], [])
    assert (stopped, ended) == ((0, {"stopped": 1}), (0, {"stopped": 2}))
    page = (REPOSITORY / "docs" / "edge.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^(?:! )?(ipdsf broker .*)$", page, flags=re.MULTILINE)) <= RAN


def send_as(site: str, bootstrap: str, folder: Path) -> bool:
    """Whether an agent of that site could send to the topic whose partitions have one copy each."""
    watched = folder / "watched" / site
    watched.mkdir(parents=True)
    (watched / "a.dat").write_bytes(b"a")
    edge = EdgeConfig(watch=str(watched), directory=str(folder / "edge"), settle_s=0.0)
    agent = EdgeAgent(edge, KafkaConfig(files_topic="single"), bootstrap, site)
    agent.take_in()
    return agent.send_pending()


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


def test_a_node_that_is_not_there_is_named(directory: Path) -> None:
    code, _, said = ipdsf_broker(directory, "start", "--node", "7")

    assert code == 1
    assert "no cluster runs" in said


def test_stopping_where_no_broker_runs_is_no_error(directory: Path) -> None:
    assert ipdsf_broker(directory, "stop")[:2] == (0, {"stopped": 0})


def test_a_wrong_number_of_partitions_is_wrong_usage(directory: Path) -> None:
    code, answer, said = ipdsf_broker(directory, "start", "--partitions", "-1")

    assert (code, answer) == (2, None)
    assert "kafka.partitions must be" in said
