"""The diurnal ceiling: how high a mixing layer can be at this hour, from the site's sun.

At night the residual layer above is often the strongest edge of the profile; a ceiling that opens some time after
sunrise and closes after sunset keeps the path below it (as in STRATfinder, Kotthaus et al. 2020, Remote Sens. 12, 3259).
The numbers below need only rough tuning, but the night value must stay below the residual layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final

import numpy as np
from astral import Observer
from astral.sun import midnight, sunrise, sunset

from ipdsf_spark.lidar.profiles import Float64, Time

ONE_DAY: Final = timedelta(days=1)


@dataclass(frozen=True)
class Ceiling:
    """Shape of the ceiling over the day.

    Attributes:
        night_m: from `close_after_sunset_s` after sunset until it opens.
        open_after_sunrise_s: when it begins to rise.
        growth_m_per_h: how fast it rises.
        close_after_sunset_s: when it falls back.
    """

    night_m: float = 800.0
    open_after_sunrise_s: float = 3600.0
    growth_m_per_h: float = 600.0
    close_after_sunset_s: float = 3600.0


def ceiling_m(time: Time, latitude_deg: float, longitude_deg: float, shape: Ceiling, max_height_m: float) -> Float64:
    """(T,) highest possible mixing height [m].

    Where the sun does not set, the day runs from one solar midnight to the next; where it does not rise, it is night.
    Without coordinates (NaN) the ceiling is `max_height_m` at all hours.
    """
    if not (np.isfinite(latitude_deg) and np.isfinite(longitude_deg)):
        return np.full(len(time), max_height_m)
    result = np.empty(len(time))
    days = time.astype("datetime64[D]")
    for day in np.unique(days):
        here = days == day
        position = round(latitude_deg, 4), round(longitude_deg, 4)
        result[here] = _on_day(time[here], day.item(), *position, shape, max_height_m)
    return result


def _on_day(
    time: Time, day: date, latitude_deg: float, longitude_deg: float, shape: Ceiling, max_height_m: float
) -> Float64:
    heights = np.full(len(time), min(shape.night_m, max_height_m))
    for offset in (-1, 0, 1):
        span = daylight(day + offset * ONE_DAY, latitude_deg, longitude_deg)
        if span is None:
            continue
        opening = np.datetime64(span[0], "us") + np.timedelta64(round(shape.open_after_sunrise_s * 1e6), "us")
        closing = np.datetime64(span[1], "us") + np.timedelta64(round(shape.close_after_sunset_s * 1e6), "us")
        is_open = (time >= opening) & (time < closing)
        hours = (time - opening) / np.timedelta64(1, "h")
        grown = np.minimum(shape.night_m + shape.growth_m_per_h * hours, max_height_m)
        heights = np.where(is_open, np.maximum(heights, grown), heights)
    return heights


@lru_cache(maxsize=65_536)
def daylight(day: date, latitude_deg: float, longitude_deg: float) -> tuple[datetime, datetime] | None:
    """Sunrise and sunset (UTC, naive) of the solar day that begins on `day` at the site; None in polar night.

    In polar day the span is from one solar midnight to the next.
    """
    observer = Observer(latitude_deg, longitude_deg)
    try:
        rise = _naive(sunrise(observer, day, tzinfo=UTC))
        fall = _naive(sunset(observer, day, tzinfo=UTC))
    except ValueError as error:
        if "below" in str(error):  # the sun is always below the horizon
            return None
        if "above" not in str(error):
            raise
        start = _naive(midnight(observer, day, tzinfo=UTC))
        return start, start + ONE_DAY
    if fall < rise:  # far from Greenwich the sunset of this solar day falls on the next UTC date
        fall += ONE_DAY
    return rise, fall


def _naive(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)
