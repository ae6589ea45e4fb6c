"""What is said of measurements follows from them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipdsf_spark.experiments.arithmetic import Projection, efficiency, excess_s, floor_s, speed_up, spread_of
from ipdsf_spark.experiments.drain import between
from ipdsf_spark.experiments.group import Mark
from ipdsf_spark.experiments.presented import QUALITIES, TIMES, mean_lost_db

SECONDS = st.floats(1e-3, 1e4)
few = settings(max_examples=25)


@few
@given(st.lists(SECONDS, min_size=1, max_size=60))
def test_percentiles_are_in_order_and_within_what_was_measured(seconds: list[float]) -> None:
    spread = spread_of([*seconds, math.nan])

    assert min(seconds) <= spread.p50_s <= spread.p90_s <= spread.p99_s <= max(seconds)


@few
@given(st.permutations([float(second) for second in range(1, 101)]))
def test_half_of_a_hundred_files_are_faster_than_the_median(seconds: list[float]) -> None:
    assert spread_of(seconds).p50_s == 50.5
    assert spread_of(seconds).p90_s == pytest.approx(90.1)
    assert spread_of(seconds).p99_s == pytest.approx(99.01)


def test_no_file_has_no_percentile() -> None:
    assert math.isnan(spread_of([]).p50_s)


def test_the_presentations_files_cannot_be_processed_in_less_than_ninety_seconds() -> None:
    assert floor_s(18_000, 200.0) == 90.0


@few
@given(st.integers(1, 10**6), SECONDS, SECONDS)
def test_what_ends_with_the_sending_has_no_excess(files: int, rate: float, late_s: float) -> None:
    assert excess_s(floor_s(files, rate), files, rate) == 0.0
    assert excess_s(floor_s(files, rate) + late_s, files, rate) == pytest.approx(late_s, rel=1e-6, abs=1e-6)


@few
@given(st.floats(100, 1e4), st.floats(1e-4, 0.1), st.floats(1, 600), st.floats(0.1, 1.0))
def test_the_sites_that_a_machine_carries_need_the_cores_that_it_used(
    files_per_s: float, cpu_s: float, every_s: float, utilisation: float
) -> None:
    projection = Projection(files_per_s, cpu_s, every_s, utilisation)

    assert projection.cores(projection.sites) == pytest.approx(files_per_s * cpu_s, rel=0.15)


@few
@given(SECONDS, SECONDS, st.integers(1, 64))
def test_a_linear_speed_up_is_an_efficiency_of_one(alone_s: float, together_s: float, workers: int) -> None:
    assert efficiency(alone_s, alone_s / workers, workers) == pytest.approx(1.0)
    assert efficiency(alone_s, together_s, 1) == speed_up(alone_s, together_s)


def test_a_projection_shows_its_arithmetic() -> None:
    said = Projection(500.0, 0.004).said(12_000)

    assert said == ("500 files/s x 0.7 x 60 s = 21,000 sites; 12,000 sites / 60 s x 4.00 ms / 0.7 = 1.1 cores")


@few
@given(st.lists(st.integers(1, 50), min_size=2, max_size=30), st.data())
def test_a_drain_is_timed_from_the_end_of_its_warm_up(batches: list[int], data: st.DataObject) -> None:
    totals = np.cumsum(batches).tolist()
    marks = [Mark(files, float(second), 0.5 * second) for second, files in enumerate(totals)]
    warm_up = data.draw(st.integers(0, totals[-2]))

    found = between(marks, warm_up, totals[-1])

    assert found.is_complete
    begun = min(second for second, files in enumerate(totals) if files >= warm_up)
    assert (found.files, found.seconds) == (totals[-1] - totals[begun], len(batches) - 1 - begun)
    assert found.cpu_s == pytest.approx(0.5 * found.seconds)


def test_a_drain_that_was_stopped_is_not_complete() -> None:
    found = between([Mark(10, 1.0, 0.0), Mark(40, 3.0, 0.0)], 10, 100)

    assert (found.files, found.files_per_s, found.is_complete) == (30, 15.0, False)


def test_a_drain_that_never_began_is_nothing_in_no_time() -> None:
    found = between([], 10, 100)

    assert (found.files, found.seconds, found.cpu_s, found.files_per_s, found.is_complete) == (0, 0.0, 0.0, 0.0, False)
    assert between([Mark(40, 3.0, 1.0)], 50, 100).seconds == 0.0


def test_the_presentations_hours_are_no_factor_of_four() -> None:
    assert [round(time.speed_up, 2) for time in TIMES] == [1.42, 1.31, 1.69]
    assert [round(100 * time.efficiency) for time in TIMES] == [36, 33, 42]


def test_the_presentations_patients_lose_what_its_words_call_comparable() -> None:
    assert [round(quality.lost_db, 1) for quality in QUALITIES] == [2.0, 4.2, 4.1, 1.0]
    assert round(mean_lost_db(), 1) == 2.8
