"""A profile on the cells of a network: means of gates where they can be trusted, nothing elsewhere."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipdsf_spark.lidar.averages.column import Cells, ClearProfile, column_of

CELLS = Cells(lowest_m=100.0, cell_m=50.0, num=10)  # 100 to 600 m


def profile(beta: np.ndarray | float = 1e-6, **changed: float | bool) -> ClearProfile:
    """Gates of 10 m up to 1 km."""
    values = np.broadcast_to(np.asarray(beta, float), (100,)).copy()
    return dataclasses.replace(ClearProfile(values, first_m=5.0, gate_m=10.0), **changed)


def test_a_cell_is_the_logarithm_of_the_mean_of_its_gates() -> None:
    beta = np.full(100, 1e-6)
    beta[10:15] = [1e-6, 2e-6, 3e-6, 4e-6, 5e-6]  # 100 to 150 m

    column = column_of(profile(beta), CELLS)

    np.testing.assert_allclose(column, [np.log10(3e-6), *[-6.0] * 9], rtol=1e-6)
    np.testing.assert_allclose(CELLS.height_m[:2], [125.0, 175.0])


def test_a_calibration_shifts_the_logarithm() -> None:
    raw = column_of(profile(2e5, factor=3e-12), CELLS)

    np.testing.assert_allclose(raw, np.log10(6e-7), rtol=1e-6)


def test_noise_hides_the_far_cells_first() -> None:
    noisy = column_of(profile(1e-6, noise_at_unit_range=1e-6 / 300.0**2), CELLS)

    # 1e-6 at 300 m per gate, five gates to a cell: three times the noise of the mean are reached below 258 m.
    assert np.isfinite(noisy[:3]).all()
    assert np.isnan(noisy[4:]).all()


def test_what_lies_too_low_in_cloud_or_beyond_clipping_is_missing() -> None:
    cloudy = profile(1e-6)
    cloudy.beta[40:] = np.nan  # 400 m and above

    assert np.isfinite(column_of(cloudy, CELLS)).tolist() == [True] * 6 + [False] * 4
    assert np.isfinite(column_of(profile(lowest_m=200.0), CELLS)).tolist() == [False] * 2 + [True] * 8
    assert np.isfinite(column_of(profile(clipped_from_m=300.0), CELLS)).tolist() == [True] * 4 + [False] * 6


def test_a_wet_profile_shows_no_aerosol() -> None:
    assert np.isnan(column_of(profile(is_wet=True), CELLS)).all()


def test_a_tilted_beam_is_seen_at_its_height() -> None:
    beta = np.full(100, 1e-6)
    beta[50:] = 1e-7  # beyond 500 m along the beam, 433 m above the instrument at 30 degrees

    column = column_of(profile(beta, tilt_deg=30.0), CELLS)

    assert column[5] == pytest.approx(-6.0)
    assert column[7] == pytest.approx(-7.0)


@given(
    beta=st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), max_size=60),
    first_m=st.floats(-1e4, 1e4),
    gate_m=st.floats(-100, 1e4),
    tilt_deg=st.floats(-90, 90),
    noise=st.floats(0, 1),
)
def test_any_profile_gives_finite_cells_or_none(
    beta: list[float], first_m: float, gate_m: float, tilt_deg: float, noise: float
) -> None:
    odd = ClearProfile(np.array(beta, float), first_m, gate_m, tilt_deg, noise)

    column = column_of(odd, CELLS)

    assert column.shape == (10,)
    assert not np.isinf(column).any()
