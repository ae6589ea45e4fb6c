"""Closed forms of the Haar wavelet covariance transform, Brooks (2003, J. Atmos. Oceanic Technol. 20, 1092).

W(a, b) is half the difference between the means of the half-windows below and above b, so that every profile below has
an exact W; the multi-dilation mean is that of its dilations.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import erf

from ipdsf_spark.lidar.layers.wavelet import Windows, boundaries_m, covariance_transform, transform

STEP_M = 10.0
CENTRE_M = (np.arange(400) + 0.5) * STEP_M
EDGE_M = boundaries_m(CENTRE_M, STEP_M)


def gate_mean_erf(zi_m: float, s_m: float, below: float, above: float) -> np.ndarray:
    """The erf profile averaged over every gate, as a lidar delivers it."""
    fine_m = (np.arange(400 * 50) + 0.5) * STEP_M / 50
    profile = (below + above) / 2 - (below - above) / 2 * erf((fine_m - zi_m) / s_m)
    return profile.reshape(400, 50).mean(axis=1)


@pytest.mark.parametrize("dilation_m", [100.0, 200.0, 300.0, 400.0, 600.0])
def test_a_step_gives_half_its_height_at_its_place_whatever_the_dilation(dilation_m: float) -> None:
    step = np.where(CENTRE_M < 1500.0, 1.0, 0.2)[None, :]
    w = covariance_transform(step, STEP_M, dilation_m)[0]

    assert EDGE_M[np.nanargmax(w)] == 1500.0
    assert np.nanmax(w) == pytest.approx((1.0 - 0.2) / 2, abs=1e-12)


@pytest.mark.parametrize("dilation_m", [100.0, 300.0, 600.0])
def test_a_linear_gradient_gives_the_constant_minus_g_a_over_four(dilation_m: float) -> None:
    gradient = -4e-4
    w = covariance_transform((1.0 + gradient * CENTRE_M)[None, :], STEP_M, dilation_m)[0]

    np.testing.assert_allclose(w[np.isfinite(w)], -gradient * dilation_m / 4, rtol=1e-9)


@pytest.mark.parametrize(("s_m", "dilation_m"), [(100.0, 300.0), (50.0, 200.0), (200.0, 400.0), (30.0, 600.0)])
def test_an_erf_profile_gives_the_integrated_erf_at_its_top(s_m: float, dilation_m: float) -> None:
    below, above, x = 1.0, 0.2, dilation_m / 2
    expected = (
        (below - above) / dilation_m * (x * erf(x / s_m) + s_m / np.sqrt(np.pi) * (np.exp(-((x / s_m) ** 2)) - 1.0))
    )
    w = covariance_transform(gate_mean_erf(1500.0, s_m, below, above)[None, :], STEP_M, dilation_m)[0]

    assert EDGE_M[np.nanargmax(w)] == 1500.0
    assert np.nanmax(w) == pytest.approx(expected, rel=2e-5)


def test_the_check_value_of_the_science_notes_is_met() -> None:
    w = covariance_transform(gate_mean_erf(1500.0, 100.0, 1.0, 0.2)[None, :], STEP_M, 300.0)[0]

    assert w[150] == pytest.approx(0.2518, abs=5e-5)


def test_a_layer_base_is_a_minimum() -> None:
    rise = np.where(CENTRE_M < 1500.0, 0.2, 1.0)[None, :]
    w = covariance_transform(rise, STEP_M, 300.0)[0]

    assert EDGE_M[np.nanargmin(w)] == 1500.0
    assert np.nanmin(w) == pytest.approx(-0.4, abs=1e-12)


def test_several_dilations_give_their_mean() -> None:
    profile = gate_mean_erf(1500.0, 150.0, 1.0, 0.2)[None, :]
    dilations_m = (200.0, 300.0, 400.0)
    together = transform(profile, Windows.of(400, STEP_M, dilations_m)).w[0]
    alone = np.mean([covariance_transform(profile, STEP_M, a)[0] for a in dilations_m], axis=0)

    fits = np.isfinite(alone)
    np.testing.assert_allclose(together[fits], alone[fits], rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize(
    ("s_m", "gradient_per_km", "bias_m"),
    [(100.0, 0.0, {100: 0, 300: 0, 600: 0}), (100.0, -0.4, {100: -10, 300: -10, 600: -10})],
)
def test_a_gradient_inside_the_layer_biases_the_top_downward_as_in_the_science_notes(
    s_m: float, gradient_per_km: float, bias_m: dict[int, int]
) -> None:
    slope = np.where(CENTRE_M < 1500.0, gradient_per_km / 1000.0 * (CENTRE_M - 1500.0), 0.0)
    profile = (gate_mean_erf(1500.0, s_m, 1.0, 0.2) + slope * gate_mean_erf(1500.0, s_m, 1.0, 0.0))[None, :]
    for dilation_m, expected_m in bias_m.items():
        w = covariance_transform(profile, STEP_M, float(dilation_m))[0]

        assert EDGE_M[np.nanargmax(w)] - 1500.0 == pytest.approx(expected_m, abs=10.0)
