"""The chain keeps probability, looks back as it looks forward, and finds a lost layer again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ipdsf_spark.lidar.layers.chain import CONVECTIVE, STABLE, Chain, Rates, nodes_up_to
from ipdsf_spark.lidar.layers.settings import LayerSettings
from ipdsf_spark.lidar.layers.sun import SunPrior, sun_prior

CHAIN = Chain.of(nodes_up_to(4000.0))
NUM = CHAIN.nodes_m.size
RATES = st.builds(
    lambda a, b, reach: SunPrior(a, b, reach, 0.5, 0.5, 0.5, 0.0, is_day=True, is_late=False, is_known=True),
    st.floats(0.0, 0.5),
    st.floats(0.0, 0.5),
    st.floats(200.0, 4000.0),
)
STATES = hnp.arrays(np.float32, (2, NUM), elements=st.floats(0, 1, width=16)).filter(lambda s: s.sum() > 0.1)
DAY = SunPrior(0.0003, 0.3, 4000.0, 0.0, 0.0, 0.0, 0.0, is_day=True, is_late=True, is_known=True)


def sun_at(hour: float, place: tuple[float, float] = (48.15, 11.57), day: str = "2026-06-15") -> SunPrior:
    second = float((np.datetime64(day, "s").astype(np.int64)) + hour * 3600)
    return sun_prior(second, place, LayerSettings().ceiling, 4000.0)


def seen_at(height_m: float, strength: float = 5.0) -> np.ndarray:
    likelihood = np.ones((2, NUM), np.float32)
    likelihood[:, np.abs(CHAIN.nodes_m - height_m).argmin()] = strength
    return likelihood


def after(state: np.ndarray, heights_m: list[float], sun: SunPrior) -> np.ndarray:
    for height_m in heights_m:
        state = CHAIN.forward(state, CHAIN.rates(sun)) * seen_at(height_m)
        state = state / state.sum()
    return state


@settings(max_examples=30)
@given(STATES, RATES)
def test_no_probability_is_lost_or_made(state: np.ndarray, sun: SunPrior) -> None:
    state = state / state.sum()

    moved = CHAIN.forward(state, CHAIN.rates(sun))

    assert moved.sum() == pytest.approx(1.0, abs=1e-4)
    assert (moved >= 0).all()


@settings(max_examples=30)
@given(STATES, STATES, RATES)
def test_looking_back_is_the_transpose_of_looking_forward(one: np.ndarray, other: np.ndarray, sun: SunPrior) -> None:
    rates = CHAIN.rates(sun)
    forward = (CHAIN.forward(one, rates) * other).sum()
    backward = (one * CHAIN.backward(other, rates)).sum()

    assert forward == pytest.approx(backward, rel=1e-3)


@settings(max_examples=10)
@given(hnp.arrays(np.float32, (3, 2, NUM), elements=st.floats(0, 1, width=16)), RATES, RATES)
def test_many_at_once_are_as_one_by_one(states: np.ndarray, sun: SunPrior, other: SunPrior) -> None:
    rates = [CHAIN.rates(part) for part in (sun, other, sun)]

    together = CHAIN.backward(states, Rates.stack(rates))
    alone = np.stack([CHAIN.backward(state, rate) for state, rate in zip(states, rates, strict=True)])
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-6)
    forward = CHAIN.forward(states, Rates.stack(rates))
    np.testing.assert_allclose(forward[1], CHAIN.forward(states[1], rates[1]), rtol=1e-4, atol=1e-6)


@settings(max_examples=10)
@given(RATES)
def test_what_lies_ahead_says_nothing_if_nothing_was_seen(sun: SunPrior) -> None:
    np.testing.assert_allclose(CHAIN.backward(np.ones((2, NUM), np.float32), CHAIN.rates(sun)), 1.0, rtol=1e-4)


def test_a_layer_that_is_lost_is_found_again_wherever_it_is() -> None:
    state = after(CHAIN.start(DAY), [600.0] * 6, DAY)
    found = after(state, [2600.0] * 10, DAY)

    near = np.abs(CHAIN.nodes_m - 2600.0) < 200.0
    assert found[:, near].sum() > 0.9


def test_one_odd_interval_does_not_move_the_layer() -> None:
    state = after(CHAIN.start(DAY), [1200.0] * 6, DAY)
    found = after(state, [2600.0], DAY)

    near = np.abs(CHAIN.nodes_m - 1200.0) < 200.0
    assert found[:, near].sum() > 0.8


def test_the_same_drop_is_a_mixing_layer_at_noon_and_hardly_one_at_midnight() -> None:
    noon = after(CHAIN.start(sun_at(11.0)), [1500.0] * 3, sun_at(11.0))
    night = after(CHAIN.start(sun_at(0.0)), [1500.0] * 3, sun_at(0.0))
    near = np.abs(CHAIN.nodes_m - 1500.0) < 200.0

    assert noon[:, near].sum() > 0.4
    assert night[:, near].sum() < 0.1


def test_a_convective_layer_dies_with_the_sun() -> None:
    state = np.zeros((2, NUM), np.float32)
    state[CONVECTIVE, NUM // 2] = 1.0
    for hour in np.arange(18.0, 22.0, 1 / 12):
        state = CHAIN.forward(state, CHAIN.rates(sun_at(float(hour))))

    assert state[STABLE].sum() > 0.95
    assert (state.sum(axis=0) @ CHAIN.nodes_m) < 500.0


@given(st.floats(-90, 90), st.floats(-180, 180), st.floats(0, 24), st.integers(0, 364))
def test_the_sun_gives_rates_and_a_reach_at_any_place_and_time(
    latitude: float, longitude: float, hour: float, day: int
) -> None:
    sun = sun_at(hour, (latitude, longitude), str(np.datetime64("2026-01-01") + day))

    assert 0 < sun.collapse < 1
    assert 0 < sun.onset < 1
    assert 0 < sun.reach_m <= 4000.0
    assert 0 <= sun.residual <= 1
    assert 0 < sun.day_share < 1


def test_ten_degrees_of_longitude_shift_the_prior_and_forbid_nothing() -> None:
    right, wrong = sun_at(17.0), sun_at(17.0, (48.15, 21.57))

    assert wrong.collapse > right.collapse
    assert wrong.collapse < 0.1


def test_without_coordinates_it_may_be_day_or_night() -> None:
    sun = sun_at(12.0, (float("nan"), 11.0))

    assert not sun.is_known
    assert sun.day_share == 0.5
