"""What an edge detector is, and the classical one: smoothing, gradient, response against noise (Canny 1986).

Thinning along height, hysteresis and linking are the same whatever detector made the response: see `thinning`, `track`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple, Protocol

import numpy as np

from ipdsf_spark.lidar.edges.image import Cells, Columns, noise_shape, ripple_shape
from ipdsf_spark.lidar.edges.settings import EdgeSettings
from ipdsf_spark.lidar.profiles import Float64

DECREASE, INCREASE = 0, 1
FILLED: Final = 0.6  # of a window's weight must be measured
NARROWEST_M: Final = 50.0  # of a window on either side
TINY: Final = 1e-30


class Response(NamedTuple):
    """Of one column, at the B boundaries between cells.

    Attributes:
        probability: (2, B) of a decrease and of an increase of backscatter with height, 0 to 1.
        contrast: (B,) how much the signal falls (positive) or rises, relative to the larger side.
        snr: (B,) the fall over its noise.
    """

    probability: Float64
    contrast: Float64
    snr: Float64


class EdgeDetector(Protocol):
    """Curtain in, edge probability out."""

    @property
    def reach(self) -> int:
        """Columns on either side of one that it looks at."""

    def response(self, columns: Columns, at: int, cells: Cells) -> Response:
        """Of the column `at`.

        Args:
            columns: successive intervals, missing ones blank; at most `reach` on either side of `at` are looked at.
            at: which of them.
            cells: their heights.
        """


@dataclass(frozen=True)
class CannyDetector:
    """Gaussian smoothing along time and height, first derivative along height, and how it stands out of the noise.

    The smoothing is of backscatter itself, not of its logarithm, which would lift edges and fail in noise; the fall is
    then taken relative to the signal, so that weak layers count as strong ones do.
    """

    settings: EdgeSettings

    @property
    def reach(self) -> int:
        """Columns on either side."""
        return self.settings.reach

    def response(self, columns: Columns, at: int, cells: Cells) -> Response:
        """See `EdgeDetector`."""
        start = max(at - self.reach, 0)
        near = columns[start : at + self.reach + 1]
        away = (np.arange(len(near)) + start - at) * (self.settings.averaging_s / self.settings.time_sigma_s)
        weight = np.exp(-0.5 * np.square(away))[:, None]
        is_there = np.isfinite(near["beta"])
        weights = np.where(is_there, weight, 0.0)
        total = weights.sum(axis=0)
        is_seen = np.isfinite(columns["beta"][at])  # a column that says nothing is not filled from its neighbours
        scale = np.where(is_seen, 1.0 / np.maximum(total, TINY), 0.0)
        smooth = (weights * np.where(is_there, near["beta"], np.float32(0))).sum(axis=0) * scale
        variance = np.square(weights * near["noise"][:, None]).sum(axis=0) * np.square(scale * noise_shape(cells))
        windows = _windows(cells, int(columns["first"][at]), self.settings)
        return _compared(
            smooth, variance, is_seen, float(columns["ripple"][at]) * ripple_shape(cells), windows, self.settings
        )


class _Windows(NamedTuple):
    """(B, K) weights of the cells below and above each boundary; each row sums to 1, or 0 where no window fits."""

    below: Float64
    above: Float64
    below_square: Float64
    above_square: Float64


def _compared(
    smooth: Float64, variance: Float64, is_seen: Float64, ripple: Float64, windows: _Windows, settings: EdgeSettings
) -> Response:
    seen = is_seen.astype(np.float64)
    filled_below, filled_above = windows.below @ seen, windows.above @ seen
    fits = (filled_below >= FILLED) & (filled_above >= FILLED)
    below = windows.below @ smooth / np.maximum(filled_below, FILLED)
    above = windows.above @ smooth / np.maximum(filled_above, FILLED)
    fall = np.where(fits, below - above, 0.0)
    noise = windows.below_square @ variance / np.square(np.maximum(filled_below, FILLED))
    noise += windows.above_square @ variance / np.square(np.maximum(filled_above, FILLED))
    noise = np.sqrt(noise + np.square(0.5 * (ripple[1:] + ripple[:-1])))
    snr = fall / np.maximum(noise, TINY)
    level = np.maximum(np.maximum(below, above), TINY)
    contrast = np.clip(fall / level, -1.0, 1.0)
    strength = _saturating(snr, settings.snr_scale) * _saturating(contrast, settings.contrast_scale)
    return Response(np.stack([np.where(fall > 0, strength, 0.0), np.where(fall < 0, strength, 0.0)]), contrast, snr)


def _saturating(values: Float64, scale: float) -> Float64:
    """0 at 0, one half at `scale`, towards 1 beyond; of either sign."""
    square = np.square(values)
    return np.asarray(square / (square + scale**2))


@lru_cache(maxsize=64)
def _windows(cells: Cells, first: int, settings: EdgeSettings) -> _Windows:
    """First derivative of a Gaussian on either side of each boundary.

    Towards the lowest trustworthy cell both sides become shorter alike, so that a window stays symmetric: a constant
    gradient then makes no maximum of its own.
    """
    boundary = np.arange(1, cells.num)
    sigma = np.clip(settings.widening * cells.boundary_m, settings.narrow_m, settings.wide_m) / cells.cell_m
    away = (np.arange(cells.num) + 0.5) - boundary[:, None]
    reach = np.minimum(np.ceil(2.5 * sigma), boundary - first)
    reach = np.where(reach * cells.cell_m < NARROWEST_M, 0, reach)[:, None]
    weight = np.abs(away) * np.exp(-0.5 * np.square(away / sigma[:, None])) * (np.abs(away) < reach)
    sides = []
    for side in (weight * (away < 0), weight * (away > 0)):
        total = side.sum(axis=1, keepdims=True)
        sides.append(side / np.where(total > 0, total, 1.0))
    below, above = sides
    return _Windows(below, above, np.square(below), np.square(above))
