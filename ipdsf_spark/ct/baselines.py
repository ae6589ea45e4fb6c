"""What undoes a degradation without a network: the floors that a network has to beat.

All on the scale of an HU window, 0 … 1 (`window.windowed`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ipdsf_spark.ct.degradation import block_means
from ipdsf_spark.errors import InputError


def smoothed(share: NDArray[Any], sigma_voxels: float = 1.0) -> NDArray[np.float32]:
    """Baseline against noise: 3-D Gaussian."""
    result: NDArray[np.float32] = ndimage.gaussian_filter(share.astype(np.float32), sigma_voxels)
    return result


def interpolated(share: NDArray[Any], factor: int) -> NDArray[np.float32]:
    """Baseline against pixels: trilinear between the centres of the blocks, whose means stay where they were."""
    if any(n % factor for n in share.shape):
        raise InputError(f"a volume of {share.shape} is no whole number of blocks of {factor}")
    result: NDArray[np.float32] = ndimage.zoom(
        block_means(share, factor), factor, order=1, mode="nearest", grid_mode=True
    )
    return result
