"""The sun over many sites at once: elevation and the solar day, vectorised.

Low-precision formulas of the Astronomical Almanac (Michalsky 1988, Solar Energy 40, 227): within 0.02° of the ephemeris
from 1950 to 2050.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from ipdsf_spark.lidar.profiles import Float64

DAY_S: Final = 86_400.0
DAYS_1970_TO_J2000: Final = -10_957.5  # days to noon of 2000-01-01
TILT: Final = float(np.radians(23.439))  # of the Earth's axis
HORIZON_SINE: Final = float(np.sin(np.radians(-0.833)))  # refraction and half the sun's disc


@dataclass(frozen=True, eq=False)
class Sun:
    """Of S sites at one moment, or of any shape that place and time have together.

    Attributes:
        elevation_sine: sine of the elevation.
        hour_angle: of the sun [radian], 0 at solar noon, in [-π, π).
        half_day: hour angle of sunset [radian]; 0 in polar night, π in polar day.
        declination_sine: sine of the sun's declination.
    """

    elevation_sine: Float64
    hour_angle: Float64
    half_day: Float64
    declination_sine: Float64


def sun_at(seconds: Float64 | float, latitude_deg: Float64 | float, longitude_deg: Float64 | float) -> Sun:
    """The sun; all three are broadcast together, and a place that is NaN gives NaN.

    Args:
        seconds: since 1970 UTC.
        latitude_deg: north positive.
        longitude_deg: east positive.
    """
    return sun_seen_from(solar(np.asarray(seconds, np.float64)), latitude_deg, longitude_deg)


def solar(seconds: Float64) -> tuple[Float64, Float64, Float64]:
    """What is the same everywhere: time [d since 1970, apparent], sine and cosine of the declination."""
    days = seconds / DAY_S + DAYS_1970_TO_J2000
    mean_longitude = np.radians(280.460 + 0.9856474 * days)
    anomaly = np.radians(357.528 + 0.9856003 * days)
    longitude_of_sun = mean_longitude + np.radians(1.915 * np.sin(anomaly) + 0.020 * np.sin(2 * anomaly))
    sine = np.sin(TILT) * np.sin(longitude_of_sun)
    ascension = np.arctan2(np.cos(TILT) * np.sin(longitude_of_sun), np.cos(longitude_of_sun))
    equation = np.mod(mean_longitude - ascension + np.pi, 2 * np.pi) - np.pi  # apparent minus mean solar time [radian]
    return seconds / DAY_S + equation / (2 * np.pi), sine, np.sqrt(1.0 - sine**2)


def sun_seen_from(
    of_sun: tuple[Float64, Float64, Float64], latitude_deg: Float64 | float, longitude_deg: Float64 | float
) -> Sun:
    """The sun over places; arguments as `sun_at`, with what `solar` says of the time."""
    apparent_days, sine, cosine = of_sun
    latitude = np.radians(latitude_deg)
    hour_angle = 2 * np.pi * (np.mod(apparent_days + np.asarray(longitude_deg) / 360.0, 1.0) - 0.5)
    raised, flat = np.sin(latitude) * sine, np.cos(latitude) * cosine
    cosine_of_set = (HORIZON_SINE - raised) / np.maximum(flat, 1e-9)
    half_day = np.arccos(np.minimum(np.maximum(cosine_of_set, -1.0), 1.0))
    return Sun(raised + flat * np.cos(hour_angle), hour_angle, half_day, sine)
