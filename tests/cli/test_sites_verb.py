"""`ipdsf sites`: the newest status of every site, totals, and an exit code that says whether all adds up."""

from __future__ import annotations

import json

import pytest
from confluent_kafka import Producer

from ipdsf_spark.config import load
from ipdsf_spark.devkafka import EmbeddedKafka
from ipdsf_spark.kafka import ensure_topics
from tests.conftest import run_ipdsf

pytestmark = [pytest.mark.kafka]

OSLO = {"site": "oslo", "time": "2026-06-21T10:00:00Z", "instrument": "Vaisala CL51", "profiles": 40, "used": 30,
        "duplicate": 10, "is_balanced": True, "sent_ms": 1_782_000_000_000, "of_a_later_version": 1}  # fmt: skip
BERGEN = OSLO | {"site": "bergen", "late": 3, "profiles": 43, "sent_ms": 4_000_000_000_000}


@pytest.fixture(scope="module")
def settings(kafka: EmbeddedKafka) -> list[str]:
    overrides = [f"kafka.bootstrap_servers={kafka.bootstrap_servers}", "kafka.partitions=1"]
    overrides += [f"kafka.{name}_topic=status.{name}" for name in ("files", "averages", "products", "sites")]
    config = load(overrides=overrides)
    ensure_topics(config.kafka, kafka.bootstrap_servers)
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    for said in (OSLO | {"used": 1}, BERGEN, OSLO):
        producer.produce(config.kafka.sites_topic, json.dumps(said).encode(), said["site"])
    producer.flush(30)
    return [word for override in overrides for word in ("--set", override)]


def test_the_newest_word_on_every_site_and_their_total(settings: list[str]) -> None:
    *sites, total = [json.loads(line) for line in run_ipdsf("sites", "--json", *settings).stdout.splitlines()]

    assert [(site["site"], site["used"]) for site in sites] == [("bergen", 30), ("oslo", 30)]
    assert (total["sites"], total["profiles"], total["late"], total["is_balanced"]) == (2, 83, 3, True)


def test_only_silent_sites_and_only_named_ones(settings: list[str]) -> None:
    silent = run_ipdsf("sites", "--older-than", "5", *settings).stdout
    named = run_ipdsf("sites", "bergen", *settings).stdout

    assert "oslo" in silent
    assert "bergen" not in silent
    assert "3 late" in named
    assert "1 site(s): 43 profiles = 30 used + 10 duplicate + 3 late" in named


def test_a_site_that_the_stream_has_not_heard_of_is_named_and_an_exit_code(settings: list[str]) -> None:
    ended = run_ipdsf("sites", "bergen", "olso", *settings, check=False)

    assert ended.returncode == 1
    assert "1 site(s): 43 profiles" in ended.stdout
    assert "the stream has said nothing of a site 'olso'; did you mean 'oslo'?" in ended.stderr


@pytest.mark.parametrize("minutes", ["nan", "-1"])
def test_an_age_that_no_site_has_is_refused(settings: list[str], minutes: str) -> None:
    ended = run_ipdsf("sites", f"--older-than={minutes}", *settings, check=False)

    assert ended.returncode == 2
    assert f"--older-than must be 0 or more minutes, is {float(minutes)}" in ended.stderr


def test_counts_that_do_not_add_up_are_an_exit_code(kafka: EmbeddedKafka, settings: list[str]) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    producer.produce("status.sites", json.dumps(OSLO | {"site": "wrong", "is_balanced": False}).encode(), "wrong")
    producer.flush(30)

    ended = run_ipdsf("sites", *settings, check=False)

    assert ended.returncode == 1
    assert "COUNTS DO NOT ADD UP: wrong" in ended.stdout


def test_what_is_no_status_costs_nobody_the_others(kafka: EmbeddedKafka, settings: list[str]) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    for value in (b"no JSON", b"[" * 100_000, b"[]", b"{}", b'{"site": 5}'):
        producer.produce("status.sites", value, "strange")
    producer.produce("status.sites", json.dumps(OSLO | {"sent_ms": "now", "alarms": None}).encode(), "oslo")
    producer.flush(30)

    listed = [json.loads(line) for line in run_ipdsf("sites", "oslo", "--json", *settings).stdout.splitlines()]

    assert (listed[0]["used"], listed[0]["sent_ms"], listed[0]["alarms"]) == (30, 0, [])


def test_what_strangers_call_a_site_is_one_line_and_moves_no_cursor(kafka: EmbeddedKafka, settings: list[str]) -> None:
    strange = {"site": "\x1b[2J\nall is well", "flags": [1, None, "a\r\nb"], "alarms": [{}], "is_balanced": False}
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    producer.produce("status.sites", json.dumps(strange).encode(), "strange")
    producer.flush(30)

    listed = run_ipdsf("sites", *settings, check=False).stdout
    producer.produce("status.sites", None, strange["site"])
    producer.flush(30)

    assert "\x1b" not in listed
    assert "\r" not in listed
    (line,) = [line for line in listed.splitlines() if line.startswith("\\x1b[2J\\nall is well")]
    assert line.endswith("used  a\\r\\nb")


def test_a_site_that_was_taken_down_can_be_forgotten(settings: list[str]) -> None:
    ended = run_ipdsf("sites", "bergen", "nowhere", "--forget", *settings, check=False)

    assert (ended.returncode, ended.stdout) == (1, "bergen is forgotten\n")
    assert "the stream has said nothing of a site 'nowhere'" in ended.stderr
    assert "bergen" not in run_ipdsf("sites", *settings, check=False).stdout
    assert "none is" in run_ipdsf("sites", "--forget", *settings, check=False).stderr
