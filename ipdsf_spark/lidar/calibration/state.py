"""What is remembered of an instrument's calibration: a filtered factor, its last 90 days, the day that is not over.

The logarithm of the factor is a random walk that is seen through the noise of single days (Kalman 1960, J. Basic Eng.
82, 35): predict P + q Δt, gain K = P / (P + R), update x + K (z - x), P (1 - K). A day beyond three standard deviations
of what is expected is left out; five such days that agree are a step of the instrument, and the walk begins anew there.

The particles that clear nights may hide are the same for weeks and do not average out: what of the factor comes from
such nights carries their error on, (1 - K) c + K d, as a bias that is not estimated does in the filter of Schmidt
(1966, Adv. Control Syst. 3, 293). It is in the published uncertainty, not in the gain nor in the judgement of a drift.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from ipdsf_spark.lidar.profiles import Float32, Float64

VERSION: Final = 3
WITHOUT_PARTICLES: Final = 1  # of nights
WITHOUT_COMMON: Final = 2  # error of nights
NOTHING: Final = -(2**31)
DAYS: Final = 90
PROCESS_VARIANCE: Final = 0.005**2  # per day; factors of good instruments stay within 5 % over a year
GATE: Final = 3.0  # standard deviations
STEP_DAYS: Final = 5
STEP_AGREE: Final = 0.15  # natural logarithm
DRIFT_SHARE: Final = 0.05
DRIFT_SIGMAS: Final = 3.0
ENOUGH_DAYS: Final = 10


@dataclass
class Walk:
    """The filtered logarithm of the factor.

    Attributes:
        day: of the last update, since 1970.
        value, variance: of the logarithm, as if days were independent; NaN before the first day.
        alone: the part of its variance that is independent from day to day.
        common: standard deviation of the part that is the same in all nights.
        num_days: days used.
        num_outliers: consecutive days left out, and the mean of their logarithms.
        outlier_mean: see there.
        last_days: (90,) filtered logarithms of `day` and the 89 before it, newest last; NaN where a day has none.
    """

    day: int = NOTHING
    value: float = float("nan")
    variance: float = float("nan")
    num_days: int = 0
    num_outliers: int = 0
    outlier_mean: float = 0.0
    last_days: Float32 = field(default_factory=lambda: np.full(DAYS, np.nan, np.float32))
    alone: float = float("nan")
    common: float = 0.0

    def predicted(self, day: int) -> tuple[float, float]:
        """Logarithm and variance expected on a day; NaN before the first."""
        if self.day == NOTHING:
            return float("nan"), float("nan")
        return self.value, self.variance + PROCESS_VARIANCE * max(day - self.day, 0)

    def told_variance(self, day: int) -> float:
        """Of the logarithm on a day, with what nights have in common; NaN before the first."""
        if self.day == NOTHING:
            return float("nan")
        return self.alone + self.common**2 + PROCESS_VARIANCE * max(day - self.day, 0)

    def update(self, day: int, value: float, variance: float, common: float = 0.0) -> tuple[bool, bool]:
        """Take in the logarithm of a day; whether it was used, and whether it is a step.

        Args:
            day: since 1970.
            value: of the day.
            variance: of it, all together.
            common: standard deviation of the part of it that is the same in all nights.
        """
        expected, expected_variance = self.predicted(day)
        alone = variance - common**2
        if self.day == NOTHING:
            self._set(day, value, variance)
            self.alone, self.common = alone, common
            return True, False
        if (value - expected) ** 2 > GATE**2 * (max(expected_variance, self.told_variance(day)) + variance):
            agrees = self.num_outliers > 0 and abs(value - self.outlier_mean) < STEP_AGREE
            held = self.num_outliers if agrees else 0
            self.outlier_mean = (self.outlier_mean * held + value) / (held + 1)
            self.num_outliers = held + 1
            if self.num_outliers < STEP_DAYS:
                return False, False
            self._set(day, self.outlier_mean, variance / STEP_DAYS)
            self.alone, self.common = alone / STEP_DAYS, common
            return True, True
        gain = expected_variance / (expected_variance + variance)
        grown = self.alone + PROCESS_VARIANCE * max(day - self.day, 0)
        self.alone = (1.0 - gain) ** 2 * grown + gain**2 * alone
        self.common = (1.0 - gain) * self.common + gain * common
        self._set(day, expected + gain * (value - expected), (1.0 - gain) * expected_variance)
        return True, False

    def _set(self, day: int, value: float, variance: float) -> None:
        shift = min(day - self.day, DAYS) if self.day != NOTHING else DAYS
        if shift > 0:
            self.last_days = np.concatenate([self.last_days[shift:], np.full(shift, np.nan, np.float32)])
        self.last_days[-1] = value
        self.day, self.value, self.variance = max(day, self.day), value, variance
        self.num_days += 1
        self.num_outliers = 0

    @property
    def mean_of_days(self) -> float:
        """Mean logarithm of the last 90 days; NaN where fewer than `ENOUGH_DAYS` have one."""
        known = self.last_days[np.isfinite(self.last_days)].astype(np.float64)
        return float(known.mean()) if known.size >= ENOUGH_DAYS else float("nan")

    @property
    def is_drifting(self) -> bool:
        """Whether the factor has left its mean of 90 days."""
        away = abs(self.value - self.mean_of_days)
        return bool(away > math.log1p(DRIFT_SHARE) and away > DRIFT_SIGMAS * math.sqrt(self.variance))


@dataclass
class OpenDay:
    """Sums of the day that is not over.

    Attributes:
        day: since 1970.
        num, total, square: accepted cloud samples, sums of their logarithms and of their squares.
        num_rayleigh, rayleigh, rayleigh_weight: nights accepted, sum of their logarithms weighted with 1 / variance,
            sum of the weights.
        particles: sum of the shares of particles that the nights may have in their air, weighted likewise.
        notes: flags.
        laser, num_laser, window, num_window: sums of housekeeping [percent].
        num_intervals: seen.
    """

    day: int = NOTHING
    num: int = 0
    total: float = 0.0
    square: float = 0.0
    num_rayleigh: int = 0
    rayleigh: float = 0.0
    rayleigh_weight: float = 0.0
    particles: float = 0.0
    notes: int = 0
    laser: float = 0.0
    num_laser: int = 0
    window: float = 0.0
    num_window: int = 0
    num_intervals: int = 0


@dataclass
class Night:
    """Sums of the clear night that is not over.

    Attributes:
        first_index, last_index: oldest and newest interval in it.
        num: intervals.
        total: (N,) sum of the mean backscatter of the blocks; empty before the first.
        variance: sum of the squared noise at unit range.
        first_m, length_m: of the blocks; tilt is in them.
        wavelength_nm: of the laser.
        lowest_m: lowest trustworthy height.
    """

    first_index: int = NOTHING
    last_index: int = NOTHING
    num: int = 0
    total: Float64 = field(default_factory=lambda: np.empty(0))
    variance: float = 0.0
    first_m: float = 0.0
    length_m: float = 0.0
    wavelength_nm: float = 0.0
    lowest_m: float = 0.0


@dataclass
class CalibrationState:
    """Mutable state of one instrument."""

    last_index: int = -(2**62)
    walk: Walk = field(default_factory=Walk)
    day: OpenDay = field(default_factory=OpenDay)
    night: Night = field(default_factory=Night)
    run: list[float] = field(default_factory=list)


# What is stored of each part, in this order: whole numbers, then others.
_WHOLE: Final = {
    "walk": ("day", "num_days", "num_outliers"),
    "day": ("day", "num", "num_rayleigh", "notes", "num_laser", "num_window", "num_intervals"),
    "night": ("first_index", "last_index", "num"),
}
_OTHER: Final = {
    "walk": ("value", "variance", "outlier_mean", "alone", "common"),
    "day": ("total", "square", "rayleigh", "rayleigh_weight", "laser", "window", "particles"),
    "night": ("variance", "first_m", "length_m", "wavelength_nm", "lowest_m"),
}
_HEAD: Final = struct.Struct("<BBH q")
_OF_2: Final = _OTHER | {"walk": _OTHER["walk"][:-2]}
_OF_1: Final = _OF_2 | {"day": _OTHER["day"][:-1]}
_OTHERS: Final = {VERSION: _OTHER, WITHOUT_COMMON: _OF_2, WITHOUT_PARTICLES: _OF_1}


def _body(other: Mapping[str, tuple[str, ...]]) -> struct.Struct:
    return struct.Struct(f"<{sum(map(len, _WHOLE.values()))}q{sum(map(len, other.values()))}d")


_BODY: Final = _body(_OTHER)


def pack(state: CalibrationState) -> bytes:
    """The state as versioned bytes, at most 1.9 kB."""
    head = _HEAD.pack(VERSION, len(state.run), state.night.total.size, state.last_index)
    values = [
        getattr(getattr(state, part), name) for table in (_WHOLE, _OTHER) for part in table for name in table[part]
    ]
    run = np.array(state.run, np.float64).tobytes()
    return b"".join((head, _BODY.pack(*values), state.walk.last_days.tobytes(), run, state.night.total.tobytes()))


def unpack(raw: bytes) -> CalibrationState:
    """The inverse of `pack`, also of the versions before; no bytes are an empty state.

    What nights had in common was not kept before: it is learnt from the next ones.

    Raises:
        ValueError: the bytes were written by another version, or end early.
    """
    state = CalibrationState()
    if not raw:
        return state
    if raw[0] not in _OTHERS or len(raw) < _HEAD.size:
        raise ValueError(f"calibration state of {len(raw)} bytes and version {raw[0]}; this is version {VERSION}")
    version, num_run, num_gates, state.last_index = _HEAD.unpack_from(raw)
    other = _OTHERS[version]
    body = _body(other)
    size = _HEAD.size + body.size + 4 * DAYS + 8 * (num_run + num_gates)
    if len(raw) != size:
        raise ValueError(f"calibration state of {len(raw)} bytes, {size} were expected")
    values = iter(body.unpack_from(raw, _HEAD.size))
    for table in (_WHOLE, other):
        for part, fields in table.items():
            for name in fields:
                setattr(getattr(state, part), name, next(values))
    if version != VERSION:
        state.walk.alone = state.walk.variance
    at = _HEAD.size + body.size
    state.walk.last_days = np.frombuffer(raw, np.float32, DAYS, at).copy()
    state.run = np.frombuffer(raw, np.float64, num_run, at + 4 * DAYS).tolist()
    state.night.total = np.frombuffer(raw, np.float64, num_gates, at + 4 * DAYS + 8 * num_run).copy()
    return state
