"""Clocks that are wrong by hours: a site shows its network's weather, but earlier or later than the others do.

What the middle of all sites showed in the last day and a half is laid beside what a site showed, shifted by every half
hour up to twelve hours either way, and the mean square departure of the shapes is taken (the lag at which two series
agree best, as by Knapp and Carter 1976, IEEE Trans. ASSP 24, 320; here by least squares, because cells are missing).
A healthy site fits best unshifted. Weather of its own fits badly at every shift; a wrong clock fits well at one.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.tensor.days import USUAL_PERIOD
from ipdsf_spark.tensor.robust import row_median

Float64 = NDArray[np.float64]

ARRAYS: Final = ("total", "count", "ring", "middle", "evidence", "shift", "step")  # all that is remembered
NUM_BANDS: Final = 5  # of height, in which cells are averaged
STEPS_PER_HOUR: Final = 2
STEPS_PER_DAY: Final = 24 * STEPS_PER_HOUR
WINDOW: Final = 48  # steps that are compared: a day
MOST_SHIFT: Final = 24  # steps either way
LEAST_SHIFT: Final = 3  # an hour and a half; growth of the layer differs by that much from site to site
SHIFTS: Final = np.concatenate([np.arange(-MOST_SHIFT, 1 - LEAST_SHIFT), np.arange(LEAST_SHIFT, MOST_SHIFT + 1)])
LEAST_PRESENT: Final = 0.2  # of the cells of a band
LEAST_COMPARED: Final = 60  # cells of the window, of 240
LEAST_SITES: Final = 5  # that show a gate or band, for a middle that one site cannot move
NOISE: Final = 0.02  # log10; departures below it say nothing
SAME: Final = 2  # steps that the best shift may wander
ALLOWANCE: Final = 0.4  # of log(departure unshifted / departure at the best shift), that any weather may reach
MOST: Final = 1.5  # of it, that one step can bring
THRESHOLD: Final = 1.0  # of the evidence [days]: tests/bench/bench_alarms.py says what it leads to
KEPT: Final = 1.25  # of the threshold, to which it grows


class ClockWatch:
    """Evidence that a site's clock is wrong, step by step; I sites.

    Args:
        period: slices of a day.

    Attributes:
        total, count: (I, 5) of the step that is open.
        ring: (I, 72, 5) closed steps, the newest last; NaN where a band shows nothing.
        middle: (72, 5) that of all sites.
        evidence: (I,) that stands, in units of log ratio x days.
        shift: (I,) steps that the site is behind (above 0) or ahead.
        step: (1,) number of the open step; -1 before the first.
    """

    def __init__(self, period: int = USUAL_PERIOD) -> None:
        self.period = period
        self.total, self.count = np.zeros((0, NUM_BANDS)), np.zeros((0, NUM_BANDS))
        self.ring = np.full((0, WINDOW + MOST_SHIFT, NUM_BANDS), np.nan, np.float32)
        self.middle = np.full((WINDOW + MOST_SHIFT, NUM_BANDS), np.nan, np.float32)
        self.evidence, self.shift = np.zeros(0), np.zeros(0, np.int64)
        self.step = np.full(1, -1, np.int64)

    def update(self, index: int, rows: NDArray[np.int64], values: Float64) -> None:
        """Take in a slice.

        Args:
            index: slice number.
            rows: (n,) rows of the sites.
            values: (n, K) the slice, NaN where missing.
        """
        step = index * STEPS_PER_DAY // self.period
        if self.step[0] >= 0:
            for _ in range(min(step - int(self.step[0]), self.ring.shape[1])):
                self._close(values.shape[1] / NUM_BANDS * self.period / STEPS_PER_DAY * LEAST_PRESENT)
        self.step[0] = step
        is_there = np.isfinite(values)
        parts = np.linspace(0, values.shape[1], NUM_BANDS + 1).astype(int)[:-1]
        self.total[rows] += np.add.reduceat(np.where(is_there, values, 0.0), parts, axis=1)
        self.count[rows] += np.add.reduceat(is_there, parts, axis=1, dtype=np.float64)

    @property
    def score(self) -> Float64:
        """(I,) evidence over its threshold; 1 where an alarm begins."""
        return self.evidence / THRESHOLD

    @property
    def off_h(self) -> Float64:
        """(I,) hours by which the clock is ahead (above 0) or behind, where there is evidence."""
        return -self.shift / STEPS_PER_HOUR

    def _close(self, least: float) -> None:
        """End the open step: into the ring, and what all shifts say now."""
        newest = np.where(self.count >= max(1.0, least), self.total / np.maximum(self.count, 1.0), np.nan)
        self.total[:], self.count[:] = 0.0, 0.0
        is_shown = np.isfinite(newest).sum(axis=0) >= LEAST_SITES
        middle = np.where(is_shown, row_median(newest.T), np.nan)
        self.ring = np.concatenate([self.ring[:, 1:], newest[:, None].astype(np.float32)], axis=1)
        self.middle = np.concatenate([self.middle[1:], middle[None].astype(np.float32)])
        departures = self._departures()
        unshifted, shifted = departures[:, 0], departures[:, 1:]
        best = np.argmin(shifted, axis=1)
        least_off = shifted[np.arange(len(best)), best]
        is_known = np.isfinite(unshifted) & np.isfinite(least_off)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.log((unshifted + NOISE**2) / (least_off + NOISE**2))
        found = SHIFTS[best]
        is_other = is_known & (ratio > ALLOWANCE) & (np.abs(found - self.shift) > SAME)
        self.evidence[is_other] = 0.0
        self.shift = np.where(is_known & (ratio > ALLOWANCE), found, self.shift)
        grown = self.evidence + (np.clip(ratio, -MOST, MOST) - ALLOWANCE) / WINDOW
        self.evidence = np.where(is_known, np.clip(grown, 0.0, KEPT * THRESHOLD), self.evidence)

    def _departures(self) -> Float64:
        """(I, S) mean square of sites less the network, unshifted and at `SHIFTS`; infinite if unknown.

        Means of each band are taken off first: neither calibration nor window counts. Sums of squares and products over
        the window are products of matrices, for all sites and shifts at once.
        """
        is_seen = np.isfinite(self.middle)
        about = float(self.middle[is_seen].mean()) if is_seen.any() else 0.0  # so that squares lose no digits
        total, compared = np.zeros((len(self.shift), 1 + len(SHIFTS))), np.zeros((len(self.shift), 1 + len(SHIFTS)))
        for band in range(NUM_BANDS):
            site, is_there = _filled(self.ring[:, :, band] - about)
            lags = _lagged(self.middle[:, band] - about)
            middle, is_shown = _filled(lags)
            count = is_there @ is_shown
            apart = site @ is_shown - is_there @ middle
            square = np.square(site) @ is_shown - 2.0 * (site @ middle) + is_there @ np.square(middle)
            total += square - np.square(apart) / np.maximum(count, 1.0)
            compared += count
        mean = np.maximum(total, 0.0) / np.maximum(compared, 1.0)
        return np.where(compared >= LEAST_COMPARED, mean, np.inf)

    def forget(self, row: int) -> None:
        """Begin anew with a site."""
        self.total[row], self.count[row], self.ring[row] = 0.0, 0.0, np.nan
        self.evidence[row], self.shift[row] = 0.0, 0

    def grow(self, num_sites: int) -> None:
        """Room for new sites."""
        more = num_sites - len(self.shift)
        if more > 0:
            nothing = np.zeros((more, NUM_BANDS))
            self.total, self.count = np.concatenate([self.total, nothing]), np.concatenate([self.count, nothing])
            self.ring = np.concatenate([self.ring, np.full((more, *self.ring.shape[1:]), np.nan, np.float32)])
            self.evidence = np.concatenate([self.evidence, np.zeros(more)])
            self.shift = np.concatenate([self.shift, np.zeros(more, np.int64)])

    def keep(self, is_kept: NDArray[np.bool_]) -> None:
        """Drop the rows of sites that are forgotten."""
        self.total, self.count, self.ring = self.total[is_kept], self.count[is_kept], self.ring[is_kept]
        self.evidence, self.shift = self.evidence[is_kept], self.shift[is_kept]


def _filled(values: NDArray[np.float32]) -> tuple[Float64, Float64]:
    """Values with 0 where there is none, and 1 where there is one."""
    is_there = np.isfinite(values)
    return np.where(is_there, values, 0.0).astype(np.float64), is_there.astype(np.float64)


def _lagged(middle: NDArray[np.float32]) -> NDArray[np.float32]:
    """(72, S) what the network showed beside each step of a site, unshifted and at `SHIFTS`; NaN outside the window."""
    num = len(middle)
    lagged = np.full((num, 1 + len(SHIFTS)), np.nan, np.float32)
    for column, shift in enumerate([0, *SHIFTS.tolist()]):
        late, early = max(shift, 0), max(-shift, 0)
        lagged[num - WINDOW - early : num - early, column] = middle[num - WINDOW - late : num - late]
    return lagged
