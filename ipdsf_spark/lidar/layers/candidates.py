"""Layer-top candidates: the strongest local maxima of the wavelet transform of each profile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.profiles import Float64

SEPARATION_M: Final = 60.0  # two maxima closer than this are one layer top
FLANK_M: Final = 100.0  # how sharp a maximum is, is seen at this distance
MOST_UNCERTAIN_M: Final = 500.0
LEAST_EVIDENCE: Final = 0.1


@dataclass(frozen=True, eq=False)
class Peaks:
    """The strongest layer tops of T profiles: P peaks, at most N per profile, sorted by profile and strength.

    Attributes:
        row: (P,) profile.
        rank: (P,) 0 = the strongest of its profile.
        edge: (P,) nearest gate edge.
        height_m: (P,) interpolated between gate edges.
        strength: (P,) W divided by the mean near-surface beta: dimensionless.
        sigma_m: (P,) localisation error from the noise and the sharpness of the maximum.
    """

    row: NDArray[np.int64]
    rank: NDArray[np.int64]
    edge: NDArray[np.int64]
    height_m: Float64
    strength: Float64
    sigma_m: Float64


def strongest(
    w: Float64,
    sigma_w: Float64,
    edge_m: Float64,
    first_edge: int,
    *,
    num: int,
    min_strength: float,
    min_snr: float,
    rank_by: Float64 | None = None,
) -> Peaks:
    """The `num` strongest local maxima of W.

    Args:
        w: (T, E) normalised W at gate edges; -inf where undefined.
        sigma_w: (T, E) its noise.
        edge_m: (E,) heights of the edges, equally spaced.
        first_edge: lowest edge at which a candidate may lie.
        num: how many to keep.
        min_strength: a candidate needs W at least this.
        min_snr: and this many times its noise.
        rank_by: (T, E) evidence: a maximum that has some needs nothing else, and those with most are kept; None = W.
    """
    spacing_m = float(edge_m[1] - edge_m[0])
    inner = w[:, 1:-1]
    # of a plateau, its lowest edge
    is_peak = (inner > w[:, :-2]) & (inner >= w[:, 2:])
    is_clear = inner >= np.maximum(sigma_w[:, 1:-1] * min_snr, min_strength)
    if rank_by is not None:
        is_clear |= rank_by[:, 1:-1] >= LEAST_EVIDENCE
    is_peak &= is_clear
    row, edge = np.nonzero(is_peak[:, max(first_edge - 1, 0) :])
    edge += max(first_edge, 1)
    peak = w[row, edge]
    reach = max(1, round(SEPARATION_M / spacing_m))
    around = np.minimum(np.maximum(edge[:, None] + np.arange(-reach, reach + 1), 0), w.shape[1] - 1)
    is_highest = (w[row[:, None], around] <= peak[:, None]).all(axis=1)
    row, edge, peak = row[is_highest], edge[is_highest], peak[is_highest]
    if rank_by is not None:
        order = np.lexsort((-(rank_by[row, edge] + peak), row))
        row, edge, peak = row[order], edge[order], peak[order]
        kept = np.arange(row.size) - np.searchsorted(row, row) < num
        row, edge, peak = row[kept], edge[kept], peak[kept]
    order = np.lexsort((-peak, row))
    row, edge, peak = row[order], edge[order], peak[order]
    rank = np.arange(row.size) - np.searchsorted(row, row)
    kept = rank < num
    row, edge, peak, rank = row[kept], edge[kept], peak[kept], rank[kept]
    below, above = w[row, edge - 1], w[row, edge + 1]
    bend = 2.0 * peak - below - above
    shift = np.where((bend > 0) & (bend < np.inf), 0.5 * (above - below) / bend, 0.0)
    height_m = edge_m[edge] + np.minimum(np.maximum(shift, -0.5), 0.5) * spacing_m
    sigma_m = _localisation_m(w, sigma_w[row, edge], row, edge, peak, spacing_m)
    return Peaks(row, rank, edge, height_m, peak, sigma_m)


def _localisation_m(
    w: Float64,
    sigma_peak: Float64,
    row: NDArray[np.int64],
    edge: NDArray[np.int64],
    peak: Float64,
    spacing_m: float,
) -> Float64:
    """Distance over which the parabola through the maximum and its flanks falls by the noise (at least 2 %)."""
    reach = max(1, round(FLANK_M / spacing_m))
    left = w[row, np.maximum(edge - reach, 0)]
    right = w[row, np.minimum(edge + reach, w.shape[1] - 1)]
    flank = np.maximum(np.maximum(left, right), 0.0)
    fall = np.maximum(peak - flank, 1e-3 * peak)
    noise = np.maximum(sigma_peak, 0.02 * peak)
    return np.asarray(np.minimum(reach * spacing_m * np.sqrt(noise / fall), MOST_UNCERTAIN_M))
