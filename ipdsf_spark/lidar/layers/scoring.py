"""How good heights are, by hour of the day: error, availability, honesty of the stated uncertainty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.profiles import Float64

FAILURE_M: Final = 300.0  # an error above this ...
FAILURE_INTERVALS: Final = 6  # ... for half an hour is a failure
BOUND_M: Final = 100.0  # a height this much above a top that cannot be seen is wrong


@dataclass(frozen=True)
class Score:
    """Of N product times.

    Attributes:
        num: product times.
        available: share that has a height.
        rmse_m, bias_m: of the heights.
        r2: squared correlation with the reference.
        p90_step_m: 90th percentile of the change from one product time to the next.
        within_1_sigma, within_2_sigma: share of errors within so many stated standard deviations.
    """

    num: int
    available: float
    rmse_m: float
    bias_m: float
    r2: float
    p90_step_m: float
    within_1_sigma: float
    within_2_sigma: float


def score(height_m: Float64, sigma_m: Float64, reference_m: Float64) -> Score:
    """Heights against a reference.

    Args:
        height_m: (N,) NaN where there is none.
        sigma_m: (N,) stated standard deviation, NaN where unknown.
        reference_m: (N,) NaN where unknown: such times do not count.
    """
    known = np.isfinite(reference_m)
    error = np.where(known, height_m - reference_m, np.nan)
    has = np.isfinite(error)
    error, sigma = error[has], sigma_m[has]
    steps = np.abs(np.diff(np.where(known, height_m, np.nan)))
    steps = steps[np.isfinite(steps)]
    is_stated = np.isfinite(sigma)
    ratio = np.abs(error[is_stated]) / np.maximum(sigma[is_stated], 1e-9)
    return Score(
        num=int(known.sum()),
        available=float(has.sum() / max(known.sum(), 1)),
        rmse_m=_mean(error**2) ** 0.5,
        bias_m=_mean(error),
        r2=_squared_correlation(height_m[has], reference_m[has]),
        p90_step_m=float(np.percentile(steps, 90)) if steps.size else float("nan"),
        within_1_sigma=_mean(ratio <= 1.0),
        within_2_sigma=_mean(ratio <= 2.0),
    )


def failures(error_m: Float64, least_m: float = FAILURE_M, least_intervals: int = FAILURE_INTERVALS) -> int:
    """Stretches of at least `least_intervals` successive heights that are wrong by more than `least_m`."""
    with np.errstate(invalid="ignore"):
        wrong = np.concatenate([[False], np.abs(error_m) > least_m, [False]]).astype(np.int8)
    edges = np.flatnonzero(np.diff(wrong))
    return int(np.sum(edges[1::2] - edges[::2] >= least_intervals))


def steepest_m(beta: Float64, height_m: Float64, low_m: float, high_m: float) -> Float64:
    """(T,) the naive height: where averaged profiles fall most steeply, between two heights.

    Args:
        beta: (T, G).
        height_m: (G,) equally spaced.
        low_m: lower limit of the search.
        high_m: upper limit.
    """
    step_m = float(height_m[1] - height_m[0])
    half = max(1, round(75.0 / step_m))
    sums = np.cumsum(np.pad(np.nan_to_num(beta), ((0, 0), (1, 0))), axis=1)
    falls = 2 * sums[:, half:-half] - sums[:, : -2 * half] - sums[:, 2 * half :]
    at_m = height_m[half : half + falls.shape[1]] - step_m / 2
    falls[:, (at_m < low_m) | (at_m > high_m)] = -np.inf
    return np.asarray(at_m[falls.argmax(axis=1)])


def _mean(values: NDArray[np.float64] | NDArray[np.bool_]) -> float:
    return float(np.mean(values)) if values.size else float("nan")


def _squared_correlation(one: Float64, other: Float64) -> float:
    if one.size < 3 or one.std() == 0 or other.std() == 0:
        return float("nan")
    return float(np.corrcoef(one, other)[0, 1] ** 2)
