"""Whole days, or any times, of one instrument with the truth beside them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.profiles import Float32, Float64, Profiles, Time
from ipdsf_spark.lidar.simulator.column import attenuated_backscatter
from ipdsf_spark.lidar.simulator.evolution import Weather, middle_of, weather_at
from ipdsf_spark.lidar.simulator.instruments import INSTRUMENTS, Instrument, instrument_named
from ipdsf_spark.lidar.simulator.plan import DayPlan, draw_plan
from ipdsf_spark.lidar.site import Site

BASE_SIGMA_M: Final = 8.0  # scatter of an instrument's cloud base
SKY_WINDOW: Final = 30  # minutes over which an instrument counts its octas


@dataclass(frozen=True, eq=False)
class SimulatedDay:
    """Profiles of one instrument, and what they are profiles of.

    Attributes:
        site: where.
        plan: what the atmosphere does; of the first of several days.
        instrument: which model.
        profiles: what the instrument delivers, T profiles.
        weather: (T,) the true state of the column.
    """

    site: Site
    plan: DayPlan
    instrument: Instrument
    profiles: Profiles
    weather: Weather

    @property
    def truth_time(self) -> Time:
        """(T,) datetime64[us] UTC."""
        return self.profiles.time

    @property
    def true_mixing_height_m(self) -> Float64:
        """(T,) height of the mixing layer above the instrument, in all weathers."""
        return self.weather.mixing_height_m

    @property
    def is_cloud(self) -> NDArray[np.bool_]:
        """(T,) a liquid cloud over the instrument."""
        return np.isfinite(self.weather.cloud_base_m)

    @property
    def is_rain(self) -> NDArray[np.bool_]:
        """(T,) rain at the instrument."""
        return self.weather.is_rain

    @property
    def is_fog(self) -> NDArray[np.bool_]:
        """(T,) fog at the instrument."""
        return self.weather.is_fog

    def truth_at(self, time: Time) -> Float64:
        """(N,) true mixing height at other times, e.g. those of the products."""
        origin = self.truth_time[0]
        known = (self.truth_time - origin) / np.timedelta64(1, "s")
        seconds = (time - origin) / np.timedelta64(1, "s")
        return np.asarray(np.interp(seconds, known, self.true_mixing_height_m))


def simulate_day(
    site: Site,
    day: date | str,
    *,
    rng: np.random.Generator,
    scenario: str = "clear",
    instrument: Instrument | str | None = None,
    cadence_s: float = 15.0,
    noise: float | None = None,
    plan: DayPlan | None = None,
) -> SimulatedDay:
    """One UTC day; arguments as `simulate`."""
    start = np.datetime64(day, "us")
    steps = np.arange(round(86_400 / cadence_s)) * round(cadence_s * 1e6)
    return simulate(
        site,
        start + steps.astype("timedelta64[us]"),
        rng=rng,
        scenario=scenario,
        instrument=instrument,
        cadence_s=cadence_s,
        noise=noise,
        plan=plan,
    )


def simulate(
    site: Site,
    time: Time,
    *,
    rng: np.random.Generator,
    scenario: str = "clear",
    instrument: Instrument | str | None = None,
    cadence_s: float = 15.0,
    noise: float | None = None,
    plan: DayPlan | Callable[[date], DayPlan] | None = None,
) -> SimulatedDay:
    """Profiles at any times.

    Args:
        site: whose sun; its instrument is simulated if none is named.
        time: (T,) UTC, at least one.
        rng: decides the plan (if none is given) and the noise.
        scenario: what to draw, one of `SCENARIOS`; unused where a plan is given.
        instrument: one of `INSTRUMENTS`, its name, or None = the site's, or a CL31.
        cadence_s: time that the instrument averages over.
        noise: level of the science notes §1.8, see `Instrument.noise_at_unit_range`; None = genuine; 0 = none.
        plan: of every day, or a function from solar date to plan; the same plan gives the same weather and truth.

    Raises:
        ValueError: `time` is empty, or scenario or instrument is unknown.
    """
    if not len(time):
        raise ValueError("nothing to simulate: time is empty")
    time = time.astype("datetime64[us]")
    if not isinstance(instrument, Instrument):
        instrument = instrument_named(instrument) if instrument else _instrument_of(site)
    first = time[0].astype("datetime64[D]").item()
    if plan is None:
        plan = draw_plan(rng, scenario, middle_of(first, site)[1] / 3600.0)
    plans = plan if callable(plan) else (lambda day, same=plan: same)
    weather = weather_at(time, site, plans)
    # counted from 1970, so that a window of a day holds the same streaks of rain as the day
    seconds = time.astype(np.int64) / 1e6
    beta = attenuated_backscatter(weather, instrument.edge_m, instrument.wavelength_nm, seconds)
    beta *= instrument.overlap_error()[None, :]
    sigma = instrument.noise_at_unit_range(cadence_s, weather.sun, noise, weather.backscatter)
    if sigma.any():
        _add_noise(beta, sigma, instrument.range_m, rng)
    return SimulatedDay(site, plans(first), instrument, _profiles(site, time, instrument, weather, beta, rng), weather)


def _instrument_of(site: Site) -> Instrument:
    return instrument_named(site.instrument) if site.instrument else INSTRUMENTS["cl31"]


def _add_noise(beta: Float32, sigma: Float64, range_m: Float64, rng: np.random.Generator) -> None:
    """Add range-corrected detector noise to `beta`."""
    squared = (range_m**2).astype(np.float32)[None, :]
    step = max(1, (1 << 19) // beta.shape[1])
    for start in range(0, len(beta), step):
        rows = slice(start, start + step)
        draw = rng.standard_normal(beta[rows].shape, dtype=np.float32)
        draw *= sigma[rows, None].astype(np.float32)
        draw *= squared
        beta[rows] += draw


def _profiles(
    site: Site, time: Time, instrument: Instrument, weather: Weather, beta: Float32, rng: np.random.Generator
) -> Profiles:
    num_profiles = len(time)
    missing = np.full(num_profiles, np.nan, np.float32)
    visibility_m = np.where(weather.is_fog, 3.0 / weather.fog_extinction_per_m, np.nan)
    bases = np.full((num_profiles, instrument.num_layers), np.nan, np.float32)
    found = np.column_stack([weather.cloud_base_m, weather.cirrus_base_m])
    # An opaque cloud hides what lies above it, fog hides everything, and the beam ends at the last gate.
    found[np.isfinite(found[:, 0]), 1] = np.nan
    found[weather.is_fog] = np.nan
    found[found > instrument.edge_m[-1]] = np.nan
    found += rng.normal(0.0, BASE_SIGMA_M, found.shape)
    on_gate = np.rint(found / instrument.resolution_m) * instrument.resolution_m
    bases[:, :2] = np.sort(on_gate, axis=1)  # NaN last
    cover, sky_base = _sky(time, on_gate[:, 0])
    return Profiles(
        instrument=instrument.name,
        message_type=instrument.message_type,
        time=time,
        range_m=instrument.range_m,
        range_resolution_m=instrument.resolution_m,
        beta=beta,
        is_calibrated=True,
        wavelength_nm=instrument.wavelength_nm,
        cloud_base_m=bases,
        vertical_visibility_m=visibility_m.astype(np.float32),
        maker_layer_height_m=missing[:, None],
        sky_cover_octas=cover,
        sky_base_m=sky_base,
        is_precipitation=weather.is_rain & instrument.reports_rain,
        is_fog=weather.is_fog,
        tilt_deg=np.zeros(num_profiles, np.float32),
        alarms=((),) * num_profiles,
        latitude_deg=site.latitude_deg,
        longitude_deg=site.longitude_deg,
        altitude_m=site.altitude_m,
    )


def _sky(time: Time, base_m: Float64) -> tuple[Float32, Float32]:
    """(T, 1) octas and base of the cloud seen in the last half hour, as an instrument's sky condition counts them."""
    has_cloud = np.isfinite(base_m)
    since = np.searchsorted(time, time - np.timedelta64(SKY_WINDOW, "m"))
    until = np.arange(len(time)) + 1

    def summed(values: NDArray[Any]) -> Float64:
        total = np.concatenate([[0.0], np.cumsum(values)])
        return np.asarray(total[until] - total[since])

    count = summed(has_cloud)
    octas = np.rint(8.0 * count / (until - since))
    mean_m = summed(np.nan_to_num(base_m)) / np.maximum(count, 1)
    base = np.where(octas > 0, np.rint(mean_m / 10.0) * 10.0, np.nan)
    return octas[:, None].astype(np.float32), base[:, None].astype(np.float32)


def shifted(profiles: Profiles, to: np.datetime64) -> Profiles:
    """The same profiles, the first of them at `to`."""
    return replace(profiles, time=profiles.time + (to.astype("datetime64[us]") - profiles.time[0]))
