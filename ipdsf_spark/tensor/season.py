"""Strengths of the components as level, daily season and what is left of the last departure: forecasts over gaps.

Additive Holt-Winters smoothing (Winters 1960, Manage. Sci. 6, 324) without a trend, whose forecast carries the last
departure from level and season on and lets it fade, as an error of first order does (Chatfield 1978).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
FADING: Final = 0.99  # per slice: half of a departure is left after six hours of 5-minute slices
NEVER: Final = -(2**62)


@dataclass
class Season:
    """Level and season of R strengths.

    Attributes:
        level: (R,) slow mean.
        daily: (period, R) departure from the level by slice of the day.
        is_known: (period,) slices of the day that have been seen.
        last: (R,) strengths of the newest slice.
        last_index: of the newest slice.
        num_seen: slices seen.
    """

    level: Float64
    daily: Float64
    is_known: NDArray[np.bool_]
    last: Float64
    last_index: int = NEVER
    num_seen: int = 0

    @classmethod
    def empty(cls, period: int, rank: int) -> Season:
        """Nothing seen yet."""
        return cls(np.zeros(rank), np.zeros((period, rank)), np.zeros(period, bool), np.zeros(rank))

    def _expected(self, index: int) -> Float64 | None:
        slot = index % len(self.daily)
        return self.level + self.daily[slot] if self.is_known[slot] else None

    def forecast(self, index: int) -> Float64:
        """(R,) strengths expected at a slice; at a time of day that was never seen, those of the newest slice."""
        expected = self._expected(index)
        if expected is None or self.num_seen == 0:
            return self.last
        then = self._expected(self.last_index)
        departure = np.zeros_like(self.last) if then is None else self.last - then
        return np.asarray(expected + FADING ** max(index - self.last_index, 0) * departure)

    def update(self, index: int, strength: Float64, level_gain: float, season_gain: float) -> None:
        """Learn from the strengths of a slice.

        Args:
            index: slice number since any fixed origin.
            strength: (R,).
            level_gain: per slice; the level of the first slices is their mean.
            season_gain: per day.
        """
        slot = index % len(self.daily)
        expected = self._expected(index)
        self.num_seen += 1
        base = strength - self.daily[slot] if expected is not None else strength
        self.level = self.level + max(level_gain, 1.0 / self.num_seen) * (base - self.level)
        if expected is None:
            self.daily[slot] = strength - self.level
        else:
            self.daily[slot] += season_gain * (strength - self.level - self.daily[slot])
        self.is_known[slot] = True
        self.last, self.last_index = strength.copy(), index

    def rescale(self, factor: Float64) -> None:
        """Strengths in another unit: all that is known times (R,) `factor`."""
        self.level, self.daily, self.last = self.level * factor, self.daily * factor, self.last * factor
