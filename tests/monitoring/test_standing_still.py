"""A stream that stands still, or whose Kafka is away, looks like one with nothing to do: the page tells them apart."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from test_exported_metrics import NOW_S, listened, progress, samples, value

from ipdsf_spark.config import KafkaConfig
from ipdsf_spark.errors import BrokerError
from ipdsf_spark.kafka.client import Listener, failure
from ipdsf_spark.monitoring import network as followed
from ipdsf_spark.monitoring import page
from ipdsf_spark.monitoring.network import Follower, Network
from ipdsf_spark.monitoring.progress import LiveListener, _InTheJvm
from ipdsf_spark.monitoring.view import SILENT_S, View, view_of
from tests.waiting import await_that

ALERT = 'role="alert"'


class Quiet:
    """A consumer to whom nobody says anything; whether anybody is there only shows when they are asked."""

    def __init__(self) -> None:
        self.is_answered, self.num_asked = True, 0

    def assign(self, places: object) -> None:
        pass

    def consume(self, *_: object) -> list[Any]:
        return []

    def list_topics(self, topic: str, timeout: float) -> object:
        self.num_asked += 1
        if not self.is_answered:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT, "Failed to get metadata"))
        return SimpleNamespace()


def test_a_kafka_that_goes_away_without_a_word_is_told_and_so_is_its_return(monkeypatch: pytest.MonkeyPatch) -> None:
    quiet, network = Quiet(), Network()

    @contextmanager
    def consumer_of(kafka: KafkaConfig, bootstrap: str, *_: object, **__: object) -> Iterator[Quiet]:
        try:
            yield quiet
        except KafkaException as error:
            raise failure(error.args[0], kafka, bootstrap, Listener()) from error

    monkeypatch.setattr(followed, "consumer_of", consumer_of)
    monkeypatch.setattr(followed, "bounds", bounds_of(quiet))
    for name in ("QUIET_S", "RETRY_S"):
        monkeypatch.setattr(followed, name, 0.001)
    follower = Follower(KafkaConfig(), "here:9092", network).start()
    try:
        await_that(lambda: quiet.num_asked > 2, "Kafka is asked whether it is there")
        assert network.problem == ""
        quiet.is_answered = False
        await_that(lambda: network.problem != "", "somebody notices that Kafka is away")
        assert "Kafka at here:9092: Failed to get metadata" in network.problem
        assert value(samples(LiveListener("live"), network), "ipdsf_topics_are_seen") == 0
        quiet.is_answered = True
        await_that(lambda: network.problem == "", "somebody notices that it is back")
        assert value(samples(LiveListener("live"), network), "ipdsf_topics_are_seen") == 1
    finally:
        follower.stop()


def bounds_of(quiet: Quiet) -> Any:
    def bounds(_: object, topic: str, bootstrap: str) -> dict[int, tuple[int, int]]:
        if not quiet.is_answered:
            raise BrokerError(f"Kafka at {bootstrap}: Failed to get metadata")
        return {0: (0, 0)}

    return bounds


def seen(silent_s: float) -> View:
    listener = listened(progress({"0": 9}, {"0": 9}))
    listener.heard_s = NOW_S - silent_s
    return view_of(listener, Network(), {}, (), now_s=NOW_S)


def test_a_query_that_says_nothing_is_told_above_everything_else_and_one_that_idles_is_not() -> None:
    shown = page.index(seen(SILENT_S + 180.0), site_link="site/{}")

    assert "The stream has said nothing for 5 min" in shown
    assert shown.index(ALERT) < shown.index("files not read yet")
    assert ALERT not in page.index(seen(10.0), site_link="site/{}")
    assert seen(300.0).as_json()["silent_s"] == 300.0


def test_before_a_query_has_begun_nobody_says_for_how_long_it_has_been_silent() -> None:
    listener = LiveListener("live")

    assert math.isnan(listener.silent_s(NOW_S))
    assert ALERT not in page.index(view_of(listener, Network(), {}, (), now_s=NOW_S), site_link="site/{}")
    assert "ipdsf_query_silent_seconds" not in {each.name for each in samples(listener, Network())}


def test_a_query_is_heard_when_it_begins_when_a_batch_ends_and_when_there_is_nothing_to_do() -> None:
    for tell in (
        lambda heard: heard.onQueryStarted(None),
        lambda heard: heard.onQueryIdle(SimpleNamespace(runId=lambda: "run")),
        lambda heard: heard.onQueryProgress(
            SimpleNamespace(
                progress=lambda: SimpleNamespace(json=lambda: '{"name": "live", "batchId": 0, "timestamp": ""}')
            )
        ),
    ):
        listener = LiveListener("live")
        tell(_InTheJvm(listener))
        assert math.isfinite(listener.heard_s)
        assert value(samples(listener, Network()), "ipdsf_query_silent_seconds") == NOW_S - listener.heard_s
