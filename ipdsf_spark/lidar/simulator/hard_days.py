"""Days that can fail a retrieval: residual layers as bright as the mixing layer, layers that touch, shear, instruments.

    hard_day("touching_layers", seed=1)      one UTC day as an instrument delivers it, and its truth

What the kinds of days are stands in `hard_kinds`; the seed varies their numbers.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.profiles import Float32, Float64, Profiles, Time
from ipdsf_spark.lidar.simulator.column import (
    AEROSOL_LIDAR_RATIO_SR,
    DROPLET_LIDAR_RATIO_SR,
    MULTIPLE_SCATTERING,
    RAIN_LIDAR_RATIO_SR,
    molecular,
)
from ipdsf_spark.lidar.simulator.day import _add_noise
from ipdsf_spark.lidar.simulator.evolution import middle_of
from ipdsf_spark.lidar.simulator.hard_kinds import HELD_BACK, KINDS, Kind
from ipdsf_spark.lidar.simulator.instruments import INSTRUMENTS, Instrument
from ipdsf_spark.lidar.simulator.tracer import STEP_S, Column, local_edge_m, mixed
from ipdsf_spark.lidar.site import Site

Flags = NDArray[np.bool_]
CADENCE_S: Final = 60.0
DAY_S: Final = 86_400.0
CLASSES: Final = ("night", "growth", "noon", "evening")


@dataclass(frozen=True, eq=False)
class HardDay:
    """A day as an instrument delivers it, and what it is a day of.

    Attributes:
        name: of the kind.
        site: as the retrieval is told.
        profiles: T profiles.
        mixing_height_m: (T,) prescribed.
        edge_m: (T,) where the tracer falls most steeply near that: what can be seen.
        contrast: (T,) how much it falls there, relative; 0 where nothing does.
        is_seen: (T,) whether the edge lies above the lowest trustworthy gate and no fog or rain hides it.
        hour_class: (T,) index into `CLASSES`.
        clean: (T, G) attenuated backscatter without cloud, fog, rain, noise and the instrument's errors.
    """

    name: str
    site: Site
    profiles: Profiles
    mixing_height_m: Float64
    edge_m: Float64
    contrast: Float64
    is_seen: Flags
    hour_class: NDArray[np.int64]
    clean: Float32


def hard_day(name: str, *, seed: int = 0) -> HardDay:
    """One UTC day of a kind.

    Raises:
        ValueError: there is no such kind.
    """
    kinds = KINDS | HELD_BACK
    if name not in kinds:
        raise ValueError(f"unknown kind of day {name!r}; there are {', '.join(kinds)}")
    return _day(name, seed)


@lru_cache(maxsize=4)
def _day(name: str, seed: int) -> HardDay:
    rng = np.random.default_rng([zlib.crc32(name.encode()), seed])
    kind = _varied((KINDS | HELD_BACK)[name], rng)
    site = Site(name, kind.latitude_deg, kind.longitude_deg, max_height_m=6000.0 if kind.day_m > 3500 else 4000.0)
    day = date.fromisoformat(kind.day)
    middle, length_s = middle_of(day, site)
    midnight = np.datetime64(day, "us")
    noon_s = float((np.datetime64(middle, "us") - midnight) / np.timedelta64(1, "s"))
    # the column begins at noon of the day before, so that the night inherits that day's layer
    steps_s = np.arange(round((DAY_S - min(noon_s - DAY_S, -DAY_S / 2)) / STEP_S), dtype=np.float64) * STEP_S
    steps_s += DAY_S - steps_s[-1]
    height_m = _mixing_height_m(kind, steps_s, noon_s, length_s, rng)
    column = _column(kind, steps_s, height_m, noon_s, length_s)
    return _observed(name, kind, site, column, height_m, midnight, noon_s, length_s, rng)


def _varied(kind: Kind, rng: np.random.Generator) -> Kind:
    """The kind with its numbers a little different."""
    factor = {name: float(rng.uniform(0.9, 1.1)) for name in ("night_m", "day_m", "yesterday_m", "growth_m_per_h")}
    changes = {name: getattr(kind, name) * value for name, value in factor.items()}
    return replace(
        kind,
        **changes,
        growth_after_h=kind.growth_after_h * float(rng.uniform(0.8, 1.2)),
        collapse_before_h=kind.collapse_before_h * float(rng.uniform(0.8, 1.2)),
        backscatter=kind.backscatter * float(rng.lognormal(0.0, 0.2)),
        night_emission=kind.night_emission * float(rng.lognormal(-0.4, 0.6)),
        emission=kind.emission * float(rng.lognormal(-0.3, 0.4)),
    )


def _mixing_height_m(kind: Kind, s: Float64, noon_s: float, length_s: float, rng: np.random.Generator) -> Float64:
    """(T,) the prescribed h."""
    length_s = min(length_s, 18 * 3600.0)
    height_m = np.full(len(s), kind.night_m)
    for shift, top_m in ((-1, kind.yesterday_m), (0, kind.day_m), (1, kind.day_m)):
        rise_s, fall_s = noon_s + shift * DAY_S - length_s / 2, noon_s + shift * DAY_S + length_s / 2
        begin_s = rise_s + min(kind.growth_after_h * 3600.0, length_s / 3)
        end_s = fall_s - min(kind.collapse_before_h * 3600.0, length_s / 5)
        hours = np.clip((s - begin_s) / 3600.0, 0.0, None)
        before_m = kind.yesterday_m if shift == 0 else np.inf
        grown_m = kind.night_m + kind.growth_m_per_h * hours * np.minimum(0.4 + 0.3 * hours, 1.0)
        if kind.jump_at and before_m < top_m:
            # in the nearly neutral residual layer it grows twice as fast
            at_m = kind.jump_at * 0.6 * before_m
            grown_m += np.clip(grown_m - at_m, 0.0, 0.4 * before_m)
        depth_m = kind.night_m + (top_m - kind.night_m) * np.tanh((grown_m - kind.night_m) / (top_m - kind.night_m))
        if shift == 0 and np.isfinite(kind.sea_breeze_h):
            change = np.clip((s - noon_s - kind.sea_breeze_h * 3600.0) / 1200.0, 0.0, 1.0)
            depth_m += change * (np.minimum(kind.sea_breeze_m, depth_m) - depth_m)
        left = 0.5 + 0.5 * np.cos(np.pi * np.clip((s - end_s) / (kind.collapse_h * 3600.0), 0.0, 1.0))
        own = (s >= begin_s) & (s < end_s + kind.collapse_h * 3600.0)
        height_m = np.where(own, kind.night_m + left * (depth_m - kind.night_m), height_m)
    # a layer that sinks leaves its tracer above: fast waves of the day move the edge less than the height
    waves = kind.waves * np.where(height_m > 0.5 * kind.day_m, 0.3, 1.0)
    phase = rng.uniform(0.0, 2 * np.pi, 3)
    wave = np.sin(s / 700.0 + phase[0]) * 0.4 + np.sin(s / 2300.0 + phase[1]) + np.sin(s / 6100.0 + phase[2])
    return np.asarray(np.maximum(height_m * (1.0 + waves * wave / 1.5), 40.0))


def _column(kind: Kind, s: Float64, height_m: Float64, noon_s: float, length_s: float) -> Column:
    is_day = np.cos((s - noon_s) / DAY_S * 2 * np.pi) > np.cos(np.pi * length_s / DAY_S)
    emission = np.where(is_day, kind.emission, kind.night_emission) * 1000.0 / 3600.0
    background = kind.background
    return mixed(
        s,
        height_m,
        emission,
        top_m=max(kind.day_m, kind.yesterday_m) * 1.3 + 2000.0,
        start=lambda z: background * np.exp(-z / 4000.0) + (1 - background) * (z < kind.yesterday_m),
        calm_k=kind.calm_k,
        sinking_per_s=kind.sinking_per_s,
        loss_per_s=0.05 / 3600.0,
    )


def _observed(
    name: str,
    kind: Kind,
    site: Site,
    column: Column,
    mixing_m: Float64,
    midnight: np.datetime64,
    noon_s: float,
    length_s: float,
    rng: np.random.Generator,
) -> HardDay:
    """Through cloud, air and instrument."""
    instrument = INSTRUMENTS[kind.instrument]
    num_gates = min(instrument.num_gates, int(7700.0 / instrument.resolution_m))
    instrument = replace(instrument, num_gates=num_gates)
    seconds = np.arange(round(DAY_S / CADENCE_S), dtype=np.float64) * CADENCE_S
    line = np.interp(seconds, column.seconds, np.arange(len(column.seconds)))
    low = line.astype(int)
    part = (line - low)[:, None]
    high = np.minimum(low + 1, len(column.seconds) - 1)
    tracer = (1 - part) * column.tracer[low] + part * column.tracer[high]
    h = np.interp(seconds, column.seconds, mixing_m)
    edge_m, contrast = local_edge_m(tracer, column.height_m, h)

    range_m = instrument.range_m
    at = np.clip((range_m - column.height_m[0]) / (column.height_m[1] - column.height_m[0]), 0, None)
    index = np.minimum(at.astype(int), column.height_m.size - 2)
    share = np.minimum(at - index, 1.0)
    particles = tracer[:, index] * (1 - share) + tracer[:, index + 1] * share
    particles *= np.where(range_m > column.height_m[-1], np.exp(-(range_m - column.height_m[-1]) / 3000.0), 1.0)
    particles *= 1.0 + kind.swelling * np.minimum(range_m / h[:, None], 1.0) ** 2 * (range_m < h[:, None] * 1.05)
    hours = (seconds - noon_s) / 3600.0
    for layer in kind.layers:
        base_m = layer.base_m + layer.slope_m_per_h * hours
        is_there = np.clip(np.minimum(hours - layer.start_h, layer.stop_h - hours), 0.0, 1.0)
        shape = _smooth((range_m - base_m[:, None]) / 60.0) - _smooth(
            (range_m - base_m[:, None] - layer.depth_m) / 60.0
        )
        particles += layer.strength * is_there[:, None] * shape * _smooth((range_m - h[:, None] * 1.05) / 60.0)
    clean = _lidar(particles * kind.backscatter, range_m, instrument)
    beta = clean.copy()
    bases, is_fog, is_rain = _weather(kind, beta, range_m, seconds, h, noon_s, length_s, rng)
    profiles = _through(kind, site, instrument, beta, seconds, midnight, noon_s, length_s, bases, is_fog, is_rain, rng)
    told = site if kind.told_longitude_deg is None else replace(site, longitude_deg=kind.told_longitude_deg)
    lowest_m = 250.0 if kind.instrument == "chm15k" else 100.0
    return HardDay(
        name,
        told,
        profiles,
        h,
        edge_m,
        contrast,
        (edge_m > lowest_m + 60.0) & ~is_fog & ~is_rain,
        _hour_class(seconds, noon_s, min(length_s, 18 * 3600.0)),
        clean,
    )


def _smooth(x: Float64) -> Float64:
    return np.asarray(0.5 + 0.5 * np.tanh(x))


def _lidar(particles: Float64, range_m: Float64, instrument: Instrument) -> Float32:
    """Attenuated backscatter of particles and air, through an imperfect overlap correction."""
    depth = np.cumsum(particles, axis=1) * (range_m[1] - range_m[0])
    beta = particles + molecular(range_m, instrument.wavelength_nm)
    return np.asarray(beta * np.exp(-2.0 * AEROSOL_LIDAR_RATIO_SR * depth), np.float32)


def _weather(
    kind: Kind,
    beta: Float32,
    range_m: Float64,
    seconds: Float64,
    h: Float64,
    noon_s: float,
    length_s: float,
    rng: np.random.Generator,
) -> tuple[Float32, Flags, Flags]:
    """Clouds, fog and rain into `beta`; (T,) bases, fog and rain."""
    num = len(seconds)
    bases = np.full(num, np.nan, np.float32)
    is_fog, is_rain = np.zeros(num, bool), np.zeros(num, bool)
    hours = (seconds - noon_s) / 3600.0
    rise_h = -length_s / 7200.0
    if kind.cloud == "cumulus":
        cloudy = np.zeros(num, bool)
        start = rise_h + 4.0
        while start < 4.5:
            long = float(rng.uniform(1, 6)) / 60.0
            cloudy |= (hours >= start) & (hours < start + long)
            start += long + float(rng.exponential(8.0)) / 60.0
        bases = np.where(cloudy, 0.97 * h, np.nan)
    elif kind.cloud in ("deck", "high"):
        base_m = np.full(num, kind.cloud_m) if kind.cloud_m else np.maximum(h, 450.0) * 0.97
        bases = np.where((hours > -7.0) & (hours < 5.0), base_m, np.nan)
    elif kind.cloud == "drizzle":
        is_rain = np.abs(hours - 1.0) < 1.2
        bases = np.where(np.abs(hours - 1.0) < 2.5, 1300.0, np.nan)
    elif kind.cloud == "fog":
        is_fog = (hours > rise_h - 5.0) & (hours < rise_h + 1.0)
        bases = np.where(is_fog, 30.0, np.nan)
        lifting = (hours >= rise_h + 1.0) & (hours < rise_h + 3.0)
        bases = np.where(lifting, 150.0 + 150.0 * (hours - rise_h - 1.0), bases)
    step_m = range_m[1] - range_m[0]
    extinction = np.zeros_like(beta)
    back = np.zeros_like(beta)
    for row in np.flatnonzero(np.isfinite(bases) | is_rain):
        if is_fog[row]:
            drops = np.where(range_m < 120.0, 0.02, 0.0)
        else:
            drops = np.clip((range_m - bases[row]) / 80.0, 0.0, 1.0) * 0.02 * (range_m < bases[row] + 250.0)
        extinction[row] += drops
        back[row] += drops / DROPLET_LIDAR_RATIO_SR
        if is_rain[row]:
            streak = 2.5e-4 * (1 + 0.3 * np.sin(seconds[row] / 60.0 + range_m / 300.0)) * (range_m < 1300.0)
            extinction[row] += streak
            back[row] += streak / RAIN_LIDAR_RATIO_SR
    if extinction.any():
        beta += back
        beta *= np.exp(-2.0 * MULTIPLE_SCATTERING * step_m * (np.cumsum(extinction, axis=1) - extinction / 2))
    return np.asarray(bases, np.float32), is_fog, is_rain


def _through(
    kind: Kind,
    site: Site,
    instrument: Instrument,
    beta: Float32,
    seconds: Float64,
    midnight: np.datetime64,
    noon_s: float,
    length_s: float,
    bases: Float32,
    is_fog: Flags,
    is_rain: Flags,
    rng: np.random.Generator,
) -> Profiles:
    """What the instrument makes of it."""
    range_m, num = instrument.range_m, len(seconds)
    beta = beta * (1.0 + kind.ripple * (instrument.overlap_error() - 1.0))
    sun = np.clip(np.cos((seconds - noon_s) / DAY_S * 2 * np.pi), 0.0, None)
    sigma = instrument.noise_at_unit_range(CADENCE_S, sun, kind.noise, np.full(num, kind.backscatter))
    _add_noise(beta, sigma * (1.0 + 0.5 * sun), range_m, rng)
    if kind.stripes:
        # electronic steps: an offset of the raw signal that grows with range², constant in time
        steps = np.zeros(range_m.size)
        for at_m in rng.uniform(200.0, 2500.0, 5):
            wide = rng.uniform(60.0, 250.0)
            steps += rng.choice([-1.0, 1.0]) * (np.abs(range_m - at_m) < wide) * np.minimum(range_m / 1000.0, 2.0) ** 2
        beta += (kind.stripes * kind.backscatter * steps).astype(np.float32)
    if kind.clip:
        beta[beta < kind.clip * kind.backscatter] = 0.0
    time: Time = midnight + (seconds * 1e6).astype("timedelta64[us]")
    missing = np.full(num, np.nan, np.float32)
    on_gate = np.rint((bases + rng.normal(0.0, 8.0, num)) / instrument.resolution_m) * instrument.resolution_m
    return Profiles(
        instrument=instrument.name,
        message_type=instrument.message_type,
        time=time,
        range_m=range_m,
        range_resolution_m=instrument.resolution_m,
        beta=np.asarray(beta, np.float32),
        is_calibrated=True,
        wavelength_nm=instrument.wavelength_nm,
        cloud_base_m=np.maximum(on_gate, 0.0).astype(np.float32)[:, None],
        vertical_visibility_m=np.where(is_fog, 120.0, np.nan).astype(np.float32),
        maker_layer_height_m=missing[:, None],
        sky_cover_octas=missing[:, None],
        sky_base_m=missing[:, None],
        is_precipitation=is_rain & instrument.reports_rain,
        is_fog=is_fog,
        tilt_deg=np.zeros(num, np.float32),
        alarms=((),) * num,
        latitude_deg=site.latitude_deg,
        longitude_deg=site.longitude_deg,
        altitude_m=0.0,
    )


def _hour_class(seconds: Float64, noon_s: float, length_s: float) -> NDArray[np.int64]:
    """Night; growth from an hour after sunrise to two hours before noon's end; noon; evening around sunset."""
    half_h = length_s / 7200.0
    found = np.zeros(len(seconds), np.int64)
    hours = (seconds - noon_s + DAY_S / 2) % DAY_S / 3600.0 - 12.0
    late_h = half_h - min(2.0, half_h / 2)
    found[(hours >= -half_h + 0.5) & (hours < -1.0)] = 1
    found[(hours >= max(-1.0, -half_h + 0.5)) & (hours < late_h)] = 2
    found[(hours >= late_h) & (hours < half_h + 1.5)] = 3
    return found
