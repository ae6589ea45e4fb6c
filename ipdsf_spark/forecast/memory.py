"""What is remembered of a site from interval to interval, and the numbers that the network is given from it.

The same code walks through a year of many sites for training and through one interval of one site in the stream, so
that the network meets in the stream what it was trained on. S sites at once; heights in metres.

Known of a site: its last height and how old that is, yesterday's heights by the half hour, and a climatology by the
half hour, an average over about the last `USUAL_DAYS` days. Both enter when their half hour is over, in whole metres.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.forecast.series import (
    AMBIGUOUS,
    CAPPED,
    FOG,
    INTERVAL_S,
    LEAD_STEPS,
    RAIN,
    Observed,
    seconds_of,
)
from ipdsf_spark.forecast.sun import solar, sun_seen_from
from ipdsf_spark.lidar.profiles import Float64

FEATURES_VERSION: Final = 1
SLOT_STEPS: Final = 6  # a half hour
NUM_SLOTS: Final = 86_400 // INTERVAL_S // SLOT_STEPS
PER_DAY: Final = 86_400 // INTERVAL_S
USUAL_DAYS: Final = 10
OLDEST: Final = PER_DAY  # steps; a height that is older is of no more use than one that is so old
DAY_M, NIGHT_M = 1200.0, 300.0  # where a site has told nothing yet: the night's layer, and what a high sun adds to it
SUNS_AHEAD_S: Final = np.array([0.0, 1800.0, 3600.0, 10_800.0])[:, None]  # at which the sun's height is told

NAMES: Final = (
    *("last_km", "is_known", "fresh_1h", "fresh_6h"),
    *("has_height", "sigma", "is_ambiguous", "has_bound", "below_km"),
    *("has_cloud", "cloud", "rain", "fog", "capped", "has_data", "has_residual", "residual"),
    *("has_sun", "sun", "sun_30", "sun_60", "sun_180", "hour_sin", "hour_cos", "day_length", "since_rise", "until_set"),
    *("season", "latitude"),
    *("has_usual", "usual_from_last", "usual_10", "usual_30", "usual_60", "usual_180"),
    *("has_yesterday", "yesterday_10", "yesterday_30", "yesterday_60", "yesterday_180"),
)
NUM_FEATURES: Final = len(NAMES)
NUM_LEADS: Final = len(LEAD_STEPS)
NUM_SEEN: Final = NAMES.index("has_sun")
NUM_SUN: Final = NAMES.index("has_usual") - NUM_SEEN
SUN: Final = 1  # of the sun's features: its height now
# A number beyond these is as good as the limit; all others are of the order of 1 by their making.
_LIMITS: Final = {"is_ambiguous": 1.0, "rain": 1.0, "fog": 1.0, "capped": 1.0, "sigma": 2.0, "cloud": 1.5}
LIMITS: Final = np.array([[_LIMITS.get(name, 6.0)] for name in NAMES])


@dataclass(frozen=True, eq=False)
class Told:
    """What the network is given of one interval.

    Attributes:
        features: (S, F) in the order of `NAMES`, of the order of 1; what is not known is 0 and says so in a flag.
        last_m: (S,) the last height, persistence; where none was ever seen a guess from the sun.
        usual_m: (S, L) the climatology at every lead, persistence where it is not known.
        yesterday_m: (S, L) of a day before every lead, NaN where not known.
    """

    features: NDArray[np.float32]
    last_m: Float64
    usual_m: Float64
    yesterday_m: Float64


class Memory:
    """Of S sites. Not thread-safe.

    Args:
        latitude_deg, longitude_deg: (S,) NaN where unknown.
    """

    def __init__(self, latitude_deg: Float64, longitude_deg: Float64) -> None:
        num = len(latitude_deg)
        self.latitude_deg, self.longitude_deg = latitude_deg, longitude_deg
        self.last_m = np.full(num, np.nan)
        self.age = np.full(num, OLDEST, np.int64)
        self.usual_m = np.full((num, NUM_SLOTS), np.nan)
        self.num_days = np.zeros((num, NUM_SLOTS), np.int64)
        self.yesterday_m = np.full((num, NUM_SLOTS), np.nan)
        self.slot_sum_m = np.zeros(num)
        self.slot_num = np.zeros(num, np.int64)
        self.index = -1  # of the newest interval, -1 = none

    def step(self, index: int, observed: Observed, sun: Float64 | None = None) -> Told:
        """Take in interval `index`, the one after the last, and say what is known then.

        Args:
            index: number of the interval.
            observed: (S,) what was seen in it.
            sun: (N, S) what `sun_features` says of it, where that is at hand.
        """
        if self.index >= 0 and index // SLOT_STEPS != self.index // SLOT_STEPS:
            self._end_slot(self.index // SLOT_STEPS % NUM_SLOTS)
        self.index = index
        has = np.isfinite(observed.height_m)
        bounded = ~has & (observed.below_m < self.last_m)  # not where either is NaN
        self.last_m = np.where(has, observed.height_m, np.where(bounded, observed.below_m, self.last_m))
        self.age = np.where(has | bounded, 0, np.minimum(self.age + 1, OLDEST))
        self.slot_sum_m = self.slot_sum_m + np.where(has, observed.height_m, 0.0)
        self.slot_num = self.slot_num + has
        if sun is None:
            sun = _sun_features(_solar_of(index), self.latitude_deg, self.longitude_deg)[0]
        return self._told(index, observed, has, sun)

    def forget_yesterday(self) -> None:
        """More than a day has passed without a word."""
        self.yesterday_m[:] = np.nan
        self.age[:] = OLDEST
        self.slot_sum_m[:], self.slot_num[:] = 0.0, 0
        self.index = -1

    def _end_slot(self, slot: int) -> None:
        has = self.slot_num > 0
        mean_m = np.rint(self.slot_sum_m / np.maximum(self.slot_num, 1))
        before_m, days = self.usual_m[:, slot], self.num_days[:, slot]
        weight = 1.0 / np.minimum(days + 1, USUAL_DAYS)
        blended_m = np.rint(np.where(days > 0, before_m + weight * (mean_m - before_m), mean_m))
        self.usual_m[:, slot] = np.where(has, blended_m, before_m)
        self.num_days[:, slot] = np.minimum(days + has, 255)
        self.yesterday_m[:, slot] = np.where(has, mean_m, np.nan)
        self.slot_sum_m = np.zeros_like(self.slot_sum_m)
        self.slot_num = np.zeros_like(self.slot_num)

    def _told(self, index: int, observed: Observed, has: NDArray[np.bool_], sun: Float64) -> Told:
        usual_m = between_slots(self.usual_m, index)
        yesterday_m = between_slots(self.yesterday_m, index)
        now_m = usual_m[:, 0]
        has_usual = np.isfinite(usual_m).all(axis=1)
        is_known = np.isfinite(self.last_m)
        guess_m = np.where(has_usual, now_m, NIGHT_M + DAY_M * np.fmax(sun[SUN], 0.0))
        last_m = np.where(is_known, self.last_m, guess_m)
        flags = observed.flags
        # NaN is what is not known: it becomes 0, and a flag says so
        columns = np.empty((NUM_FEATURES, len(last_m)))
        columns[:NUM_SEEN] = (
            last_m / 1000.0,
            is_known,
            np.exp(self.age / -12.0),
            np.exp(self.age / -72.0),
            has,
            np.where(has, observed.sigma_m / 200.0, 0.0),
            flags & AMBIGUOUS,
            np.isfinite(observed.below_m),
            observed.below_m / 1000.0,
            np.isfinite(observed.cloud_m),
            observed.cloud_m / 3000.0,
            flags & RAIN,
            flags & FOG,
            flags & CAPPED,
            observed.has_data,
            np.isfinite(observed.residual_m),
            observed.residual_m / 3000.0,
        )
        columns[NUM_SEEN : NUM_SEEN + NUM_SUN] = sun
        at = NUM_SEEN + NUM_SUN
        columns[at] = has_usual
        columns[at + 1] = np.where(has_usual, now_m - last_m, 0.0) / 500.0
        columns[at + 2 : at + 6] = np.where(has_usual, (usual_m[:, 1:] - usual_m[:, :1]).T, 0.0) / 500.0
        columns[at + 6] = np.isfinite(yesterday_m[:, 1:]).sum(axis=1) / (NUM_LEADS - 1)
        columns[at + 7 :] = (yesterday_m[:, 1:] - last_m[:, None]).T / 500.0
        columns[np.isnan(columns)] = 0.0
        features = np.minimum(np.maximum(columns, -LIMITS), LIMITS).T.astype(np.float32)
        usual_m = np.where(np.isfinite(usual_m), usual_m, last_m[:, None])
        return Told(features, last_m, usual_m, yesterday_m)


def sun_features(index: NDArray[np.int64], latitude_deg: Float64, longitude_deg: Float64) -> Float64:
    """(T, N, S) what the sun says of intervals, in the order of `NAMES`; 0 where a site's place is not known."""
    return _sun_features(solar(seconds_of(index)[:, None, None] + SUNS_AHEAD_S), latitude_deg, longitude_deg)


@lru_cache(maxsize=64)
def _solar_of(index: int) -> tuple[Float64, Float64, Float64]:
    """Of one interval; the sites of a network ask for the same ones."""
    return solar(seconds_of(np.array([index]))[:, None, None] + SUNS_AHEAD_S)


def _sun_features(of_sun: tuple[Float64, Float64, Float64], latitude_deg: Float64, longitude_deg: Float64) -> Float64:
    sun = sun_seen_from(of_sun, latitude_deg, longitude_deg)
    hour_angle, half_day = sun.hour_angle[:, 0], sun.half_day[:, 0]
    found = np.empty((len(hour_angle), NUM_SUN, len(latitude_deg)))
    found[:, 0] = np.isfinite(latitude_deg) & np.isfinite(longitude_deg)
    found[:, 1:5] = sun.elevation_sine
    found[:, 5], found[:, 6], found[:, 7] = np.sin(hour_angle), np.cos(hour_angle), half_day / np.pi
    found[:, 8], found[:, 9] = (hour_angle + half_day) / np.pi, (half_day - hour_angle) / np.pi
    found[:, 10] = sun.declination_sine[:, 0] * np.sign(latitude_deg) / 0.4
    found[:, 11] = np.abs(latitude_deg) / 90.0
    found[:, :, found[0, 0] == 0] = 0.0
    return found


def between_slots(slots_m: Float64, index: int) -> Float64:
    """(S, L) values by the half hour at the leads after interval `index`, linear between the middles of half hours.

    Where one neighbour is not known the other is taken; NaN where neither is.
    """
    low, share = PLACES[index % PER_DAY]
    before_m, after_m = slots_m[:, low], slots_m[:, (low + 1) % NUM_SLOTS]
    value_m = (1.0 - share) * before_m + share * after_m
    return np.where(np.isfinite(value_m), value_m, np.where(np.isfinite(before_m), before_m, after_m))


def _place(step: int) -> tuple[NDArray[np.int64], Float64]:
    """(L,) the half hour before every lead of a step of the day, and how far the lead lies towards the next."""
    place = ((step + np.array(LEAD_STEPS)) % PER_DAY + 0.5) / SLOT_STEPS - 0.5
    low = np.floor(place).astype(np.int64)
    return low % NUM_SLOTS, place - low


PLACES: Final = tuple(_place(step) for step in range(PER_DAY))
