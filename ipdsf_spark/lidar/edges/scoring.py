"""Edges against those of a simulated day: every fall and rise of the signal without noise, not only the mixing layer's.

The truth is seen through the windows of the detector, narrow ones and without noise, so that both mean the same by an
edge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ipdsf_spark.lidar.edges.detector import CannyDetector
from ipdsf_spark.lidar.edges.image import Cells, Columns
from ipdsf_spark.lidar.edges.settings import EdgeSettings
from ipdsf_spark.lidar.edges.thinning import Peaks, thinned
from ipdsf_spark.lidar.edges.tracks import Edge
from ipdsf_spark.lidar.profiles import Float32, Float64

NEAR_M: Final = 100.0  # an edge within this distance is the same
WANTED: Final = 0.15  # contrast of a true edge that is looked for
ALLOWED: Final = 0.06  # of one that it is right to find
# The detector on a signal without noise, undisturbed by what its response to noise is.
TRUE: Final = EdgeSettings(narrow_m=45.0, wide_m=45.0, widening=0.0, low=1e-6, time_sigma_s=1.0, num_peaks=32)


@dataclass(frozen=True)
class Found:
    """Counts of a comparison, and what follows from them.

    Attributes:
        num_true, num_true_found: true edges that are wanted, and those of them that were found.
        num_edges, num_edges_true: edges that were told, and those of them that are true.
    """

    num_true: int = 0
    num_true_found: int = 0
    num_edges: int = 0
    num_edges_true: int = 0

    @property
    def recall(self) -> float:
        """Share of the true edges that were found."""
        return self.num_true_found / self.num_true if self.num_true else float("nan")

    @property
    def precision(self) -> float:
        """Share of the told edges that are true."""
        return self.num_edges_true / self.num_edges if self.num_edges else float("nan")

    @property
    def f1(self) -> float:
        """Harmonic mean of both."""
        return 2.0 / (1.0 / self.recall + 1.0 / self.precision) if self.recall * self.precision > 0 else 0.0

    def __add__(self, other: Found) -> Found:
        """Both together."""
        return Found(
            self.num_true + other.num_true,
            self.num_true_found + other.num_true_found,
            self.num_edges + other.num_edges,
            self.num_edges_true + other.num_edges_true,
        )


def true_edges(clean: Float32, range_m: Float64, columns: Columns, cells: Cells, top_m: float) -> list[Peaks]:
    """The true edges of each column, where they can be looked for at all: not behind fog, rain, cloud or clipping.

    Args:
        clean: (N, G) backscatter without noise, mean of each interval.
        range_m: (G,) its gates, vertically above the instrument.
        columns: (N,) of the same intervals, as the instrument delivers them.
        cells: their heights.
        top_m: edges above are not counted.
    """
    detector = CannyDetector(TRUE)
    at = np.clip(np.searchsorted(range_m, np.arange(cells.num + 1) * cells.cell_m), 0, range_m.size - 1)
    sums = np.concatenate([np.zeros((len(clean), 1)), np.cumsum(clean, axis=1, dtype=np.float64)], axis=1)
    means = np.diff(sums[:, at], axis=1) / np.maximum(np.diff(at), 1)
    without_noise = columns.copy()
    without_noise["noise"] = without_noise["ripple"] = 0.0
    without_noise["beta"] = np.where(np.isfinite(columns["beta"]), means, np.nan)
    found = []
    for number in range(len(columns)):
        peaks = thinned(detector.response(without_noise, number, cells), cells, TRUE)
        found.append(peaks[(np.abs(peaks["contrast"]) >= ALLOWED) & (peaks["height"] <= top_m)])
    return found


def compared(edges: Sequence[Sequence[Edge]], truth: Sequence[Peaks], top_m: float, sign: int = 0) -> Found:
    """How edges agree with the truth, column by column.

    Args:
        edges: told ones.
        truth: of `true_edges`.
        top_m: as there.
        sign: only decreases (-1), only increases (1), or both (0).
    """
    total = Found()
    for told, true in zip(edges, truth, strict=True):
        for one in (-1, 1) if sign == 0 else (sign,):
            heights = np.array([edge.height_m for edge in told if edge.sign == one and edge.height_m <= top_m])
            real = true[true["sign"] == one]
            near = np.abs(real["height"][:, None] - heights[None, :]) <= NEAR_M
            wanted = np.abs(real["contrast"]) >= WANTED
            total += Found(
                int(wanted.sum()),
                int((near.any(axis=1) & wanted).sum()) if heights.size else 0,
                heights.size,
                int(near.any(axis=0).sum()) if real.size else 0,
            )
    return total
