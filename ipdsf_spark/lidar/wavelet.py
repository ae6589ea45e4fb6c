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

from ipdsf_spark.lidar.profiles import Float32, Float64

Profile = Float32 | Float64
NARROWEST_HALF_M: Final = 50.0  # towards the ground windows shrink to this; there the signal is strong enough


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
        low, high: (D, G + 1) edges where the window begins and ends.
        gain: (G + 1,) variance of W over that of a gate, mean over the dilations; they share gates, so that averaging
            them gains little.
    """

    half: NDArray[np.int64]
    low: NDArray[np.int64]
    high: NDArray[np.int64]
    gain: Float64

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
    half = np.minimum(full, edge[None, :])
    half[(half < np.minimum(full, least)) | (edge + half > num_gates)] = 0
    used = np.maximum(half, 1)
    count = np.maximum((half > 0).sum(axis=0), 1)
    gain = np.where(half > 0, 0.5 / used, 0.0).sum(axis=0) / count
    return Windows(half, edge - half, edge + half, gain)


@dataclass(frozen=True, eq=False)
class Transform:
    """What the wavelet sees.

    Attributes:
        w: (T, G + 1) mean of W over the dilations whose window fits and meets no missing gate; NaN where none does.
        below: (T, G + 1) mean of beta over the lower half of the widest window whose lower half meets none.
    """

    w: Float64
    below: Float64


def transform(beta: Profile, windows: Windows) -> Transform:
    """Mean of W over the dilations, which lessens the dilation-dependent bias of one (Brooks 2003).

    Args:
        beta: (T, G) profiles on regular gates; a missing gate is NaN and is never filled.
        windows: for G gates.
    """
    num_profiles, num_gates = beta.shape
    sums = np.zeros((num_profiles, num_gates + 1))
    is_missing = np.isnan(beta)
    any_missing = bool(is_missing.any())
    np.cumsum(np.where(is_missing, 0.0, beta) if any_missing else beta, axis=1, out=sums[:, 1:])
    missing = None
    if any_missing:
        missing = np.zeros((num_profiles, num_gates + 1), np.int32)
        np.cumsum(is_missing, axis=1, out=missing[:, 1:])
    total = np.zeros_like(sums)
    count = np.zeros_like(sums)
    below = np.full_like(sums, np.nan)
    for half, low, high in zip(windows.half, windows.low, windows.high, strict=True):
        first = int(np.argmax(half > 0))
        stop = half.size - int(np.argmax(half[::-1] > 0))
        if not half[first]:
            continue
        span = slice(first, stop)
        lower = sums[:, span] - sums[:, low[span]]
        w = lower - sums[:, high[span]]
        w += sums[:, span]
        w *= 0.5 / half[span]
        lower *= 1.0 / half[span]
        if missing is None:
            total[:, span] += w
            count[:, span] += 1.0
            below[:, span] = lower
        else:
            missing_low = missing[:, low[span]]
            fits = missing[:, high[span]] == missing_low
            np.add(total[:, span], w, out=total[:, span], where=fits)
            count[:, span] += fits
            np.copyto(below[:, span], lower, where=missing[:, span] == missing_low)
    with np.errstate(invalid="ignore", divide="ignore"):
        total /= count
    return Transform(total, below)
