from __future__ import annotations

import math
import tracemalloc
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from ipdsf_spark.ct.metrics import quality, quality_of_hu, quality_of_slabs
from ipdsf_spark.ct.window import windowed
from ipdsf_spark.errors import InputError

Pair = tuple[NDArray[np.float32], NDArray[np.float32]]


def pair(rng: np.random.Generator, shape: tuple[int, int, int]) -> Pair:
    truth = np.cumsum(rng.normal(0, 0.02, shape), axis=2).astype(np.float32)
    return truth + rng.normal(0, 0.05, shape).astype(np.float32), truth


@settings(max_examples=25)
@given(depth=st.integers(7, 60), cuts=st.sets(st.integers(1, 59)), seed=st.integers(0, 9))
def test_slabs_of_any_thickness_have_the_quality_of_the_whole_volume(depth: int, cuts: set[int], seed: int) -> None:
    a, b = pair(np.random.default_rng(seed), (depth, 11, 9))
    edges = [0, *sorted(c for c in cuts if c < depth), depth]

    found = quality_of_slabs(((a[i:j], b[i:j]) for i, j in pairwise(edges)), data_range=1)

    whole = structural_similarity(b.astype(np.float64), a.astype(np.float64), data_range=1, win_size=7)
    assert found.ssim == pytest.approx(whole, abs=1e-12)
    assert found.psnr_db == pytest.approx(peak_signal_noise_ratio(b, a, data_range=1), abs=1e-6)


@given(data_range=st.floats(0.5, 3000), seed=st.integers(0, 9))
@settings(max_examples=25)
def test_quality_does_not_depend_on_the_unit(data_range: float, seed: int) -> None:
    a, b = pair(np.random.default_rng(seed), (8, 9, 10))

    scaled = quality(a.astype(np.float64) * data_range, b.astype(np.float64) * data_range, data_range=data_range)
    plain = quality(a, b, data_range=1)

    assert scaled.psnr_db == pytest.approx(plain.psnr_db, abs=1e-6)
    assert scaled.ssim == pytest.approx(plain.ssim, abs=1e-9)


def test_a_constant_error_of_a_tenth_of_the_range_is_20_db() -> None:
    truth = np.zeros((8, 8, 8))

    assert quality(truth + 140, truth, data_range=1400).psnr_db == pytest.approx(20.0)


def test_the_truth_itself_has_no_error(rng: np.random.Generator) -> None:
    _, truth = pair(rng, (8, 9, 10))

    found = quality(truth, truth, data_range=1)

    assert (found.psnr_db, found.ssim) == (math.inf, pytest.approx(1.0))
    assert str(found) == "inf dB / 1.000 (data range 1)"


def test_one_window_is_enough(rng: np.random.Generator) -> None:
    a, b = pair(rng, (7, 7, 7))

    whole = structural_similarity(b.astype(np.float64), a.astype(np.float64), data_range=1, win_size=7)
    assert quality(a, b, data_range=1).ssim == pytest.approx(whole)


def test_hu_outside_the_window_do_not_count(rng: np.random.Generator) -> None:
    true_hu = rng.integers(-1000, 400, (40, 12, 12)).astype(np.int16)
    true_hu[:, 0], true_hu[:, 1] = -2048, 3071
    hu = true_hu.copy()
    hu[:, 0], hu[:, 1] = -1000, 400

    assert quality_of_hu(hu, true_hu).psnr_db == math.inf


def test_hu_window_is_the_data_range() -> None:
    hu = np.array([-3024, -1000, -300, 400, 3071], np.int16)

    np.testing.assert_allclose(windowed(hu), [0, 0, 0.5, 1, 1])
    true_hu = np.zeros((8, 8, 8), np.int16)
    assert quality_of_hu(true_hu + np.int16(140), true_hu).psnr_db == pytest.approx(20.0)


def test_memory_does_not_grow_with_the_number_of_slices(rng: np.random.Generator) -> None:
    slab = pair(rng, (16, 64, 64))

    def peak_bytes(count: int) -> int:
        tracemalloc.start()
        quality_of_slabs((slab for _ in range(count)), data_range=1)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    peak_bytes(2)
    assert peak_bytes(12) < 1.1 * peak_bytes(3)


def shapes_differ(a: NDArray[np.float32], b: NDArray[np.float32]) -> Iterator[Pair]:
    yield a, b[:, 1:]


def too_small(a: NDArray[np.float32], b: NDArray[np.float32]) -> Iterator[Pair]:
    yield a[:, :6], b[:, :6]


def too_few(a: NDArray[np.float32], b: NDArray[np.float32]) -> Iterator[Pair]:
    yield a[:6], b[:6]


def no_number(a: NDArray[np.float32], b: NDArray[np.float32]) -> Iterator[Pair]:
    yield a, np.where(b == b[0, 0, 0], np.nan, b)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (shapes_differ, "cannot be compared"),
        (too_small, "in windows of 7³"),
        (too_few, "at least 7 slices"),
        (no_number, "no number"),
    ],
)
def test_what_cannot_be_compared_is_said(rng: np.random.Generator, spoil: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        quality_of_slabs(spoil(*pair(rng, (8, 9, 10))), data_range=1)  # type: ignore[operator]


def test_volumes_of_two_shapes_are_not_compared() -> None:
    with pytest.raises(InputError, match="cannot be compared"):
        quality_of_hu(np.zeros((9, 8, 8), np.int16), np.zeros((8, 8, 8), np.int16))
