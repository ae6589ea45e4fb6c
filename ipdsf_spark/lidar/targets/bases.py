"""Where a return's base is, from the profile and not from the maker's message.

Makers call different points of one return its base. Lufft and Campbell mean where the return begins to rise. Vaisala's
base lies inside the return: of CL31 and CL51 about at its maximum, where a little more than half of it has come back
(over 220 profiles of a CL31 59 %, MeteoSwiss 2026); of CL61 likewise in the lowest hundreds of metres, but in higher
cloud where the return has fallen to `FALLEN` of its maximum again, whether gates have 5 m or 30 m; of DA10 and CT25K
(three profiles each) where most of it has come back. Why is not published; the numbers here describe what their files
show (tests/bench/bench_cloud_bases.py), so that own bases can stand in for theirs. The beginning of a return, its
`bottom_m`, is the same for all makers.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from ipdsf_spark.lidar.profiles import Float64
from ipdsf_spark.lidar.targets.returns import LOOK_M, Return

INSIDE: Final = ("Vaisala",)  # makers whose base lies inside the return
SHARES: Final = {"Vaisala CL31": 0.58, "Vaisala CL51": 0.58, "Vaisala CL61": 0.48}  # of the return, from below the base
SHARE: Final = 0.83  # of DA10, CT25K and others
FALLING: Final = "Vaisala CL61"  # whose base lies higher in a return above `LOW_M`
FALLEN: Final = 0.41  # of the maximum
LOW_M: Final = (300.0, 500.0)  # between them the base changes over; no file at hand has one between 200 and 450 m


def base_of(found: Return, beta: Float64, range_m: Float64, instrument: str) -> float:
    """Base of a return along the beam, where the maker of this instrument would see it [m].

    Args:
        found: the return.
        beta: (G,) the profile in which it was found.
        range_m: (G,) gate centres, equally spaced.
        instrument: maker and model.
    """
    if not instrument.startswith(INSIDE):
        return found.bottom_m
    spacing_m = float(range_m[1] - range_m[0])
    gates = slice(found.foot, min(beta.size, found.peak + 1 + round(LOOK_M / spacing_m)))
    above_valley = np.maximum(np.nan_to_num(beta[gates]) - found.valley, 0.0)
    sums = np.cumsum(above_valley)
    if not sums[-1] > 0.0:
        return found.bottom_m
    share = SHARES.get(instrument, SHARE)
    within_m = float(np.interp(share * sums[-1], sums, range_m[gates] + spacing_m / 2))
    is_high = float(np.interp(range_m[found.peak], LOW_M, (0.0, 1.0))) if instrument == FALLING else 0.0
    if not is_high:
        return within_m
    return within_m + is_high * (_fallen_m(above_valley, range_m[gates]) - within_m)


def _fallen_m(values: Float64, range_m: Float64) -> float:
    """Where a return has fallen to `FALLEN` of its maximum behind it, between gates; its last gate if it has not."""
    peak = int(values.argmax())
    level = FALLEN * values[peak]
    below = np.flatnonzero(values[peak:] < level)
    if not below.size:
        return float(range_m[-1])
    at = peak + int(below[0])
    share = (values[at - 1] - level) / (values[at - 1] - values[at])
    return float(range_m[at - 1] + share * (range_m[at] - range_m[at - 1]))
