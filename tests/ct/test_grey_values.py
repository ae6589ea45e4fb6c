"""A volume brought to given grey values, and to given block means."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipdsf_spark.ct.block_correction import give_block_means, interpolation
from ipdsf_spark.ct.degradation import block_means
from ipdsf_spark.ct.grey_values import Box, give_hu_shares, hu_shares

WINDOW = (-1000, 400)


def with_hu_shares(hu: np.ndarray, box: Box, shares: np.ndarray, window: tuple[int, int]) -> np.ndarray:
    changed = hu.astype(np.float32)
    give_hu_shares(changed, box, shares, window)
    return changed


def two_tissues(seed: int, bone: float) -> np.ndarray:
    """Soft tissue of 50 ± 20 HU with a share of bone of 300 ± 40 HU."""
    rng = np.random.default_rng(seed)
    soft, hard = rng.normal(50, 20, (20, 30, 40)), rng.normal(300, 40, (20, 30, 40))
    return np.where(rng.random((20, 30, 40)) < bone, hard, soft)


def test_a_volume_takes_over_the_shares_of_another_and_keeps_the_order_of_its_voxels() -> None:
    given_hu, other = two_tissues(1, 0.02), two_tissues(2, 0.10)

    mapped = with_hu_shares(given_hu, ((0, 30), (0, 40)), hu_shares(other), WINDOW)

    for level in (-30, 30, 50, 150, 250, 320):
        assert np.mean(mapped < level) == pytest.approx(np.mean(other < level), abs=0.002)
    order = np.argsort(given_hu, axis=None)
    told, found = given_hu.ravel()[order], mapped.ravel()[order]
    before = np.searchsorted(told, told - 1.0)  # voxels within a unit of HU have no order
    highest = np.concatenate(([-np.inf], np.maximum.accumulate(found)))
    assert (found >= highest[before]).all()


def test_outside_the_box_the_same_curve_holds_and_the_box_alone_is_counted() -> None:
    hu = np.full((8, 20, 20), -1000.0)
    hu[:, 5:15, 5:15] = two_tissues(3, 0.05)[:8, :10, :10]
    shares = hu_shares(two_tissues(4, 0.05))

    mapped = with_hu_shares(hu, ((5, 15), (5, 15)), shares, WINDOW)

    assert np.mean(mapped[:, 5:15, 5:15] > 150) == pytest.approx(0.05, abs=0.01)
    assert mapped[:, :5].max() < mapped[:, 5:15, 5:15].mean() - 40  # air stays below


def test_equal_voxels_are_shared_out_among_the_values_that_are_asked_for() -> None:
    shares = np.zeros(1401)
    shares[[0, 2]] = 0.75, 0.25

    mapped = with_hu_shares(np.full((10, 10, 10), -1000), ((0, 10), (0, 10)), shares, WINDOW)

    found = np.rint(mapped)
    assert np.mean(found == -1000) == pytest.approx(0.75, abs=0.05)
    assert np.mean(found == -998) == pytest.approx(0.25, abs=0.05)
    assert np.mean(found == -999) < 0.01  # which no chest of that distribution has


@pytest.mark.parametrize("shares", [np.zeros(1401), np.ones(1400), np.full(1401, np.nan)])
def test_shares_of_another_window_or_of_nothing_are_refused(shares: np.ndarray) -> None:
    with pytest.raises(ValueError, match="needs 1401 shares"):
        with_hu_shares(np.zeros((2, 3, 4)), ((0, 3), (0, 4)), shares, WINDOW)


@given(
    shape=st.tuples(*[st.integers(4, 23)] * 3),
    factor=st.integers(2, 4),
    seed=st.integers(0, 2**16),
    far=st.floats(0, 80),
)
def test_a_volume_has_the_block_means_that_it_is_given(
    shape: tuple[int, int, int], factor: int, seed: int, far: float
) -> None:
    rng = np.random.default_rng(seed)
    hu = rng.normal(0, 30, shape).astype(np.float32)
    means = block_means(hu, factor) + rng.normal(0, far / 8, tuple(-(-n // factor) for n in shape)).astype(np.float32)

    give_block_means(hu, means, factor, WINDOW)

    np.testing.assert_allclose(block_means(hu, factor), means, atol=0.01)


def test_a_smooth_drift_is_taken_away_without_a_step_between_blocks() -> None:
    z, y, x = np.meshgrid(*[np.arange(n) for n in (24, 40, 40)], indexing="ij")
    drift = (0.5 * z + 0.3 * y - 0.2 * x).astype(np.float32)
    truth = np.random.default_rng(0).normal(50, 15, drift.shape).astype(np.float32)
    hu = truth + drift

    give_block_means(hu, block_means(truth, 4), 4, WINDOW)

    inside = (slice(4, -4),) * 3
    np.testing.assert_allclose(hu[inside], truth[inside], atol=0.2)


def test_air_reaches_its_mean_though_the_window_ends_there() -> None:
    rng = np.random.default_rng(5)
    hu = np.clip(rng.normal(-1000, 12, (16, 16, 16)), *WINDOW).astype(np.float32)

    give_block_means(hu, np.full((4, 4, 4), -998.0, np.float32), 4, WINDOW)

    assert hu.min() >= -1000
    np.testing.assert_allclose(block_means(hu, 4), -998.0, atol=0.01)


def test_means_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="no block means of"):
        give_block_means(np.zeros((8, 8, 8), np.float32), np.zeros((2, 2, 3)), 4, WINDOW)


def test_every_voxel_takes_one_whole_of_its_blocks() -> None:
    np.testing.assert_allclose(interpolation(11, 4).sum(axis=1), 1.0)
