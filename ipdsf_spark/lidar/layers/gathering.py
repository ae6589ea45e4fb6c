"""Whether what the ground gives gathers right above it: it does once the layer has collapsed, not while it is mixed.

The signal of the lowest trustworthy gates over that of the air 200 m above them stays as it is while a deep layer is
mixed, whatever the instrument's overlap makes of it. It rises when the layer has become shallow, though its top be too
low to be seen or still too faint to be an edge. How much of a rise is one is told by how the ratio has varied before.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.profiles import Float64

BACK: Final = 18  # intervals before one that are looked at, as many as are remembered of every site
NOW: Final = 2  # of these, the one itself included, tell what is
BASE: Final = 12  # and the first ones what was
LEAST: Final = 6  # of those have to be known
LEAST_SPREAD: Final = 0.015  # of the ln of the ratio
WITHIN: Final = 2.0  # spreads of what was: this is no rise yet
EXPECTED: Final = (0.03, 0.10)  # rise in a good hour over a shallow layer: hardly one, and surely
NOTHING_RISES: Final = 0.35  # against a shallow stable layer, in the unit of an edge
RISES: Final = 0.5  # for one


def gathers(ratio: Float64) -> Float64:
    """(N,) for (above 0) or against (below 0) a shallow stable layer, in the unit of an edge; 0 where nothing is known.

    Args:
        ratio: (N, `BACK` + 1) ln of the lowest gates over those above, the intervals' own last; NaN where unknown.
    """
    before = np.sort(ratio[:, :BASE], axis=1)
    num = np.isfinite(before).sum(axis=1)
    was = _median(before, num)
    spread = 1.4826 * _median(np.sort(np.abs(before - was[:, None]), axis=1), num)
    limit = WITHIN * np.maximum(spread, LEAST_SPREAD)
    rise = ratio[:, -NOW:].mean(axis=1) - was
    up = np.clip((rise - limit) / np.maximum(limit, EXPECTED[1]), 0.0, 1.0)
    down = np.clip((EXPECTED[0] - rise) / EXPECTED[0], 0.0, 1.0)
    # where it varies as much as it would rise, no rise says nothing
    down *= np.clip((EXPECTED[1] - limit) / (EXPECTED[1] - EXPECTED[0]), 0.0, 1.0)
    is_known = (num >= LEAST) & np.isfinite(rise)
    return np.asarray(np.where(is_known, RISES * up - NOTHING_RISES * down, 0.0))


def _median(ordered: Float64, num: NDArray[np.int64]) -> Float64:
    """(N,) of the first `num` of every row."""
    line = np.arange(len(ordered))
    num = np.maximum(num, 1)
    return np.asarray((ordered[line, (num - 1) // 2] + ordered[line, num // 2]) / 2)
