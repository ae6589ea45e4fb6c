"""Calibration as an operator of the stream: a row for every day, with the filtered factor, and an alarm when it drifts.

A cloud counts once several consecutive intervals agree within 10 % (as the European network asks of profiles); a clear
night counts when three hours of it show the return of air. A day's samples become one value; the filter takes it in
when a later day begins. Until then each sample gives a provisional row of the day.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from ipdsf_spark.lidar.averages.average import Average
from ipdsf_spark.lidar.calibration import state as states
from ipdsf_spark.lidar.calibration import water_vapour
from ipdsf_spark.lidar.calibration.cloud import LIDAR_RATIO_SIGMA, WINDOW_M, CloudSample, cloud_sample
from ipdsf_spark.lidar.calibration.flags import CalibrationFlag, names
from ipdsf_spark.lidar.calibration.night import end_of_night, is_over, take_night
from ipdsf_spark.lidar.calibration.scattering import TYPICAL_SIGMA
from ipdsf_spark.lidar.calibration.state import CalibrationState, OpenDay
from ipdsf_spark.lidar.operators import News, Operator, Parameters, Row
from ipdsf_spark.lidar.site import Site

KIND: Final = "calibration"
DAY_S: Final = 86_400
DAY_SIGMA: Final = 0.09  # of a day's value; networks see 8 to 11 % from day to day
AGREE: Final = 0.1  # consecutive samples of one cloud
CONSECUTIVE_S: Final = 900  # of a cloud, in at least `LEAST_RUN` and at most `MOST_RUN` intervals
LEAST_RUN: Final = 3
MOST_RUN: Final = 5
LEAST_LASER_PERCENT: Final = 90.0
LEAST_WINDOW_PERCENT: Final = 50.0
DIRTY_WINDOW_PERCENT: Final = 80.0
PHOTON_COUNTERS: Final = ("Lufft", "Sigma", "MPL")
WAVELENGTHS_NM: Final = (230.0, 1690.0)


def operator(parameters: Parameters) -> Operator:
    """The operator for intervals of this length."""
    return Operator(KIND, states.VERSION, _Calibration(parameters.interval_s), migrate=_migrated)


def _migrated(version: int, raw: bytes) -> bytes:
    """State of version 1 did not say what particles may have been aloft, 2 not what nights have in common.

    Raises:
        ValueError: it is of another version.
    """
    if version not in (states.WITHOUT_PARTICLES, states.WITHOUT_COMMON):
        raise ValueError(f"calibration state of version {version} is not known")
    return states.pack(states.unpack(raw))


@dataclass(frozen=True)
class _Calibration:
    interval_s: int

    def __call__(self, site: Site, news: News, state: bytes) -> tuple[Sequence[Row], bytes]:
        rows: list[Row] = []
        if news.has_new_source and state:
            rows, _ = finish(site, state, interval_s=self.interval_s)
            state = b""
        found, state = step(site, news.closed, state, interval_s=self.interval_s)
        return rows + found, state


def step(site: Site, closed: Sequence[Average], raw: bytes, *, interval_s: int) -> tuple[list[Row], bytes]:
    """Rows of the days that these intervals end or add a sample to, and the new state.

    Args:
        site: its place and its water vapour.
        closed: complete intervals in time order; what is not newer than the state has seen changes nothing.
        raw: bytes of the last call, empty at first.
        interval_s: length of an interval [s].

    Raises:
        ValueError: the state was written by another version.
    """
    known = states.unpack(raw)
    rows: list[Row] = []
    for average in closed:
        if average.index <= known.last_index:
            continue
        day = average.index * interval_s // DAY_S
        if known.day.day != day:
            if is_over(known.night, average.index, interval_s):
                end_of_night(known, site, interval_s)  # it belongs to the day that is over, not to one weeks later
            rows += _end_of_day(known)
            known.day = OpenDay(day)
        has_sample = _take(known, site, average, interval_s)
        known.last_index = average.index
        if has_sample:
            rows.append(_row(known, is_final=False))
    return rows, states.pack(known)


def finish(site: Site, raw: bytes, *, interval_s: int) -> tuple[list[Row], bytes]:
    """The row of the day that is not over, as final: at the end of the data."""
    known = states.unpack(raw)
    if known.night.num:
        end_of_night(known, site, interval_s)
    rows = _end_of_day(known)
    known.day = OpenDay()
    return rows, states.pack(known)


def _take(known: CalibrationState, site: Site, average: Average, interval_s: int) -> bool:
    """Count one interval; whether it brought a sample."""
    day = known.day
    day.num_intervals += 1
    beta = average.block_mean()
    slant = math.cos(math.radians(average.tilt_deg))
    length_m = average.resolution_m * average.block_gates
    first_m = average.first_m - average.resolution_m / 2 + length_m / 2
    height_m = (first_m + length_m * np.arange(beta.size, dtype=np.float64)) * slant
    wavelength_nm = site.wavelength_nm or average.wavelength_nm
    if not height_m.size or height_m[-1] < WINDOW_M[1]:
        day.notes |= CalibrationFlag.SHORT_RANGE
        return False
    has_sample = False
    if not WAVELENGTHS_NM[0] <= wavelength_nm <= WAVELENGTHS_NM[1]:
        day.notes |= CalibrationFlag.NO_WAVELENGTH
    elif not water_vapour.is_absorbing(wavelength_nm):
        day.notes |= CalibrationFlag.NO_CLEAR_NIGHT  # until the day has a factor
        has_sample = take_night(known, site, average, beta, first_m * slant, length_m * slant, interval_s)
    sample = None
    if _is_healthy(day, average):
        sample = cloud_sample(
            beta,
            height_m,
            length_m,
            instrument=average.instrument,
            wavelength_nm=wavelength_nm,
            precipitable_water_mm=water_vapour.precipitable_mm(site, day.day),
            altitude_m=site.altitude_m if math.isfinite(site.altitude_m) else 0.0,
        )
    is_next = average.index == known.last_index + 1
    return _take_cloud(known, sample, average.instrument, interval_s, is_next=is_next) or has_sample


def _is_healthy(day: OpenDay, average: Average) -> bool:
    """Whether laser and window let the signal be used; what they are is kept."""
    laser, window = average.health.get("laser_energy_percent"), average.health.get("window_transmission_percent")
    is_healthy = True
    if laser is not None and laser.num:
        day.laser, day.num_laser = day.laser + laser.mean, day.num_laser + 1
        if laser.mean < LEAST_LASER_PERCENT:
            day.notes |= CalibrationFlag.LOW_LASER
            is_healthy = False
    if window is not None and window.num:
        day.window, day.num_window = day.window + window.mean, day.num_window + 1
        if window.mean < DIRTY_WINDOW_PERCENT:
            day.notes |= CalibrationFlag.DIRTY_WINDOW
            is_healthy &= window.mean >= LEAST_WINDOW_PERCENT
    return is_healthy


def _take_cloud(
    known: CalibrationState, sample: CloudSample | None, instrument: str, interval_s: int, *, is_next: bool
) -> bool:
    """Follow a run of samples that agree; each counts from the moment the run is long enough."""
    if not is_next or sample is None:
        known.run = []
    if sample is None:
        return False
    value = math.log(sample.factor)
    if known.run and abs(value - sum(known.run) / len(known.run)) > AGREE:
        known.run = []
    known.run.append(value)
    needed = min(max(CONSECUTIVE_S // interval_s, LEAST_RUN), MOST_RUN)
    if len(known.run) < needed:
        return False
    day = known.day
    fresh = known.run if len(known.run) == needed else known.run[-1:]
    day.num += len(fresh)
    day.total += sum(fresh)
    day.square += sum(each**2 for each in fresh)
    day.notes |= CalibrationFlag.LIQUID_CLOUD
    if not sample.has_own_eta:
        day.notes |= CalibrationFlag.ASSUMED_SCATTERING
    if not sample.has_water_vapour:
        day.notes |= CalibrationFlag.WITHOUT_WATER_VAPOUR
    if instrument.startswith(PHOTON_COUNTERS):
        day.notes |= CalibrationFlag.SATURATION_POSSIBLE
    known.run = known.run[-needed - 1 :]
    return True


def _of_day(day: OpenDay) -> tuple[float, float, float]:
    """Logarithm and variance of a day's samples, and what of its deviation all nights share; NaN where there is none.

    Where air was seen, clouds of a photon counter do not count: they may saturate it.
    """
    parts: list[tuple[float, float]] = []
    particles = 0.0
    if day.num_rayleigh:
        particles = day.particles / day.rayleigh_weight
        variance = DAY_SIGMA**2 / 4.0 + 1.0 / day.rayleigh_weight + particles**2
        parts.append((day.rayleigh / day.rayleigh_weight, variance))
    if day.num and not (day.num_rayleigh and day.notes & CalibrationFlag.SATURATION_POSSIBLE):
        mean = day.total / day.num
        scatter = max(day.square / day.num - mean**2, 0.0)
        variance = max(DAY_SIGMA**2, scatter) + LIDAR_RATIO_SIGMA**2
        if day.notes & CalibrationFlag.ASSUMED_SCATTERING:
            variance += TYPICAL_SIGMA**2
        parts.append((mean, variance))
    if not parts:
        return float("nan"), float("nan"), 0.0
    weights = [1.0 / variance for _, variance in parts]
    value = sum(w * value for w, (value, _) in zip(weights, parts, strict=True)) / sum(weights)
    return value, 1.0 / sum(weights), particles * weights[0] / sum(weights)  # that of the nights stands first


def _end_of_day(known: CalibrationState) -> list[Row]:
    if known.day.day == states.NOTHING or not known.day.num_intervals:
        return []
    value, variance, common = _of_day(known.day)
    if math.isfinite(value):
        is_used, is_step = known.walk.update(known.day.day, value, variance, common)
        if not is_used:
            known.day.notes |= CalibrationFlag.OUTLIER
        if is_step:
            known.day.notes |= CalibrationFlag.STEP
    return [_row(known, is_final=True)]


def _row(known: CalibrationState, *, is_final: bool) -> Row:
    day, walk = known.day, known.walk
    flags = CalibrationFlag(day.notes)
    value, variance, _ = _of_day(day)
    if not math.isfinite(value):
        flags |= CalibrationFlag.NO_SUITABLE_CLOUD
    else:
        flags &= ~CalibrationFlag.NO_CLEAR_NIGHT
    if not is_final:
        flags |= CalibrationFlag.PROVISIONAL
    expected, _ = walk.predicted(day.day)
    mean = walk.mean_of_days
    if not math.isfinite(mean):
        flags |= CalibrationFlag.YOUNG
    elif walk.is_drifting:
        flags |= CalibrationFlag.DRIFT
    values: dict[str, Any] = {
        "factor": _exp(expected),
        "sigma": _relative(walk.told_variance(day.day)),
        "day_factor": _exp(value),
        "day_sigma": _relative(variance),
        "mean_90_days": _exp(mean),
        "num_cloud_intervals": day.num,
        "num_clear_nights": day.num_rayleigh,
        "num_days": walk.num_days,
        "laser_percent": _mean(day.laser, day.num_laser),
        "window_percent": _mean(day.window, day.num_window),
        "alarm": bool(flags & (CalibrationFlag.DRIFT | CalibrationFlag.STEP)),
        "quality": names(int(flags)),
    }
    return Row(KIND, day.day * DAY_S * 1_000_000, values)


def _exp(value: float) -> float | None:
    return float(f"{math.exp(value):.5g}") if math.isfinite(value) else None


def _relative(variance: float) -> float | None:
    return round(math.sqrt(variance), 4) if math.isfinite(variance) else None


def _mean(total: float, num: int) -> float | None:
    return round(total / num, 1) if num else None
