"""What undoes a degradation without a network: the floors that a network has to beat.

All on the scale of an HU window, 0 … 1 (`window.windowed`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ipdsf_spark.ct.degradation import block_means


def smoothed(share: NDArray[Any], sigma_voxels: float = 1.0) -> NDArray[np.float32]:
    """Baseline against noise: 3-D Gaussian."""
    result: NDArray[np.float32] = ndimage.gaussian_filter(share.astype(np.float32), sigma_voxels)
    return result


def interpolated(share: NDArray[Any], factor: int) -> NDArray[np.float32]:
    """Baseline against pixels: trilinear between the centres of the blocks, whose means stay where they were.

    A last block that is not full has its centre in the middle of what it has; outside the outermost centres their
    values go on.
    """
    means = block_means(share, factor)
    for axis, length in enumerate(share.shape):
        first = np.arange(0, length, factor)
        centres = (first + np.minimum(first + factor, length) - 1) / 2
        means = _between(means, centres, axis, length)
    return means


def _between(means: NDArray[np.float32], centres: NDArray[np.float64], axis: int, length: int) -> NDArray[np.float32]:
    place = np.interp(np.arange(length), centres, np.arange(len(centres)))
    low = np.minimum(place.astype(np.intp), max(0, len(centres) - 2))
    high = np.minimum(low + 1, len(centres) - 1)
    weight = np.expand_dims(place - low, tuple(k for k in range(3) if k != axis)).astype(np.float32)
    a, b = means.take(low, axis), means.take(high, axis)
    a += weight * (b - a)
    return a
