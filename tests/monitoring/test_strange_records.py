"""Anybody whom Kafka lets may write a record: a strange one costs neither page nor metrics, nor makes them lie."""

from __future__ import annotations

import json
import logging
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.request import urlopen

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipdsf_spark.config import KafkaConfig
from ipdsf_spark.errors import ConfigError
from ipdsf_spark.monitoring import network as followed
from ipdsf_spark.monitoring import page
from ipdsf_spark.monitoring.job_metrics import job_samples
from ipdsf_spark.monitoring.network import OF_ALL, Follower, Network
from ipdsf_spark.monitoring.progress import LiveListener
from ipdsf_spark.monitoring.prometheus import Sample, render
from ipdsf_spark.monitoring.server import PageServer
from ipdsf_spark.monitoring.view import view_of
from ipdsf_spark.stream.network_rows import COMPONENTS_KIND, NETWORK_KIND
from tests.waiting import await_that

NOW_S = 1_800_000_000.0
TIME = "2026-06-21T12:00:00Z"
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from([10**400, "\ud800", "</script>", 'a"b\nc', TIME, ""])
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
KEYS = ("site", "time", "kind", "sent_ms", "mixing_height_m", "uncertainty_m", "quality", "provisional", "factor",
        "mean_90_days", "alarm", "alarms", "flags", "duplicate", "faults", "is_silent", "instrument")  # fmt: skip


def metrics(network: Network) -> dict[str, float]:
    said = job_samples(LiveListener("live"), network, (), group="g", cluster="c", max_sites=9, now_s=NOW_S)
    return {each.name: each.value for each in said}


def status(**said: Any) -> bytes:
    return json.dumps({"site": "oslo", "time": TIME, "is_balanced": True} | said).encode()


@given(
    st.fixed_dictionaries({}, optional=dict.fromkeys(KEYS, ANYTHING)), st.sampled_from(["layers", "calibration", ""])
)
def test_whatever_a_record_says_page_and_metrics_are_made(said: dict[str, Any], kind: str) -> None:
    network = Network()
    network.take_status(status())
    for record in (said, said | {"site": "oslo"}, said | {"site": "oslo", "time": TIME, "kind": kind}):
        network.take_status(json.dumps(record).encode())
        network.take_product(json.dumps(record).encode(), 5)

    view = view_of(LiveListener("live"), network, {}, (), now_s=NOW_S)

    render(job_samples(LiveListener("live"), network, (), group="g", cluster="c", max_sites=9, now_s=NOW_S))
    page.index(view, site_link="site/{}")
    assert page.site(view, "oslo", index_link="../")
    json.dumps(view.as_json())


@pytest.mark.parametrize("value", [b"[" * 200_000, b"9" * 5_000, b"\xff", b"5", b"null"])
def test_what_is_no_record_is_passed_over(value: bytes) -> None:
    network = Network()

    network.take_status(value)
    network.take_product(value, 5)

    assert network.sites() == {}


def test_half_a_letter_in_a_label_does_not_cost_the_metrics() -> None:
    assert b'{site="?"} 1\n' in render([Sample("ipdsf_site_alarms", 1, {"site": "\ud800"})])


def test_a_follower_that_stumbles_says_so_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries = iter((ConfigError("cannot read sec/password"), RuntimeError("of a kind that nobody knows")))

    @contextmanager
    def refusing(*_: object, **__: object) -> Iterator[None]:
        raise next(tries, RuntimeError("of a kind that nobody knows"))
        yield

    monkeypatch.setattr(followed, "consumer_of", refusing)
    monkeypatch.setattr(followed, "RETRY_S", 0.01)
    network = Network()
    with caplog.at_level(logging.WARNING):
        follower = Follower(KafkaConfig(), "nowhere:9092", network).start()
        try:
            await_that(lambda: "RuntimeError" in network.problem, "the follower stumbles over the second error")
        finally:
            follower.stop()

    assert network.problem == "RuntimeError: of a kind that nobody knows"
    assert "do not see the topics: cannot read sec/password" in caplog.text


def test_sending_files_again_puts_nothing_aside() -> None:
    network = Network()

    network.take_letter([("reason", b"no message header")])
    network.take_letter([("reason", b"no message header"), ("replayed", b"2026-06-21T12:00:00+00:00")])

    assert network.reasons() == {"no message header": 1}


@pytest.mark.parametrize("kind", OF_ALL)
def test_what_is_said_of_all_sites_at_once_is_no_site(kind: str) -> None:
    network = Network()

    network.take_product(json.dumps({"kind": kind, "site": "network", "time": TIME}).encode(), 5)

    assert network.sites() == {}
    assert set(OF_ALL) == {NETWORK_KIND, COMPONENTS_KIND}


def test_a_site_that_was_taken_out_of_its_topic_is_gone_until_it_sends_again() -> None:
    network = Network()
    network.take_status(status())

    network.take_status(None, "oslo")
    network.take_product(json.dumps({"kind": "layers", "site": "oslo", "time": TIME}).encode(), 5)
    assert network.sites() == {}

    network.take_status(status())
    assert set(network.sites()) == {"oslo"}


def test_a_job_that_starts_again_counts_from_nothing_and_never_back() -> None:
    network = Network()

    def told() -> float:
        return metrics(network)["ipdsf_operator_faults_total"]

    assert told() == 0
    network.take_status(status(faults=7), is_old=True)
    assert told() == 0  # they are of an earlier run, which has told them
    network.take_status(status(faults=9))
    network.take_status(status(site="bern", faults=1))
    assert told() == 3
    network.take_status(status(faults=8), is_old=True)  # read again after a pause
    network.take_status(status(faults=9), is_old=True)
    assert told() == 3
    network.take_status(status(faults=1))  # the state was forgotten and began anew
    assert told() == 4
    network.take_status(None, "bern")
    assert told() == 4


def serves(listen: str) -> str:
    """Where pages are served, asked for one; the system's own word where it gives no such address."""
    try:
        server = PageServer(listen, {"/": lambda rest, query: ("text/plain", b"here")})
    except OSError as error:
        return str(error.errno)
    try:
        with urlopen(f"{server.address}/", timeout=10) as answer:
            assert answer.read() == b"here"
        return server.address
    finally:
        server.close()


def refusal_of(family: socket.AddressFamily, host: str) -> str:
    """Whether the system gives a program this address: its word where it does not."""
    try:
        with socket.socket(family) as plain:
            plain.bind((host, 0))
    except OSError as error:
        return str(error.errno)
    return ""


def test_pages_are_served_at_addresses_of_both_kinds() -> None:
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", serves("127.0.0.1:0"))
    refused = refusal_of(socket.AF_INET6, "::1")  # a system without IPv6 refuses us as it refuses everybody
    assert re.fullmatch(refused or r"http://\[::1\]:\d+", serves("[::1]:0"))


def test_half_a_letter_in_a_sites_name_costs_no_page_and_a_name_longer_than_a_key_is_no_site() -> None:
    network = Network()
    for name in ("oslo", "\ud800", "x" * 201):
        network.take_status(status(site=name))
        network.take_product(json.dumps({"kind": "layers", "site": name, "time": TIME}).encode(), 5)

    shown = page.index(view_of(LiveListener("live"), network, {}, (), now_s=NOW_S), site_link="site/{}")

    assert set(network.sites()) == {"oslo", "?"}
    assert "site/%3F" in shown
