"""The whole retrieval on simulated days, against the heights they were made with.

The goals: RMSE of at most 66 m final and 240 m provisional at the noise levels of the science notes §1.8.
"""

from __future__ import annotations

import numpy as np
import pytest

from ipdsf_spark.lidar.mixing_height import Layers, retrieve
from ipdsf_spark.lidar.quality import Quality
from ipdsf_spark.lidar.replay import replay
from ipdsf_spark.lidar.simulator import INSTRUMENTS, SCENARIOS, SimulatedDay, reference_plan, simulate_day
from ipdsf_spark.lidar.site import Site

MUNICH = Site("munich", 48.15, 11.57, 539.0)
DAY = "2026-06-15"


def rmse_m(layers: Layers, day: SimulatedDay) -> float:
    error_m = layers.mixing_height_m - day.truth_at(layers.time)
    return float(np.sqrt(np.nanmean(error_m**2)))


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.02, 0.05, 0.10])
def test_the_reference_day_is_tracked_within_the_goals(noise: float) -> None:
    day = simulate_day(MUNICH, DAY, rng=np.random.default_rng(1), plan=reference_plan(), noise=noise)
    seen = replay([day.profiles], MUNICH)

    assert rmse_m(retrieve([day.profiles], MUNICH), day) <= 66.0
    assert rmse_m(seen.latest, day) <= 66.0
    assert rmse_m(seen.issued, day) <= 240.0


@pytest.mark.slow
@pytest.mark.parametrize("instrument", INSTRUMENTS)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_instrument_tracks_every_weather_within_the_goal(scenario: str, instrument: str) -> None:
    day = simulate_day(MUNICH, DAY, rng=np.random.default_rng(4), scenario=scenario, instrument=instrument)

    assert rmse_m(retrieve([day.profiles], MUNICH), day) <= 66.0


@pytest.mark.slow
@pytest.mark.parametrize("instrument", INSTRUMENTS)
@pytest.mark.parametrize(("scenario", "mask"), [("fog", "is_fog"), ("rain", "is_rain")])
def test_fog_and_rain_give_a_flag_and_no_height(scenario: str, mask: str, instrument: str) -> None:
    day = simulate_day(MUNICH, DAY, rng=np.random.default_rng(4), scenario=scenario, instrument=instrument)
    layers = retrieve([day.profiles], MUNICH)
    # product intervals that lie wholly in the weather
    wet = getattr(day, mask).reshape(288, 20).all(axis=1)

    assert wet.any()
    assert np.isnan(layers.mixing_height_m[wet]).all()
    assert (layers.quality[wet] & int(Quality.FOG | Quality.PRECIPITATION) > 0).all()
