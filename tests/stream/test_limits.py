"""Readers and operators that do not end are ended, and cost what one that raises costs."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import replace

import pytest

from ipdsf_spark.lidar.layers.operator import operator as heights
from ipdsf_spark.lidar.operators import Case, News, Operator, Parameters, Result, Row
from ipdsf_spark.lidar.site import Site
from ipdsf_spark.stream.decode import Decoder
from ipdsf_spark.stream.guard import MOST_ENDED
from ipdsf_spark.stream.limits import TooLongError, at_most
from ipdsf_spark.stream.piece import Piece
from ipdsf_spark.stream.site_stage import Share, SiteStage, Topics

OSLO = Site("oslo", 59.94, 10.72)
TOPICS = Topics("files", "averages", "products", "sites", "bad", 1_000_000)
DECODER = Decoder({"oslo": OSLO}, 300, 1_000_000)
SENT_MS = 1_624_262_700_000  # 2021-06-21 08:05
LIMIT_S = 0.05


def piece_of(raw: bytes, decoder: Decoder = DECODER) -> Piece:
    return Piece.from_bytes(decoder.row_of("oslo", raw, "0.dat", SENT_MS, SENT_MS, None, "files", 0, 0)[1])


def spin(site: Site, news: News, state: bytes) -> tuple[list[Row], bytes]:
    while True:
        pass


def spin_and_catch(site: Site, news: News, state: bytes) -> tuple[list[Row], bytes]:
    while True:
        try:
            time.sleep(10)
        except Exception:  # what catches any of these
            continue


def spin_for_many(cases: Sequence[Case]) -> list[Result]:
    while True:
        pass


@pytest.mark.parametrize("step", [spin, spin_and_catch])
def test_an_operator_that_does_not_end_is_ended_and_nobody_else_notices(cl51_file: bytes, step: object) -> None:
    others = SiteStage((heights(Parameters()),), TOPICS)
    stage = SiteStage((Operator("endless", 1, step), *others.operators), TOPICS, longest_s=LIMIT_S)

    after = stage.step(OSLO, [piece_of(cl51_file)], b"")

    [letter] = [record for record in after.records if record.topic == "bad"]
    reason = dict(letter.headers or [])["reason"].decode()
    assert reason == "operator endless: TooLongError: endless of site oslo was ended after 0.05 s"
    [status] = [json.loads(record.value) for record in after.records if record.kind == "site"]
    assert (status["flags"], status["faults"]) == (["endless_began_anew"], 1)
    alone = others.step(OSLO, [piece_of(cl51_file)], b"")
    heights_of = [[r.value for r in outcome.records if r.kind == "layers"] for outcome in (after, alone)]
    assert heights_of[0] == heights_of[1] != []


def test_an_operator_that_ends_for_no_site_holds_a_batch_for_a_few_of_them_only(cl51_file: bytes) -> None:
    asked = []

    def counted(site: Site, news: News, state: bytes) -> tuple[list[Row], bytes]:
        asked.append(site.id)
        return spin(site, news, state)

    stage = SiteStage((Operator("endless", 1, counted),), TOPICS, longest_s=LIMIT_S)
    shares = [Share(replace(OSLO, id=f"site-{k}"), [piece_of(cl51_file)], b"") for k in range(9)]

    outcomes = stage.step_many(shares)

    assert asked == [f"site-{k}" for k in range(MOST_ENDED)]
    assert [outcome.state.counts.faults for outcome in outcomes if outcome.state] == [1] * 9


def test_what_does_not_end_for_many_sites_at_once_is_done_for_one_after_the_other(cl51_file: bytes) -> None:
    layers = heights(Parameters())
    odd = SiteStage((replace(layers, step_many=spin_for_many),), TOPICS, longest_s=1.0)
    shares = [Share(replace(OSLO, id=f"site-{k}"), [piece_of(cl51_file)], b"") for k in range(3)]

    expected = SiteStage((layers,), TOPICS).step_many(shares)

    assert [outcome.records for outcome in odd.step_many(shares)] == [outcome.records for outcome in expected]


def test_a_file_whose_reading_does_not_end_is_quarantined(cl51_file: bytes) -> None:
    class Endless(Decoder):
        def piece_of(self, site: Site, where: Piece, raw: bytes, **bounds: float) -> Piece:
            while True:
                pass

    piece = piece_of(cl51_file, Endless({"oslo": OSLO}, 300, 1_000_000, longest_s=LIMIT_S))

    [stretch] = piece.rejected
    assert stretch.reason == "the reader failed: TooLongError: reading it was ended after 0.05 s"
    assert piece.raw == cl51_file


def test_an_alarm_that_somebody_else_has_set_still_rings() -> None:
    rung = threading.Event()
    before = signal.signal(signal.SIGALRM, lambda *_: rung.set())
    others = signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        with at_most(60, "nothing"):
            pass
        assert rung.wait(10)
    finally:
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, *others)


def test_without_a_limit_and_outside_the_main_thread_nothing_is_ended() -> None:
    done = []

    def work() -> None:
        with at_most(0.001, "a thread"):
            time.sleep(0.05)  # longer than its limit
            done.append("thread")

    worker = threading.Thread(target=work)
    worker.start()
    worker.join()
    with at_most(0, "nothing"):
        done.append("unlimited")

    assert done == ["thread", "unlimited"]
    with pytest.raises(TooLongError, match=r"^spinning was ended after 0\.05 s$"), at_most(LIMIT_S, "spinning"):
        spin(OSLO, News((), (), False, False), b"")
