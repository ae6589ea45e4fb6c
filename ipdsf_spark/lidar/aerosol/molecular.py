"""Backscatter and extinction of air at a laser's wavelength, for a standard atmosphere above a station.

Refractive index after Peck and Reeder (1972, J. Opt. Soc. Am. 62, 958, eq. 2), Rayleigh cross-section with a King
factor of 1.05 for depolarisation (Bucholtz 1995, Appl. Opt. 34, 2765), temperature and pressure after the ICAO standard
atmosphere (ISO 2533:1975) up to 20 km. Heights of the standard are geopotential; up to 15 km they differ from geometric
ones by less than .25 %, which is neglected.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from ipdsf_spark.lidar.profiles import Float64

STANDARD_PRESSURE_HPA: Final = 1013.25
STANDARD_TEMPERATURE_K: Final = 288.15  # at which the refractive index below is given, and of the standard at 0 m
STANDARD_MOLECULES_M3: Final = 2.546899e25  # at 1013.25 hPa and 288.15 K
KING_FACTOR: Final = 1.05
MOLECULAR_LIDAR_RATIO_SR: Final = 8.0 * np.pi / 3.0
LAPSE_RATE_K_PER_M: Final = 0.0065
TROPOPAUSE_M: Final = 11_000.0  # above sea level; isothermal above
GRAVITY_M_S2: Final = 9.80665
GAS_CONSTANT_J_KG_K: Final = 287.05287  # of dry air
LOWEST_TEMPERATURE_K: Final = 150.0  # where a configured surface temperature is impossible, nothing divides by zero


def cross_section_m2(wavelength_nm: float) -> float:
    """Rayleigh scattering cross-section of a molecule of air [m2].

    Raises:
        ValueError: the dispersion formula does not hold at this wavelength (valid from 230 to 1690 nm).
    """
    if not 230.0 <= wavelength_nm <= 1690.0:
        raise ValueError(f"no refractive index of air at {wavelength_nm} nm; the formula holds from 230 to 1690 nm")
    squared = (1e3 / wavelength_nm) ** 2  # wave number squared, µm-2
    n = 1.0 + 1e-8 * (8060.51 + 2_480_990.0 / (132.274 - squared) + 17_455.7 / (39.32957 - squared))
    wavelength_m = 1e-9 * wavelength_nm
    polarisability = (n**2 - 1.0) / (n**2 + 2.0)
    return float(24.0 * np.pi**3 * polarisability**2 / (wavelength_m**4 * STANDARD_MOLECULES_M3**2) * KING_FACTOR)


def standard_atmosphere(
    height_m: Float64,
    station_altitude_m: float = 0.0,
    surface_pressure_hpa: float | None = None,
    surface_temperature_k: float | None = None,
) -> tuple[Float64, Float64]:
    """Pressure [hPa] and temperature [K] above a station.

    Args:
        height_m: (G,) above the station.
        station_altitude_m: above sea level.
        surface_pressure_hpa: measured at the station; None = that of the standard.
        surface_temperature_k: measured at the station; None = that of the standard.

    Returns:
        two arrays (G,); temperature falls by 6.5 K per km from the surface up to the tropopause at 11 km above sea
        level, pressure is in hydrostatic balance with it.
    """
    standard_p, standard_t = _column(np.array([station_altitude_m]), STANDARD_PRESSURE_HPA, STANDARD_TEMPERATURE_K, 0.0)
    pressure_hpa = float(standard_p[0]) if surface_pressure_hpa is None else surface_pressure_hpa
    temperature_k = float(standard_t[0]) if surface_temperature_k is None else surface_temperature_k
    return _column(np.asarray(height_m, np.float64), pressure_hpa, temperature_k, station_altitude_m)


def _column(height_m: Float64, pressure_hpa: float, temperature_k: float, altitude_m: float) -> tuple[Float64, Float64]:
    """Pressure and temperature at heights above a surface at `altitude_m`."""
    tropopause_m = max(TROPOPAUSE_M - altitude_m, 0.0)
    exponent = GRAVITY_M_S2 / (GAS_CONSTANT_J_KG_K * LAPSE_RATE_K_PER_M)
    temperature = np.maximum(
        temperature_k - LAPSE_RATE_K_PER_M * np.minimum(height_m, tropopause_m), LOWEST_TEMPERATURE_K
    )
    pressure = pressure_hpa * (temperature / temperature_k) ** exponent
    above_m = np.maximum(height_m - tropopause_m, 0.0)
    pressure *= np.exp(-GRAVITY_M_S2 * above_m / (GAS_CONSTANT_J_KG_K * temperature))
    return pressure, temperature


def molecular_extinction(wavelength_nm: float, pressure_hpa: Float64, temperature_k: Float64) -> Float64:
    """(G,) extinction of air [m-1]: molecules per volume times their cross-section."""
    density = (pressure_hpa / STANDARD_PRESSURE_HPA) * (STANDARD_TEMPERATURE_K / temperature_k)
    return np.asarray(STANDARD_MOLECULES_M3 * cross_section_m2(wavelength_nm) * density)


def molecular_profiles(
    wavelength_nm: float,
    height_m: Float64,
    station_altitude_m: float = 0.0,
    surface_pressure_hpa: float | None = None,
    surface_temperature_k: float | None = None,
) -> tuple[Float64, Float64]:
    """(G,) backscatter [m-1 sr-1] and extinction [m-1] of air above a station; arguments as `standard_atmosphere`."""
    pressure_hpa, temperature_k = standard_atmosphere(
        height_m, station_altitude_m, surface_pressure_hpa, surface_temperature_k
    )
    extinction = molecular_extinction(wavelength_nm, pressure_hpa, temperature_k)
    return extinction / MOLECULAR_LIDAR_RATIO_SR, extinction
