"""Recorded files as a live network."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from ipdsf_spark.cli.main import main
from ipdsf_spark.config import KafkaConfig
from ipdsf_spark.devkafka import EmbeddedKafka
from ipdsf_spark.errors import BrokerError, InputError
from ipdsf_spark.kafka import ensure_topics
from ipdsf_spark.loadgen.replay import Feed, feeds_of, replay, schedule
from tests.topic_ends import ends


def recorded(tmp_path: Path, **files: int) -> Path:
    for site, count in files.items():
        (tmp_path / site).mkdir()
        for number in range(count):
            (tmp_path / site / f"{number:03d}.dat").write_bytes(f"{site} {number}".encode())
    (tmp_path / "sites.toml").write_text("")
    return tmp_path


def test_every_folder_is_a_site_and_tables_are_not_sent(tmp_path: Path) -> None:
    feeds = feeds_of(recorded(tmp_path, oslo=3, bergen=2))

    assert [(feed.site, len(feed.files)) for feed in feeds] == [("bergen", 2), ("oslo", 3)]


def test_files_of_the_folder_one_stands_in_are_of_the_site_that_it_is_called_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(recorded(tmp_path, oslo=2) / "oslo")

    assert [(feed.site, len(feed.files)) for feed in feeds_of(Path())] == [("oslo", 2)]


def test_a_folder_that_is_no_networks_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    (tmp_path / "sub dir").mkdir()
    (tmp_path / "sub dir" / "a.dat").write_bytes(b"a")

    with pytest.raises(InputError, match=r"the folder .*sub dir names no site: 'sub dir' is no site id"):
        feeds_of(recorded(tmp_path, oslo=1))


def test_an_empty_name_is_not_the_folder_one_stands_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(recorded(tmp_path, oslo=1))

    assert main(["replay", ""]) == 1
    assert "the name of the folder to replay is empty" in capsys.readouterr().err


@pytest.mark.kafka
def test_a_file_larger_than_kafka_takes_is_named_and_the_others_are_sent(
    tmp_path: Path, kafka: EmbeddedKafka, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = recorded(tmp_path, oslo=3)
    (folder / "oslo" / "001.dat").write_bytes(bytes(300_000))
    words = ["kafka.files_topic=large.files", f"kafka.bootstrap_servers={kafka.bootstrap_servers}"]
    options = [word for setting in [*words, "kafka.max_message_bytes=100000"] for word in ("--set", setting)]

    assert main(["replay", str(folder), "--rate", "1000", "--json", *options]) == 1

    told = capsys.readouterr()
    assert {"sent": 3, "failed": 1}.items() <= json.loads(told.out).items()
    assert "1 of 3 files were not taken: 001.dat of oslo: " in told.err and "too large" in told.err


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no instrument files"):
        feeds_of(tmp_path)


def test_a_site_keeps_the_order_of_its_files(tmp_path: Path) -> None:
    feeds = feeds_of(recorded(tmp_path, oslo=3, bergen=2))

    sent = list(schedule(feeds, 2, None))

    assert [path.name for site, path in sent if site == "oslo"] == ["000.dat", "001.dat", "002.dat"]
    assert len(sent) == 5


def test_more_sites_than_recorded_share_the_files_under_names_of_their_own() -> None:
    feed = Feed("oslo", [Path("a"), Path("b")])

    sent = list(islice(schedule([feed], 3, 100), 6))

    assert [site for site, _ in sent] == ["oslo", "oslo-1", "oslo-2"] * 2


def test_a_count_makes_the_feeds_start_over() -> None:
    sent = list(schedule([Feed("oslo", [Path("a"), Path("b")])], 1, 5))

    assert [path.name for _, path in sent] == ["a", "b", "a", "b", "a"]


@pytest.mark.kafka
@pytest.mark.parametrize("partitioning", ["by_site", "round_robin"])
def test_round_robin_spreads_evenly_and_by_site_keeps_a_site_together(
    tmp_path: Path, kafka: EmbeddedKafka, partitioning: str
) -> None:
    name = partitioning.replace("_", "")
    config = KafkaConfig(
        files_topic=f"{name}.files", products_topic=f"{name}.layers", quarantine_topic=f"{name}.bad", partitions=4
    )
    ensure_topics(config, kafka.bootstrap_servers)
    feeds = feeds_of(recorded(tmp_path, oslo=12))

    done = replay(feeds, config, kafka.bootstrap_servers, rate=1000.0, partitioning=partitioning)

    assert (done.sent, done.failed) == (12, 0)
    counts = Counter({part: end for part, end in ends(config, kafka.bootstrap_servers).items() if end})
    assert sorted(counts.values()) == ([3, 3, 3, 3] if partitioning == "round_robin" else [12])


def test_files_that_nobody_acknowledges_are_not_called_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ipdsf_spark.loadgen.replay.SETTLED_WITHIN_S", 0.2)

    with pytest.raises(BrokerError, match=r"took none of 3 files: not acknowledged"):
        replay(feeds_of(recorded(tmp_path, oslo=3)), KafkaConfig(), "localhost:1", rate=1000.0)


@pytest.mark.parametrize("option", ["--rate", "--interval", "--speed"])
@pytest.mark.parametrize("number", ["0", "-1", "nan", "inf"])
def test_a_pace_that_no_network_has_is_refused_before_anything_is_sent(
    option: str, number: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", str(recorded(tmp_path, oslo=1)), f"{option}={number}"]) == 2
    assert f"{option} must be a number above 0, got {float(number)}" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--sites", "--count"])
def test_a_network_of_no_site_or_no_file_is_refused(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", str(recorded(tmp_path, oslo=1)), f"{option}=0"]) == 2
    assert f"{option} must be at least 1, got 0" in capsys.readouterr().err


@pytest.mark.kafka
@pytest.mark.parametrize("words", [["replay"], ["edge", "--replay"]])
def test_both_spellings_of_the_command_send_the_files(
    tmp_path: Path, kafka: EmbeddedKafka, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    config = KafkaConfig(files_topic=f"spelled-{len(words)}.files", partitions=2)
    names = {"products_topic": "spelled.layers", "quarantine_topic": "spelled.bad"}
    ensure_topics(replace(config, **names), kafka.bootstrap_servers)
    overrides = [f"kafka.bootstrap_servers={kafka.bootstrap_servers}", f"kafka.files_topic={config.files_topic}"]
    options = [word for override in overrides for word in ("--set", override)]

    code = main([*words, str(recorded(tmp_path, oslo=3)), "--rate", "1000", "--json", *options])

    assert code == 0
    assert json.loads(capsys.readouterr().out)["sent"] == 3
    assert sum(ends(config, kafka.bootstrap_servers).values()) == 3
