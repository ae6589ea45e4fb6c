"""The filter of daily factors: Kalman's where days are independent, and no surer than what nights have in common."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ipdsf_spark.lidar.calibration.state import PROCESS_VARIANCE, Walk


def test_the_filter_is_that_of_kalman() -> None:
    rng = np.random.default_rng(4)
    walk, x, p = Walk(), 0.0, 0.0
    for day, z in enumerate(rng.normal(0.3, 0.05, 40)):
        walk.update(day, float(z), 0.01)
        if day == 0:
            x, p = float(z), 0.01
            continue
        p += PROCESS_VARIANCE
        x, p = (x / p + float(z) / 0.01) / (1.0 / p + 1.0 / 0.01), 1.0 / (1.0 / p + 1.0 / 0.01)

    assert walk.value == pytest.approx(x, rel=1e-12)
    assert walk.variance == pytest.approx(p, rel=1e-12)


def test_the_uncertainty_of_the_filtered_factor_is_that_of_its_errors() -> None:
    rng = np.random.default_rng(8)
    scaled = []
    for _ in range(150):
        truth, walk = 0.0, Walk()
        for day in range(0, 120, 2):
            truth += rng.normal(0.0, math.sqrt(2.0 * PROCESS_VARIANCE))
            walk.update(day, truth + rng.normal(0.0, 0.1), 0.01)
        scaled.append((walk.value - truth) ** 2 / walk.variance)

    assert 0.75 < np.mean(scaled) < 1.3


@pytest.mark.parametrize("stay", [1, 10, 60])
def test_two_sigma_hold_the_factor_in_nine_of_ten_however_long_the_same_particles_stay(stay: int) -> None:
    rng = np.random.default_rng(stay)
    particles, alone, num = 0.17, 0.05, 300
    is_held = []
    for _ in range(num):
        walk = Walk()
        for day in range(60):
            if day % stay == 0:
                hidden = rng.normal(0.0, particles)
            walk.update(day, hidden + rng.normal(0.0, alone), alone**2 + particles**2, particles)
        is_held.append(abs(walk.value) < 2.0 * math.sqrt(walk.told_variance(59)))

    assert np.mean(is_held) > 0.9


def test_clouds_take_the_error_of_the_nights_away_and_no_more_than_their_share() -> None:
    walk = Walk()
    for day in range(40):
        walk.update(day, 0.0, 0.05**2 + 0.17**2, 0.17)
    assert math.sqrt(walk.told_variance(39)) > 0.17  # forty nights are no better than one
    for day in range(40, 80):
        walk.update(day, 0.0, 0.1**2)

    assert walk.common < 0.02
    assert math.sqrt(walk.told_variance(79)) == pytest.approx(math.sqrt(walk.variance), rel=0.3)


def test_an_instrument_that_loses_a_sixth_alarms_though_its_nights_hide_particles_and_a_steady_one_does_not() -> None:
    alarms = {}
    for lost in (0.0, 0.18):
        rng, walk = np.random.default_rng(3), Walk()
        alarms[lost] = False
        for day in range(180):
            value = 0.15 + lost * min(max(day - 120, 0) / 20.0, 1.0) + rng.normal(0.0, 0.05)
            walk.update(day, value, 0.05**2 + 0.17**2, 0.17)
            alarms[lost] |= walk.is_drifting

    assert alarms == {0.0: False, 0.18: True}
