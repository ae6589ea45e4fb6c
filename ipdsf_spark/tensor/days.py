"""Departures that outlast a day: smaller than any weather's, but always there.

The median of a day's hourly means forgets the hours in which a site had weather of its own; from day to day it wanders
far less than a feature does from slice to slice. Cumulative sums of it (Page 1954, Biometrika 41, 100), two-sided, find
a gain that is off by half, a window that gets dirty, a telescope that is out of line.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.tensor.robust import SIGMA_PER_MEDIAN, row_median

Float64 = NDArray[np.float64]

NUM: Final = 2  # features: level and slope
# All that is remembered.
ARRAYS: Final = ("total", "count", "ring", "center", "square", "num", "sums", "is_up", "pooled", "hour")
HOURS: Final = 24
USUAL_PERIOD: Final = 288  # slices of five minutes in a day
LEAST_SHARE: Final = 0.25  # of the slices of an hour
LEAST_HOURS: Final = 18  # of a day: half of one says little of the other
ALLOWANCE: Final = 1.0  # spreads that a day may be off for ever
MENDED: Final = 2.0  # spreads to which a day has come back, where an alarm is up
LARGEST_STEP: Final = 2.5  # spreads that a day can count for
THRESHOLD: Final = 4.0  # of the sums, in spreads x days: tests/bench/bench_alarms.py says what it leads to
KEPT: Final = 1.25  # of the threshold, to which a sum grows: what is mended is seen to be
DOUBT: Final = 0.5  # of the threshold, from which the reference stands still
MEMORY: Final = 168.0  # hours of the reference: a week
YOUNG: Final = 96.0  # hours of a site until which it raises no alarm and its reference learns whatever it sees
SETTLED: Final = 24.0  # hours of a site from which its departures say how far sites wander
LEAST_SITES: Final = 4  # for a median of their departures
SMALLEST: Final = 0.03  # log10; below it days are alike
BOUND: Final = 3.0  # spreads of a departure that the reference takes in


class DailySums:
    """Cumulative sums of the daily medians of features; I sites, F features.

    Args:
        period: slices of a day.

    Attributes:
        total, count: (I, F) of the hour that is open.
        ring: (24, I, F) means of the last hours, NaN where there was too little.
        center, square: (I, F) reference: mean, and mean square departure.
        num: (I, F) hours of each site.
        sums: (I, F, 2) cumulative sums, upward and downward.
        is_up: (I, F, 2) alarms that are up: from the threshold on until the sum has fallen to `DOUBT` of it.
        pooled: (F,) running middle of the departures of all sites.
        hour: (1,) number of the open hour; -1 before the first.
    """

    def __init__(self, period: int = USUAL_PERIOD) -> None:
        self.period = period
        self.total, self.count = np.zeros((0, NUM)), np.zeros((0, NUM))
        self.ring = np.full((HOURS, 0, NUM), np.nan)
        self.center, self.square, self.num = (np.zeros((0, NUM)) for _ in range(3))
        self.sums, self.is_up = np.zeros((0, NUM, 2)), np.zeros((0, NUM, 2), bool)
        self.pooled = np.zeros(NUM)
        self.hour = np.full(1, -1, np.int64)

    def update(self, index: int, rows: NDArray[np.int64], features: Float64, is_doubted: NDArray[np.bool_]) -> None:
        """Take in a slice.

        Args:
            index: slice number.
            rows: (n,) rows of the sites.
            features: (n, F), NaN where too little is there.
            is_doubted: (I,) sites that teach their reference nothing, for another reason.
        """
        hour = index * HOURS // self.period
        if self.hour[0] >= 0:
            for _ in range(min(hour - int(self.hour[0]), HOURS)):
                self._close(is_doubted)
        self.hour[0] = hour
        is_there = np.isfinite(features)
        self.total[rows] += np.where(is_there, features, 0.0)
        self.count[rows] += is_there

    @property
    def score(self) -> Float64:
        """(I, F, 2) sums over their threshold, upward and downward; 1 and more while an alarm is up."""
        return np.maximum(self.sums / THRESHOLD, self.is_up)

    def _close(self, is_doubted: NDArray[np.bool_]) -> None:
        """End the open hour."""
        least = max(1.0, LEAST_SHARE * self.period / HOURS)
        newest = np.where(self.count >= least, self.total / np.maximum(self.count, 1.0), np.nan)
        self.total[:], self.count[:] = 0.0, 0.0
        self.ring = np.concatenate([self.ring[1:], newest[None]])
        is_known = np.isfinite(self.ring).sum(axis=0) >= LEAST_HOURS
        day = np.where(is_known, row_median(self.ring.reshape(HOURS, -1).T).reshape(is_known.shape), 0.0)
        self.center = np.where(is_known & (self.num == 0), day, self.center)
        departure = np.where(is_known, day - self.center, 0.0)
        spread = self._spread(departure, is_known)
        z = np.clip(departure / spread, -LARGEST_STEP, LARGEST_STEP)
        is_ready = is_known & (self.num >= YOUNG)
        either = np.stack([z, -z], axis=-1)
        # Where a day is nearly as it always was, an alarm need not wait for the allowance to use it up.
        is_mended = self.is_up & (either < MENDED)
        grown = self.sums + np.where(is_mended, -LARGEST_STEP, either - ALLOWANCE) / HOURS
        self.sums = np.where(is_ready[..., None], np.clip(grown, 0.0, KEPT * THRESHOLD), self.sums)
        self.is_up = (self.sums >= THRESHOLD) | (self.is_up & (self.sums >= DOUBT * THRESHOLD))
        self._learn(departure, spread, is_known, is_doubted)

    def _spread(self, departure: Float64, is_known: NDArray[np.bool_]) -> Float64:
        """(I, F) how far a day of a site wanders, beside what those of all sites do."""
        is_old = is_known & (self.num > SETTLED)
        for feature in np.flatnonzero(is_old.sum(axis=0) >= LEAST_SITES):
            typical = SIGMA_PER_MEDIAN * float(np.median(np.abs(departure[is_old[:, feature], feature])))
            gain = 1.0 / MEMORY if self.pooled[feature] > 0.0 else 1.0
            self.pooled[feature] += gain * (typical - self.pooled[feature])
        own, all_sites = np.minimum(self.num, MEMORY), np.square(np.maximum(self.pooled, SMALLEST))
        return np.asarray(np.sqrt((own * self.square + MEMORY * all_sites) / (own + MEMORY)))

    def _learn(
        self, departure: Float64, spread: Float64, is_known: NDArray[np.bool_], is_doubted: NDArray[np.bool_]
    ) -> None:
        is_calm = (self.sums.max(axis=-1) < DOUBT * THRESHOLD) & ~is_doubted[:, None]
        is_learnt = is_known & (is_calm | (self.num < YOUNG))
        gain = np.where(is_learnt, np.maximum(1.0 / MEMORY, 1.0 / (self.num + 1.0)), 0.0)
        limit = np.where(self.num < YOUNG, np.inf, BOUND * np.maximum(spread, SMALLEST))
        bounded = np.clip(departure, -limit, limit)
        most = np.square(BOUND * np.maximum(self.pooled, SMALLEST))
        self.center += gain * bounded
        self.square += gain * (np.minimum(np.square(bounded), most) - self.square)
        self.num += is_known

    def forget(self, row: int) -> None:
        """Begin anew with a site."""
        self.total[row], self.count[row], self.ring[:, row] = 0.0, 0.0, np.nan
        self.center[row], self.square[row], self.num[row], self.sums[row] = 0.0, 0.0, 0.0, 0.0
        self.is_up[row] = False

    def grow(self, num_sites: int) -> None:
        """Room for new sites."""
        more = num_sites - len(self.num)
        if more > 0:
            nothing = np.zeros((more, NUM))
            self.total, self.count, self.center, self.square, self.num = (
                np.concatenate([each, nothing]) for each in (self.total, self.count, self.center, self.square, self.num)
            )
            self.ring = np.concatenate([self.ring, np.full((HOURS, more, NUM), np.nan)], axis=1)
            self.sums = np.concatenate([self.sums, np.zeros((more, NUM, 2))])
            self.is_up = np.concatenate([self.is_up, np.zeros((more, NUM, 2), bool)])

    def keep(self, is_kept: NDArray[np.bool_]) -> None:
        """Drop the rows of sites that are forgotten."""
        self.total, self.count, self.center, self.square, self.num = (
            each[is_kept] for each in (self.total, self.count, self.center, self.square, self.num)
        )
        self.ring, self.sums, self.is_up = self.ring[:, is_kept], self.sums[is_kept], self.is_up[is_kept]
