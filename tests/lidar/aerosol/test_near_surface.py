"""Extinction near the ground: the layer that is looked at, and the reasons why there is none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipdsf_spark.lidar.aerosol.flags import REASONS, AirFlag
from ipdsf_spark.lidar.aerosol.inversion import attenuated_backscatter
from ipdsf_spark.lidar.aerosol.molecular import molecular_profiles
from ipdsf_spark.lidar.aerosol.near_surface import AerosolInterval, known_humidity, near_surface
from ipdsf_spark.lidar.aerosol.types import aerosol_type

HEIGHT_M = (np.arange(100) + 0.5) * 10.0
CONTINENTAL = aerosol_type("continental")
TRUE = 8e-5


def hazy(extinction: float = TRUE, wavelength_nm: float = 1064.0) -> AerosolInterval:
    """A well-mixed layer, seen from the ground up by a calibrated lidar with little noise."""
    air = molecular_profiles(wavelength_nm, HEIGHT_M)
    beta = attenuated_backscatter(np.full(HEIGHT_M.size, extinction), 50.0, *air, HEIGHT_M)
    return AerosolInterval(
        start=np.datetime64("2026-06-15T10:00", "s"),
        beta=beta,
        variance=np.full(HEIGHT_M.size, 1e-16),
        height_m=HEIGHT_M,
        wavelength_nm=wavelength_nm,
    )


@pytest.mark.parametrize("wavelength_nm", [532.0, 910.0, 1064.0])
def test_a_mixed_layer_gives_its_extinction(wavelength_nm: float) -> None:
    found = near_surface(hazy(wavelength_nm=wavelength_nm), CONTINENTAL)

    assert found.extinction is not None
    assert found.extinction.mean == pytest.approx(TRUE, rel=1e-4)
    assert found.extinction.lidar_ratio == pytest.approx(0.4 * TRUE, rel=0.25)
    assert (found.bottom_m, found.top_m) == (105.0, 295.0)
    assert not found.flags & REASONS
    assert bool(found.flags & AirFlag.WITHOUT_WATER_VAPOUR) == (wavelength_nm == 910.0)


def test_a_raw_signal_is_scaled_by_the_sites_calibration() -> None:
    interval = replace(hazy(), calibration=3e-12)
    interval = replace(interval, beta=interval.beta / 3e-12, variance=interval.variance / 9e-24)

    found = near_surface(interval, CONTINENTAL)

    assert found.extinction is not None and found.extinction.mean == pytest.approx(TRUE, rel=1e-6)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"calibration": None}, AirFlag.UNCALIBRATED),
        ({"calibration": 0.0}, AirFlag.UNCALIBRATED),
        ({"calibration": float("nan")}, AirFlag.UNCALIBRATED),
        ({"is_fog": True}, AirFlag.FOG),
        ({"is_precipitation": True}, AirFlag.PRECIPITATION),
        ({"cloud_base_m": 180.0}, AirFlag.CLOUD),
        ({"cloud_base_m": -30.0}, AirFlag.CLOUD),
        ({"wavelength_nm": float("nan")}, AirFlag.NO_WAVELENGTH),
        ({"wavelength_nm": 10_600.0}, AirFlag.NO_WAVELENGTH),
        ({"min_height_m": 5000.0}, AirFlag.NO_GATE),
        ({"beta": np.zeros(HEIGHT_M.size)}, AirFlag.NO_SIGNAL),
        ({"beta": np.full(HEIGHT_M.size, np.nan)}, AirFlag.NO_SIGNAL),
        ({"variance": np.full(HEIGHT_M.size, 1e-6)}, AirFlag.NO_SIGNAL),
        ({"beta": np.full(HEIGHT_M.size, 1e-3)}, AirFlag.ATTENUATED),
    ],
)
def test_where_nothing_can_be_said_the_reason_is_named(changed: dict[str, object], reason: AirFlag) -> None:
    found = near_surface(replace(hazy(), **changed), CONTINENTAL)

    assert found.extinction is None
    assert found.flags & reason
    assert (found.flags & REASONS) == reason


def test_a_cloud_above_the_layer_cuts_it_and_no_more() -> None:
    found = near_surface(replace(hazy(), cloud_base_m=260.0, relative_humidity=0.6), CONTINENTAL)

    assert found.extinction is not None
    assert found.top_m == 205.0


def test_a_shallow_mixing_layer_bounds_the_layer_and_a_shallower_one_is_flagged() -> None:
    bounded = near_surface(replace(hazy(), mixing_height_m=200.0), CONTINENTAL)
    below = near_surface(replace(hazy(), mixing_height_m=90.0), CONTINENTAL)

    assert bounded.top_m == 195.0 and not bounded.flags & AirFlag.ABOVE_MIXING_LAYER
    assert below.extinction is not None and below.flags & AirFlag.ABOVE_MIXING_LAYER


def test_an_instrument_that_sees_nothing_below_250_m_still_has_a_layer() -> None:
    found = near_surface(replace(hazy(), min_height_m=250.0), CONTINENTAL)

    assert found.extinction is not None
    assert (found.bottom_m, found.top_m) == (255.0, 305.0)


def test_impossible_weather_is_not_used() -> None:
    found = near_surface(replace(hazy(), pressure_hpa=-1.0, temperature_k=0.0), CONTINENTAL)

    assert found.extinction is not None and found.extinction.mean == pytest.approx(TRUE, rel=1e-6)


def test_less_signal_than_air_alone_gives_is_called_implausible() -> None:
    found = near_surface(replace(hazy(), calibration=0.02), CONTINENTAL)

    assert found.extinction is not None and found.extinction.mean < 0
    assert found.flags & AirFlag.IMPLAUSIBLE


def test_a_measured_lidar_ratio_replaces_the_assumed_one() -> None:
    assumed = near_surface(hazy(), CONTINENTAL)
    measured = near_surface(hazy(), CONTINENTAL, lidar_ratio_sr=50.0)

    assert assumed.extinction is not None and measured.extinction is not None
    assert measured.extinction.sigma < assumed.extinction.sigma / 2
    assert assumed.flags & AirFlag.ASSUMED_AEROSOL and not measured.flags & AirFlag.ASSUMED_AEROSOL


def drizzling(base_m: float, rain_beta: float) -> AerosolInterval:
    """Stratus at a base, and droplets of one strength from there to the ground: a column too short to be rain's."""
    air = hazy(2e-5)
    below = base_m > HEIGHT_M
    beta = np.where(below, air.beta + rain_beta, 2e-4 * np.exp(-np.maximum(HEIGHT_M - base_m, 0.0) / 40.0))
    return replace(air, beta=beta, cloud_base_m=base_m)


@pytest.mark.parametrize("base_m", [330.0, 480.0, 620.0, 900.0])
@pytest.mark.parametrize("rain_beta", [7e-6, 2e-5])
def test_drizzle_below_stratus_is_no_particulate_matter(base_m: float, rain_beta: float) -> None:
    found = near_surface(drizzling(base_m, rain_beta), CONTINENTAL)

    assert found.extinction is None
    assert found.flags & (AirFlag.DROPLETS | AirFlag.CLOUD)
    assert found.flags & AirFlag.BELOW_LOW_CLOUD


def test_haze_below_stratus_keeps_its_value_and_says_that_a_cloud_is_near() -> None:
    found = near_surface(replace(hazy(), cloud_base_m=900.0), CONTINENTAL)

    assert found.extinction is not None and found.extinction.mean == pytest.approx(TRUE, rel=1e-4)
    assert found.flags & AirFlag.BELOW_LOW_CLOUD


def test_near_a_base_the_air_is_humid_unless_a_hygrometer_says_that_it_is_dry() -> None:
    low = replace(hazy(), cloud_base_m=380.0)

    assert near_surface(low, CONTINENTAL).flags & AirFlag.CLOUD
    assert near_surface(replace(low, relative_humidity=0.95), CONTINENTAL).flags & AirFlag.CLOUD
    assert near_surface(replace(low, relative_humidity=0.6), CONTINENTAL).extinction is not None
    for broken in (0.0, -9.99):  # a hygrometer that says nothing does not say that the air is dry
        assert near_surface(replace(low, relative_humidity=broken), CONTINENTAL).flags & AirFlag.CLOUD


@given(
    extinction=st.floats(1e-6, 2e-3),
    base_m=st.one_of(st.just(float("nan")), st.floats(1500.0, 9000.0)),
    humidity=st.one_of(st.just(float("nan")), st.floats(0.1, 0.95)),
)
def test_a_column_without_a_low_cloud_keeps_its_value_however_hazy(
    extinction: float, base_m: float, humidity: float
) -> None:
    plain = hazy(extinction)

    found = near_surface(replace(plain, cloud_base_m=base_m, relative_humidity=humidity), CONTINENTAL)

    assert not found.flags & (AirFlag.DROPLETS | AirFlag.CLOUD | AirFlag.BELOW_LOW_CLOUD)
    assert found.extinction == near_surface(plain, CONTINENTAL).extinction


@pytest.mark.parametrize(
    ("wavelength_nm", "is_absorbed"), [(894.0, False), (895.0, True), (930.0, True), (931.0, False), (1064.0, False)]
)
def test_water_vapour_absorbs_between_895_and_930_nm(wavelength_nm: float, is_absorbed: bool) -> None:
    found = near_surface(hazy(wavelength_nm=wavelength_nm), CONTINENTAL)

    assert bool(found.flags & AirFlag.WITHOUT_WATER_VAPOUR) == is_absorbed


@pytest.mark.parametrize(
    ("wavelength_nm", "is_known"), [(229.0, False), (230.0, True), (1690.0, True), (1691.0, False)]
)
def test_the_air_is_known_from_230_to_1690_nm(wavelength_nm: float, is_known: bool) -> None:
    found = near_surface(replace(hazy(), wavelength_nm=wavelength_nm), CONTINENTAL)

    assert bool(found.flags & AirFlag.NO_WAVELENGTH) != is_known


@pytest.mark.parametrize(
    ("written", "is_known"), [(0.01, True), (1.0, True), (1.1, True), (1.11, False), (0.0, False), (-0.1, False)]
)
def test_a_hygrometer_in_fog_may_say_ten_percent_too_much_and_never_nothing(written: float, is_known: bool) -> None:
    assert np.isfinite(known_humidity(written)) == is_known


@pytest.mark.parametrize(("num_zeros", "is_seen"), [(10, True), (11, False)])
def test_a_layer_of_which_more_than_half_is_clipped_holds_no_signal(num_zeros: int, is_seen: bool) -> None:
    plain = hazy()
    gates = np.flatnonzero((HEIGHT_M >= 100.0) & (HEIGHT_M <= 300.0))
    beta = plain.beta.copy()
    beta[gates[-num_zeros:]] = 0.0
    assert gates.size == 20

    found = near_surface(replace(plain, beta=beta), CONTINENTAL)

    assert bool(found.flags & AirFlag.NO_SIGNAL) != is_seen


@pytest.mark.parametrize(("num_sigma", "is_seen"), [(3.1, True), (2.9, False)])
def test_the_mean_signal_of_a_layer_must_be_three_times_its_noise(num_sigma: float, is_seen: bool) -> None:
    plain = hazy()
    layer = (HEIGHT_M >= 100.0) & (HEIGHT_M <= 300.0)
    of_mean = float(plain.beta[layer].mean()) / num_sigma
    variance = np.full(HEIGHT_M.size, of_mean**2 * np.count_nonzero(layer))  # a mean of n gates has an nth of it

    found = near_surface(replace(plain, variance=variance), CONTINENTAL)

    assert bool(found.flags & AirFlag.NO_SIGNAL) != is_seen


@pytest.mark.parametrize(("extinction", "is_fog"), [(2.9e-3, False), (3.1e-3, True)])
def test_more_than_three_per_kilometre_is_fog_whatever_the_instrument_says(extinction: float, is_fog: bool) -> None:
    # Koschmieder: a visibility of a kilometre is an extinction of 3 to 4 per km
    found = near_surface(hazy(extinction), CONTINENTAL)

    assert bool(found.flags & AirFlag.ATTENUATED) == is_fog
    assert (found.extinction is None) == is_fog


@pytest.mark.parametrize(
    ("base_m", "rain_beta", "humidity", "is_droplets"),
    [
        (1490.0, 6e-6, float("nan"), True), (1510.0, 6e-6, float("nan"), False), (1490.0, 4e-6, float("nan"), False),
        (1490.0, 6e-6, 0.79, False), (1490.0, 6e-6, 0.81, True),
    ],
)  # fmt: skip
def test_droplets_are_a_strong_signal_in_air_not_known_dry_below_a_cloud_of_less_than_1500_m(
    base_m: float, rain_beta: float, humidity: float, is_droplets: bool
) -> None:
    plain = replace(hazy(), beta=np.full(HEIGHT_M.size, rain_beta), cloud_base_m=base_m, relative_humidity=humidity)

    found = near_surface(plain, CONTINENTAL)

    assert bool(found.flags & AirFlag.DROPLETS) == is_droplets


@pytest.mark.parametrize(("mixing_m", "top_m", "is_above"), [(161.0, 155.0, False), (159.0, 295.0, True)])
def test_a_layer_is_at_least_sixty_metres_deep(mixing_m: float, top_m: float, is_above: bool) -> None:
    found = near_surface(replace(hazy(), mixing_height_m=mixing_m), CONTINENTAL)

    assert found.top_m == top_m
    assert bool(found.flags & AirFlag.ABOVE_MIXING_LAYER) == is_above


@pytest.mark.parametrize(
    ("base_m", "humidity", "is_cloud"),
    [(211.0, 0.6, False), (209.0, 0.6, True), (411.0, 0.9, False), (409.0, 0.9, True)],
)
def test_fifty_metres_below_a_base_are_left_out_in_dry_air_and_250_in_humid(
    base_m: float, humidity: float, is_cloud: bool
) -> None:
    found = near_surface(replace(hazy(2e-5), cloud_base_m=base_m, relative_humidity=humidity), CONTINENTAL)

    assert bool(found.flags & AirFlag.CLOUD) == is_cloud


def test_a_measured_lidar_ratio_is_known_to_a_tenth_and_an_assumed_one_to_the_spread_of_its_type() -> None:
    assumed = near_surface(hazy(), CONTINENTAL).extinction
    measured = near_surface(hazy(), CONTINENTAL, lidar_ratio_sr=50.0).extinction

    assert assumed is not None and measured is not None
    assert assumed.lidar_ratio / measured.lidar_ratio == pytest.approx(20.0 / 5.0)


@pytest.mark.parametrize(
    ("weather", "density"),
    [
        ({"pressure_hpa": 950.0}, 950.0 / 1013.25), ({"temperature_k": 263.15}, 288.15 / 263.15),
        ({"pressure_hpa": 300.0}, 300.0 / 1013.25), ({"pressure_hpa": 1100.0}, 1100.0 / 1013.25),
        ({"temperature_k": 180.0}, 288.15 / 180.0), ({"temperature_k": 340.0}, 288.15 / 340.0),
        ({"pressure_hpa": 299.0}, 1.0), ({"pressure_hpa": 1101.0}, 1.0), ({"temperature_k": 179.0}, 1.0),
        ({"temperature_k": 341.0}, 1.0),
    ],
)  # fmt: skip
def test_weather_that_a_station_can_have_sets_the_density_of_the_air(weather: dict[str, float], density: float) -> None:
    # of no particles at all what is seen is air: more or less of it than assumed leaves particles, or lacks them
    plain = replace(hazy(0.0, 532.0), variance=np.zeros(HEIGHT_M.size))
    found = near_surface(replace(plain, **weather), CONTINENTAL)  # type: ignore[arg-type]

    assert found.extinction is not None
    beta_of_air = molecular_profiles(532.0, np.array([200.0]))[0][0]
    assert found.extinction.mean == pytest.approx(50.0 * beta_of_air * (1.0 - density), rel=0.05, abs=1e-7)


def test_less_than_half_of_what_air_scatters_is_implausible_only_beyond_the_noise() -> None:
    air = float(molecular_profiles(1064.0, np.array([105.0]))[1][0])
    flags = []
    for extinction, sigma in ((-0.4 * air, 0.0), (-0.6 * air, 0.0), (-0.6 * air, 5e-9)):
        beta = attenuated_backscatter(
            np.full(HEIGHT_M.size, extinction), 50.0, *molecular_profiles(1064.0, HEIGHT_M), HEIGHT_M
        )
        found = near_surface(replace(hazy(), beta=beta, variance=np.full(HEIGHT_M.size, sigma**2)), CONTINENTAL)
        assert found.extinction is not None
        flags.append(bool(found.flags & AirFlag.IMPLAUSIBLE))

    assert flags == [False, True, False]
