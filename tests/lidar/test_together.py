"""Laws of many sites at once: each is told what it is told alone, bit for bit, however they are mixed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from erf_profiles import erf_profile, profiles_of
from hypothesis import given, settings
from hypothesis import strategies as st

from ipdsf_spark.lidar.averages.average import Average
from ipdsf_spark.lidar.averages.build import averages_of
from ipdsf_spark.lidar.layers.layer_tracker import LayerTracker
from ipdsf_spark.lidar.layers.operator import operator
from ipdsf_spark.lidar.layers.settings import LayerSettings
from ipdsf_spark.lidar.operators import Case, News, Operator, Parameters
from ipdsf_spark.lidar.site import Site

SETTINGS = LayerSettings(lag_s=1800, reset_gap_s=1800)
HEIGHT_M = (np.arange(400) + 0.5) * 10.0
SITES = (
    Site("munich", 48.1, 11.6),
    Site("oslo", 59.94, 10.72),
    Site("nowhere", float("nan"), float("nan")),
    Site("canberra", -35.0, 149.0, calibration=0.8),
    Site("low", 48.1, 11.6, max_height_m=2500.0),
)


def averages_from(seed: int, hours: float = 2.0) -> list[Average]:
    """A growing layer under a residual one, seen by an instrument of its own noise and gates."""
    rng = np.random.default_rng(seed)
    num = round(hours * 60)
    height_m = HEIGHT_M if seed % 3 else HEIGHT_M[:200] * 2.0
    beta = np.stack([erf_profile(height_m, 500.0 + 100.0 * seed + 4.0 * minute, above=5e-7) for minute in range(num)])
    beta += erf_profile(height_m, 1800.0, below=4e-7, above=0.0)
    beta += 2e-8 * rng.standard_normal(beta.shape) * (height_m / 1000) ** 2
    return averages_of(profiles_of(beta, cadence_s=60.0), SETTINGS.averaging_s)


AVERAGES = [averages_from(seed) for seed in range(len(SITES))]
HEIGHTS = operator(Parameters(layers=SETTINGS))


@st.composite
def schedules(draw: st.DrawFn) -> list[list[tuple[int, News]]]:
    """Batches of (site, news): closed intervals in order, some of them lost, an open one behind, or silence."""
    nexts = [0] * len(SITES)
    batches = []
    for _ in range(draw(st.integers(1, 6))):
        batch = []
        for site, averages in enumerate(AVERAGES):
            closed, lost = draw(st.sampled_from([(0, 0), (0, 0), (1, 0), (1, 0), (2, 1), (1, 8), (3, 0)]))
            begin = min(nexts[site] + lost, len(averages) - 1)
            nexts[site] = min(begin + closed, len(averages) - 1)
            open_ = averages[nexts[site] : nexts[site] + 1] if draw(st.booleans()) else []
            is_silent = draw(st.integers(0, 9)) == 0
            news = News(tuple(averages[begin : nexts[site]]), () if is_silent else tuple(open_), is_silent)
            if news.closed or news.open or news.is_silent:
                batch.append((site, news))
        batches.append(batch)
    return batches


def run(batches: list[list[tuple[int, News]]], heights: Operator, *, is_together: bool) -> list[object]:
    states: dict[int, bytes] = {}
    told: list[object] = []
    for batch in batches:
        cases: list[Case] = [(SITES[site], news, states.get(site, b"")) for site, news in batch]
        assert heights.step_many is not None
        results = heights.step_many(cases) if is_together else [heights.step(*case) for case in cases]
        for (site, _), (rows, state) in zip(batch, results, strict=True):
            states[site] = state
            told.append((site, [(row.kind, row.time_us, repr(dict(row.values))) for row in rows], state))
    return told


@settings(max_examples=12, deadline=None)
@given(schedules())
def test_sites_taken_together_are_told_what_each_is_told_alone(batches: list[list[tuple[int, News]]]) -> None:
    assert run(batches, HEIGHTS, is_together=True) == run(batches, HEIGHTS, is_together=False)


@settings(max_examples=8, deadline=None)
@given(site=st.integers(0, len(SITES) - 1), end=st.integers(1, 22))
def test_a_provisional_height_is_that_of_everything_computed_again(site: int, end: int) -> None:
    averages = AVERAGES[site]
    raw = LayerTracker(SITES[site], SETTINGS).to_bytes()
    for at in range(end):
        tracker = LayerTracker.from_bytes(raw, SITES[site], SETTINGS)
        tracker.step(averages[at : at + 1], averages[at + 1 : at + 2])
        raw = tracker.to_bytes()

    renewed = LayerTracker.from_bytes(raw, SITES[site], SETTINGS).step((), averages[end : end + 1])
    again = LayerTracker(SITES[site], SETTINGS).step(averages[:end], averages[end : end + 1])

    newest = again.rows(len(again) - 1, len(again))
    assert renewed.time == newest.time
    for name in ("mixing_height_m", "uncertainty_m", "below_m", "residual_height_m", "quality"):
        np.testing.assert_array_equal(getattr(renewed, name), getattr(newest, name), err_msg=name)


def test_who_cannot_be_read_is_said_and_not_passed_over() -> None:
    news = News(tuple(AVERAGES[0][:1]))

    with pytest.raises(ValueError, match="are no state of hourly heights"):
        HEIGHTS.step_many([(SITES[0], news, b""), (SITES[1], replace(news), b"rubbish")])
