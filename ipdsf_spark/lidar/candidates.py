"""Layer-top candidates: the strongest local maxima of the wavelet transform of each profile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.profiles import Float64

SEPARATION_M: Final = 60.0  # two maxima closer than this are one layer top


@dataclass(frozen=True, eq=False)
class Candidates:
    """The strongest layer tops per profile, strongest first; NaN where there are fewer.

    Attributes:
        height_m: (T, N), interpolated between gate edges.
        strength: (T, N) W divided by the mean near-surface beta: dimensionless.
        sigma_m: (T, N) localisation error from noise and from the width of the maximum.
    """

    height_m: Float64
    strength: Float64
    sigma_m: Float64


def strongest(
    transform: Float64,
    sigma_transform: Float64,
    edge_m: Float64,
    is_searched: NDArray[np.bool_],
    *,
    num: int,
    min_strength: float,
    min_snr: float,
) -> Candidates:
    """The `num` strongest local maxima of W.

    Args:
        transform: (T, E) normalised W at gate edges; NaN where undefined.
        sigma_transform: (T, E) its noise.
        edge_m: (E,) heights of the edges, equally spaced.
        is_searched: (T, E) where a candidate may lie.
        num: how many to keep.
        min_strength: a candidate needs W at least this (Baars et al. 2008, ACP 8, 7281: .05).
        min_snr: and this many times its noise.
    """
    spacing_m = float(edge_m[1] - edge_m[0])
    reach = max(1, round(SEPARATION_M / spacing_m))
    w = np.where(np.isnan(transform), -np.inf, transform)
    is_peak = is_searched & (w >= min_strength) & (w >= min_snr * np.nan_to_num(sigma_transform))
    rows, columns = np.nonzero(is_peak)
    if rows.size:
        inside = (columns > 0) & (columns < w.shape[1] - 1)
        rows, columns = rows[inside], columns[inside]
        local = np.ones(rows.size, bool)
        for step in range(1, reach + 1):
            # the strict sign on one side lets exactly one edge of a plateau win
            local &= w[rows, columns] > w[rows, np.maximum(columns - step, 0)]
            local &= w[rows, columns] >= w[rows, np.minimum(columns + step, w.shape[1] - 1)]
        rows, columns = rows[local], columns[local]
    height = np.full((len(w), num), np.nan)
    strength = np.full((len(w), num), np.nan)
    sigma = np.full((len(w), num), np.nan)
    if rows.size == 0:
        return Candidates(height, strength, sigma)
    peak = w[rows, columns]
    order = np.lexsort((-peak, rows))
    rows, columns, peak = rows[order], columns[order], peak[order]
    rank = np.arange(rows.size) - np.searchsorted(rows, rows, side="left")
    kept = rank < num
    rows, columns, peak, rank = rows[kept], columns[kept], peak[kept], rank[kept]
    below, above = w[rows, columns - 1], w[rows, columns + 1]
    bend = 2.0 * peak - below - above
    with np.errstate(invalid="ignore", divide="ignore"):
        shift = np.where(np.isfinite(bend) & (bend > 0), 0.5 * (above - below) / bend, 0.0)
    height[rows, rank] = edge_m[columns] + np.clip(shift, -0.5, 0.5) * spacing_m
    strength[rows, rank] = peak
    sigma[rows, rank] = _localisation_m(w, sigma_transform, rows, columns, peak, spacing_m)
    return Candidates(height, strength, sigma)


def _localisation_m(
    w: Float64,
    sigma_transform: Float64,
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    peak: Float64,
    spacing_m: float,
) -> Float64:
    """Distance over which W falls by one noise sigma (at least 2 %) from its maximum, from its mean slope nearby."""
    reach = max(1, round(100.0 / spacing_m))
    left = w[rows, np.maximum(columns - reach, 0)]
    right = w[rows, np.minimum(columns + reach, w.shape[1] - 1)]
    fall = peak - np.where(np.isfinite(np.maximum(left, right)), np.maximum(left, right), 0.0)
    fall = np.maximum(fall, 1e-3 * peak)
    noise = np.maximum(np.nan_to_num(sigma_transform[rows, columns]), 0.02 * peak)
    # a maximum is a parabola: the height error is where it has fallen by the noise
    error_m: Float64 = np.minimum(reach * spacing_m * np.sqrt(noise / fall), 1000.0)
    return error_m
