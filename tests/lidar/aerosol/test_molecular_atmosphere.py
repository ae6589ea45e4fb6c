"""Air scatters as its molecules do: refractive index, cross-section, standard atmosphere."""

from __future__ import annotations

import numpy as np
import pytest

from ipdsf_spark.lidar.aerosol.molecular import cross_section_m2, molecular_profiles, standard_atmosphere

GROUND = np.zeros(1)


@pytest.mark.parametrize(
    ("wavelength_nm", "extinction", "backscatter"), [(910.55, 1.494e-6, 1.784e-7), (1064.0, 7.985e-7, 9.53e-8)]
)
def test_air_at_sea_level_has_the_known_backscatter(
    wavelength_nm: float, extinction: float, backscatter: float
) -> None:
    beta, alpha = molecular_profiles(wavelength_nm, GROUND)

    assert alpha[0] == pytest.approx(extinction, rel=5e-4)
    assert beta[0] == pytest.approx(backscatter, rel=5e-4)


@pytest.mark.parametrize("wavelength_nm", [532.0, 910.0, 1064.0])
def test_backscatter_agrees_with_collis_and_russell_within_five_percent(wavelength_nm: float) -> None:
    expected = 5.45e-32 * (550.0 / wavelength_nm) ** 4 * 2.547e25

    assert molecular_profiles(wavelength_nm, GROUND)[0][0] == pytest.approx(expected, rel=0.05)


def test_the_cross_section_at_532_nm_is_that_of_bucholtz_1995() -> None:
    # Bucholtz 1995, Table 2: 5.167e-27 cm2 at 532 nm (by its own wavelength-dependent King factor)
    assert cross_section_m2(532.0) == pytest.approx(5.167e-31, rel=0.01)


@pytest.mark.parametrize(
    ("height_m", "pressure_hpa", "temperature_k"),
    [(0.0, 1013.25, 288.15), (5000.0, 540.20, 255.65), (11_000.0, 226.32, 216.65), (15_000.0, 120.45, 216.65)],
)
def test_the_atmosphere_is_the_icao_standard(height_m: float, pressure_hpa: float, temperature_k: float) -> None:
    pressure, temperature = standard_atmosphere(np.array([height_m]))

    assert pressure[0] == pytest.approx(pressure_hpa, abs=0.01)
    assert temperature[0] == pytest.approx(temperature_k, abs=0.01)


def test_a_station_on_a_mountain_continues_the_same_column() -> None:
    above_sea = standard_atmosphere(np.array([3500.0, 13_000.0]))
    above_station = standard_atmosphere(np.array([1500.0, 11_000.0]), station_altitude_m=2000.0)

    np.testing.assert_allclose(above_station, above_sea, rtol=1e-6)


def test_measured_pressure_and_temperature_scale_the_density_at_the_ground() -> None:
    standard = molecular_profiles(910.0, GROUND)[1][0]
    winter = molecular_profiles(910.0, GROUND, surface_pressure_hpa=1030.0, surface_temperature_k=263.15)[1][0]

    assert winter / standard == pytest.approx(1030.0 / 1013.25 * 288.15 / 263.15, rel=1e-9)


@pytest.mark.parametrize("wavelength_nm", [0.0, -1.0, 100.0, 10_600.0, float("nan")])
def test_a_wavelength_without_a_known_refractive_index_is_refused(wavelength_nm: float) -> None:
    with pytest.raises(ValueError, match="230 to 1690"):
        cross_section_m2(wavelength_nm)


def test_the_refractive_index_behind_the_cross_section_is_that_of_peck_and_reeder() -> None:
    # (n - 1) of standard air at 0.6440 um is 2.7656e-4 (Peck and Reeder 1972); King factor 1.05
    n, wavelength_m = 1.0 + 2.7656e-4, 0.6440e-6
    polarisability = (n**2 - 1.0) / (n**2 + 2.0)
    expected = 24.0 * np.pi**3 * polarisability**2 / (wavelength_m**4 * 2.546899e25**2) * 1.05

    assert cross_section_m2(644.0) == pytest.approx(expected, rel=5e-4)


@pytest.mark.parametrize("wavelength_nm", [230.0, 1690.0])
def test_the_ends_of_the_dispersion_formula_belong_to_it(wavelength_nm: float) -> None:
    assert cross_section_m2(wavelength_nm) > 0.0


def test_a_station_above_the_tropopause_and_an_impossible_temperature_give_numbers() -> None:
    for kind in ({"station_altitude_m": 12_000.0}, {"surface_temperature_k": 160.0}, {"surface_temperature_k": 5.0}):
        pressure, temperature = standard_atmosphere(np.array([0.0, 500.0, 9000.0]), **kind)
        assert np.isfinite(pressure).all() and (temperature >= 150.0).all()
    above = standard_atmosphere(np.array([0.0, 1000.0]), station_altitude_m=12_000.0)[1]
    np.testing.assert_allclose(above, 216.65)
