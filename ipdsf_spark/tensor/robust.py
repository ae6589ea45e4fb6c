"""Weights that take outliers out of a least-squares problem, and the running scale of errors they are measured by."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]

HUBER: Final = 1.345  # Huber (1964): 95 % efficiency on Gaussian errors
BISQUARE: Final = 4.685  # Beaton and Tukey (1974), same efficiency; zero weight beyond
SIGMA_PER_MEDIAN: Final = 1.4826  # of |error|, Gaussian
BOUND: Final = 2.0  # scales beyond which an error feeds the running scale no more
CONSISTENT: Final = 1.0864  # 1 / E[min(z², BOUND²)] of Gaussian errors
SMALLEST_SCALE: Final = 1e-6


def huber(z: Float64) -> Float64:
    """Weights of errors in units of their scale: 1 inside, falling as 1 / |z| outside."""
    return np.asarray(HUBER / np.maximum(z, HUBER))


def bisquare(z: Float64) -> Float64:
    """Weights that reach zero: an outlier has no influence at all, where the start is good."""
    return np.asarray(np.square(1.0 - np.square(np.minimum(z / BISQUARE, 1.0))))


def inflation(z: Float64) -> float:
    """How much larger the errors of a whole slice are than their scales; at least 1.

    A slice that the forecast misses everywhere must not be thrown away as outliers.

    Args:
        z: errors of the present cells in units of their scales.
    """
    return max(1.0, SIGMA_PER_MEDIAN * float(np.median(z))) if z.size else 1.0


def bounded_square(z: Float64) -> Float64:
    """z² of Gaussian errors on the mean, bounded: the running scale grows where errors persist, but slowly."""
    return np.asarray(CONSISTENT * np.square(np.minimum(z, BOUND)))


def row_median(values: Float64) -> Float64:
    """(n,) median of the present cells of each row, NaN where none is."""
    count = np.isfinite(values).sum(axis=1)
    if values.shape[1] == 0:
        return np.full(len(values), np.nan)
    ordered = np.sort(np.where(np.isfinite(values), values, np.inf), axis=1)
    rows = np.arange(len(values))
    low = ordered[rows, np.maximum(count - 1, 0) // 2]
    high = ordered[rows, np.minimum(count // 2, values.shape[1] - 1)]
    with np.errstate(invalid="ignore"):
        return np.where(count > 0, (low + high) / 2.0, np.nan)
