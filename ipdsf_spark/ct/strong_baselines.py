"""Classical methods that a network should beat, with strengths tuned on training volumes.

    total variation          Rudin, Osher & Fatemi (1992); Chambolle (2004), J. Math. Imaging Vis. 20, 89
    non-local means          Buades, Coll & Morel (2005), in 3-D with the noise's variance subtracted
    cubic spline             through the centres of the blocks (Unser 1999)
    iterative back-projection Irani & Peleg (1991), CVGIP 53, 231: block means of the result are those that were given

BM4D, the strongest of its kind, is not here: its package may not be used commercially. All work on shares of a window.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.restoration import denoise_nl_means, denoise_tv_chambolle

from ipdsf_spark.ct.baselines import interpolated
from ipdsf_spark.ct.degradation import block_means, pixelated

Float32 = NDArray[np.float32]
# `tuned` on the middle of three training volumes (kernels STANDARD to LUNG) with σ = .05 of the window.
TV_WEIGHT_PER_SIGMA: Final = 0.4
NLM_STRENGTH_PER_SIGMA: Final = 0.4
SLAB, HALO = 16, 4  # slices: memory of either method is several times its slab
BACK_PROJECTIONS: Final = 10
TV_ITERATIONS: Final = 60
CANDIDATES: Final = (0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)


def total_variation(share: NDArray[Any], sigma: float, *, strength: float = TV_WEIGHT_PER_SIGMA) -> Float32:
    """Against white noise of deviation `sigma`; the weight is `strength` · σ."""

    def restored(slab: Float32) -> Float32:
        return np.asarray(denoise_tv_chambolle(slab, weight=strength * sigma, max_num_iter=TV_ITERATIONS))

    return _in_slabs(share, restored)


def non_local_means(share: NDArray[Any], sigma: float, *, strength: float = NLM_STRENGTH_PER_SIGMA) -> Float32:
    """Against white noise of deviation `sigma`; patches of 3³ voxels within 2 voxels around, h = `strength` · σ."""

    def restored(slab: Float32) -> Float32:
        found = denoise_nl_means(slab, patch_size=3, patch_distance=2, h=strength * sigma, sigma=sigma, fast_mode=True)
        return np.asarray(found)

    return _in_slabs(share, restored)


def spline(share: NDArray[Any], factor: int) -> Float32:
    """Against pixels: cubic spline through the centres of the blocks; where blocks are cut off, trilinear."""
    means = block_means(share, factor)
    if any(n % factor for n in share.shape):
        return interpolated(share, factor)
    axes = [(np.arange(n) + 0.5) / factor - 0.5 for n in share.shape]
    fine: Float32 = means
    for axis, where in enumerate(axes):
        coefficients = ndimage.spline_filter1d(fine, 3, axis=axis, mode="mirror", output=np.float32)
        fine = _evaluated(coefficients, where, axis)
    return np.clip(fine, 0.0, 1.0)


def back_projected(share: NDArray[Any], factor: int, *, times: int = BACK_PROJECTIONS) -> Float32:
    """Against pixels: what is missing in the block means of a guess is added to it, interpolated, again and again."""
    given = pixelated(share, factor)
    guess = spline(share, factor)
    for _ in range(times):
        missing = given - pixelated(guess, factor)
        guess += interpolated(missing, factor)
    return np.clip(guess, 0.0, 1.0)


def tuned(
    method: Callable[..., Float32],
    pairs: Iterable[tuple[Float32, Float32]],
    sigma: float,
    *,
    candidates: Sequence[float] = CANDIDATES,
) -> float:
    """The strength with the smallest mean squared error over pairs (degraded, true) of training volumes."""
    errors = np.zeros(len(candidates))
    for degraded, truth in pairs:
        for k, strength in enumerate(candidates):
            errors[k] += float(np.square(method(degraded, sigma, strength=strength) - truth).mean())
    return float(candidates[int(errors.argmin())])


def _in_slabs(share: NDArray[Any], restored: Callable[[Float32], Float32]) -> Float32:
    result = np.empty(share.shape, np.float32)
    for first in range(0, len(share), SLAB):
        low, high = max(0, first - HALO), min(len(share), first + SLAB + HALO)
        last = min(len(share), first + SLAB)
        result[first:last] = restored(share[low:high].astype(np.float32))[first - low : last - low]
    return np.clip(result, 0.0, 1.0)


def _evaluated(coefficients: Float32, where: NDArray[np.float64], axis: int) -> Float32:
    """A cubic B-spline with given coefficients along one axis; mirrored at its ends."""
    length = coefficients.shape[axis]
    first = np.floor(where).astype(int) - 1
    part = where - first - 1
    weights = (
        (1 - part) ** 3 / 6,
        2 / 3 - part**2 + part**3 / 2,
        2 / 3 - (1 - part) ** 2 + (1 - part) ** 3 / 2,
        part**3 / 6,
    )
    period = max(1, 2 * (length - 1))
    total = np.zeros(1, np.float32)
    for k, weight in enumerate(weights):
        index = np.mod(first + k, period)
        index = np.where(index < length, index, period - index)
        shape = [1, 1, 1]
        shape[axis] = len(where)
        total = total + coefficients.take(index, axis) * weight.reshape(shape).astype(np.float32)
    return np.asarray(total, dtype=np.float32)
