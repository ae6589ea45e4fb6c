from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ipdsf_spark.ct.baselines import interpolated, smoothed
from ipdsf_spark.ct.cubes import CubeKey
from ipdsf_spark.ct.degradation import TASKS, Task, block_means, degraded, noisy, pixelated
from ipdsf_spark.errors import InputError

KEY = CubeKey("a", 4, 5, 6)
factors = st.sampled_from([1, 2, 3, 4])


@given(shape=st.tuples(*[st.integers(1, 9)] * 3), factor=factors, seed=st.integers(0, 9))
def test_every_block_holds_the_mean_of_its_voxels(shape: tuple[int, int, int], factor: int, seed: int) -> None:
    share = np.random.default_rng(seed).random(shape).astype(np.float32)

    result = pixelated(share, factor)

    assert result.shape == shape
    for z in range(0, shape[0], factor):
        for y in range(0, shape[1], factor):
            for x in range(0, shape[2], factor):
                block = np.s_[z : z + factor, y : y + factor, x : x + factor]
                np.testing.assert_allclose(result[block], share[block].mean(), atol=1e-6)


@given(blocks=st.tuples(*[st.integers(1, 3)] * 3), factor=factors, seed=st.integers(0, 9))
def test_pixelating_twice_changes_nothing_more(blocks: tuple[int, int, int], factor: int, seed: int) -> None:
    share = np.random.default_rng(seed).random([n * factor for n in blocks]).astype(np.float32)
    once = pixelated(share, factor)

    np.testing.assert_allclose(pixelated(once, factor), once, atol=1e-6)


def test_noise_has_the_asked_deviation_where_the_range_does_not_end(rng: np.random.Generator) -> None:
    grey = np.full((32, 32, 32), 0.5, np.float32)

    noise = noisy(grey, rng, sigma=0.05) - grey

    assert noise.std() == pytest.approx(0.05, rel=0.02)
    assert noise.mean() == pytest.approx(0.0, abs=1e-3)


def test_noise_stays_within_the_range_of_the_window(rng: np.random.Generator) -> None:
    result = noisy(np.linspace(0, 1, 4096).reshape(16, 16, 16), rng, sigma=0.2)

    assert (result.min(), result.max(), result.dtype) == (0.0, 1.0, np.float32)


@pytest.mark.parametrize("task", TASKS)
def test_every_worker_sees_a_cube_degraded_in_the_same_way(task: Task, rng: np.random.Generator) -> None:
    share = rng.random((8, 8, 8)).astype(np.float32)

    np.testing.assert_array_equal(degraded(share, task, KEY), degraded(share, task, CubeKey(*KEY)))


def test_two_cubes_and_two_seeds_have_noise_of_their_own() -> None:
    grey = np.full((8, 8, 8), 0.5, np.float32)
    one = degraded(grey, "denoise", KEY)

    assert (one != degraded(grey, "denoise", KEY._replace(x=7))).mean() > 0.99
    assert (one != degraded(grey, "denoise", KEY, seed=1)).mean() > 0.99


def test_each_task_does_what_it_is_called(rng: np.random.Generator) -> None:
    share = rng.random((8, 8, 8)).astype(np.float32)

    np.testing.assert_array_equal(degraded(share, "autoencode", KEY), share)
    np.testing.assert_array_equal(degraded(share, "depixelate", KEY, factor=4), pixelated(share, 4))
    assert np.std(degraded(share * 0 + 0.5, "denoise", KEY, sigma=0.1)) == pytest.approx(0.1, rel=0.1)
    with pytest.raises(InputError, match="no such task: 'sharpen'; known: autoencode, denoise, depixelate"):
        degraded(share, "sharpen", KEY)  # type: ignore[arg-type]


@given(
    slope=st.tuples(*[st.floats(-0.1, 0.1)] * 3), shape=st.tuples(*[st.integers(9, 16)] * 3), factor=st.integers(2, 4)
)
def test_trilinear_between_blocks_restores_a_slope_away_from_the_border(
    slope: tuple[float, ...], shape: tuple[int, ...], factor: int
) -> None:
    ramp = (0.5 + np.tensordot(slope, np.indices(shape), axes=1) / 8).astype(np.float32)
    inside = (slice(factor, -factor),) * 3

    np.testing.assert_allclose(interpolated(ramp, factor)[inside], ramp[inside], atol=1e-5)


def test_trilinear_keeps_the_outermost_means_beyond_their_centres() -> None:
    row = np.array([0.0, 0.2, 0.6], np.float32)[None, None]

    np.testing.assert_allclose(interpolated(row, 2)[0, 0], [0.1, 0.1 + 0.5 / 3, 0.6], atol=1e-6)


def test_blocks_have_at_least_one_voxel() -> None:
    with pytest.raises(InputError, match="at least one voxel"):
        block_means(np.zeros((4, 4, 4)), 0)


def test_smoothing_keeps_the_mean_and_removes_noise(rng: np.random.Generator) -> None:
    noise: NDArray[np.float64] = rng.normal(0.5, 0.05, (32, 32, 32))

    result = smoothed(noise)

    assert result.mean() == pytest.approx(noise.mean(), abs=1e-4)
    # A 3-D Gaussian of one voxel leaves (2 √π σ)^(-3/2) of white noise: .15
    assert result.std() == pytest.approx(0.05 * (2 * np.sqrt(np.pi)) ** -1.5, rel=0.1)
