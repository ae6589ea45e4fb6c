"""Years of a simulated network: the true mixing heights and the weather of many sites, day after day.

The evolution is the simulator's own (`lidar.simulator.evolution`); what is new here is that days follow one another:
a day's weather and the depth of its layer resemble those of the day before, and every site has a character. Beside
the waves of the simulator's plans the height wanders as a red noise, so that nothing can be foretold from sines.
No raw file is made; what an instrument and the retrieval would have seen of it is `observation`'s.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Final

import numpy as np

from ipdsf_spark.forecast.series import INTERVAL_S
from ipdsf_spark.lidar.profiles import Float64
from ipdsf_spark.lidar.simulator.evolution import Weather, middle_of, weather_at
from ipdsf_spark.lidar.simulator.plan import DayPlan, draw_plan
from ipdsf_spark.lidar.site import Site

LATITUDES_DEG: Final = ((25.0, 62.0), 0.6, (-48.0, -20.0))  # north, its share, south: half a year has all seasons
KEPT: Final = 0.6  # of a day's departure from the usual that the next day shares
DEPTH_SPREAD: Final = 0.22  # standard deviation of the logarithm of the afternoon's height from day to day ...
NIGHT_SPREAD: Final = 0.25  # ... and of the night's
SITE_SPREAD: Final = 0.2  # the same from site to site
STAYS: Final = 0.45  # chance that the weather of a day is that of the day before
WANDER: Final = 0.05  # standard deviation of the red noise, relative to the height
WANDER_S: Final = (2400.0, 9000.0)  # range of its correlation time
CHUNK_DAYS: Final = 10
# Weather in summer and in winter; in between by the length of the day.
SUMMER: Final = {"clear": 0.3, "cumulus": 0.28, "mixed": 0.2, "rain": 0.12, "stratus": 0.06, "fog": 0.04}
WINTER: Final = {"clear": 0.2, "cumulus": 0.06, "mixed": 0.16, "rain": 0.22, "stratus": 0.24, "fog": 0.12}
HOUR_S: Final = 3600.0


def draw_site(rng: np.random.Generator, number: int) -> Site:
    """A place of the mid-latitudes, equally likely in every area of its belt."""
    north, share, south = LATITUDES_DEG
    low, high = np.sin(np.radians(north if rng.random() < share else south))
    latitude = float(np.degrees(np.arcsin(rng.uniform(low, high))))
    return Site(f"sim{number:04d}", round(latitude, 3), round(float(rng.uniform(-180.0, 180.0)), 3))


@dataclass
class SitePlans:
    """The plan of every solar day of a site; days are drawn in order, so the same seed gives the same years.

    Args:
        site: whose sun.
        start: first day that will be asked for; the chain begins some days before.
        rng: decides everything.
    """

    site: Site
    start: date
    rng: np.random.Generator
    _plans: list[DayPlan] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Draw the site's character."""
        self._begin = self.start - timedelta(days=3)
        self._depth, self._night = np.exp(self.rng.normal(0.0, SITE_SPREAD, 2)).tolist()
        self._state = self.rng.standard_normal(4)
        self._scenario = ""

    def __call__(self, day: date) -> DayPlan:
        """The plan of a day, as the simulator asks for it."""
        number = max((day - self._begin).days, 0)
        while len(self._plans) <= number:
            self._plans.append(self._next(self._begin + timedelta(days=len(self._plans))))
        return self._plans[number]

    def _next(self, day: date) -> DayPlan:
        daylight_h = middle_of(day, self.site)[1] / HOUR_S
        summer = float(np.clip((daylight_h - 9.0) / 6.0, 0.0, 1.0))
        if not self._scenario or self.rng.random() > STAYS:
            share = np.array([summer * SUMMER[name] + (1 - summer) * WINTER[name] for name in SUMMER])
            self._scenario = str(self.rng.choice(list(SUMMER), p=share / share.sum()))
        fresh = self.rng.standard_normal(4)
        self._state = KEPT * self._state + np.sqrt(1 - KEPT**2) * fresh
        plan = draw_plan(self.rng, self._scenario, daylight_h)
        depth, night, delay, speed = self._state.tolist()
        daytime_m = float(np.clip(plan.daytime_height_m * self._depth * np.exp(DEPTH_SPREAD * depth), 200.0, 3600.0))
        nocturnal_m = plan.nocturnal_height_m * self._night * np.exp(NIGHT_SPREAD * night)
        nocturnal_m = float(np.clip(nocturnal_m, 60.0, min(700.0, 0.8 * daytime_m)))
        return replace(
            plan,
            daytime_height_m=daytime_m,
            nocturnal_height_m=nocturnal_m,
            residual_height_m=0.95 * daytime_m,
            growth_delay_s=float(np.clip(plan.growth_delay_s + 0.5 * HOUR_S * delay, 0.25 * HOUR_S, 4.0 * HOUR_S)),
            growth_duration_s=float(plan.growth_duration_s * np.exp(0.2 * speed)),
        )


@dataclass(frozen=True, eq=False)
class SiteYears:
    """The truth of one site over T intervals.

    Attributes:
        site: where.
        start: number of the first interval since 1970.
        height_m: (T,) true mixing height in the middle of the interval.
        residual_m: (T,) top of the residual layer.
        cloud_m: (T,) base of the liquid cloud overhead, NaN where none.
        rain, fog: (T,) flags.
    """

    site: Site
    start: int
    height_m: Float64
    residual_m: Float64
    cloud_m: Float64
    rain: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
    fog: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]


def site_years(site: Site, start: date, num_days: int, rng: np.random.Generator) -> SiteYears:
    """The truth of one site.

    Args:
        site: where.
        start: first day, UTC.
        num_days: length.
        rng: decides weather and heights.
    """
    plans = SitePlans(site, start, rng)
    parts: list[Weather] = []
    per_day = round(86_400 / INTERVAL_S)
    first = round((start - date(1970, 1, 1)).total_seconds() / INTERVAL_S)
    for begin in range(0, num_days, CHUNK_DAYS):
        index = first + np.arange(begin * per_day, min(begin + CHUNK_DAYS, num_days) * per_day)
        time = ((index * INTERVAL_S + INTERVAL_S // 2) * 1_000_000).astype("datetime64[us]")
        parts.append(weather_at(time, site, plans))

    def whole(name: str) -> Float64:
        return np.concatenate([getattr(part, name) for part in parts])

    height_m = whole("mixing_height_m")
    height_m = np.maximum(height_m * (1.0 + _red_noise(len(height_m), rng)), 30.0)
    rain, fog = np.isfinite(whole("rain_top_m")), np.isfinite(whole("fog_top_m"))
    return SiteYears(site, first, height_m, whole("residual_height_m"), whole("cloud_base_m"), rain, fog)


def _red_noise(num: int, rng: np.random.Generator) -> Float64:
    """(T,) relative departure, an autoregressive process of first order whose correlation time the site draws."""
    kept = float(np.exp(-INTERVAL_S / rng.uniform(*WANDER_S)))
    shocks = rng.normal(0.0, WANDER * np.sqrt(1 - kept**2), num)
    found = np.empty(num)
    value = float(rng.normal(0.0, WANDER))
    for at, shock in enumerate(shocks.tolist()):
        value = kept * value + shock
        found[at] = value
    return np.clip(found, -3 * WANDER, 3 * WANDER)
