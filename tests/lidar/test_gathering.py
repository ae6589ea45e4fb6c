"""What the signal right above the ground says of a layer that may have collapsed."""

from __future__ import annotations

import numpy as np
import pytest

from ipdsf_spark.lidar.layers.gathering import BACK, BASE, LEAST, gathers
from ipdsf_spark.lidar.layers.grids import grid_of
from ipdsf_spark.lidar.layers.mixing_height import retrieve
from ipdsf_spark.lidar.layers.settings import LayerSettings
from ipdsf_spark.lidar.simulator import simulate_day
from ipdsf_spark.lidar.simulator.hard_days import CLASSES, hard_day
from ipdsf_spark.lidar.site import Site
from tests.lidar.erf_profiles import erf_profile, profiles_of

OSLO = Site("oslo", 59.9, 10.7)
RISING = np.clip(np.arange(BACK + 1) - 9.0, 0.0, None) * 0.02  # for 45 minutes


def said(ratio: np.ndarray) -> float:
    return float(gathers(ratio[None])[0])


@pytest.mark.parametrize("of_overlap", [-0.7, 0.0, 1.5])
def test_what_gathers_above_the_ground_speaks_for_a_shallow_layer_and_a_steady_signal_against_one(
    of_overlap: float,
) -> None:
    assert said(of_overlap + RISING) > 0.2
    assert said(of_overlap + 0.0 * RISING) < -0.2
    assert said(of_overlap - RISING) < -0.2


def test_a_signal_that_varies_as_much_as_it_would_rise_says_nothing_by_not_rising() -> None:
    swings = 0.1 * np.cos(np.arange(BACK + 1) * 0.8)

    assert said(swings) == 0.0
    assert said(swings + RISING) < said(RISING)


def test_nothing_is_said_where_too_little_is_known() -> None:
    late, lost = np.zeros(BACK + 1), np.zeros(BACK + 1)
    late[: BASE - LEAST + 1] = np.nan  # a start, or a gap
    lost[-1] = np.nan  # fog, rain, or a cloud in the way

    assert said(late) == 0.0
    assert said(lost) == 0.0
    assert said(np.full(BACK + 1, np.nan)) == 0.0


def test_gates_too_coarse_to_tell_what_gathers_give_heights_all_the_same() -> None:
    coarse = grid_of((0.0, 500.0, 12), 0, 100.0, 4000.0, LayerSettings())
    height_m = np.arange(12) * 500.0
    beta = np.tile(erf_profile(height_m, 1800.0), (80, 1))

    assert coarse.lowest.start == coarse.lowest.stop
    assert len(retrieve([profiles_of(beta, resolution_m=500.0, range_m=height_m)], OSLO)) > 0


@pytest.mark.slow
@pytest.mark.parametrize(("instrument", "seed"), [("cl31", 1), ("cl31", 4), ("cl51", 4)])
def test_no_bound_far_below_the_top_is_given_while_a_deep_layer_comes_down(instrument: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    day = simulate_day(OSLO, "2026-06-20", rng=rng, instrument=instrument, cadence_s=60)
    layers = retrieve([day.profiles], OSLO)

    # on this summer evening tops of 900 to 1800 m were said to lie below 450 m, ten times
    assert not (layers.below_m < day.truth_at(layers.time) - 100.0).any()
    assert np.isfinite(layers.mixing_height_m).mean() > 0.65


@pytest.mark.parametrize("name", ["weak_gradient", "strong_residual"])
def test_in_the_evening_a_layer_that_is_still_mixed_is_given_as_such(name: str) -> None:
    day = hard_day(name, seed=1)
    layers = retrieve([day.profiles], day.site)
    edge_m = np.median(day.edge_m.reshape(-1, 5), axis=1)
    is_evening = day.hour_class.reshape(-1, 5)[:, 2] == CLASSES.index("evening")
    is_given = np.isfinite(layers.mixing_height_m) & is_evening

    assert is_given.sum() / is_evening.sum() > 0.35  # before: 24 and 31 %
    assert np.abs(layers.mixing_height_m - edge_m)[is_given & (edge_m > 600.0)].max() < 100.0
    assert not (layers.below_m < edge_m - 100.0)[is_evening].any()
