"""Instruments that no longer fit their network: cumulative sums of what a site's residuals have in common.

Three features of a site's slice, each in units of its own running spread: the median residual of all gates (gain,
window), that of the upper gates less that of the lower ones (alignment of laser and telescope, overlap), and the size
of the residuals (a wrong clock shows other air than the neighbours see). Each runs a two-sided cumulative sum (Page
1954, Biometrika 41, 100) against its reference of the days before; the reference stands still while an alarm is up, so
that a fault is not learnt as the new normal at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]

FEATURES: Final = ("level", "slope", "size")
ALLOWANCE: Final = 1.25  # spreads that a feature may be off for ever
THRESHOLD: Final = 36.0  # of the cumulative sum, in spreads x slices
LEAST_CELLS: Final = 5
LEAST_SITES: Final = 5
LEARNING: Final = 1.0 / 576.0  # per slice: the reference is that of two days
LEAST_SLICES: Final = 288  # a day before a site can raise an alarm
LARGEST_STEP: Final = 3.0  # spreads that one slice can add: no single slice raises an alarm


@dataclass(frozen=True)
class Alarm:
    """A site that departs from its network.

    Attributes:
        site: its id.
        index: slice number.
        feature: ``"level"`` (gain or window), ``"slope"`` (alignment) or ``"size"`` (clock, or anything else).
        score: cumulative sum over the threshold; 1 where the alarm begins.
        direction: 1 above the reference, -1 below.
    """

    site: str
    index: int
    feature: str
    score: float
    direction: int


class ResidualAlarms:
    """Cumulative sums of all sites.

    Attributes:
        center, spread: (I, 3) reference of each feature.
        sums: (I, 3, 2) cumulative sums upward and downward.
        num_seen: (I,) slices of each site.
    """

    def __init__(self) -> None:
        self.center, self.spread = np.zeros((0, 3)), np.zeros((0, 3))
        self.sums, self.num_seen = np.zeros((0, 3, 2)), np.zeros(0, np.int64)

    def update(self, index: int, sites: list[str], rows: NDArray[np.int64], residual: Float64) -> list[Alarm]:
        """Alarms that stand after this slice.

        Args:
            index: slice number.
            sites: n ids.
            rows: (n,) their rows.
            residual: (n, K) slice less what the model made of it before it learnt from it, over the error scale of
                each cell; NaN where missing.
        """
        features = features_of(residual)
        known = np.isfinite(features)
        if len(rows) >= LEAST_SITES:
            # What all sites share is weather or the model's own error, and no instrument's fault.
            features = features - np.where(known.any(axis=0), _median(features.T), 0.0)
        value = np.where(known, features, 0.0)
        center, spread, num = self.center[rows], self.spread[rows], self.num_seen[rows][:, None]
        z = np.clip((value - center) / np.maximum(spread, 1e-9), -LARGEST_STEP, LARGEST_STEP)
        is_ready = known & (num >= LEAST_SLICES)
        up, down = self.sums[rows, :, 0], self.sums[rows, :, 1]
        up = np.where(is_ready, np.clip(up + z - ALLOWANCE, 0.0, 2.0 * THRESHOLD), up)
        down = np.where(is_ready, np.clip(down - z - ALLOWANCE, 0.0, 2.0 * THRESHOLD), down)
        self.sums[rows, :, 0], self.sums[rows, :, 1] = up, down
        is_up = np.maximum(up, down) >= THRESHOLD
        # The reference stands still while an alarm is up; otherwise it learns from bounded departures.
        gain = np.where(known & ~is_up, np.maximum(LEARNING, 1.0 / (num + 1.0)), 0.0)
        bounded = np.where(num < LEAST_SLICES, value - center, np.clip(value - center, -3.0 * spread, 3.0 * spread))
        self.center[rows] = center + gain * bounded
        # mean |departure| times 1.2533 is the standard deviation of Gaussian errors
        self.spread[rows] = spread + gain * (1.2533 * np.abs(bounded) - spread)
        self.num_seen[rows] += known.any(axis=1)
        found = []
        for row, feature in zip(*np.nonzero(is_up), strict=True):
            direction = 1 if up[row, feature] >= down[row, feature] else -1
            score = float(max(up[row, feature], down[row, feature]) / THRESHOLD)
            found.append(Alarm(sites[row], index, FEATURES[feature], score, direction))
        return found

    def standing(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(n,) sites whose alarm is up."""
        return np.asarray((self.sums[rows] >= THRESHOLD).any(axis=(1, 2)))

    def forget(self, row: int) -> None:
        """Begin anew with a site."""
        self.center[row], self.spread[row], self.sums[row], self.num_seen[row] = 0.0, 0.0, 0.0, 0

    def grow(self, num_sites: int) -> None:
        """Room for new sites."""
        more = num_sites - len(self.num_seen)
        if more > 0:
            self.center, self.spread = (
                np.concatenate([each, np.zeros((more, 3))]) for each in (self.center, self.spread)
            )
            self.sums = np.concatenate([self.sums, np.zeros((more, 3, 2))])
            self.num_seen = np.concatenate([self.num_seen, np.zeros(more, np.int64)])

    def keep(self, is_kept: NDArray[np.bool_]) -> None:
        """Drop the rows of sites that are forgotten."""
        self.center, self.spread = self.center[is_kept], self.spread[is_kept]
        self.sums, self.num_seen = self.sums[is_kept], self.num_seen[is_kept]


def features_of(residual: Float64) -> Float64:
    """(n, 3) level, slope and size of residuals (n, K); NaN where too few cells are present."""
    num_gates = residual.shape[1]
    half = num_gates // 2
    enough = np.isfinite(residual).sum(axis=1) >= LEAST_CELLS
    level, lower, upper, size = (
        _median(part) for part in (residual, residual[:, :half], residual[:, half:], np.abs(residual))
    )
    # A ratio of sizes has no upper end; its logarithm is symmetric.
    found = np.column_stack([level, upper - lower, np.log(np.maximum(size, 1e-6))])
    return np.where(enough[:, None], found, np.nan)


def _median(values: Float64) -> Float64:
    """(n,) median of the present cells of each row, NaN where none is."""
    count = np.isfinite(values).sum(axis=1)
    if values.shape[1] == 0:
        return np.full(len(values), np.nan)
    ordered = np.sort(np.where(np.isfinite(values), values, np.inf), axis=1)
    rows = np.arange(len(values))
    low = ordered[rows, np.maximum(count - 1, 0) // 2]
    high = ordered[rows, np.minimum(count // 2, values.shape[1] - 1)]
    with np.errstate(invalid="ignore"):
        return np.where(count > 0, (low + high) / 2.0, np.nan)
