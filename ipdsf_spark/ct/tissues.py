"""Errors by tissue, and the distance of HU histograms.

Tissues are told by their true HU (Kalender, Computed Tomography, 3rd ed. 2011, fig. 1.7), so that an error is counted
where it happens and not where it leads.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.errors import InputError

TISSUES_HU: Final = {  # low included, high not
    "air": (-np.inf, -950.0),
    "lung": (-950.0, -500.0),
    "fat": (-150.0, -30.0),
    "soft": (-30.0, 150.0),
    "bone": (200.0, np.inf),
}
MIN_VOXELS: Final = 100


def mae_by_tissue(hu: NDArray[Any], true_hu: NDArray[Any]) -> dict[str, float]:
    """Mean absolute error [HU] of each tissue that has at least a hundred voxels in the true volume."""
    _check(hu, true_hu)
    sums, counts = dict.fromkeys(TISSUES_HU, 0.0), dict.fromkeys(TISSUES_HU, 0)
    for a, b in zip(hu, true_hu, strict=True):
        error = np.abs(a.astype(np.float64) - b)
        for name, (low, high) in TISSUES_HU.items():
            is_it = (b >= low) & (b < high)
            sums[name] += float(error[is_it].sum())
            counts[name] += int(is_it.sum())
    return {name: sums[name] / count for name, count in counts.items() if count >= MIN_VOXELS}


def histogram_distance_hu(hu: NDArray[Any], true_hu: NDArray[Any], window_hu: tuple[int, int]) -> float:
    """Wasserstein distance [HU] of the histograms of two volumes within a window, in steps of 1 HU.

    By how many HU the values of one must be moved, on average, to have the histogram of the other.
    """
    low, high = window_hu

    def distribution(values: NDArray[Any]) -> NDArray[np.float64]:
        counts = np.zeros(high - low + 1, np.int64)
        for part in values:
            steps = np.rint(np.clip(part, low, high)).astype(np.int64) - low
            counts += np.bincount(steps.ravel(), minlength=high - low + 1)
        return np.asarray(np.cumsum(counts) / counts.sum())

    return float(np.abs(distribution(hu) - distribution(true_hu)).sum())


def _check(hu: NDArray[Any], true_hu: NDArray[Any]) -> None:
    if hu.shape != true_hu.shape:
        raise InputError(f"volumes of {hu.shape} and {true_hu.shape} cannot be compared")
