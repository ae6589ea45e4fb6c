"""One standard deviation in metres for every height, from what may be wrong with it."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.interval_rows import HEIGHT, SIGMA, WEIGHT, Rows
from ipdsf_spark.lidar.profiles import Float64

RIVAL_SCALE: Final = 0.15  # a rival this much weaker, relative to the strongest, counts e times less
RIVAL_SHARE: Final = 0.35  # of the weighted distance of the rivals: the path already decides between them
LEAST_M: Final = 15.0  # half a path node: no retrieval is better than its grid


def ambiguity_m(rows: Rows, height_m: Float64) -> Float64:
    """(N,) how far other edges lie from the chosen height, weighted by how nearly as strong they are."""
    table = rows["table"].astype(np.float64)
    weight = np.where(table[:, HEIGHT] <= rows["ceiling_m"][:, None], table[:, WEIGHT], 0.0)
    best = np.maximum(weight.max(axis=1, keepdims=True), 1e-9)
    counts = np.exp((weight / best - 1.0) / RIVAL_SCALE) * (weight > 0)
    off = np.where(weight > 0, table[:, HEIGHT] - height_m[:, None], 0.0)
    spread = (counts * off * off).sum(axis=1) / np.maximum(counts.sum(axis=1), 1e-9)
    return np.asarray(RIVAL_SHARE * np.sqrt(spread))


def total_m(localisation_m: Float64, ambiguity: Float64) -> Float64:
    """(N,) both sources together; they are independent."""
    return np.maximum(np.hypot(localisation_m, ambiguity), LEAST_M)


def localisation_m(rows: Rows, chosen: NDArray[np.int64]) -> Float64:
    """(N,) error of the chosen candidate from noise and the sharpness of its edge."""
    return np.asarray(rows["table"][np.arange(len(rows)), SIGMA, chosen], np.float64)
