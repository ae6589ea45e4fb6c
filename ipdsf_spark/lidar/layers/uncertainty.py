"""One standard deviation in metres for every height, from what may be wrong with it."""

from __future__ import annotations

from typing import Final

import numpy as np

from ipdsf_spark.lidar.profiles import Float32, Float64

RIVAL_SCALE: Final = 0.15  # a rival this much weaker, relative to the strongest, counts e times less
RIVAL_SHARE: Final = 0.35  # of the weighted distance of the rivals: the path already decides between them
LEAST_M: Final = 15.0  # half a path node: no retrieval is better than its grid


def ambiguity_m(tops_m: Float64, weight: Float64, height_m: Float64) -> Float64:
    """(N,) how far other edges lie from the chosen height, weighted by how nearly as strong they are.

    Args:
        tops_m: (N, C) candidates, NaN where none.
        weight: (N, C) their weight for the path, 0 where they cannot be the mixing height.
        height_m: (N,) the chosen one.
    """
    best = np.maximum(weight.max(axis=1, keepdims=True), 1e-9)
    counts = np.exp((weight / best - 1.0) * (1.0 / RIVAL_SCALE))
    counts *= weight > 0
    off = np.where(weight > 0, tops_m - height_m[:, None], 0.0)
    off *= off
    off *= counts
    return np.asarray(RIVAL_SHARE * np.sqrt(off.sum(axis=1) / np.maximum(counts.sum(axis=1), 1e-9)))


def total_m(localisation_m: Float32, ambiguity_m: Float64) -> Float64:
    """(N,) both sources together; they are independent."""
    return np.maximum(np.hypot(localisation_m, ambiguity_m), LEAST_M)
