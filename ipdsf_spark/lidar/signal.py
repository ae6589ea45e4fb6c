"""Noise of attenuated backscatter, estimated from the profile itself.

beta[time, gate] in m-1 sr-1, range_m[gate]. Ceilometers do not deliver their noise (Kotthaus et al. 2016, AMT 9, 3769);
the detector's noise is constant along the beam before range correction, so it is measured far out and grows as range².
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.profiles import Float32, Float64

FAR_FRACTION: Final = 0.6  # of the gates; above them a ceilometer sees mostly noise
MIN_GATES: Final = 20
SIGMA_PER_MEDIAN_STEP: Final = 1.0 / (0.6744898 * np.sqrt(2.0))  # of |difference of neighbours|, Gaussian noise


def noise_at_unit_range(beta: Float32, range_m: Float64) -> Float64:
    """Standard deviation of beta / range², from the differences of neighbouring far gates.

    The median of the differences ignores clouds and cirrus, and a difference ignores any smooth signal left.

    Args:
        beta: (T, G) attenuated backscatter.
        range_m: (G,) gate centres.

    Returns:
        (T,) standard deviation [unit of beta per m²]; NaN where fewer than `MIN_GATES` far gates hold a value.
    """
    first = int(FAR_FRACTION * range_m.size)
    far = beta[:, first:].astype(np.float64) / range_m[first:] ** 2
    steps = np.abs(np.diff(far, axis=1))
    # Gates that a maker fills with zeros carry no noise: they must not pull the estimate down.
    steps[steps == 0.0] = np.nan
    valid = np.isfinite(steps)
    sigma = np.full(len(beta), np.nan)
    enough = valid.sum(axis=1) >= MIN_GATES
    if enough.any():
        sigma[enough] = np.nanmedian(steps[enough], axis=1) * SIGMA_PER_MEDIAN_STEP
    return sigma


def noise(sigma_unit: Float64, range_m: Float64) -> NDArray[np.float64]:
    """(T, G) standard deviation of beta at every gate; 0 where the noise is not known."""
    return np.nan_to_num(sigma_unit, nan=0.0)[:, None] * range_m[None, :] ** 2
