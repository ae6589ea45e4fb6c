"""Forward inversion: what the lidar equation made of an extinction, the inversion takes back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipdsf_spark.lidar.aerosol.inversion import LayerExtinction, attenuated_backscatter, invert, layer_mean
from ipdsf_spark.lidar.aerosol.molecular import molecular_profiles
from ipdsf_spark.lidar.aerosol.types import AEROSOL_TYPES, aerosol_type

RANGE_M = 100.0 + (np.arange(140) + 0.5) * 30.0
WAVELENGTH_NM = 910.55
AIR = molecular_profiles(WAVELENGTH_NM, RANGE_M)


def haze(depth: float, scale_m: float = 1500.0) -> np.ndarray:
    """Extinction that falls off with height and has an optical depth of `depth` from the ground to the last gate."""
    shape = np.exp(-RANGE_M / scale_m)
    whole = shape.sum() * 30.0 + shape[0] * 100.0
    return shape * depth / whole


@given(
    depth=st.floats(0.0, 1.5),
    lidar_ratio_sr=st.floats(15.0, 100.0),
    wavelength_nm=st.sampled_from([532.0, 910.0, 1064.0]),
    seed=st.integers(0, 1000),
)
def test_inversion_undoes_the_lidar_equation(
    depth: float, lidar_ratio_sr: float, wavelength_nm: float, seed: int
) -> None:
    air = molecular_profiles(wavelength_nm, RANGE_M)
    true = haze(depth) * np.random.default_rng(seed).uniform(0.5, 1.5, RANGE_M.size)
    seen = attenuated_backscatter(true, lidar_ratio_sr, *air, RANGE_M)

    found = invert(seen, RANGE_M, lidar_ratio_sr, *air)

    np.testing.assert_allclose(found.extinction, true, rtol=1e-7, atol=1e-13)
    assert found.depth[-1] == pytest.approx(true.sum() * 30.0 + true[0] * 100.0, rel=1e-7, abs=1e-12)
    assert not found.diverged


def test_the_forward_model_integrates_the_continuous_equation() -> None:
    # constant extinction: T² to a gate's middle is exp(-2 α z), whatever the gates
    alpha = np.full(RANGE_M.size, 1e-4)
    seen = attenuated_backscatter(alpha, 50.0, np.zeros_like(alpha), np.zeros_like(alpha), RANGE_M)

    np.testing.assert_allclose(seen, 1e-4 / 50.0 * np.exp(-2e-4 * RANGE_M), rtol=1e-12)


def test_clean_air_has_no_particles() -> None:
    seen = attenuated_backscatter(np.zeros(RANGE_M.size), 50.0, *AIR, RANGE_M)

    np.testing.assert_allclose(invert(seen, RANGE_M, 50.0, *AIR).extinction, 0.0, atol=1e-16)


@pytest.mark.parametrize(("assumed_sr", "factor"), [(30.0, 0.585), (70.0, 1.437)])
def test_a_wrong_lidar_ratio_scales_extinction_as_known(assumed_sr: float, factor: float) -> None:
    # error budget for a true lidar ratio of 50 sr and an optical depth of .10
    true = haze(0.10)
    seen = attenuated_backscatter(true, 50.0, *AIR, RANGE_M)

    found = invert(seen, RANGE_M, assumed_sr, *AIR).extinction

    assert np.mean(found[:20] / true[:20]) == pytest.approx(factor, abs=0.03)


def test_a_calibration_ten_percent_high_gives_more_and_ever_more_aloft() -> None:
    true = haze(0.10, scale_m=4000.0)
    seen = attenuated_backscatter(true, 50.0, *AIR, RANGE_M)

    excess = invert(1.1 * seen, RANGE_M, 50.0, *AIR).extinction / true - 1.0

    assert excess[0] == pytest.approx(0.11, abs=0.02)
    assert np.all(np.diff(excess) > 0)


def test_a_missing_gate_ends_the_profile_and_keeps_what_lies_below() -> None:
    seen = attenuated_backscatter(haze(0.2), 50.0, *AIR, RANGE_M)
    seen[40] = np.nan

    found = invert(seen, RANGE_M, 50.0, *AIR)

    assert np.isfinite(found.extinction[:40]).all()
    assert np.isnan(found.extinction[40:]).all()
    assert not found.diverged


def test_a_cloud_that_no_lidar_ratio_of_aerosol_explains_is_named_and_not_a_number() -> None:
    seen = attenuated_backscatter(haze(0.2), 50.0, *AIR, RANGE_M)
    seen[30:35] = 3e-4

    found = invert(seen, RANGE_M, 50.0, *AIR)

    assert found.diverged
    assert np.isnan(found.extinction[35:]).all()


def test_uncertainty_by_noise_is_that_of_many_draws() -> None:
    rng, true = np.random.default_rng(3), haze(0.5)
    sigma = 3e-8 * (RANGE_M / 300.0) ** 2
    seen = attenuated_backscatter(true, 50.0, *AIR, RANGE_M)
    budget = (700.0, 50.0, 0.0, 0.0)

    told = layer_mean(seen, sigma**2, RANGE_M, *budget, *AIR)
    draws = [
        layer_mean(seen + sigma * rng.standard_normal(sigma.size), sigma**2, RANGE_M, *budget, *AIR) for _ in range(600)
    ]

    assert told is not None
    means = [draw.mean for draw in draws if draw is not None]
    assert told.noise == pytest.approx(np.std(means), rel=0.1)
    assert told.mean == pytest.approx(float(np.mean(true[RANGE_M <= 700.0])), rel=1e-9)


def test_uncertainty_by_lidar_ratio_and_calibration_is_the_difference_they_make() -> None:
    seen = attenuated_backscatter(haze(0.1), 50.0, *AIR, RANGE_M)
    told = layer_mean(seen, np.zeros_like(seen), RANGE_M, 300.0, 50.0, 2.5, 0.05, *AIR)
    with_ratio = layer_mean(seen, np.zeros_like(seen), RANGE_M, 300.0, 52.5, 2.5, 0.05, *AIR)
    with_factor = layer_mean(1.05 * seen, np.zeros_like(seen), RANGE_M, 300.0, 50.0, 2.5, 0.05, *AIR)

    assert told is not None and with_ratio is not None and with_factor is not None
    assert told.lidar_ratio == pytest.approx(with_ratio.mean - told.mean, rel=0.05)
    assert told.calibration == pytest.approx(with_factor.mean - told.mean, rel=0.05)
    assert told.sigma == pytest.approx(np.hypot(told.lidar_ratio, told.calibration))


def test_a_layer_without_gates_or_with_a_hole_has_no_mean() -> None:
    seen = attenuated_backscatter(haze(0.1), 50.0, *AIR, RANGE_M)
    zero = np.zeros_like(seen)
    assert layer_mean(seen, zero, RANGE_M, 90.0, 50.0, 20.0, 0.1, *AIR) is None
    seen[3] = np.nan
    assert layer_mean(seen, zero, RANGE_M, 300.0, 50.0, 20.0, 0.1, *AIR) is None


@given(beta=st.lists(st.floats(-1e-3, 1e-2), min_size=1, max_size=20))
def test_any_signal_gives_numbers_or_gaps_and_no_exception(beta: list[float]) -> None:
    range_m = 50.0 + 10.0 * np.arange(len(beta))
    found = invert(np.array(beta), range_m, 50.0, *molecular_profiles(910.0, range_m))

    ends = np.flatnonzero(np.isnan(found.extinction))
    assert ends.size or not found.diverged
    assert np.isfinite(found.extinction[: ends[0] if ends.size else None]).all()


def test_lidar_ratios_are_interpolated_between_the_two_wavelengths() -> None:
    smoke = aerosol_type("smoke")

    assert smoke.lidar_ratio_at(532.0)[0] == pytest.approx(70.0)
    assert smoke.lidar_ratio_at(1064.0)[0] == pytest.approx(30.0)
    assert 30.0 < smoke.lidar_ratio_at(910.0)[0] < 45.0
    assert aerosol_type("continental").lidar_ratio_at(910.0) == pytest.approx((50.0, 20.0))


@pytest.mark.parametrize(("wavelength_nm", "efficiency"), [(550.0, 4.0), (910.0, 1.98), (1064.0, 1.59)])
def test_the_default_mass_extinction_efficiency_falls_with_wavelength(wavelength_nm: float, efficiency: float) -> None:
    assert aerosol_type("continental").efficiency_at(wavelength_nm) == pytest.approx(efficiency, abs=0.005)


def test_an_unknown_type_of_aerosol_is_refused_with_the_list() -> None:
    with pytest.raises(ValueError, match="continental") as refused:
        aerosol_type("unicorn")
    assert all(name in str(refused.value) for name in AEROSOL_TYPES)


@pytest.mark.parametrize(
    ("name", "at_532", "at_1064"),
    [
        ("clean continental", (53.0, 24.0), (30.0, 17.0)), ("polluted", (70.0, 25.0), (30.0, 14.0)),
        ("smoke", (70.0, 16.0), (30.0, 18.0)), ("dust", (44.0, 9.0), (44.0, 13.0)),
        ("marine", (23.0, 5.0), (23.0, 5.0)),
    ],
)  # fmt: skip
def test_lidar_ratios_are_those_of_calipso_version_4(
    name: str, at_532: tuple[float, float], at_1064: tuple[float, float]
) -> None:
    # Kim et al. 2018, Table 2: clean continental, polluted continental, elevated smoke, dust, marine
    kind = aerosol_type(name)

    assert kind.lidar_ratio_at(532.0) == pytest.approx(at_532)
    assert kind.lidar_ratio_at(1064.0) == kind.lidar_ratio_at(1550.0) == pytest.approx(at_1064)
    halfway = tuple((one + two) / 2 for one, two in zip(at_532, at_1064, strict=True))
    assert kind.lidar_ratio_at(np.sqrt(532.0 * 1064.0)) == pytest.approx(halfway)


@pytest.mark.parametrize(("name", "efficiency"), [("continental", 4.0), ("marine", 1.7), ("dust", 1.0), ("smoke", 3.1)])
def test_mass_extinction_efficiencies_at_550_nm_are_those_of_improve(name: str, efficiency: float) -> None:
    # Pitchford et al. 2007: fine mixture, sea salt, fine soil; and smoke
    assert aerosol_type(name).efficiency_at(550.0) == efficiency


def test_the_profile_ends_behind_an_optical_depth_of_three() -> None:
    true = np.full(RANGE_M.size, 1e-3)
    nothing = np.zeros_like(true)
    seen = attenuated_backscatter(true, 50.0, nothing, nothing, RANGE_M)

    found = invert(seen, RANGE_M, 50.0, nothing, nothing)

    last = int(np.flatnonzero(np.isfinite(found.extinction))[-1])
    assert found.depth[last - 1] <= 3.0 < found.depth[last]
    np.testing.assert_allclose(found.extinction[: last + 1], 1e-3, rtol=1e-6)
    assert np.isnan(found.extinction[last + 1 :]).all() and np.isnan(found.depth[last + 1 :]).all()
    assert not found.diverged


@given(alpha=st.floats(-1e-4, 2.4e-2), range_m=st.floats(20.0, 40.0), lidar_ratio_sr=st.floats(20.0, 100.0))
def test_a_single_gate_is_inverted_up_to_the_strongest_signal_that_it_can_give(
    alpha: float, range_m: float, lidar_ratio_sr: float
) -> None:
    # of one gate, seen from the ground: alpha exp(-2 alpha z) has its maximum at 1 / (2 z)
    at, air = np.array([range_m]), np.zeros(1)
    peak = np.exp(-1.0) / (2.0 * range_m) / lidar_ratio_sr
    seen = attenuated_backscatter(np.array([min(alpha, 0.999 / (2 * range_m))]), lidar_ratio_sr, air, air, at)

    found = invert(seen, at, lidar_ratio_sr, air, air)

    assert found.extinction[0] == pytest.approx(min(alpha, 0.999 / (2 * range_m)), rel=1e-5, abs=1e-12)
    assert found.depth[0] == pytest.approx(found.extinction[0] * 2 * range_m)
    assert invert(np.array([1.001 * peak]), at, lidar_ratio_sr, air, air).diverged
    assert not invert(np.array([0.999 * peak]), at, lidar_ratio_sr, air, air).diverged


def test_all_parts_of_an_uncertainty_add_in_squares() -> None:
    assert LayerExtinction(1e-4, 2e-6, 3e-6, 6e-6).sigma == pytest.approx(7e-6)


def test_the_gate_at_the_top_belongs_to_the_layer() -> None:
    seen = attenuated_backscatter(haze(0.5, 800.0), 50.0, *AIR, RANGE_M)
    inside, outside = (
        layer_mean(seen, np.zeros_like(seen), RANGE_M, top_m, 50.0, 20.0, 0.1, *AIR) for top_m in (175.0, 174.9)
    )

    assert inside is not None and outside is not None
    true = haze(0.5, 800.0)
    assert (inside.mean, outside.mean) == pytest.approx((true[:3].mean(), true[:2].mean()), rel=1e-6)


@pytest.mark.parametrize("gate", [0, 3, 9])
def test_the_noise_of_a_gate_without_signal_is_that_of_one_with_hardly_any(gate: int) -> None:
    seen = attenuated_backscatter(haze(1.0), 50.0, *AIR, RANGE_M)
    told = []
    for signal in (0.0, 1e-15, -1e-15):
        seen[gate] = signal
        told.append(layer_mean(seen, np.full(seen.size, 1e-16), RANGE_M, 450.0, 50.0, 20.0, 0.1, *AIR))

    nothing, little, negative = (each.noise for each in told if each is not None)
    assert nothing == pytest.approx(little, rel=1e-6) == pytest.approx(negative, rel=1e-6)
