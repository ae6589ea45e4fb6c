"""Classical methods: what they must leave as it is, and that they beat the trivial ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ipdsf_spark.ct.baselines import interpolated, smoothed
from ipdsf_spark.ct.degradation import block_means, noisy, pixelated
from ipdsf_spark.ct.metrics import quality
from ipdsf_spark.ct.phantom import chest_phantom
from ipdsf_spark.ct.strong_baselines import back_projected, non_local_means, spline, total_variation, tuned
from ipdsf_spark.ct.window import windowed

Share = NDArray[np.float32]


@pytest.fixture(scope="module")
def chest() -> Share:
    return windowed(chest_phantom((24, 48, 48), seed=5, spacing_mm=(10, 7, 7)).volume.hu)


@pytest.mark.parametrize("method", [total_variation, non_local_means])
def test_strong_denoising_beats_the_gaussian_and_the_noise(chest: Share, method: object) -> None:
    given_ = noisy(chest, np.random.default_rng(0))

    found = quality(method(given_, 0.05), chest, data_range=1.0)  # type: ignore[operator]

    plain, untouched = (quality(v, chest, data_range=1.0) for v in (smoothed(given_), given_))
    assert found.psnr_db > max(plain.psnr_db, untouched.psnr_db) + 1
    assert found.ssim > plain.ssim


@pytest.mark.parametrize("method", [total_variation, non_local_means])
def test_an_even_volume_stays_even_and_slabs_leave_no_seam(method: object) -> None:
    even = np.full((40, 12, 12), 0.3, np.float32)
    np.testing.assert_allclose(method(even, 0.05), 0.3, atol=1e-6)  # type: ignore[operator]


@pytest.mark.parametrize("factor", [2, 4])
def test_strong_interpolation_beats_the_trilinear_one(chest: Share, factor: int) -> None:
    trilinear, cubic, projected = (
        quality(method(chest, factor), chest, data_range=1.0).psnr_db
        for method in (interpolated, spline, back_projected)
    )

    assert trilinear < cubic < projected


@given(seed=st.integers(0, 99), factor=st.sampled_from([2, 4]))
@settings(max_examples=15)
def test_back_projection_keeps_the_block_means_that_were_given(seed: int, factor: int) -> None:
    share = (0.3 + 0.4 * np.random.default_rng(seed).random((8, 8, 8))).astype(np.float32)

    found = back_projected(share, factor, times=40)

    before = np.abs(block_means(spline(share, factor), factor) - block_means(share, factor)).max()
    assert np.abs(block_means(found, factor) - block_means(share, factor)).max() < max(0.15 * before, 1e-4)


def test_a_spline_goes_through_the_centres_of_odd_blocks() -> None:
    share = np.random.default_rng(0).random((9, 9, 9)).astype(np.float32)
    blocks = pixelated(share, 3)

    np.testing.assert_allclose(spline(share, 3)[1::3, 1::3, 1::3], blocks[1::3, 1::3, 1::3], atol=2e-3)


def test_volumes_that_blocks_do_not_divide_are_restored_too(chest: Share) -> None:
    assert spline(chest[:23, :47], 2).shape == back_projected(chest[:23, :47], 2).shape == (23, 47, 48)


def test_tuning_takes_the_strength_with_the_smallest_error() -> None:
    truth = np.zeros((2, 2, 2), np.float32)

    def method(share: Share, sigma: float, *, strength: float) -> Share:
        return share + np.float32(abs(strength - 0.7) * sigma)

    assert tuned(method, [(truth, truth)], 0.1, candidates=(0.2, 0.7, 1.5)) == 0.7
