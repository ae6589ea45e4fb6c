"""The diurnal ceiling: how high a mixing layer can be at this hour, from the site's sun.

At night the residual layer above is often the strongest edge of the profile; a ceiling that opens some time after
sunrise and closes after sunset keeps the path below it (as in STRATfinder; Kotthaus et al. 2020, Remote Sens. 12,
3259).
The numbers below need only rough tuning, but the night value must stay below the residual layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from math import cos, degrees, radians
from typing import Final

import numpy as np
from astral import SunDirection
from astral.julian import julianday, julianday_to_juliancentury
from astral.sun import eq_of_time, hour_angle, sun_declination
from numpy.typing import NDArray

from ipdsf_spark.lidar.profiles import Float64, Time

HORIZON_DEG: Final = 90.833  # zenith angle of the rising sun: refraction and half its disc
ONE_DAY: Final = timedelta(days=1)
LONGEST_DAY_S: Final = 18 * 3600.0  # where the sun hardly sets, the ground still cools around midnight
FULL_GROWTH_SINE: Final = 0.6  # of the noon sun's height (37°): from here on the layer may grow at the full rate
MORNING: Final = 0.8  # share of the time from sunrise to noon in which a residual layer may lie above the mixing layer
LEAST_GROWTH: Final = 0.3  # of the full rate, under the lowest winter sun
_EPOCH: Final = datetime(1970, 1, 1)
_DAY_S: Final = 86_400.0


@dataclass(frozen=True)
class Ceiling:
    """Shape of the ceiling over the day.

    Attributes:
        night_m: from `close_after_sunset_s` after sunset until it opens.
        open_after_sunrise_s: when it begins to rise.
        growth_m_per_h: how fast it rises under a high sun; the heat that the ground gives is less under a low one.
        close_after_sunset_s: when it falls back.
        dusk_before_sunset_s: from when on the layer may have collapsed: the ground cools before the sun has set.
    """

    night_m: float = 800.0
    open_after_sunrise_s: float = 3600.0
    growth_m_per_h: float = 600.0
    close_after_sunset_s: float = 3600.0
    dusk_before_sunset_s: float = 3600.0


def ceiling_m(time: Time, latitude_deg: float, longitude_deg: float, shape: Ceiling, max_height_m: float) -> Float64:
    """(T,) highest possible mixing height [m].

    Where the sun hardly sets, the day is `LONGEST_DAY_S` around noon; where it does not rise, it is night. Without
    coordinates (NaN) the ceiling is `max_height_m` at all hours.
    """
    return course_of_day(time, latitude_deg, longitude_deg, shape, max_height_m).ceiling_m


@dataclass(frozen=True, eq=False)
class CourseOfDay:
    """What the sun says at T times.

    Attributes:
        ceiling_m: (T,) highest possible mixing height.
        is_dusk: (T,) the layer may have collapsed and left its top to the residual layer: until the ceiling closes,
            nothing but a new drop below tells one from the other.
        is_day: (T,) from late morning, when a growing layer has used up the residual layer above it, until dusk.
    """

    ceiling_m: Float64
    is_dusk: NDArray[np.bool_]
    is_day: NDArray[np.bool_]


def course_of_day(
    time: Time, latitude_deg: float, longitude_deg: float, shape: Ceiling, max_height_m: float
) -> CourseOfDay:
    """The course of the day at (T,) times; arguments as `ceiling_m`. Without coordinates it is always day."""
    if not (np.isfinite(latitude_deg) and np.isfinite(longitude_deg)):
        return CourseOfDay(np.full(len(time), max_height_m), np.zeros(len(time), bool), np.ones(len(time), bool))
    place = round(latitude_deg, 4), round(longitude_deg, 4)
    seconds = (time.astype("datetime64[us]").view(np.int64) / 1e6).tolist()
    found = np.array([_at(second, place, shape, max_height_m) for second in seconds]).reshape(-1, 3)
    return CourseOfDay(found[:, 0], found[:, 1] > 0, found[:, 2] > 0)


def _at(second: float, place: tuple[float, float], shape: Ceiling, max_height_m: float) -> tuple[float, float, float]:
    day = int(second // _DAY_S)
    highest, is_dusk, is_day = shape.night_m, False, False
    for number in (day - 1, day, day + 1):
        course = _course(number, place)
        if course is None:
            continue
        rise_s, fall_s, share = course
        opening_s = rise_s + shape.open_after_sunrise_s
        if opening_s <= second < fall_s + shape.close_after_sunset_s:
            grown_m = shape.night_m + share * shape.growth_m_per_h * (second - opening_s) / 3600.0
            highest = max(highest, grown_m)
            has_sunk = second >= fall_s - shape.dusk_before_sunset_s
            is_dusk |= has_sunk
            is_day |= not has_sunk and second >= rise_s + MORNING * (fall_s - rise_s) / 2
    return min(highest, max_height_m), is_dusk, is_day


@lru_cache(maxsize=65_536)
def _course(day: int, place: tuple[float, float]) -> tuple[float, float, float] | None:
    """Begin and end of the solar day `day` [s since 1970] and the share of the full growth; None in polar night."""
    of_day = (_EPOCH + timedelta(days=day)).date()
    span = daylight(of_day, *place)
    if span is None:
        return None
    rise_s, fall_s = ((moment - _EPOCH).total_seconds() for moment in span)
    excess_s = max(0.0, fall_s - rise_s - LONGEST_DAY_S)
    noon_sine = cos(radians(place[0] - _noon(of_day, place[1])[1]))
    share = min(max(noon_sine / FULL_GROWTH_SINE, LEAST_GROWTH), 1.0)
    return rise_s + excess_s / 2, fall_s - excess_s / 2, share


@lru_cache(maxsize=65_536)
def daylight(day: date, latitude_deg: float, longitude_deg: float) -> tuple[datetime, datetime] | None:
    """Sunrise and sunset (UTC, naive) of the solar day around the local noon of `day`; None in polar night.

    In polar day the span is from one solar midnight to the next. Rise and set lie evenly around noon, to a minute or
    two: unlike a search for "the sunrise on this UTC date", that holds where sunrise drifts over midnight UTC.
    """
    noon, declination_deg = _noon(day, longitude_deg)
    try:
        half = timedelta(
            hours=degrees(hour_angle(latitude_deg, declination_deg, HORIZON_DEG, SunDirection.RISING)) / 15
        )
    except ValueError:  # arc cosine of a number beyond 1: the sun does not cross the horizon
        if cos(radians(latitude_deg - declination_deg)) < cos(radians(HORIZON_DEG)):
            return None
        half = ONE_DAY / 2
    return noon - half, noon + half


def _noon(day: date, longitude_deg: float) -> tuple[datetime, float]:
    """Solar noon [UTC] and the sun's declination then [degree]."""
    mean_noon = datetime(day.year, day.month, day.day, 12) - timedelta(hours=longitude_deg / 15)
    century = julianday_to_juliancentury(julianday(mean_noon.date()) + (mean_noon.hour - 12) / 24)
    return mean_noon - timedelta(minutes=eq_of_time(century)), sun_declination(century)
