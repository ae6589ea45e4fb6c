"""Intervals of confidence over patients, paired: each patient is compared with himself.

Percentile bootstrap (Efron & Tibshirani 1993, ch. 13) of the mean difference; patients are drawn, not voxels, because
voxels of one patient are not independent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

MIN_PATIENTS: Final = 3
DRAWS: Final = 10_000


@dataclass(frozen=True)
class Interval:
    """A mean and where it lies; `low` and `high` are None where patients are too few to say."""

    mean: float
    low: float | None
    high: float | None
    num_patients: int
    level: float


def paired_interval(
    first: Sequence[float], second: Sequence[float], *, level: float = 0.95, seed: int = 0, draws: int = DRAWS
) -> Interval:
    """The mean of second - first over patients, with its interval.

    Args:
        first: one value per patient.
        second: of the same patients in the same order.
        level: of confidence.
        seed: of the draws.
        draws: of the bootstrap.
    """
    differences = np.asarray(second, dtype=np.float64) - np.asarray(first, dtype=np.float64)
    if differences.ndim != 1 or not len(differences):
        raise ValueError(f"one value per patient is needed, got shape {differences.shape}")
    mean = float(differences.mean())
    if len(differences) < MIN_PATIENTS or not np.isfinite(differences).all():
        return Interval(mean, None, None, len(differences), level)
    drawn = np.random.default_rng(seed).integers(0, len(differences), (draws, len(differences)))
    low, high = np.quantile(differences[drawn].mean(axis=1), ((1 - level) / 2, (1 + level) / 2))
    return Interval(mean, float(low), float(high), len(differences), level)
