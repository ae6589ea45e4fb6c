"""The course of a day: mixing height, residual layer and weather at any time, from plan and sun.

The layer stands at its nocturnal height, grows like a sine from some time after sunrise, stands, and collapses around
sunset; where the sun does not rise it stays nocturnal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.layers.ceiling import daylight
from ipdsf_spark.lidar.profiles import Float64, Time
from ipdsf_spark.lidar.simulator.plan import DayPlan, Wave
from ipdsf_spark.lidar.site import Site

Plans = Callable[[date], DayPlan]
LONGEST_DAY_S: Final = 18 * 3600.0  # under a sun that does not set, the ground still cools around midnight
CLOUD_BELOW_TOP: Final = 0.98  # a cloud fed by the layer has its base a little below the layer's top


@dataclass(frozen=True, eq=False)
class Weather:
    """The state of the column at T times; NaN where there is no such thing.

    Attributes:
        mixing_height_m: (T,) the truth.
        residual_height_m: (T,) top of the residual layer.
        residual: (T,) its particles relative to the mixing layer's.
        entrainment_m: (T,) s of the erf profile at the mixing layer's top.
        backscatter: (T,) of the mixing layer at the ground, particles and air [m-1 sr-1].
        texture: (T,) relative amplitude of what varies within the layers.
        background, lofted: (T,) particles of the free troposphere and of a layer aloft, relative to `backscatter`.
        cloud_base_m, cloud_depth_m, cloud_extinction_per_m: (T,) lowest liquid cloud.
        cirrus_base_m, cirrus_depth_m, cirrus_extinction_per_m: (T,) ice cloud.
        rain_top_m, rain_extinction_per_m: (T,) rain from the ground up.
        fog_top_m, fog_extinction_per_m: (T,) fog from the ground up.
        sun: (T,) sine-like elevation of the sun, 0 at night, 1 at noon.
    """

    mixing_height_m: Float64
    residual_height_m: Float64
    residual: Float64
    entrainment_m: Float64
    backscatter: Float64
    texture: Float64
    background: Float64
    lofted: Float64
    cloud_base_m: Float64
    cloud_depth_m: Float64
    cloud_extinction_per_m: Float64
    cirrus_base_m: Float64
    cirrus_depth_m: Float64
    cirrus_extinction_per_m: Float64
    rain_top_m: Float64
    rain_extinction_per_m: Float64
    fog_top_m: Float64
    fog_extinction_per_m: Float64
    sun: Float64

    @property
    def is_fog(self) -> NDArray[np.bool_]:
        """(T,) fog at the instrument."""
        return np.isfinite(self.fog_top_m)

    @property
    def is_rain(self) -> NDArray[np.bool_]:
        """(T,) rain at the instrument."""
        return np.isfinite(self.rain_top_m)


def middle_of(day: date, site: Site) -> tuple[datetime, float]:
    """Middle between sunrise and sunset (UTC) of a solar day, and the seconds between them (0 in polar night)."""
    span = daylight(day, round(site.latitude_deg, 4), round(site.longitude_deg, 4))
    if span is None:
        noon = datetime(day.year, day.month, day.day, 12) - timedelta(hours=site.longitude_deg / 15.0)
        return noon, 0.0
    return span[0] + (span[1] - span[0]) / 2, (span[1] - span[0]).total_seconds()


def weather_at(time: Time, site: Site, plans: Plans) -> Weather:
    """The state of the column.

    Args:
        time: (T,) datetime64[us] UTC, not empty.
        site: whose sun.
        plans: the plan of every solar day that `time` touches, and of its neighbours.
    """
    days = time.astype("datetime64[D]")
    first, last = days.min().item() - timedelta(days=1), days.max().item() + timedelta(days=1)
    dates = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    courses = [_Course.of(day, site, plans(day), time) for day in dates]

    middles = np.array([course.middle_s for course in courses])
    seconds = (time - time[0]) / np.timedelta64(1, "s")

    def between_days(name: str) -> Float64:
        return np.asarray(np.interp(seconds, middles, [getattr(course.plan, name) for course in courses]))

    night_m = between_days("nocturnal_height_m")
    is_day = np.clip(sum(course.grown() for course in courses), 0.0, 1.0)
    # From the middle of one day to the next: the night's waves change plan when the day's layer hides them.
    for course in courses:
        waves = 1.0 + (1.0 - is_day) * course.waves(course.plan.drift)
        night_m = np.where(course.offset_s >= 0, between_days("nocturnal_height_m") * waves, night_m)
    height_m = night_m + sum(
        course.grown()
        * np.maximum(course.plan.daytime_height_m - night_m, 0.0)
        * (1.0 + course.waves(course.plan.eddies))
        for course in courses
    )
    residual_m, residual = _residual(courses, seconds)
    fields = {name: np.full(len(time), np.nan) for name in _WEATHER_FIELDS}
    for course in courses:
        course.add_spells(fields, height_m)
    return Weather(
        mixing_height_m=height_m,
        residual_height_m=residual_m,
        residual=residual,
        entrainment_m=between_days("entrainment_m") * (0.5 + 0.5 * is_day),
        backscatter=between_days("backscatter"),
        texture=between_days("texture"),
        background=between_days("background"),
        lofted=between_days("lofted"),
        sun=np.clip(sum(course.sun() for course in courses), 0.0, 1.0),
        **fields,
    )


_FIELDS_OF_KIND: Final = {
    "liquid": ("cloud_base_m", "cloud_depth_m", "cloud_extinction_per_m"),
    "cirrus": ("cirrus_base_m", "cirrus_depth_m", "cirrus_extinction_per_m"),
    "rain": ("", "rain_top_m", "rain_extinction_per_m"),
    "fog": ("", "fog_top_m", "fog_extinction_per_m"),
}
_WEATHER_FIELDS: Final = [name for names in _FIELDS_OF_KIND.values() for name in names if name]


@dataclass(frozen=True, eq=False)
class _Course:
    """One solar day seen from all times."""

    plan: DayPlan
    daylight_s: float
    middle_s: float  # of the day, in seconds after the first time
    offset_s: Float64  # (T,) seconds from the middle

    @classmethod
    def of(cls, day: date, site: Site, plan: DayPlan, time: Time) -> _Course:
        middle, daylight_s = middle_of(day, site)
        offset_s = (time - np.datetime64(middle, "us")) / np.timedelta64(1, "s")
        return cls(plan, min(daylight_s, LONGEST_DAY_S), -float(offset_s[0]), offset_s)

    @property
    def collapse_s(self) -> tuple[float, float]:
        """Begin and end of the collapse, seconds from the middle."""
        start_s = max(self.daylight_s / 2 - self.plan.collapse_lead_s, 0.2 * self.daylight_s)
        return start_s, start_s + self.plan.collapse_duration_s

    def grown(self) -> Float64:
        """(T,) 0 at night, 1 in the grown layer."""
        if self.daylight_s == 0.0:
            return np.zeros(len(self.offset_s))
        start_s = -self.daylight_s / 2 + min(self.plan.growth_delay_s, 0.25 * self.daylight_s)
        falls_s, fallen_s = self.collapse_s
        duration_s = min(self.plan.growth_duration_s, 0.9 * (falls_s - start_s))
        rising = np.sin(np.pi / 2 * np.clip((self.offset_s - start_s) / duration_s, 0.0, 1.0))
        falling = 1.0 - np.clip((self.offset_s - falls_s) / (fallen_s - falls_s), 0.0, 1.0)
        return np.asarray(rising * falling)

    def waves(self, waves: tuple[Wave, ...]) -> Float64:
        """(T,) relative rise and fall of a layer's top."""
        total = np.zeros(len(self.offset_s))
        for amplitude, period_s, phase in waves:
            total += amplitude * np.sin(2 * np.pi * self.offset_s / period_s + phase)
        return total

    def sun(self) -> Float64:
        """(T,) 0 below the horizon, 1 at noon."""
        if self.daylight_s == 0.0:
            return np.zeros(len(self.offset_s))
        return np.asarray(np.cos(np.pi * np.clip(self.offset_s / self.daylight_s, -0.5, 0.5)))

    def add_spells(self, fields: dict[str, Float64], height_m: Float64) -> None:
        """Write this day's clouds, rain and fog into `fields`; a lower cloud hides a higher one."""
        for spell in self.plan.spells:
            rows = np.flatnonzero((self.offset_s >= spell.start_s) & (self.offset_s < spell.stop_s))
            if not len(rows):
                continue
            base, depth, extinction = _FIELDS_OF_KIND[spell.kind]
            if base:
                base_m = np.fmax(CLOUD_BELOW_TOP * height_m[rows], spell.base_m)
                is_lowest = ~(fields[base][rows] <= base_m)
                rows, base_m = rows[is_lowest], base_m[is_lowest]
                fields[base][rows] = base_m
            fields[depth][rows] = spell.depth_m
            fields[extinction][rows] = spell.extinction_per_m


def _residual(courses: list[_Course], seconds: Float64) -> tuple[Float64, Float64]:
    """(T,) top and strength of the residual layer; yesterday's until noon, today's from then on."""
    knots, tops = [], []
    for before, course in zip([courses[0], *courses], courses, strict=False):
        knots += [course.middle_s - 3600.0, course.middle_s + 3600.0]
        tops += [before.plan.residual_height_m, course.plan.residual_height_m]
    strength = np.full(len(seconds), courses[0].plan.residual)
    for course in courses:
        since_s = np.maximum(course.offset_s - course.collapse_s[0], 0.0)
        fresh = np.exp(-since_s / max(course.plan.residual_decay_s, 1.0))
        strength = np.where(course.offset_s >= 0, course.plan.residual + (1.0 - course.plan.residual) * fresh, strength)
    return np.interp(seconds, knots, tops), strength
