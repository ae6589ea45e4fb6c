"""Noise of attenuated backscatter, estimated from the profile itself.

beta[time, gate] in m-1 sr-1, range_m[gate]. Ceilometers do not deliver their noise (Kotthaus et al. 2016, AMT 9, 3769);
the detector's noise is constant along the beam before range correction, so it is measured far out and grows as range².
"""

from __future__ import annotations

from typing import Final

import numpy as np

from ipdsf_spark.lidar.profiles import Float32, Float64

FAR_FRACTION: Final = 0.6  # of the gates; above them a ceilometer sees mostly noise
FALLBACK_M: Final = 1500.0  # where a maker masks the far gates, whatever is left above this height must do
BLOCK_M: Final = 75.0  # noise correlated over a few gates must be seen at the scale of the wavelet
MIN_STEPS: Final = 12
SIGMA_PER_MEDIAN_STEP: Final = 1.0 / (0.6744898 * np.sqrt(2.0))  # of |difference of neighbours|, Gaussian noise


def noise_at_unit_range(beta: Float32, range_m: Float64) -> Float64:
    """Standard deviation of beta / range² per gate, from the differences of neighbouring blocks of far gates.

    The median of the differences ignores clouds and cirrus, and a difference ignores any smooth signal left.

    Args:
        beta: (T, G) attenuated backscatter.
        range_m: (G,) gate centres, equally spaced.

    Returns:
        (T,) standard deviation [unit of beta per m²] of a gate whose noise is white and gives blocks of gates the noise
        that they have; NaN where fewer than `MIN_STEPS` pairs of blocks hold values.
    """
    if range_m.size < 2 * MIN_STEPS:
        return np.full(len(beta), np.nan)
    spacing_m = float(range_m[1] - range_m[0])
    size = max(1, round(BLOCK_M / spacing_m))
    first = int(FAR_FRACTION * range_m.size)
    sigma = _from_blocks(beta[:, first:], range_m[first:], size)
    if np.isnan(sigma).any() and range_m[first] > FALLBACK_M:
        near = int(np.searchsorted(range_m, FALLBACK_M))
        lost = np.isnan(sigma)
        sigma[lost] = _from_blocks(beta[lost, near:], range_m[near:], size)
    return sigma


def _from_blocks(beta: Float32, range_m: Float64, size: int) -> Float64:
    num_blocks = range_m.size // size
    if num_blocks <= MIN_STEPS:
        return np.full(len(beta), np.nan)
    raw = beta[:, : num_blocks * size] / np.square(range_m[: num_blocks * size], dtype=np.float64)
    steps = np.abs(np.diff(raw.reshape(len(beta), num_blocks, size).mean(axis=2), axis=1))
    # Gates that a maker fills with zeros carry no noise: they must not pull the estimate down.
    steps[~(steps > 0.0)] = np.inf
    steps.sort(axis=1)
    count = np.isfinite(steps).sum(axis=1)
    middle = steps[np.arange(len(beta)), np.maximum(count - 1, 0) // 2]
    scale = SIGMA_PER_MEDIAN_STEP * np.sqrt(size)
    return np.asarray(np.where(count >= MIN_STEPS, middle * scale, np.nan))
