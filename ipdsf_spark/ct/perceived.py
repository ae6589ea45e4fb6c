"""How like two volumes look beyond PSNR and SSIM: MS-SSIM and VIF, slice by slice, averaged over the slices.

    MS-SSIM   Wang, Simoncelli & Bovik (2003), Asilomar 37, 1398, eq. 7; Gaussian windows of 11 taps, σ = 1.5
    VIF       Sheikh & Bovik (2006), IEEE TIP 15, 430, in the pixel domain, four scales

Both in planes, because slices are often several times thicker than pixels; both on a data range that is stated.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ipdsf_spark.errors import InputError

MS_SSIM_WEIGHTS: Final = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
TAPS: Final = 11
SIGMA: Final = 1.5
K1, K2 = 0.01, 0.03
VIF_SCALES: Final = (17, 9, 5, 3)  # window edges; σ is a fifth of them
VIF_NOISE: Final = 2.0 / 255**2  # variance of the visual system's noise, on data range 1
TINY: Final = 1e-10
Plane = NDArray[np.float64]


def num_scales(shape: tuple[int, ...]) -> int:
    """How many of MS-SSIM's five scales a slice of a shape allows; the others' weights are shared out."""
    edge = min(shape[-2:])
    return sum(edge // 2**k >= TAPS for k in range(len(MS_SSIM_WEIGHTS)))


def ms_ssim(volume: NDArray[Any], truth: NDArray[Any], *, data_range: float) -> float:
    """Multi-scale structural similarity of two volumes [z, y, x], 1 for equal ones.

    Raises:
        InputError: shapes differ or slices are smaller than 11 × 11.
    """
    scales = num_scales(truth.shape)
    if not scales:
        raise InputError(f"MS-SSIM needs slices of {TAPS} × {TAPS} and more, got {truth.shape}")
    weights = np.array(MS_SSIM_WEIGHTS[:scales]) / sum(MS_SSIM_WEIGHTS[:scales])
    c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2

    def of_slice(a: Plane, b: Plane) -> float:
        product = 1.0
        for scale, weight in enumerate(weights):
            luminance, contrast = _ssim_parts(a, b, c1, c2)
            value = (luminance * contrast).mean() if scale == scales - 1 else contrast.mean()
            product *= max(float(value), 0.0) ** float(weight)
            a, b = _halved(a), _halved(b)
        return product

    return _mean_over_slices(volume, truth, of_slice)


def vif(volume: NDArray[Any], truth: NDArray[Any], *, data_range: float) -> float:
    """Visual information fidelity of two volumes [z, y, x]: 1 for equal ones, above 1 where contrast was enhanced.

    Raises:
        InputError: shapes differ or slices are smaller than the largest window, 17 × 17.
    """
    if min(truth.shape[1:]) < VIF_SCALES[0]:
        raise InputError(f"VIF needs slices of {VIF_SCALES[0]} × {VIF_SCALES[0]} and more, got {truth.shape}")

    def of_slice(a: Plane, b: Plane) -> float:
        seen, shown = 0.0, 0.0
        reference, distorted = b / data_range, a / data_range
        for scale, edge in enumerate(VIF_SCALES):
            window = _gaussian(edge, edge / 5)
            if scale:
                reference, distorted = (_filtered(p, window)[::2, ::2] for p in (reference, distorted))
                if min(reference.shape) < edge:
                    break
            mean_r, mean_d = _filtered(reference, window), _filtered(distorted, window)
            var_r = np.maximum(_filtered(reference**2, window) - mean_r**2, 0.0)
            var_d = np.maximum(_filtered(distorted**2, window) - mean_d**2, 0.0)
            both = _filtered(reference * distorted, window) - mean_r * mean_d
            gain = np.where(var_r > TINY, both / np.maximum(var_r, TINY), 0.0)
            rest = np.where(gain < 0, var_d, var_d - gain * both)
            gain, rest = np.maximum(gain, 0.0), np.maximum(rest, TINY)
            seen += float(np.log2(1 + gain**2 * var_r / (rest + VIF_NOISE)).sum())
            shown += float(np.log2(1 + var_r / VIF_NOISE).sum())
        return seen / shown if shown > 0 else 1.0

    return _mean_over_slices(volume, truth, of_slice)


def _mean_over_slices(volume: NDArray[Any], truth: NDArray[Any], of_slice: Callable[[Plane, Plane], float]) -> float:
    if volume.shape != truth.shape or truth.ndim != 3:
        raise InputError(f"volumes of {volume.shape} and {truth.shape} cannot be compared")
    pairs = zip(volume, truth, strict=True)
    return float(np.mean([of_slice(a.astype(np.float64), b.astype(np.float64)) for a, b in pairs]))


def _ssim_parts(a: Plane, b: Plane, c1: float, c2: float) -> tuple[Plane, Plane]:
    window = _gaussian(TAPS, SIGMA)
    mean_a, mean_b = _filtered(a, window), _filtered(b, window)
    var_a = _filtered(a * a, window) - mean_a**2
    var_b = _filtered(b * b, window) - mean_b**2
    both = _filtered(a * b, window) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return luminance, (2 * both + c2) / (var_a + var_b + c2)


def _gaussian(edge: int, sigma: float) -> Plane:
    x = np.arange(edge) - (edge - 1) / 2
    window = np.exp(-(x**2) / (2 * sigma**2))
    return np.asarray(window / window.sum())


def _filtered(plane: Plane, window: Plane) -> Plane:
    """Where the window lies inside."""
    edge = len(window) // 2
    smooth = ndimage.correlate1d(ndimage.correlate1d(plane, window, axis=0), window, axis=1)
    return np.asarray(smooth[edge : plane.shape[0] - edge, edge : plane.shape[1] - edge])


def _halved(plane: Plane) -> Plane:
    rows, columns = (n // 2 * 2 for n in plane.shape)
    even = plane[:rows, :columns]
    return np.asarray((even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]) / 4)
