"""Laws of the wavelet transform beyond the closed forms of tests/literature."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ipdsf_spark.lidar.layers.wavelet import Windows, covariance_transform, half_window, transform

VALUES = st.floats(-10.0, 10.0, width=32)
SMALL = hnp.arrays(np.float64, (3, 60), elements=VALUES)


@given(SMALL)
def test_running_sums_give_what_window_means_give(beta: np.ndarray) -> None:
    w = covariance_transform(beta, 10.0, 200.0)
    for edge in (10, 23, 50):
        expected = (beta[:, edge - 10 : edge].mean(axis=1) - beta[:, edge : edge + 10].mean(axis=1)) / 2

        np.testing.assert_allclose(w[:, edge], expected, atol=1e-9)
    assert np.isnan(w[:, :10]).all()
    assert np.isnan(w[:, 51:]).all()


@given(SMALL)
def test_profiles_with_and_without_gaps_take_the_same_way(beta: np.ndarray) -> None:
    windows = Windows.of(60, 10.0, (200.0, 300.0))
    whole = transform(beta, windows)
    gappy = np.concatenate([beta, np.full((1, 60), np.nan)])
    same = transform(gappy, windows)

    np.testing.assert_allclose(same.w[:3], whole.w, atol=1e-9)
    np.testing.assert_allclose(same.below[:3], whole.below, atol=1e-9)
    assert np.isnan(same.w[3]).all()


@given(SMALL, st.integers(0, 59))
def test_a_missing_gate_is_never_filled(beta: np.ndarray, gate: int) -> None:
    beta = beta.copy()
    beta[1, gate] = np.nan
    w = transform(beta, Windows.of(60, 10.0, (200.0,))).w
    half = Windows.of(60, 10.0, (200.0,)).half[0]
    for edge in range(61):
        meets = edge - half[edge] <= gate < edge + half[edge]

        assert np.isnan(w[1, edge]) == (meets or half[edge] == 0)


@given(SMALL, st.floats(0.01, 100.0), st.floats(-5.0, 5.0))
def test_the_transform_is_linear_and_blind_to_an_offset(beta: np.ndarray, scale: float, offset: float) -> None:
    windows = Windows.of(60, 10.0, (200.0, 300.0))
    w = transform(beta, windows).w

    np.testing.assert_allclose(transform(scale * beta + offset, windows).w, scale * w, atol=1e-7 * max(scale, 1.0))


@given(SMALL, st.integers(1, 15))
def test_shifted_profiles_have_a_shifted_transform(beta: np.ndarray, gates: int) -> None:
    w = covariance_transform(beta, 10.0, 200.0)
    shifted = covariance_transform(np.pad(beta, ((0, 0), (gates, 0)), mode="edge"), 10.0, 200.0)

    np.testing.assert_allclose(shifted[:, 10 + gates : 51 + gates], w[:, 10:51], atol=1e-9)


def test_towards_the_ground_a_constant_gradient_makes_no_maximum() -> None:
    height_m = (np.arange(200) + 0.5) * 10.0
    windows = Windows.of(200, 10.0, (200.0, 300.0, 400.0))
    w = transform((5.0 - 1e-3 * height_m)[None, :], windows).w[0]

    inside = w[windows.first_edge : 180]
    assert windows.first_edge == 5
    assert (np.diff(inside) >= -1e-12).all()


def test_the_mean_below_an_edge_is_known_up_to_a_gap() -> None:
    beta = np.ones((1, 60))
    beta[0, 40:] = np.nan
    seen = transform(beta, Windows.of(60, 10.0, (200.0,)))

    assert seen.below[0, 40] == pytest.approx(1.0)
    assert np.isnan(seen.w[0, 31])


@pytest.mark.parametrize(
    ("dilation_m", "resolution_m", "gates"), [(200.0, 10.0, 10), (200.0, 30.0, 3), (10.0, 30.0, 1)]
)
def test_a_half_window_has_whole_gates_and_at_least_one(dilation_m: float, resolution_m: float, gates: int) -> None:
    assert half_window(dilation_m, resolution_m) == gates


def test_the_noise_of_w_is_what_the_gain_says() -> None:
    windows = Windows.of(100, 10.0, (200.0, 300.0, 400.0))
    draws = np.random.default_rng(1).standard_normal((20_000, 100))
    spread = transform(draws, windows).w[:, 40:60].std()

    # the dilations share their inner gates, so that averaging them lessens the noise a little below the mean gain
    assert 0.75 < spread / np.sqrt(windows.gain[50]) < 1.0
