"""`ipdsf broker` as a program uses it: started, asked and stopped, answers as JSON on standard output only."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ipdsf_spark.config import load
from ipdsf_spark.kafka import num_partitions


def ipdsf_broker(directory: Path, action: str, *words: str) -> tuple[int, Any, str]:
    """Exit code, the JSON on standard output, and what was said to a person."""
    command = [sys.executable, "-m", "ipdsf_spark.cli.main", "broker", action, "--directory", str(directory), *words]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False, timeout=180)
    return done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """A folder for a broker, which is stopped whatever happens."""
    yield tmp_path / "broker"
    ipdsf_broker(tmp_path / "broker", "stop")


@pytest.mark.kafka
@pytest.mark.slow
def test_a_broker_is_started_asked_and_stopped(directory: Path) -> None:
    started, answer, said = ipdsf_broker(directory, "start", "--partitions", "6")
    asked, status, _ = ipdsf_broker(directory, "status")
    again, _, refusal = ipdsf_broker(directory, "start")
    kafka = load().kafka
    partitions = num_partitions(kafka, answer["bootstrap_servers"])
    stopped, end, _ = ipdsf_broker(directory, "stop")
    after, nothing, _ = ipdsf_broker(directory, "status")

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
    assert (after, nothing) == (1, {"running": False, "bootstrap_servers": "", "nodes": []})
    cmdline = Path(f"/proc/{node['pid']}/cmdline")  # empty once it has ended and waits to be reaped
    assert not cmdline.exists() or not cmdline.read_bytes()


@pytest.mark.kafka
@pytest.mark.slow
def test_what_a_broker_held_is_there_when_it_is_started_again_at_the_same_port(directory: Path) -> None:
    _, first, _ = ipdsf_broker(directory, "start", "--partitions", "3")
    ipdsf_broker(directory, "stop")

    _, second, _ = ipdsf_broker(directory, "start", "--partitions", "3")

    assert second["bootstrap_servers"] == first["bootstrap_servers"]
    assert num_partitions(load().kafka, second["bootstrap_servers"])[load().kafka.files_topic] == 3


def test_stopping_where_no_broker_runs_is_no_error(directory: Path) -> None:
    assert ipdsf_broker(directory, "stop")[:2] == (0, {"stopped": 0})


def test_a_wrong_number_of_partitions_is_wrong_usage(directory: Path) -> None:
    code, answer, said = ipdsf_broker(directory, "start", "--partitions", "-1")

    assert (code, answer) == (2, None)
    assert "kafka.partitions must be" in said
