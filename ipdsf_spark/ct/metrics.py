"""PSNR and SSIM of a volume against the true one, in memory that does not grow with the number of slices.

Both need a data range L, which is stated by the caller and never taken from the data: 1 for HU scaled to a window, 2
for enhanced levels in [-1, 1].

    PSNR = 10 log10(L² / MSE)      SSIM: Wang et al. (2004), IEEE TIP 13, 600; 3-D windows of 7³ voxels, K = .01, .03
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ipdsf_spark.ct.window import HU_WINDOW, windowed
from ipdsf_spark.errors import InputError

SSIM_WINDOW: Final = 7
K1, K2 = 0.01, 0.03
SLAB_SLICES: Final = 32


@dataclass(frozen=True)
class Quality:
    """How near a volume comes to the true one, and on which scale that was measured."""

    psnr_db: float
    ssim: float
    data_range: float

    def __str__(self) -> str:
        return f"{self.psnr_db:.1f} dB / {self.ssim:.3f} (data range {self.data_range:g})"


def quality(volume: NDArray[Any], truth: NDArray[Any], *, data_range: float) -> Quality:
    """PSNR and SSIM of two arrays [z, y, x] of one shape."""
    return quality_of_slabs([(volume, truth)], data_range=data_range)


def quality_of_hu(hu: NDArray[Any], true_hu: NDArray[Any], *, window_hu: tuple[float, float] = HU_WINDOW) -> Quality:
    """PSNR and SSIM in an HU window (data range 1 = the width of the window), a few slices at a time."""
    pairs = ((windowed(hu[k], window_hu), windowed(true_hu[k], window_hu)) for k in _slabs(len(true_hu)))
    if hu.shape != true_hu.shape:
        raise InputError(f"volumes of {hu.shape} and {true_hu.shape} cannot be compared")
    return quality_of_slabs(pairs, data_range=1.0)


def quality_of_slabs(slabs: Iterable[tuple[NDArray[Any], NDArray[Any]]], *, data_range: float) -> Quality:
    """PSNR and SSIM of a volume that comes in pairs (slab, true slab) of neighbouring slices, inferior to superior.

    Equal to that of the whole volume: SSIM is averaged where its window lies inside the volume, as scikit-image does.

    Raises:
        InputError: shapes differ, values are not finite, or the volume is smaller than the window of SSIM.
    """
    squares, num_voxels, similarity, num_windows = 0.0, 0, 0.0, 0
    halo_a: NDArray[Any] | None = None
    halo_b: NDArray[Any] | None = None
    for a, b in slabs:
        if a.shape != b.shape or a.ndim != 3 or min(a.shape[1:]) < SSIM_WINDOW:
            raise InputError(f"slabs of {a.shape} and {b.shape} cannot be compared in windows of {SSIM_WINDOW}³")
        squares += float(np.square(a.astype(np.float64) - b).sum())
        num_voxels += a.size
        for part_a, part_b in zip(_parts(a), _parts(b), strict=True):
            joined_a = part_a if halo_a is None else np.concatenate([halo_a, part_a])
            joined_b = part_b if halo_b is None else np.concatenate([halo_b, part_b])
            total, count = _similarity(joined_a, joined_b, data_range)
            similarity, num_windows = similarity + total, num_windows + count
            # Copies: a view would keep the slab alive.
            halo_a, halo_b = joined_a[1 - SSIM_WINDOW :].copy(), joined_b[1 - SSIM_WINDOW :].copy()
    if not num_windows:
        raise InputError(f"SSIM needs at least {SSIM_WINDOW} slices")
    if not math.isfinite(squares):
        raise InputError("a volume with values that are no number (NaN or infinite) has no PSNR")
    mse = squares / num_voxels
    psnr = 10 * math.log10(data_range**2 / mse) if mse > 0 else math.inf
    return Quality(psnr, similarity / num_windows, data_range)


def _similarity(a: NDArray[Any], b: NDArray[Any], data_range: float) -> tuple[float, int]:
    """Sum and number of local SSIM values whose windows lie inside."""
    if len(a) < SSIM_WINDOW:
        return 0.0, 0
    local = _local_ssim(a.astype(np.float64), b.astype(np.float64), data_range)
    edge = SSIM_WINDOW // 2
    inside = local[edge:-edge, edge:-edge, edge:-edge]
    return float(inside.sum()), inside.size


def _local_ssim(a: NDArray[np.float64], b: NDArray[np.float64], data_range: float) -> NDArray[np.float64]:
    """Eq. 13 at every voxel, with even windows and sample covariances."""

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        result: NDArray[np.float64] = ndimage.uniform_filter(values, SSIM_WINDOW)
        return result

    sample = SSIM_WINDOW**3 / (SSIM_WINDOW**3 - 1)
    mean_a, mean_b = mean(a), mean(b)
    covariance = sample * (mean(a * b) - mean_a * mean_b)
    variances = sample * (mean(a * a) - mean_a**2 + mean(b * b) - mean_b**2)
    c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
    above = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    return above / ((mean_a**2 + mean_b**2 + c1) * (variances + c2))


def _parts(slab: NDArray[Any]) -> Iterable[NDArray[Any]]:
    return (slab[k] for k in _slabs(len(slab)))


def _slabs(depth: int) -> Iterable[slice]:
    return (slice(first, min(depth, first + SLAB_SLICES)) for first in range(0, depth, SLAB_SLICES))
