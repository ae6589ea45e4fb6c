"""Days that can fail a retrieval: the naive gradient does fail on them, and a height is given where it can be known."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from ipdsf_spark.lidar.averages.build import averages_of
from ipdsf_spark.lidar.layers.layer_tracker import LayerTracker
from ipdsf_spark.lidar.layers.product import Layers
from ipdsf_spark.lidar.layers.scoring import failures, score, steepest_m
from ipdsf_spark.lidar.layers.settings import LayerSettings
from ipdsf_spark.lidar.products.quality import Quality
from ipdsf_spark.lidar.simulator.hard_days import CLASSES, HardDay, hard_day


@cache
def retrieved(name: str) -> tuple[HardDay, Layers, np.ndarray]:
    day = hard_day(name)
    averages = averages_of(day.profiles, 300)
    tracker = LayerTracker(day.site, LayerSettings())
    layers = Layers.concatenate([tracker.step(averages, (), only_final=True), tracker.flush()])
    beta = np.stack([average.mean() for average in averages])
    return day, layers, steepest_m(beta, averages[0].range_m, 150.0, day.site.max_height_m)


def edge_m(day: HardDay) -> np.ndarray:
    return np.median(day.edge_m.reshape(-1, 5), axis=1)


@pytest.mark.parametrize("name", ["strong_residual", "weak_gradient", "smoke_aloft"])
def test_heights_are_right_where_the_steepest_gradient_is_not(name: str) -> None:
    day, layers, naive_m = retrieved(name)
    found = score(layers.mixing_height_m, layers.uncertainty_m, edge_m(day))

    assert found.rmse_m < 80.0
    assert found.within_2_sigma > 0.75
    assert found.available > 0.7
    assert failures(layers.mixing_height_m - edge_m(day)) == 0
    assert score(naive_m, layers.uncertainty_m, edge_m(day)).rmse_m > 800.0


@pytest.mark.parametrize("name", ["low_residual", "residual_at_550"])
def test_a_low_residual_layer_is_not_the_nights_mixing_height(name: str) -> None:
    day, layers, _ = retrieved(name)
    is_night = day.hour_class.reshape(-1, 5)[:, 2] == CLASSES.index("night")
    error_m = (layers.mixing_height_m - edge_m(day))[is_night]
    is_bound = np.isfinite(layers.below_m)

    assert not (np.abs(error_m) > 150.0).any()
    assert is_bound[is_night].any()
    assert (layers.below_m[is_bound & is_night] > edge_m(day)[is_bound & is_night]).mean() > 0.9
    assert (layers.quality[is_bound] & Quality.NEAR_RANGE_EDGE > 0).all()
    assert not (is_bound & np.isfinite(layers.mixing_height_m)).any()


def test_what_a_layer_leaves_aloft_when_it_collapses_early_is_not_held_for_the_layer() -> None:
    day, layers, _ = retrieved("early_collapse")
    error_m = layers.mixing_height_m - edge_m(day)
    is_evening = day.hour_class.reshape(-1, 5)[:, 2] == CLASSES.index("evening")

    # the edge aloft stays at 1600 m; while the layer comes down, within the hour, nothing tells that it does
    assert np.count_nonzero(np.abs(error_m) > 300.0) <= 3
    assert np.nanmax(np.abs(error_m)) < 900.0
    assert np.isfinite(error_m[is_evening]).mean() > 0.4  # not by saying nothing


def test_steps_of_the_electronics_are_not_held_for_the_top_at_noon() -> None:
    day, layers, _ = retrieved("stripes")
    is_noon = day.hour_class.reshape(-1, 5)[:, 2] == CLASSES.index("noon")
    error_m = (layers.mixing_height_m - edge_m(day))[is_noon]

    assert np.nanmax(np.abs(error_m)) < 300.0  # the highest of the steps stands 700 m above the layer
    assert np.isfinite(error_m).mean() > 0.5


def test_a_layer_that_grows_fast_is_followed_and_not_held_for_a_residual_layer() -> None:
    day, layers, _ = retrieved("fast_growth")
    is_growth = day.hour_class.reshape(-1, 5)[:, 2] == CLASSES.index("growth")
    found = score(*(part[is_growth] for part in (layers.mixing_height_m, layers.uncertainty_m, edge_m(day))))

    assert found.available > 0.7
    assert found.rmse_m < 200.0


def test_the_same_seed_gives_the_same_day_and_another_another() -> None:
    one, same, other = hard_day("clear"), hard_day("clear", seed=0), hard_day("clear", seed=1)

    np.testing.assert_array_equal(one.profiles.beta, same.profiles.beta)
    assert not np.array_equal(one.edge_m, other.edge_m)
    with pytest.raises(ValueError, match="unknown kind of day"):
        hard_day("sunny")
