"""The noise of a profile is found in the profile."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipdsf_spark.lidar.signal import noise_at_unit_range

RANGE_M = (np.arange(1024) + 0.5) * 15.0


def noisy(sigma: float, num_profiles: int = 40, seed: int = 0) -> np.ndarray:
    draws = np.random.default_rng(seed).standard_normal((num_profiles, RANGE_M.size))
    return np.asarray(sigma * draws * RANGE_M**2, np.float32)


@given(st.floats(1e-16, 1e-10), st.integers(0, 1000))
def test_white_noise_is_measured_whatever_its_strength(sigma: float, seed: int) -> None:
    found = noise_at_unit_range(noisy(sigma, seed=seed), RANGE_M)

    assert np.sqrt(np.mean(found**2)) == pytest.approx(sigma, rel=0.15, abs=0)


def test_a_cloud_or_cirrus_far_out_is_not_noise() -> None:
    beta = noisy(1e-13)
    beta[:, 700:740] += 1e-4

    assert np.median(noise_at_unit_range(beta, RANGE_M)) == pytest.approx(1e-13, rel=0.25, abs=0)


def test_gates_that_a_maker_fills_with_zeros_do_not_hide_the_noise() -> None:
    beta = noisy(1e-13)
    beta[:, 900:] = 0.0

    assert np.median(noise_at_unit_range(beta, RANGE_M)) == pytest.approx(1e-13, rel=0.25, abs=0)


def test_noise_that_neighbouring_gates_share_counts_for_what_it_does_to_the_wavelet() -> None:
    beta = noisy(1e-13) / RANGE_M**2
    smooth = np.apply_along_axis(np.convolve, 1, beta, np.ones(3) / 3, "same") * RANGE_M**2

    # a gate's own scatter falls to 0.58, but means over many gates scatter as before
    assert np.median(noise_at_unit_range(smooth.astype(np.float32), RANGE_M)) > 0.8e-13


def test_where_a_maker_masks_the_far_gates_the_nearer_ones_must_do() -> None:
    beta = noisy(1e-13)
    beta[:, 400:] = np.nan

    assert np.median(noise_at_unit_range(beta, RANGE_M)) == pytest.approx(1e-13, rel=0.3, abs=0)


def test_without_enough_gates_nothing_is_claimed() -> None:
    beta = noisy(1e-13)
    beta[:, 60:] = np.nan

    assert np.isnan(noise_at_unit_range(beta, RANGE_M)).all()
    assert np.isnan(noise_at_unit_range(beta[:, :20], RANGE_M[:20])).all()


def test_a_profile_of_zeros_has_no_noise_to_measure() -> None:
    assert np.isnan(noise_at_unit_range(np.zeros((2, 1024), np.float32), RANGE_M)).all()
