"""A final height leans on the edges of the intervals before and after it, a provisional one cannot.

The edge of one interval is moved by noise and plumes by as much as the layer grows in a quarter of an hour. Around a
final height a straight line in time is laid through the edges of half an hour before and after, those near the line
weighing most (local linear regression, Cleveland 1979, J. Am. Stat. Assoc. 74, 829). Its reach narrows step by step:
wide at first, so that of two flanks of one entrainment zone the one that falls more attracts it. It stays at the edge
from which it began: a stronger one farther away is another layer's, such as a residual layer's above a growing one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.layers.evidence import NO_HEIGHT, NUM_CANDIDATES, QUARTERS, ROW, Rows
from ipdsf_spark.lidar.profiles import Float64

REACH: Final = 6  # intervals on either side
WIDTHS_M: Final = (150.0, 150.0, 120.0, 80.0)  # standard deviation of the kernel in height, step by step
WIDEST_M, WIDEST_SHARE = 30.0, 0.1  # of the height: no kernel is wider, for shallow layers lie close together
MOST_SHIFT_M, MOST_SHIFT_SHARE = 60.0, 0.1  # of the height: what lies farther away is another edge
LEAST_SIGMA_M: Final = 20.0  # of an edge without noise
FLAT: Final = 0.3  # intervals², of the spread of time: a line through edges of one time is level
MOST_RISE_M, MOST_FALL_M = 80.0, 60.0  # of the line, in an interval


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Edges around N intervals; M = (2 `REACH` + 1) `NUM_CANDIDATES`, in order of time.

    Attributes:
        height_m: (N, M) of the edges, 0 where there is none.
        weight: (N, M) evidence times fall over variance, 0 where there is none.
    """

    height_m: Float64
    weight: Float64

    @classmethod
    def of(cls, parts: Sequence[tuple[Rows, Rows, Rows]]) -> Neighbours:
        """Those of the intervals of all parts.

        Args:
            parts: records before, the intervals' own, and records after them, without gaps.
        """
        if not parts:
            return cls(np.empty((0, _OFFSET.size)), np.empty((0, _OFFSET.size)))
        own, begin = [], 0
        for before, rows, after in parts:
            own.append(begin + len(before) + np.arange(len(rows)))
            begin += len(before) + len(rows) + len(after)
        number = np.repeat(np.arange(len(parts)), [sum(map(len, part)) for part in parts])
        records = np.concatenate([some for part in parts for some in part], dtype=ROW)
        at = np.concatenate(own)
        around = at[:, None] + np.arange(-REACH, REACH + 1)
        inside = np.clip(around, 0, begin - 1)
        is_there = (around == inside) & (number[inside] == number[at][:, None])
        height = records["height"][inside]
        weight = records["evidence"][inside] * np.nan_to_num(records["strength"][inside].astype(np.float64))
        weight /= LEAST_SIGMA_M**2 + records["sigma"][inside].astype(np.float64) ** 2
        weight *= is_there[:, :, None] & (height != NO_HEIGHT)
        shape = len(at), -1
        return cls((height / QUARTERS).reshape(shape), weight.reshape(shape))

    def rows(self, is_taken: NDArray[np.bool_]) -> Neighbours:
        """Those of some intervals."""
        return Neighbours(self.height_m[is_taken], self.weight[is_taken])


def fitted_m(start_m: Float64, neighbours: Neighbours) -> Float64:
    """(N,) the line's height at every interval; `start_m` where no edge is near or the line leads to another one.

    Args:
        start_m: (N,) heights from which the search begins.
        neighbours: of the intervals.
    """
    height_m = start_m
    slope_m = np.zeros_like(start_m)
    widest_m = WIDEST_M + WIDEST_SHARE * start_m[:, None]
    for width_m in WIDTHS_M:
        off = neighbours.height_m - height_m[:, None] - slope_m[:, None] * _OFFSET
        weight = neighbours.weight * np.exp(off * off * (-0.5 / np.minimum(widest_m, width_m) ** 2))
        of_height = weight * neighbours.height_m
        total, later, spread, mean, moment = (
            part.sum(axis=1)
            for part in (weight, weight * _OFFSET, weight * _OFFSET_SQUARED, of_height, of_height * _OFFSET)
        )
        spread += FLAT * total
        has_edge = total > 0.0
        inverse = 1.0 / np.where(has_edge, spread * total - later * later, 1.0)
        slope_m = np.clip(np.where(has_edge, (total * moment - later * mean) * inverse, 0.0), -MOST_FALL_M, MOST_RISE_M)
        height_m = np.where(has_edge, (spread * mean - later * moment) * inverse, height_m)
    is_near = np.abs(height_m - start_m) <= MOST_SHIFT_M + MOST_SHIFT_SHARE * start_m
    return np.where(is_near, height_m, start_m)


_OFFSET: Final[NDArray[np.float64]] = np.repeat(np.arange(-REACH, REACH + 1.0), NUM_CANDIDATES)
_OFFSET_SQUARED: Final[NDArray[np.float64]] = _OFFSET**2
