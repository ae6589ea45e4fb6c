"""Cloud bases of an interval, and what they say about the mixing layer below."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from ipdsf_spark.lidar.layers.grids import Grid
from ipdsf_spark.lidar.profiles import Float64

BELOW_CLOUD_M: Final = 50.0  # a cloud begins this far below the base that the instrument reports
COVER: Final = 0.3  # of the interval's profiles, from which on a cloud base counts in full
LOWEST_M: Final = 400.0  # a lower base is lifted fog or stratus whose top, not base, bounds the mixing
HIGHEST_M: Final = 3500.0  # a higher base is no cloud on a mixing layer, but for a desert's
SIGMA_M: Final = 100.0  # the mixing height of a cloud-topped layer lies around its base
EVIDENCE: Final = 0.9  # of a deck on air like that at the ground
CONNECTED, DETACHED = 0.7, 0.3  # as for edges


def lowest(averages: Sequence[Any], tilt_deg: int) -> tuple[Float64, Float64]:
    """(T,) lowest cloud base [m], NaN where none, and the share of profiles that have one about there.

    The base is the lower quartile of the profiles' bases: one low wisp is no deck, and a deck is seen from below.
    """
    base_m, cover = np.full(len(averages), np.nan), np.zeros(len(averages))
    slant = float(np.cos(np.radians(tilt_deg)))
    for row, average in enumerate(averages):
        bases = average.cloud_base_m
        if bases.size:
            base = float(bases[(bases.size - 1) // 4])
            base_m[row] = base * slant
            cover[row] = np.count_nonzero(bases <= base + 300.0) / average.num_profiles
    return base_m, cover


def as_top(below: Float64, cloud_m: Float64, cover: Float64, grid: Grid) -> Float64:
    """(T,) evidence of a cloud base as the layer's top: full if the air below it is that of the ground.

    Args:
        below: (T, E) mean beta below each edge over that near the ground.
        cloud_m: (T,) lowest base.
        cover: (T,) share of profiles that have it.
        grid: of the edges.
    """
    result = np.zeros(len(cloud_m))
    rows = np.flatnonzero((cloud_m <= min(grid.edge_m[-1], HIGHEST_M)) & (cloud_m >= LOWEST_M))
    if not rows.size:
        return result
    clear_m = cloud_m[rows] - BELOW_CLOUD_M - grid.step_m  # the highest edge below which all gates are clear
    edge = np.clip(((clear_m - grid.edge_m[0]) / grid.step_m).astype(np.int64), 0, below.shape[1] - 1)
    filled = below[rows, edge]
    cleanest = np.fmin.accumulate(below[rows], axis=1)[np.arange(rows.size), edge]
    filled = np.clip(filled, 0.0, 1.0)  # swelling haze right under a cloud is no layer of its own
    connected = np.clip((cleanest / filled - DETACHED) / (CONNECTED - DETACHED), 0.0, 1.0)
    share = np.minimum(cover[rows] / COVER, 1.0)
    result[rows] = EVIDENCE * share * np.nan_to_num(connected * np.sqrt(filled))
    return result
