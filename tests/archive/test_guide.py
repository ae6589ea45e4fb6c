"""The commands of docs/archive-and-quarantine.md, typed one after the other."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path

import pytest
from confluent_kafka import Producer
from records import average, product

from ipdsf_spark.archive.keeper import ArchiveKeeper
from ipdsf_spark.cli.main import main
from ipdsf_spark.config import load
from ipdsf_spark.devkafka import EmbeddedKafka
from ipdsf_spark.kafka import ensure_topics
from ipdsf_spark.kafka.dead_letter import dead_letter
from tests.conftest import REPOSITORY

GUIDE = (REPOSITORY / "docs" / "archive-and-quarantine.md").read_text(encoding="utf-8")

pytestmark = [pytest.mark.kafka]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", GUIDE, flags=re.MULTILINE | re.DOTALL)


def test_the_commands_and_programs_of_the_guide_run(
    kafka: EmbeddedKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = [f"kafka.bootstrap_servers={kafka.bootstrap_servers}", f'stream.archive_directory="{tmp_path}/archive"']
    for name in ("files", "averages", "products", "quarantine"):
        settings.append(f"kafka.{name}_topic=guide.{name}")
    config = load(overrides=[*settings, "kafka.partitions=1"])
    ensure_topics(config.kafka, kafka.bootstrap_servers)
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    producer.produce(config.kafka.products_topic, *reversed(product("oslo", 0, 700.0)))
    producer.produce(config.kafka.averages_topic, *reversed(average("oslo", 0)))
    key, value, headers = dead_letter(
        topic="ceilometer.files", partition=12, offset=345, site="oslo", file="a.dat", sent_ms=1, raw=b"x",
        stretches=[(0, 1, "checksum")], max_bytes=10**6,
    )  # fmt: skip
    producer.produce(config.kafka.quarantine_topic, value, key, headers=headers)
    producer.flush(20)
    keeper = ArchiveKeeper(config, kafka.bootstrap_servers).start()
    assert keeper.drain()
    keeper.stop()
    monkeypatch.chdir(tmp_path)
    words = [word for setting in settings for word in ("--set", setting)]
    lines = [line for block in blocks("bash") for line in block.splitlines()]

    for line in lines:
        command = shlex.split(line)
        assert command[0] == "ipdsf"
        if command[1:] != ["archive", "follow"]:  # runs until it is stopped: test_archive.py
            assert main([*command[1:], *words]) == 0, f"{line}\n{capsys.readouterr().err}"
    assert len(lines) > 10
    assert (tmp_path / "cf" / "oslo_20260621.nc").exists()
    assert (tmp_path / "bad" / "ceilometer.files-12-345-a.dat").read_bytes() == b"x"

    for program in blocks("python"):
        if "duckdb" not in program or importlib.util.find_spec("duckdb"):
            names = {"ARCHIVE": str(tmp_path / "archive")}
            exec(program, names)
            if "heights" in names:
                assert len(names["heights"]) == len(names["averages"]) == 1


def test_every_key_that_the_guide_names_exists() -> None:
    config = load()
    for section, key in re.findall(r"`(kafka|stream)\.(\w+)`", GUIDE):
        assert hasattr(getattr(config, section), key), f"{section}.{key}"
