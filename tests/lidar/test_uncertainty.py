"""The uncertainty is in metres, and as large as the errors are."""

from __future__ import annotations

import numpy as np
import pytest
from erf_profiles import MUNICH, steady
from hypothesis import given
from hypothesis import strategies as st

from ipdsf_spark.lidar.layers import uncertainty
from ipdsf_spark.lidar.layers.mixing_height import retrieve
from ipdsf_spark.lidar.products.quality import Quality

TOPS_M = np.array([[500.0, 900.0, 1500.0, np.nan, np.nan]])


def test_a_rival_as_strong_counts_its_distance_and_a_weak_one_hardly() -> None:
    height_m = np.array([500.0])
    strong = uncertainty.ambiguity_m(TOPS_M, np.array([[0.3, 0.3, 0.0, 0.0, 0.0]]), height_m)
    weak = uncertainty.ambiguity_m(TOPS_M, np.array([[0.3, 0.1, 0.0, 0.0, 0.0]]), height_m)

    assert strong[0] == pytest.approx(uncertainty.RIVAL_SHARE * 400.0 / np.sqrt(2), rel=1e-6, abs=0)
    assert weak[0] < 0.2 * strong[0]


def test_without_rivals_there_is_no_ambiguity() -> None:
    alone = uncertainty.ambiguity_m(TOPS_M, np.array([[0.3, 0.0, 0.0, 0.0, 0.0]]), np.array([500.0]))

    assert alone[0] == 0.0


@given(st.floats(0, 500, width=32), st.floats(0, 1000))
def test_the_total_is_no_less_than_any_part_and_than_the_grid(localisation_m: float, ambiguity_m: float) -> None:
    total = uncertainty.total_m(np.array([localisation_m], np.float32), np.array([ambiguity_m]))[0]

    assert total >= max(localisation_m, ambiguity_m, uncertainty.LEAST_M) - 1e-3
    assert total <= localisation_m + ambiguity_m + uncertainty.LEAST_M


@pytest.mark.parametrize("noise", [0.1, 0.4, 1.0, 2.0])
def test_more_than_two_thirds_of_the_errors_of_a_noisy_layer_lie_within_one_sigma(noise: float) -> None:
    errors_m, sigma_m = [], []
    for seed in range(12):
        layers = retrieve([steady(1300.0, noise=noise, seed=seed)], MUNICH)
        errors_m.append(layers.mixing_height_m - 1300.0)
        sigma_m.append(layers.uncertainty_m)
    error_m, sigma = np.concatenate(errors_m), np.concatenate(sigma_m)
    has_height = np.isfinite(error_m)

    assert has_height.mean() > 0.9
    assert (np.abs(error_m) <= sigma)[has_height].mean() > 0.67
    # and it is no empty promise: sigma is of the order of the errors
    assert np.median(sigma[has_height]) < 8 * np.sqrt(np.mean(error_m[has_height] ** 2)) + 20.0


def test_noise_makes_a_height_less_certain() -> None:
    quiet, loud = (np.nanmedian(retrieve([steady(noise=n)], MUNICH).uncertainty_m) for n in (0.1, 2.0))

    assert loud > 1.3 * quiet


def test_an_ambiguous_height_says_so() -> None:
    one, other = steady(700.0, num_profiles=40), steady(1700.0, num_profiles=40)
    both = np.asarray((one.beta + other.beta) / 2)
    one.beta[:] = both
    layers = retrieve([one], MUNICH)

    assert (layers.quality & Quality.AMBIGUOUS > 0).all()
    assert (layers.uncertainty_m > 150.0).all()
