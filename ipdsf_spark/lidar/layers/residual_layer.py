"""The top of the residual layer: what yesterday's mixing layer has left above the night's.

Where the diurnal ceiling opens, the drop at that top is often the strongest of the profile, hours before the growing
layer reaches it. So it is remembered from the night: until the path has grown up to it, or the morning is over, it is
itself the ceiling. Where both layers are equally turbid the growing one cannot be seen, and no height is given; nothing
else would be honest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

CONFIRMED: Final = 6  # intervals in which the drop was seen, half an hour, before it counts
LONGEST_MEMORY: Final = 12  # intervals that it survives unseen
SAME_M: Final = 100.0  # the same top from one interval to the next
BELOW_M: Final = 100.0  # the ceiling lies this far below the residual layer's top
REACHED_M: Final = 200.0  # a path that has come this close has grown into the residual layer
LEAST_WEIGHT: Final = 0.05  # of a drop that is connected with the ground


def followed(
    before: tuple[float, int],
    heights_m: Sequence[float],
    weights: Sequence[float],
    ceiling_m: float,
) -> tuple[float, int]:
    """The residual layer's top after one more interval.

    Args:
        before: its height [m] and the intervals it was seen, the latter 0 if there is none.
        heights_m: of the interval's candidates; NaN where fewer.
        weights: their weights for the path.
        ceiling_m: diurnal ceiling; a new top is looked for above it.
    """
    height_m, seen = before
    if seen:
        near = [height for height in heights_m if abs(height - height_m) <= SAME_M]
        if near:
            return min(near, key=lambda height: abs(height - height_m)), min(seen + 1, LONGEST_MEMORY)
        return height_m, seen - 1
    above = [(weight, height) for weight, height in zip(weights, heights_m, strict=True) if height > ceiling_m]
    weight, height = max(above, default=(0.0, 0.0))
    return (height, 1) if weight >= LEAST_WEIGHT else (0.0, 0)


def ceiling_below(residual: tuple[float, int], ceiling_m: float, path_m: float) -> float:
    """The diurnal ceiling, or the one below the residual layer's top while the path is far below that.

    Args:
        residual: height [m] and intervals seen.
        ceiling_m: diurnal ceiling.
        path_m: where the best path stood one interval before.
    """
    height_m, seen = residual
    if seen < CONFIRMED or path_m > height_m - REACHED_M:
        return ceiling_m
    return min(ceiling_m, height_m - BELOW_M)
