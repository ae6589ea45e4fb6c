"""Instruments that no longer fit their network: cumulative sums of how a site departs from the others.

The decomposition follows a faulty site within hours, because that is what it is for; so a fault is looked for in the
slice itself, less the middle of all sites at the same gate, which one site cannot move. Four features of a site's
departures: their median over the gates (gain, window), that of the upper gates less that of the lower ones (alignment
of laser and telescope, overlap), their spread about that median (other air than the neighbours see), and the share of
cells that are there (light that is lost takes cells below the noise). Each has a reference of its own at every site, a
slow mean and its daily season, and runs two-sided cumulative sums (Page 1954, Biometrika 41, 100) in units of its own
running spread, which find gross departures within hours. Smaller ones of level and slope are found from their daily
medians (`days`), wrong clocks from the shift in time at which a site fits its network (`clocks`). A reference stands
still while an alarm is up or in doubt, so that a fault is not learnt.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.tensor.clocks import LEAST_SITES, ClockWatch
from ipdsf_spark.tensor.days import HOURS, USUAL_PERIOD, DailySums
from ipdsf_spark.tensor.days import NUM as NUM_DAILY
from ipdsf_spark.tensor.robust import SIGMA_PER_MEDIAN, row_median

Float64 = NDArray[np.float64]

FEATURES: Final = ("level", "slope", "size", "cells")  # the first ones as `days` has them
CLOCK: Final = "clock"
NUM: Final = len(FEATURES)
ARRAYS: Final = ("center", "square", "season", "sums", "num_seen", "pooled")  # all that is remembered
ALLOWANCE: Final = 3.5  # spreads that a feature may be off for ever
# Of the sums, in spreads x slices of five minutes, of each feature: tests/bench/bench_alarms.py says what they lead to.
THRESHOLD: Final = np.array([150.0, 600.0, 1200.0, 120.0])
LARGEST_STEP: Final = 8.0  # spreads that one slice can add: no single slice raises an alarm
MOST: Final = 1.25  # of the threshold, to which a sum grows: what is mended is seen to be
DOUBT: Final = 0.5  # of the threshold, from which the reference stands still
LEAST_CELLS: Final = 5
MEMORY_DAYS: Final = 7.0  # of the reference
SEASON_GAIN: Final = 0.02  # per five minutes in its hour: a fifth per day
LEAST_DAYS: Final = 0.25  # of a site before it can raise an alarm
BORROWED_DAYS: Final = 7.0  # that the departures of the whole network count for, beside a site's own
YOUNG_DAYS: Final = 1.0  # of a site until which its reference learns whatever it sees
SMALLEST: Final = 1e-9
SMALLEST_SIZE: Final = 0.03  # log10; below it sites are alike


@dataclass(frozen=True)
class Alarm:
    """A site that departs from its network.

    Attributes:
        site: its id.
        index: slice number.
        feature: ``"level"`` (gain or window), ``"slope"`` (alignment), ``"size"`` (anything), ``"cells"`` (light, or
            anything that hides) or ``"clock"``.
        score: cumulative sum over the threshold; 1 where the alarm begins.
        direction: 1 above the reference, -1 below; of a clock 1 ahead, -1 behind.
        off_h: hours by which a clock is off, about; None for other features.
    """

    site: str
    index: int
    feature: str
    score: float
    direction: int
    off_h: float | None = None


class ResidualAlarms:
    """Cumulative sums of all sites; F features, memory of the order I F.

    Args:
        period: slices of a day; what is told in hours and days is so whatever their length.

    Attributes:
        center, square: (I, F) reference of each feature: mean, and mean square departure.
        season: (I, F, 24) what the hour of the day adds to it.
        sums: (I, F, 2) cumulative sums, upward and downward.
        num_seen: (I,) slices of each site.
        pooled: (F,) running mean square departure of all sites.
        days: sums of daily medians.
        clocks: evidence of wrong clocks.
    """

    def __init__(self, period: int = USUAL_PERIOD) -> None:
        self.period, self.weight = period, USUAL_PERIOD / period
        self.memory, self.borrowed = MEMORY_DAYS * period, BORROWED_DAYS * period
        self.least_slices, self.young = LEAST_DAYS * period, YOUNG_DAYS * period
        self.center, self.square = np.zeros((0, NUM)), np.zeros((0, NUM))
        self.season = np.zeros((0, NUM, HOURS))
        self.sums, self.num_seen = np.zeros((0, NUM, 2)), np.zeros(0, np.int64)
        self.pooled = np.zeros(NUM)
        self.days, self.clocks = DailySums(period), ClockWatch(period)

    def update(self, index: int, sites: list[str], rows: NDArray[np.int64], values: Float64) -> list[Alarm]:
        """Alarms that stand after this slice.

        Args:
            index: slice number; its hour of the day is that of the season.
            sites: n ids.
            rows: (n,) their rows.
            values: (n, K) the slice, NaN where missing.
        """
        features = features_of(values)
        known = np.isfinite(features)
        value = np.where(known, features, 0.0)
        hour = index % self.period * HOURS // self.period
        num = self.num_seen[rows][:, None].astype(np.float64)
        center, season = self.center[rows], self.season[rows, :, hour]
        departure = np.where(known, value - center - season, 0.0)
        spread = self._spread(rows, features, departure, known, num)
        z = np.clip(departure / np.maximum(spread, SMALLEST), -LARGEST_STEP, LARGEST_STEP)
        is_ready = known & (num >= self.least_slices)
        grown = self.sums[rows] + self.weight * (np.stack([z, -z], axis=-1) - ALLOWANCE)
        grown = np.clip(grown, 0.0, MOST * THRESHOLD[:, None])
        self.sums[rows] = np.where(is_ready[:, :, None], grown, self.sums[rows])
        self.days.update(index, rows, features[:, :NUM_DAILY], self._largest().max(axis=1) >= 1.0)
        self.clocks.update(index, rows, values)
        largest = self._largest()[rows]
        self._learn(rows, hour, departure, spread, largest, num, known)
        self.num_seen[rows] += known.any(axis=1)
        return self._standing(index, sites, rows)

    def _scores(self) -> Float64:
        """(I, F, 2) of the features, of a slice's sums or of the days', whichever is nearer to its threshold."""
        scores = np.asarray(self.sums / THRESHOLD[:, None])
        scores[:, :NUM_DAILY] = np.maximum(scores[:, :NUM_DAILY], self.days.score)
        return scores

    def _largest(self) -> Float64:
        """(I, F + 1) scores of the features in either direction, and of the clock."""
        return np.column_stack([self._scores().max(axis=2), self.clocks.score])

    def _standing(self, index: int, sites: list[str], rows: NDArray[np.int64]) -> list[Alarm]:
        scores, found = self._scores()[rows], []
        largest = scores.max(axis=2)
        for at, feature in zip(*np.nonzero(largest >= 1.0), strict=True):
            direction = 1 if scores[at, feature, 0] >= scores[at, feature, 1] else -1
            found.append(Alarm(sites[at], index, FEATURES[feature], float(largest[at, feature]), direction))
        of_clocks, off_h = self.clocks.score[rows], self.clocks.off_h[rows]
        for at in np.flatnonzero(of_clocks >= 1.0):
            direction = 1 if off_h[at] > 0.0 else -1
            found.append(Alarm(sites[at], index, CLOCK, float(of_clocks[at]), direction, abs(float(off_h[at]))))
        return found

    def _spread(
        self, rows: NDArray[np.int64], features: Float64, departure: Float64, known: NDArray[np.bool_], num: Float64
    ) -> Float64:
        """(n, F) root mean square departure of a site, beside that of the whole network while little is known of it."""
        if not self.pooled.any():  # nothing is known but how the sites differ
            apart = SIGMA_PER_MEDIAN * row_median(np.abs(features - row_median(features.T)).T)
            self.pooled = np.square(np.nan_to_num(apart))
        is_old = known & (num >= self.least_slices)
        limit = LARGEST_STEP * np.sqrt(self.pooled)
        square = np.square(np.clip(departure, -limit, limit))
        count = is_old.sum(axis=0)
        mean = (square * is_old).sum(axis=0) / np.maximum(count, 1)
        self.pooled = np.where(count > 0, self.pooled + (mean - self.pooled) / self.memory, self.pooled)
        own, borrowed = np.minimum(num, self.memory), self.borrowed
        return np.asarray(np.sqrt((own * self.square[rows] + borrowed * self.pooled) / (own + borrowed)))

    def _learn(
        self, rows: NDArray[np.int64], hour: int, departure: Float64, spread: Float64, largest: Float64, num: Float64,
        known: NDArray[np.bool_],
    ) -> None:  # fmt: skip
        """The reference takes in bounded departures: in doubt only while it is young."""
        is_learnt = known & ((largest[:, :NUM] < DOUBT) | (num < self.young))
        gain = np.where(is_learnt, np.maximum(1.0 / self.memory, 1.0 / (num + 1.0)), 0.0)
        limit = np.where(num < self.least_slices, np.inf, LARGEST_STEP * np.maximum(spread, SMALLEST))
        bounded = np.clip(departure, -limit, limit)
        self.center[rows] += gain * bounded
        season_gain = min(SEASON_GAIN * self.weight, 1.0)
        self.season[rows, :, hour] += np.where(is_learnt & (num >= self.least_slices), season_gain, 0.0) * bounded
        self.square[rows] += gain * (np.square(bounded) - self.square[rows])

    def standing(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(n,) sites whose alarm is up."""
        return np.asarray((self._largest()[rows] >= 1.0).any(axis=1))

    def forget(self, row: int) -> None:
        """Begin anew with a site."""
        self.center[row], self.square[row], self.sums[row], self.num_seen[row] = 0.0, 0.0, 0.0, 0
        self.season[row] = 0.0
        self.days.forget(row)
        self.clocks.forget(row)

    def grow(self, num_sites: int) -> None:
        """Room for new sites."""
        more = num_sites - len(self.num_seen)
        if more > 0:
            self.center, self.square, self.season, self.sums, self.num_seen = (
                np.concatenate([each, np.zeros((more, *each.shape[1:]), each.dtype)])
                for each in (self.center, self.square, self.season, self.sums, self.num_seen)
            )
        self.days.grow(num_sites)
        self.clocks.grow(num_sites)

    def keep(self, is_kept: NDArray[np.bool_]) -> None:
        """Drop the rows of sites that are forgotten."""
        self.center, self.square = self.center[is_kept], self.square[is_kept]
        self.season = self.season[is_kept]
        self.sums, self.num_seen = self.sums[is_kept], self.num_seen[is_kept]
        self.days.keep(is_kept)
        self.clocks.keep(is_kept)


def features_of(values: Float64) -> Float64:
    """(n, F) features of how the sites of a slice (n, K) depart from their middle; NaN where too little is there.

    The share of cells is that of the site over the gates that at least `LEAST_SITES` show.
    """
    present = np.isfinite(values)
    is_shown = present.sum(axis=0) >= LEAST_SITES
    apart = np.where(is_shown, values - row_median(values.T), np.nan)
    half = values.shape[1] // 2
    enough = np.isfinite(apart).sum(axis=1) >= LEAST_CELLS
    level, lower, upper = (row_median(part) for part in (apart, apart[:, :half], apart[:, half:]))
    size = row_median(np.abs(apart - level[:, None]))
    share = present[:, is_shown].mean(axis=1) if is_shown.any() else np.full(len(values), np.nan)
    share = np.where(present.any(axis=1), share, np.nan)  # an outage is no fault of the optics
    # A ratio of sizes has no upper end; its logarithm is symmetric.
    found = np.column_stack([level, upper - lower, np.log(np.maximum(size, SMALLEST_SIZE))])
    return np.column_stack([np.where(enough[:, None], found, np.nan), share])
