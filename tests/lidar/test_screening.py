"""Fog, rain and snow are recognised; haze is not."""

from __future__ import annotations

import numpy as np
import pytest

from ipdsf_spark.lidar.layers.screening import calibration, is_beam_lost, is_fog, is_precipitation, min_height_m

COLUMN_M = np.arange(255.0, 2000.0, 10.0)
NO_CLOUD, CLEAR = np.array([np.nan]), np.zeros(1)
NOT_LOST = np.zeros(1, bool)


def wet(beta: float, *, cloud_base_m: float = np.nan, cover: float = 0.0, said: float = 0.0) -> bool:
    column, height_m = np.full((1, COLUMN_M.size), beta), COLUMN_M
    if np.isfinite(cloud_base_m):
        column[:, height_m > cloud_base_m - 50.0] = np.nan
    return bool(is_precipitation(np.array([said]), column, COLUMN_M, np.array([cloud_base_m]), np.array([cover]))[0])


@pytest.mark.parametrize(("said", "expected"), [(0.0, False), (0.4, False), (0.5, True), (1.0, True)])
def test_the_instrument_is_believed_when_most_profiles_say_so(said: float, expected: bool) -> None:
    assert wet(1e-6, said=said) is expected


@pytest.mark.parametrize("said", [0.0, 0.4, 0.5, 1.0])
@pytest.mark.parametrize("lost", [True, False])
@pytest.mark.parametrize("beta", [1e-6, 8e-6])
def test_the_instruments_word_for_fog_needs_a_bright_signal_or_a_lost_beam(
    said: float, lost: bool, beta: float
) -> None:
    found = is_fog(np.array([said]), CLEAR, np.full((1, 20), beta), np.array([lost]))

    assert bool(found[0]) is (said >= 0.5 and (lost or beta > 6e-6))


def test_a_cloud_base_on_the_ground_is_fog() -> None:
    assert is_fog(CLEAR, np.array([0.6]), np.full((1, 20), 1e-6), NOT_LOST)[0]


def test_the_beam_is_lost_where_nothing_comes_back_from_behind_the_fog() -> None:
    gate_m = np.arange(5.0, 1500.0, 10.0)
    beta = np.stack([np.full(gate_m.size, 1e-6), np.where(gate_m < 200.0, 1e-5, 1e-8)])

    assert list(is_beam_lost(beta, gate_m)) == [False, True]
    assert list(is_beam_lost(beta[:, :20], gate_m[:20])) == [False, False]


def test_a_rain_strength_column_is_rain() -> None:
    assert wet(5e-6)
    assert wet(5e-6, cloud_base_m=1800.0, cover=1.0)


def test_a_short_column_under_a_low_cloud_must_be_stronger() -> None:
    assert wet(2e-5, cloud_base_m=900.0, cover=1.0)
    assert not wet(5e-6, cloud_base_m=900.0, cover=1.0)


def test_thick_haze_without_a_cloud_is_not_rain() -> None:
    haze = np.where(COLUMN_M < 1500.0, 6e-6, 3e-7)[None, :]

    assert not is_precipitation(CLEAR, haze, COLUMN_M, NO_CLOUD, CLEAR)[0]


def test_a_signal_of_no_known_strength_is_judged_by_the_instrument_alone() -> None:
    nothing = np.empty((1, 0))

    assert not is_precipitation(CLEAR, nothing, np.empty(0), NO_CLOUD, CLEAR)[0]
    assert not is_fog(CLEAR, CLEAR, nothing, NOT_LOST, has_level=False)[0]


def test_fog_strength_in_two_neighbouring_gates_is_fog_and_in_one_a_bad_gate() -> None:
    low = np.full((2, 20), 1e-6)
    low[0, 8] = 1e-3
    low[1, 8:10] = 1e-4

    assert list(is_fog(np.zeros(2), np.zeros(2), low, np.zeros(2, bool))) == [False, True]


def test_missing_gates_do_not_hide_fog() -> None:
    low = np.full((1, 20), np.nan)
    low[0, 8:10] = 1e-4

    assert is_fog(CLEAR, CLEAR, low, NOT_LOST)[0]


def test_the_site_knows_better_than_the_instrument() -> None:
    assert min_height_m("Lufft CHM15k", None) == 250.0
    assert min_height_m("Vaisala CL51", None) == 100.0
    assert min_height_m("Lufft CHM15k", 180.0) == 180.0
    assert calibration("Lufft CHM15k", None, is_calibrated=False) == (3e-12, False)
    assert calibration("Lufft CHM15k", 4e-12, is_calibrated=False) == (4e-12, True)
    assert calibration("Vaisala CL51", None, is_calibrated=True) == (1.0, True)
    assert calibration("unheard of", None, is_calibrated=False) == (1.0, False)
