"""From extinction to the mass of PM2.5: efficiency, humidity, regression."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipdsf_spark.lidar.aerosol.flags import AirFlag
from ipdsf_spark.lidar.aerosol.inversion import LayerExtinction
from ipdsf_spark.lidar.air_quality.humidity import growth_gamma, growth_kappa
from ipdsf_spark.lidar.air_quality.mass import AirSettings, mass_of
from ipdsf_spark.lidar.air_quality.regression import SiteLine

TWENTY_PER_MM = LayerExtinction(20e-6, 1e-6, 8e-6, 2e-6)
LINE = SiteLine(2.0, 1.5, 500, 0.6, 4.0, 3.0, 0.0, 40.0, "2026-01-01T00:00Z", "2026-03-01T00:00Z")


def test_twenty_per_megametre_at_1064_nm_in_dry_air_are_12_6_micrograms() -> None:
    found = mass_of(TWENTY_PER_MM, 1064.0, 0.4, AirSettings())

    assert found.value == pytest.approx(12.6, abs=0.05)
    assert not found.flags & (AirFlag.NO_HUMIDITY | AirFlag.HIGH_HUMIDITY)


def test_humid_particles_weigh_less_when_dried() -> None:
    dry, humid = (mass_of(TWENTY_PER_MM, 910.0, humidity, AirSettings()).value for humidity in (0.4, 0.85))

    # ((1 - .85) / (1 - .4)) ** -.5 = 2
    assert humid == pytest.approx(dry / 2.0)


def test_without_humidity_a_typical_one_is_assumed_and_said() -> None:
    known, unknown = (mass_of(TWENTY_PER_MM, 910.0, humidity, AirSettings()) for humidity in (0.7, float("nan")))

    assert unknown.value == pytest.approx(known.value)
    assert unknown.flags & AirFlag.NO_HUMIDITY
    assert unknown.systematic > known.systematic


@pytest.mark.parametrize("humidity", [-0.2, 0.0, 55.0, float("inf")])
def test_an_impossible_humidity_is_an_unknown_one(humidity: float) -> None:
    assert mass_of(TWENTY_PER_MM, 910.0, humidity, AirSettings()).flags & AirFlag.NO_HUMIDITY


def test_above_ninety_percent_the_estimate_is_flagged_and_stays_finite() -> None:
    found = mass_of(TWENTY_PER_MM, 910.0, 1.0, AirSettings())

    assert found.flags & AirFlag.HIGH_HUMIDITY
    assert np.isfinite(found.value) and found.value > 0


@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.floats(0.0, 1.2))
def test_growth_rises_with_humidity_from_one_at_forty_percent(one: float, other: float, strength: float) -> None:
    low, high = sorted((one, other))
    for growth in (growth_gamma, growth_kappa):
        assert growth(0.4, strength) == pytest.approx(1.0)
        assert 1.0 <= growth(low, strength) <= growth(high, strength) < 25.0


def test_a_kappa_of_0_3_doubles_the_volume_at_77_percent() -> None:
    # 1 + κ a / (1 - a) = 2 at a = 1 / 1.3
    volume_at_40 = 1.0 + 0.3 * 0.4 / 0.6
    assert growth_kappa(1 / 1.3, 0.3) == pytest.approx((2.0 / volume_at_40) ** (2 / 3))


def test_the_regression_of_the_site_replaces_general_assumptions_and_their_spread() -> None:
    general = mass_of(TWENTY_PER_MM, 910.0, 0.6, AirSettings())
    of_site = mass_of(TWENTY_PER_MM, 910.0, 0.6, AirSettings(line=LINE))

    assert of_site.value == pytest.approx(2.0 + 1.5 * general.value)
    assert of_site.systematic == 4.0
    assert general.flags & AirFlag.WITHOUT_REGRESSION and not of_site.flags & AirFlag.WITHOUT_REGRESSION


def test_beyond_what_the_regression_was_fitted_to_the_value_is_flagged() -> None:
    strong = LayerExtinction(4e-4, 1e-6, 8e-6, 2e-6)

    assert mass_of(strong, 910.0, 0.6, AirSettings(line=LINE)).flags & AirFlag.EXTRAPOLATED
    assert not mass_of(TWENTY_PER_MM, 910.0, 0.6, AirSettings(line=LINE)).flags & AirFlag.EXTRAPOLATED


@pytest.mark.parametrize(
    "wrong",
    [
        {"aerosol": "unicorn"}, {"growth": "linear"}, {"assumed_humidity": 70.0}, {"completeness": 0.0},
        {"interval_s": 7}, {"interval_s": 0}, {"lidar_ratio_sr": 0.0}, {"interval_s": 50}, {"interval_s": 7200},
        {"lidar_ratio_sr": 4.9}, {"lidar_ratio_sr": 201.0}, {"assumed_humidity": -0.1}, {"completeness": 1.1},
    ],
)  # fmt: skip
def test_impossible_settings_are_refused_before_the_first_file(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        AirSettings(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "possible",
    [
        {"assumed_humidity": 0.0}, {"assumed_humidity": 1.0}, {"completeness": 1 / 12}, {"completeness": 1.0},
        {"interval_s": 60}, {"interval_s": 3600}, {"lidar_ratio_sr": 5.0}, {"lidar_ratio_sr": 200.0},
    ],
)  # fmt: skip
def test_settings_at_either_end_of_what_is_possible_are_taken(possible: dict[str, object]) -> None:
    AirSettings(**possible)  # type: ignore[arg-type]


def test_growth_is_followed_up_to_95_percent_and_no_further() -> None:
    # ((1 - .95) / (1 - .4)) ** -.5 = sqrt(12)
    assert growth_gamma(0.95) == growth_gamma(0.99) == pytest.approx(np.sqrt(12.0))
    assert growth_gamma(0.94) < growth_gamma(0.95)
    assert growth_kappa(0.99, 0.3) == pytest.approx(((1 + 0.3 * 19) / 1.2) ** (2 / 3))


@pytest.mark.parametrize(("humidity", "of_humidity"), [(0.4, 0.0), (float("nan"), 0.35)])
def test_what_is_uncertain_adds_in_squares_lidar_ratio_calibration_efficiency_and_humidity(
    humidity: float, of_humidity: float
) -> None:
    found = mass_of(TWENTY_PER_MM, 1064.0, humidity, AirSettings())

    # of 20 per Mm 8 by the lidar ratio and 2 by the calibration; three tenths by the efficiency of continental aerosol
    assert found.systematic / found.value == pytest.approx(np.sqrt(0.4**2 + 0.1**2 + 0.3**2 + of_humidity**2))
    assert found.noise / found.value == pytest.approx(1 / 20)


def test_the_slope_of_a_site_scales_the_noise_as_well() -> None:
    general, of_site = (mass_of(TWENTY_PER_MM, 910.0, 0.6, AirSettings(line=line)) for line in (None, LINE))

    assert of_site.noise == pytest.approx(1.5 * general.noise)


@pytest.mark.parametrize(
    ("mass", "noise", "is_implausible"),
    [
        (4900.0, 0.0, False), (5100.0, 0.0, True),
        # without noise: three times the spread of the efficiency, .3, and 5 ug/m3 of a monitor's own
        (-45.0, 0.0, False), (-55.0, 0.0, True),
        (-60.0, 10.0, False), (-200.0, 10.0, True),
    ],
)  # fmt: skip
def test_more_than_was_ever_measured_and_less_than_noise_explains_are_implausible(
    mass: float, noise: float, is_implausible: bool
) -> None:
    per_mass = AirSettings().kind.efficiency_at(1064.0) * 1e-6
    found = mass_of(LayerExtinction(mass * per_mass, noise * per_mass, 0.0, 0.0), 1064.0, 0.4, AirSettings())

    assert found.value == pytest.approx(mass)
    assert bool(found.flags & AirFlag.IMPLAUSIBLE) == is_implausible


@pytest.mark.parametrize("estimate", [0.0, 40.0])
def test_the_ends_of_the_fit_belong_to_it(estimate: float) -> None:
    per_mass = AirSettings().kind.efficiency_at(1064.0) * 1e-6
    inside = LayerExtinction(estimate * per_mass * (1 - 1e-12), 1e-6, 8e-6, 2e-6)
    beyond = LayerExtinction((estimate * 1.05 - 0.1 * (estimate == 0)) * per_mass, 1e-6, 8e-6, 2e-6)

    assert not mass_of(inside, 1064.0, 0.4, AirSettings(line=LINE)).flags & AirFlag.EXTRAPOLATED
    assert mass_of(beyond, 1064.0, 0.4, AirSettings(line=LINE)).flags & AirFlag.EXTRAPOLATED


@pytest.mark.parametrize(("humidity", "is_flagged"), [(0.85, False), (0.9, False), (0.91, True)])
def test_humidity_is_called_high_above_ninety_percent_only(humidity: float, is_flagged: bool) -> None:
    found = mass_of(TWENTY_PER_MM, 910.0, humidity, AirSettings())

    assert bool(found.flags & AirFlag.HIGH_HUMIDITY) == is_flagged
