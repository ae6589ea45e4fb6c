"""What an edge detector is, and the classical one: smoothing, gradient, response against noise (Canny 1986).

Thinning along height, hysteresis and linking are the same whatever detector made the response: see `thinning`, `track`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.edges.image import Cells, Columns, noise_shape, ripple_shape
from ipdsf_spark.lidar.edges.settings import EdgeSettings
from ipdsf_spark.lidar.profiles import Float64

FILLED: Final = 0.6  # of a window's weight must be measured
REACH: Final = 2.5  # standard deviations that a window takes in
NARROWEST_M: Final = 50.0  # of a window on either side
TINY: Final = 1e-30


class Response(NamedTuple):
    """Of one column, at the B boundaries between cells.

    Attributes:
        probability: (2, B) of a decrease and of an increase of backscatter with height, 0 to 1.
        ridge: (2, B) what has its maximum where the edge is.
        contrast: (B,) how much the signal falls (positive) or rises, relative to the larger side.
        snr: (B,) the fall over its noise.
    """

    probability: Float64
    ridge: Float64
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

    Smoothing and height are those of backscatter itself: its logarithm would lift edges and fail in noise. How clear an
    edge is, is taken relative to the signal, so that weak layers count as strong ones do.
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
        is_there = np.isfinite(near["beta"])
        weights = is_there * np.exp(-0.5 * np.square(away))[:, None]
        is_seen = is_there[at - start]  # a column that says nothing is not filled from its neighbours
        scale = is_seen / np.maximum(weights.sum(axis=0), TINY)
        smooth = np.einsum("nk,nk->k", weights, np.where(is_there, near["beta"], np.float32(0))) * scale
        noise = weights * near["noise"][:, None]
        variance = np.einsum("nk,nk->k", noise, noise) * np.square(scale * noise_shape(cells))
        windows = _windows(cells, int(columns["first"][at]), self.settings)
        return _compared(smooth, variance, is_seen, float(columns["ripple"][at]), windows, self.settings)


class _Windows(NamedTuple):
    """The M cells below and above each boundary.

    cells: (2, B, M) their numbers, below and above. mean: (2, B, M) weights, which sum to 1, or to 0 where no window
    fits. square: their squares. ripple: (B,) variance of an instrument's ripple, for that at 1 km.
    """

    cells: NDArray[np.int64]
    mean: Float64
    square: Float64
    ripple: Float64


def _compared(
    smooth: Float64,
    variance: Float64,
    is_seen: NDArray[np.bool_],
    ripple: float,
    windows: _Windows,
    settings: EdgeSettings,
) -> Response:
    filled = np.einsum("sbm,sbm->sb", windows.mean, is_seen[windows.cells])
    fits = (filled >= FILLED).all(axis=0)
    filled = np.maximum(filled, TINY)
    below, above = np.einsum("sbm,sbm->sb", windows.mean, smooth[windows.cells]) / filled
    variances = np.einsum("sbm,sbm->sb", windows.square, variance[windows.cells]) / np.square(filled)
    fall = np.where(fits, below - above, 0.0)
    noise = np.sqrt(variances[0] + variances[1] + ripple**2 * windows.ripple)
    snr = fall / np.maximum(noise, TINY)
    contrast = np.clip(fall / np.maximum(np.maximum(below, above), TINY), -1.0, 1.0)
    strength = _saturating(snr, settings.snr_scale) * _saturating(contrast, settings.contrast_scale)
    ridge = np.stack([np.maximum(fall, 0.0), np.maximum(-fall, 0.0)])
    return Response(strength * (ridge > 0), ridge, contrast, snr)


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
    reach = np.minimum(np.ceil(REACH * sigma), boundary - first)
    reach = np.where(reach * cells.cell_m < NARROWEST_M, 0, reach)[:, None]
    step = np.arange(int(reach.max(initial=1)))
    weight = (step + 0.5) * np.exp(-0.5 * np.square((step + 0.5) / sigma[:, None])) * (step < reach)
    used = np.stack([boundary[:, None] - 1 - step, boundary[:, None] + step])
    total = weight.sum(axis=1, keepdims=True)
    is_inside = (used >= 0) & (used < cells.num)
    mean = weight / np.where(total > 0, total, 1.0) * is_inside
    ripple = ripple_shape(cells)
    return _Windows(np.clip(used, 0, cells.num - 1), mean, np.square(mean), np.square(0.5 * (ripple[1:] + ripple[:-1])))
