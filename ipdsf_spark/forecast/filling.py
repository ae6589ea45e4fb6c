"""How sure a filled gap may be: its interval is widened by why no height is seen, as days with a known truth demand.

The network learned its intervals from a model of the retrieval and is too sure of itself in genuine gaps. Split
conformal prediction on scaled residuals (Papadopoulos et al. 2002; both tails on their own as in Romano et al. 2019)
needs no truth while the stream runs, where an adaptive one (Gibbs & Candès 2021) would, and in a gap there is none:

    factor = the 90 % quantile of (median - truth) / (median - p10), and the same above,

over days that no network was trained on. Neighbours in time err alike, so a run of days is one sample: the unknown next
run has the weight of one of them, and its residual is taken to be infinite. Factors are part of a model's weights; one
below 1 is not used.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.forecast.memory import NAMES
from ipdsf_spark.forecast.series import QUANTILES
from ipdsf_spark.lidar.profiles import Float64

REASONS: Final = ("no data", "rain", "fog", "a bound alone", "nothing found")
NUM_REASONS: Final = len(REASONS)
ENOUGH: Final = 3  # runs of days; a reason met in fewer takes the factors of all gaps
LARGEST: Final = 20.0  # factor
LEAST_WIDTH_M: Final = 1.0
_HAS_HEIGHT, _HAS_DATA = NAMES.index("has_height"), NAMES.index("has_data")
_RAIN, _FOG, _BOUND = NAMES.index("rain"), NAMES.index("fog"), NAMES.index("has_bound")


def reasons_of(features: NDArray[Any]) -> NDArray[np.int64]:
    """(…) index into `REASONS`, -1 where a height is seen, of features (…, F) as `memory` makes them."""
    conditions = [features[..., _HAS_HEIGHT] > 0, features[..., _HAS_DATA] == 0]
    conditions += [features[..., at] > 0 for at in (_RAIN, _FOG, _BOUND)]
    return np.select(conditions, [-1, 0, 1, 2, 3], 4).astype(np.int64)


def widened(quantiles_m: NDArray[Any], features: NDArray[Any], factors: NDArray[Any], lowest_m: float) -> Float64:
    """(…, L, 3) the same with wider intervals at lead 0 where no height is seen.

    Args:
        quantiles_m: (…, L, 3), lead 0 first; not changed.
        features: (…, F) of the same intervals.
        factors: (R, 2) below and above the median, by reason.
        lowest_m: no quantile lies lower.
    """
    found: Float64 = np.array(quantiles_m, np.float64)
    with_seen = np.concatenate([np.asarray(factors, np.float64), np.ones((1, 2))])  # -1 is the last
    factor = with_seen[reasons_of(features)]
    low_m, median_m, high_m = (found[..., 0, at].copy() for at in range(3))
    found[..., 0, 0] = np.maximum(median_m - factor[..., 0] * (median_m - low_m), lowest_m)
    found[..., 0, 2] = median_m + factor[..., 1] * (high_m - median_m)
    return found


def fitted_factors(
    quantiles_m: NDArray[Any],
    truth_m: NDArray[Any],
    reasons: NDArray[np.int64],
    runs: NDArray[Any],
) -> NDArray[np.float32]:
    """(R, 2) factors that make `QUANTILES` true on N gaps.

    Args:
        quantiles_m: (N, 3) at lead 0, not widened.
        truth_m: (N,).
        reasons: (N,) as `reasons_of`.
        runs: (N,) which days it belongs to: neighbours say much the same, so runs are counted, not intervals.
    """
    low_m, median_m, high_m = np.asarray(quantiles_m, np.float64).T
    residuals = (
        (median_m - truth_m) / np.maximum(median_m - low_m, LEAST_WIDTH_M),
        (truth_m - median_m) / np.maximum(high_m - median_m, LEAST_WIDTH_M),
    )
    levels = (1.0 - QUANTILES[0], QUANTILES[-1])
    factors = np.ones((NUM_REASONS, 2), np.float32)
    for reason in range(NUM_REASONS):
        mine = reasons == reason
        if len(np.unique(runs[mine])) < ENOUGH:
            mine = np.ones(len(reasons), bool)
        if not mine.any():
            continue
        with_next = 1.0 + 1.0 / len(np.unique(runs[mine]))
        for side, (residual, level) in enumerate(zip(residuals, levels, strict=True)):
            factor = _quantile(residual[mine], level * with_next)
            factors[reason, side] = np.clip(factor, 1.0, LARGEST)
    return factors


def _quantile(values: Float64, level: float) -> float:
    """The least value that at least a share `level` does not exceed; the greatest where `level` is above 1."""
    at = int(np.ceil(level * len(values))) - 1
    return float(np.sort(values)[min(at, len(values) - 1)])
