"""Haar wavelet covariance transform of backscatter profiles.

W(a, b) = half the difference between the mean of beta over [b - a/2, b] and over [b, b + a/2]
(Brooks 2003, J. Atmos. Oceanic Technol. 20, 1092). A maximum marks a decrease with height: the top of a layer.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.profiles import Float32, Float64

Profile = Float32 | Float64


def boundaries_m(height_m: Float64, resolution_m: float) -> Float64:
    """(G + 1,) heights at which W is defined: the gate edges, not the gate centres."""
    return np.concatenate([height_m - resolution_m / 2, height_m[-1:] + resolution_m / 2])


def covariance_transform(beta: Profile, resolution_m: float, dilation_m: float) -> Float64:
    """W at every gate edge, by cumulative sums.

    Args:
        beta: (T, G) profiles on regular gates; a missing gate is NaN.
        resolution_m: gate length.
        dilation_m: full width a of the wavelet; rounded to an even number of gates, at least two.

    Returns:
        (T, G + 1) in the unit of beta; NaN where the window leaves the profile or meets a missing gate.
    """
    return _transform(_Sums(beta), half_window(dilation_m, resolution_m))


def multi_dilation_transform(
    beta: Profile, resolution_m: float, dilations_m: Sequence[float]
) -> tuple[Float64, Float64]:
    """Mean of W over the dilations whose window fits, and the mean variance factor of that average.

    Averaging dilations lessens the dilation-dependent bias of one (Brooks 2003). Near the ground only the narrow
    windows fit, so the mean is over those.

    Returns:
        W (T, G + 1) in the unit of beta, and the gain (T, G + 1) by which a gate's noise variance appears in W.
    """
    sums = _Sums(beta)
    total = np.zeros((sums.num_profiles, sums.num_gates + 1))
    gain = np.zeros_like(total)
    count = np.zeros_like(total)
    for dilation_m in dilations_m:
        half = half_window(dilation_m, resolution_m)
        transform = _transform(sums, half)
        fits = ~np.isnan(transform)
        np.add(total, transform, out=total, where=fits)
        gain += fits / (2.0 * half)  # variance of a difference of two means of `half` gates, halved
        count += fits
    with np.errstate(invalid="ignore", divide="ignore"):
        # The windows share gates, so their noise is nearly the same: the variance of the mean is the mean variance.
        return total / count, gain / count


def half_window(dilation_m: float, resolution_m: float) -> int:
    """Gates in half a wavelet."""
    return max(1, round(dilation_m / (2.0 * resolution_m)))


class _Sums:
    """Running sums of a profile and of its missing gates, shared by all dilations."""

    def __init__(self, beta: Profile) -> None:
        self.num_profiles, self.num_gates = beta.shape
        is_missing = np.isnan(beta)
        self.values = np.zeros((self.num_profiles, self.num_gates + 1))
        np.cumsum(np.where(is_missing, 0.0, beta), axis=1, out=self.values[:, 1:])
        self.missing: NDArray[np.int32] | None = None
        if is_missing.any():
            self.missing = np.zeros((self.num_profiles, self.num_gates + 1), np.int32)
            np.cumsum(is_missing, axis=1, out=self.missing[:, 1:])


def _transform(sums: _Sums, half: int) -> Float64:
    out = np.full((sums.num_profiles, sums.num_gates + 1), np.nan)
    if 2 * half > sums.num_gates:
        return out
    c = sums.values
    inside = slice(half, sums.num_gates + 1 - half)
    out[:, inside] = (2.0 * c[:, half:-half] - c[:, : -2 * half] - c[:, 2 * half :]) / (2.0 * half)
    if sums.missing is not None:
        hits = sums.missing[:, 2 * half :] - sums.missing[:, : -2 * half]
        out[:, inside][hits > 0] = np.nan
    return out
