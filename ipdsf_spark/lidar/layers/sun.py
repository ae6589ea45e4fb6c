"""What the sun says about the mixing layer at some hour: priors, no walls.

A convective layer cannot outgrow the heat that the ground gives, and it dies when the ground cools; how soon is not
known to the hour, nor is every site's position right. So the sun gives rates and a height beyond which evidence has to
be better, and never forbids.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import lru_cache
from math import exp, isfinite
from typing import Final

from ipdsf_spark.lidar.layers.ceiling import MORNING, Ceiling, _course

HOUR_S: Final = 3600.0
DAY_S: Final = 86_400.0
ALWAYS: Final = 24.0  # hours: as far from sunrise or sunset as can be
EVENING_H: Final = (0.0, 2.0)  # hours before sunset: all layers have collapsed, and the first ones may have
# Hours from noon, from which on more and more, then all that lies above the layer is explained by what it has been: by
# then one that grows has used up what the night had left
AFTERNOON_H: Final = (-1.0, 1.0)
DESERT: Final = 2.5  # a very dry ground heats the air this much faster than the ceiling's growth says
INTERVAL_S: Final = 300.0  # rates below are those of five minutes
RIPENING_H: Final = 3.0  # after sunset the share of a stable layer that is still being filled falls to 1/e in this

# (hours to sunset, rate): a convective layer dies so often in five minutes
_COLLAPSE: Final = ((-1.5, 0.45), (-0.5, 0.2), (0.0, 0.1), (0.75, 0.03), (1.5, 0.012), (3.0, 0.003), (5.0, 0.0003))
# (hours since sunrise, rate): a stable layer begins to convect so often in five minutes
_ONSET: Final = ((-1.0, 0.0005), (0.0, 0.005), (1.0, 0.05), (2.0, 0.15), (3.0, 0.3))


@dataclass(frozen=True)
class SunPrior:
    """Of one moment.

    Attributes:
        collapse, onset: rates in five minutes from convective to stable and back.
        reach_m: height above which a convective layer becomes less and less likely.
        residual: how likely there is a residual layer overhead; 1 at night, 0 around noon.
        evening: how likely the day's layer has become one; 0 from sunrise to the afternoon.
        afternoon: 0 until shortly before noon, 1 from shortly after it and at night.
        young: how likely a stable layer is one that has only begun to be filled from the ground; 1 from the afternoon
            to sunset, then less and less.
        is_day: from sunrise to sunset.
        is_late: late morning to dusk: the residual layer has been used up.
        is_known: the site has coordinates.
    """

    collapse: float
    onset: float
    reach_m: float
    residual: float
    evening: float
    afternoon: float
    young: float
    is_day: bool
    is_late: bool
    is_known: bool

    @property
    def day_share(self) -> float:
        """How likely a layer of which nothing else is known is a convective one."""
        return self.onset / (self.onset + self.collapse)


@lru_cache(maxsize=4096)
def sun_prior(second: float, place: tuple[float, float], shape: Ceiling, max_height_m: float) -> SunPrior:
    """The prior at a time.

    Args:
        second: seconds since 1970 UTC.
        place: latitude and longitude [degree], NaN where unknown.
        shape: growth, and height at night.
        max_height_m: highest height that is looked for.
    """
    if not (isfinite(place[0]) and isfinite(place[1])):
        return SunPrior(0.01, 0.01, max_height_m, 0.5, 0.5, 0.0, 0.5, is_day=True, is_late=True, is_known=False)
    place = round(place[0], 2), round(place[1], 2)
    day = int(second // DAY_S)
    since, until, share, is_late = -ALWAYS, -ALWAYS, 1.0, False
    since_fall_s = float("inf")
    for number in (day - 1, day, day + 1):
        course = _course(number, place)
        if course is None:
            continue
        rise_s, fall_s, of_day = course
        if fall_s <= second:
            since_fall_s = second - fall_s
        if rise_s <= second < fall_s + 2.0 * HOUR_S:
            since, until, share = (second - rise_s) / HOUR_S, (fall_s - second) / HOUR_S, of_day
            is_late = second >= rise_s + MORNING * (fall_s - rise_s) / 2 and until > 0.5
            break
        if second < rise_s:
            since = max(since, (second - rise_s) / HOUR_S)
    collapse = _between(_COLLAPSE, until)
    onset = _between(_ONSET, since) * min(1.0, max(until, 0.02) / 1.5)
    growing_h = max(since - shape.open_after_sunrise_s / HOUR_S / 2, 0.0) if since > 0 else 0.0
    rate = share * shape.growth_m_per_h
    residual = evening = afternoon = 1.0
    young = exp(-since_fall_s / (RIPENING_H * HOUR_S))
    if since > 0:
        after_noon_h = (since - until) / 2.0
        afternoon = (after_noon_h - AFTERNOON_H[0]) / (AFTERNOON_H[1] - AFTERNOON_H[0])
        afternoon = min(max(afternoon, 0.0), 1.0)
        evening = max(1.0 - max(until - EVENING_H[0], 0.0) / (EVENING_H[1] - EVENING_H[0]), 0.0)
        residual = max(1.0 - max(since - 1.0, 0.0) / 4.0, evening)
    # slow at first, then as fast as a dry ground lets it
    reach_m = shape.night_m / 2 + rate * growing_h * min(DESERT, 1.0 + 0.25 * growing_h)
    reach_m, is_day = min(reach_m, max_height_m), since > 0 and until > 0
    young = max(young, afternoon) if is_day else young
    return SunPrior(collapse, onset, reach_m, residual, evening, afternoon, young, is_day, is_late, is_known=True)


def _between(table: tuple[tuple[float, float], ...], x: float) -> float:
    """Linear in the table, constant beyond."""
    if x <= table[0][0]:
        return table[0][1]
    for (x0, y0), (x1, y1) in itertools.pairwise(table):
        if x < x1:
            return y0 + (y1 - y0) * (x - x0) / (x1 - x0)
    return table[-1][1]
