"""What the rules of classification look at: means over gates and neighbouring profiles, beside a brute force."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from erf_profiles import NOON, profiles_of
from hypothesis import given
from hypothesis import strategies as st

from ipdsf_spark.lidar.averages.build import averages_of
from ipdsf_spark.lidar.profiles import Profiles
from ipdsf_spark.lidar.site import Site
from ipdsf_spark.lidar.targets.column import column_of_averages, column_of_profiles
from ipdsf_spark.lidar.targets.returns import moving_mean

SITE = Site("anywhere", 50.0, 10.0)


def stamped(seconds: list[float]) -> Profiles:
    """Noisy profiles of gates of 10 m at these seconds after noon."""
    beta = np.random.default_rng(5).uniform(1e-7, 2e-7, (len(seconds), 500))
    time = NOON + np.array([round(second * 1e6) for second in seconds], "timedelta64[us]")
    return profiles_of(beta, time=time)


@given(
    st.lists(st.floats(-1e3, 1e3) | st.just(float("nan")), min_size=1, max_size=30),
    st.integers(0, 4).map(lambda half: 2 * half + 1),
)
def test_a_moving_mean_is_that_of_the_gates_around_that_hold_a_value(values: list[float], gates: int) -> None:
    half = gates // 2
    around = [np.array(values[max(at - half, 0) : at + half + 1]) for at in range(len(values))]
    expected = [each[np.isfinite(each)].mean() if np.isfinite(each).any() else np.nan for each in around]

    np.testing.assert_allclose(moving_mean(np.array(values), gates), expected, rtol=1e-9, atol=1e-9)


def test_faint_signal_is_averaged_over_sixty_metres_and_five_minutes_and_never_across_a_gap() -> None:
    """Profiles every 25 s: eleven or thirteen of them around each, where there are as many."""
    seconds = [25.0 * number for number in range(30)] + [2000.0 + 25.0 * number for number in range(40)]
    made = stamped(seconds)

    column = column_of_profiles([made], SITE)

    times = np.array(seconds)
    parts = np.where(times < 1000.0, 0, 1)
    for row in (0, 3, 15, 29, 30, 34, 50, 69):
        beside = (np.abs(times - times[row]) <= 150.0) & (parts == parts[row])
        expected = column.beta[beside, 298:303].mean()  # five gates of ten metres come nearest to sixty
        assert column.mean[row, 300] == pytest.approx(expected, rel=1e-9)
        assert column.mean_noise[row, 300] == pytest.approx(
            column.noise[row, 300] / np.sqrt(5 * np.count_nonzero(beside)), rel=1e-9
        )


@pytest.mark.parametrize("step_s", [0.0, 200.0])
def test_profiles_of_one_time_or_further_apart_than_half_of_it_are_looked_at_alone(step_s: float) -> None:
    column = column_of_profiles([stamped([step_s * number for number in range(6)])], SITE)

    np.testing.assert_allclose(column.mean[:, 300], column.beta[:, 298:303].mean(axis=1), rtol=1e-9)
    np.testing.assert_allclose(column.mean_noise, column.noise / np.sqrt(5), rtol=1e-9)


def test_an_interval_without_depolarisation_among_others_has_none_and_takes_none_from_them() -> None:
    ratio = np.full((60, 500), 0.25, np.float32)
    made = dataclasses.replace(stamped([15.0 * number for number in range(60)]), depolarisation=ratio)
    first, second, third = averages_of(made, 300)

    column = column_of_averages([first, dataclasses.replace(second, block_cross=None), third], SITE, interval_s=300)

    assert column.depolarisation is not None
    assert np.isnan(column.depolarisation[1]).all()
    np.testing.assert_allclose(column.depolarisation[[0, 2]], 0.25, rtol=1e-5)
