"""Is filling gaps with the model better than what everybody has: the hourly climatology? Judged while it runs.

Of every slice a small share of the present cells is hidden from the model; what the model says there is compared with
what was measured, and so is the mean of the same site, gate and hour of day over the days before. Filling is offered
only while the model errs less.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]

HOURS: Final = 24
LEAST_CELLS: Final = 200  # hidden cells with a climatology before anything is offered
FADING: Final = 0.999  # per slice: a judgement of about three days of 5-minute slices


class FillingJudge:
    """Running mean absolute errors of the model and of the climatology on hidden cells.

    Attributes:
        error_model, error_climatology: faded sums of absolute errors over hidden cells that have a climatology.
        num_cells: their faded number.
        totals, counts: (I, HOURS, K) sums of the climatology.
    """

    def __init__(self, num_gates: int, period: int) -> None:
        """Args: num_gates: K; period: slices of a day."""
        self.num_gates, self.period = num_gates, period
        self.error_model = self.error_climatology = self.num_cells = 0.0
        self.totals = np.zeros((0, HOURS, num_gates), np.float32)
        self.counts = np.zeros((0, HOURS, num_gates), np.float32)

    @property
    def is_offered(self) -> bool:
        """Whether the model fills gaps better than the hourly climatology does."""
        return self.num_cells >= LEAST_CELLS and self.error_model < self.error_climatology

    @property
    def errors(self) -> tuple[float, float]:
        """Mean absolute error of model and climatology, in the unit of the slices; NaN before anything is known."""
        if self.num_cells <= 0.0:
            return float("nan"), float("nan")
        return self.error_model / self.num_cells, self.error_climatology / self.num_cells

    def hidden(self, mask: NDArray[np.bool_], share: float, index: int, seed: int) -> NDArray[np.bool_]:
        """Cells to hide from the model: runs of gates of whole sites where they are few, single cells else.

        Real gaps are no single cells: a cloud hides all gates above it. Half of the share is whole upper halves of
        profiles, half single cells.
        """
        rng = np.random.default_rng((seed, index & 0xFFFFFFFF))
        single = rng.random(mask.shape) < share / 2
        blocks = (rng.random(len(mask)) < share)[:, None] & (np.arange(self.num_gates) >= self.num_gates // 2)
        return mask & (single | blocks)

    def judge(
        self, index: int, rows: NDArray[np.int64], truth: Float64, hidden: NDArray[np.bool_], fitted: Float64
    ) -> None:
        """Compare on the hidden cells, then add the slice to the climatology.

        Args:
            index: slice number.
            rows: (n,) rows of the sites.
            truth: (n, K) the slice, NaN where missing.
            hidden: (n, K) cells the model did not see.
            fitted: (n, K) what it says.
        """
        hour = index % self.period * HOURS // self.period
        total, count = self.totals[rows, hour], self.counts[rows, hour]
        cells = hidden & (count > 0)
        self.error_model *= FADING
        self.error_climatology *= FADING
        self.num_cells *= FADING
        if cells.any():
            mean = total[cells] / count[cells]
            self.error_model += float(np.abs(fitted[cells] - truth[cells]).sum())
            self.error_climatology += float(np.abs(mean - truth[cells]).sum())
            self.num_cells += float(np.count_nonzero(cells))
        present = np.isfinite(truth)
        self.totals[rows, hour] = total + np.where(present, truth, 0.0).astype(np.float32)
        self.counts[rows, hour] = count + present.astype(np.float32)

    def climatology(self, index: int, rows: NDArray[np.int64]) -> Float64:
        """(n, K) mean of the same site, gate and hour; NaN where never seen."""
        hour = index % self.period * HOURS // self.period
        count = self.counts[rows, hour]
        return np.where(count > 0, self.totals[rows, hour] / np.maximum(count, 1.0), np.nan).astype(np.float64)

    def grow(self, num_sites: int) -> None:
        """Room for new sites."""
        more = num_sites - len(self.totals)
        if more > 0:
            empty = np.zeros((more, HOURS, self.num_gates), np.float32)
            self.totals, self.counts = (np.concatenate([each, empty]) for each in (self.totals, self.counts))

    def keep(self, is_kept: NDArray[np.bool_]) -> None:
        """Drop the rows of sites that are forgotten."""
        self.totals, self.counts = self.totals[is_kept], self.counts[is_kept]
