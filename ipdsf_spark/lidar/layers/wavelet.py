"""Haar wavelet covariance transform of backscatter profiles.

W(a, b) = half the difference between the mean of beta over [b - a/2, b] and over [b, b + a/2]
(Brooks 2003, J. Atmos. Oceanic Technol. 20, 1092). A maximum marks a decrease with height: the top of a layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

from ipdsf_spark.lidar.profiles import Float32, Float64

Profile = Float32 | Float64
NARROWEST_HALF_M: Final = 50.0  # towards the ground windows shrink to this; there the signal is strong enough
STEYN_THICKNESS: Final = 2.77  # of s: 5 to 95 % of the fall


def boundaries_m(height_m: Float64, resolution_m: float) -> Float64:
    """(G + 1,) heights at which W is defined: the gate edges, not the gate centres."""
    return np.concatenate([height_m - resolution_m / 2, height_m[-1:] + resolution_m / 2])


def half_window(dilation_m: float, resolution_m: float) -> int:
    """Gates in half a wavelet."""
    return max(1, round(dilation_m / (2.0 * resolution_m)))


def covariance_transform(beta: Profile, resolution_m: float, dilation_m: float) -> Float64:
    """W of one dilation at every gate edge, by cumulative sums.

    Args:
        beta: (T, G) profiles on regular gates; a missing gate is NaN.
        resolution_m: gate length.
        dilation_m: full width a of the wavelet; rounded to an even number of gates, at least two.

    Returns:
        (T, G + 1) in the unit of beta; NaN where the window leaves the profile or meets a missing gate.
    """
    half = half_window(dilation_m, resolution_m)
    windows = Windows.of(beta.shape[1], resolution_m, (dilation_m,), narrowest_half_m=half * resolution_m)
    return transform(beta, windows).w


@dataclass(frozen=True, eq=False)
class Windows:
    """Which gates the windows at every gate edge cover, for D dilations on G gates.

    Towards the ground the half-window is what lies between the edge and the first gate, down to a least width, so that
    W stays continuous: a constant gradient gives a smaller W there, never a maximum of its own.

    Attributes:
        half: (D, G + 1) gates in each half-window; 0 where none fits.
        low, high: (D, G + 1) edges where the window begins and ends; near the last gate the lower half alone may fit.
        gain: (G + 1,) variance of W over that of a gate, mean over the dilations; they share gates, so that averaging
            them gains little.
        ends: (2 D (G + 1),) `low` and `high` of all dilations, one after the other.
        end_weight: (2 D, G + 1) what the running sums there count in the mean W.
        edge_weight: (G + 1,) what the running sum at the edge counts; NaN where no window fits.
        below_row: the widest dilation that is used at all heights: its lower half is what lies below an edge.
        below_weight: (G + 1,) one over that half-window; NaN where none fits.
    """

    half: NDArray[np.int64]
    low: NDArray[np.int64]
    high: NDArray[np.int64]
    gain: Float64
    ends: NDArray[np.int64]
    end_weight: Float64
    edge_weight: Float64
    below_row: int
    below_weight: Float64

    @classmethod
    def of(
        cls,
        num_gates: int,
        resolution_m: float,
        dilations_m: Sequence[float],
        narrowest_half_m: float = NARROWEST_HALF_M,
    ) -> Windows:
        """The windows on `num_gates` regular gates."""
        return _windows(num_gates, resolution_m, tuple(dilations_m), narrowest_half_m)

    @property
    def first_edge(self) -> int:
        """The lowest edge at which a window fits."""
        fits = np.flatnonzero(self.half[0])
        return int(fits[0]) if fits.size else self.half.shape[1]


@lru_cache(maxsize=256)
def _windows(num_gates: int, resolution_m: float, dilations_m: tuple[float, ...], narrowest_half_m: float) -> Windows:
    edge = np.arange(num_gates + 1)
    least = max(1, round(narrowest_half_m / resolution_m))
    full = np.array([half_window(dilation_m, resolution_m) for dilation_m in sorted(dilations_m)])[:, None]
    lower_half = np.minimum(full, edge[None, :])
    lower_half[lower_half < np.minimum(full, least)] = 0
    below_row = len(full) - 1
    half = np.where(edge + lower_half > num_gates, 0, lower_half)
    fits = half > 0
    inverse = np.where(fits, 1.0 / np.maximum(half, 1), 0.0)
    count = fits.sum(axis=0)
    weight = -0.5 * inverse / np.maximum(count, 1)
    nowhere = np.where(count > 0, 0.0, np.nan)
    low, high = edge - lower_half, edge + half
    return Windows(
        half,
        low,
        high,
        gain=0.5 * inverse.sum(axis=0) / np.maximum(count, 1),
        ends=np.concatenate([low, high]).ravel(),
        end_weight=np.concatenate([weight, weight]),
        edge_weight=-2.0 * weight.sum(axis=0) + nowhere,
        below_row=below_row,
        below_weight=np.where(lower_half[below_row] > 0, 1.0 / np.maximum(lower_half[below_row], 1), np.nan),
    )


@dataclass(frozen=True, eq=False)
class Transform:
    """What the wavelet sees.

    Attributes:
        w: (T, G + 1) mean of W over the dilations whose window fits and meets no missing gate; NaN where none does.
        below: (T, G + 1) mean of beta over the lower half of the widest window that is used at all heights, or of the
            widest one whose lower half meets no missing gate.
    """

    w: Float64
    below: Float64
    sums: Float64


def transform(beta: Profile, windows: Windows) -> Transform:
    """Mean of W over the dilations, which lessens the dilation-dependent bias of one (Brooks 2003).

    Args:
        beta: (T, G) profiles on regular gates; a missing gate is NaN and is never filled.
        windows: for G gates.
    """
    num_profiles, num_gates = beta.shape
    sums = np.zeros((num_profiles, num_gates + 1))
    is_missing = np.isnan(beta)
    if not is_missing.any():
        np.cumsum(beta, axis=1, out=sums[:, 1:])
        return _without_gaps(sums, windows)
    np.cumsum(np.where(is_missing, 0.0, beta), axis=1, out=sums[:, 1:])
    missing = np.zeros((num_profiles, num_gates + 1), np.int32)
    np.cumsum(is_missing, axis=1, out=missing[:, 1:])
    return _with_gaps(sums, missing, windows)


def _without_gaps(sums: Float64, windows: Windows) -> Transform:
    """All windows at once; every edge's W is a weighted sum of the running sums at seven edges."""
    num_dilations = len(windows.half)
    ends = sums.take(windows.ends, axis=1).reshape(len(sums), 2 * num_dilations, -1)
    w = (ends * windows.end_weight).sum(axis=1)
    w += sums * windows.edge_weight
    below = sums - ends[:, windows.below_row]
    below *= windows.below_weight
    return Transform(w, below, sums)


def _with_gaps(sums: Float64, missing: NDArray[np.int32], windows: Windows) -> Transform:
    total = np.zeros_like(sums)
    count = np.zeros_like(sums)
    below = np.full_like(sums, np.nan)
    edge = np.arange(sums.shape[1])
    for row, (half, low, high) in enumerate(zip(windows.half, windows.low, windows.high, strict=True)):
        has_window = half > 0
        used = np.maximum(half, 1)
        low_sums, low_missing = sums[:, low], missing[:, low]
        fits = (missing[:, high] == low_missing) & has_window
        lower = sums - low_sums
        w = lower - sums[:, high]
        w += sums
        w *= 0.5 / used
        np.add(total, w, out=total, where=fits)
        count += fits
        if row <= windows.below_row:
            num_below = edge - low
            lower /= np.maximum(num_below, 1)
            np.copyto(below, lower, where=(missing == low_missing) & (num_below > 0))
    with np.errstate(invalid="ignore", divide="ignore"):
        total /= count
    return Transform(total, below, sums)


def entrainment_m(
    sums: Float64, windows: Windows, resolution_m: float, row: NDArray[np.int64], edge: NDArray[np.int64]
) -> Float64:
    """(P,) thickness of the entrainment zone at some edges, 5 to 95 % of the fall.

    For an erf profile (Steyn, Baldi, Hoff 1999, J. Atmos. Oceanic Technol. 16, 944, eq. 1) W of a half-window h is
    (Bm - Bu) / 2 · g(h / s) with g(x) = erf(x) + (exp(-x²) - 1) / (x √π), so that the ratio of a narrow and a wide one
    gives s whatever the contrast; the zone is 2.77 s thick.

    Args:
        sums: (T, G + 1) running sums of beta.
        windows: of the transform; its narrowest and widest dilation that is used at all heights are taken.
        resolution_m: gate length.
        row: (P,) profiles.
        edge: (P,) their edges.
    """
    found = []
    for dilation in (0, windows.below_row):
        half = windows.half[dilation, edge]
        low, high = windows.low[dilation, edge], windows.high[dilation, edge]
        used = np.maximum(half, 1)
        found.append(((2.0 * sums[row, edge] - sums[row, low] - sums[row, high]) / used, used * resolution_m))
    (narrow, narrow_m), (wide, wide_m) = found
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(wide > 0, narrow / wide, 1.0)
    # near the ground both windows are equal: nothing can be said
    share = np.where(wide_m > narrow_m, narrow_m / wide_m, 1.0)
    lookup, of_s = _ratios()
    steps = np.clip((ratio - share) / np.maximum(1.0 - share, 1e-9), 0.0, 1.0)
    s_m = np.interp(1.0 - steps, lookup, of_s) * wide_m
    return np.asarray(np.where(share < 1.0, STEYN_THICKNESS * s_m, np.nan))


@lru_cache(maxsize=1)
def _ratios() -> tuple[Float64, Float64]:
    """How much of the way from a step to a straight line the ratio has gone (for 1 : 2), and s over the wide half."""
    of_s = np.geomspace(0.05, 5.0, 60)

    def g(x: Float64) -> Float64:
        return np.asarray(erf(x) + np.expm1(-(x**2)) / (x * np.sqrt(np.pi)))

    ratio = g(0.5 / of_s) / g(1.0 / of_s)
    gone = (1.0 - ratio) / 0.5
    return gone, of_s
