"""Where a return's base is, from the profile and not from the maker's message.

Makers call different points of one return its base. Lufft and Campbell mean where the return begins to rise. Vaisala's
base lies inside the return: of CL31 and CL51 about at its maximum, where a little more than half of it has come back
(over 220 profiles of a CL31 59 %, MeteoSwiss 2026); of CL61 and DA10 likewise in low cloud, but where most of it has
come back in cloud above a kilometre. Why is not published; `PENETRATED` describes what their files show
(tests/bench/bench_cloud_bases.py), so that own bases can stand in for theirs. The beginning of a return, its
`bottom_m`, is the same for all makers.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from ipdsf_spark.lidar.profiles import Float64
from ipdsf_spark.lidar.targets.returns import LOOK_M, Return

INSIDE: Final = ("Vaisala",)  # makers whose base lies inside the return
AT_MAXIMUM: Final = ("Vaisala CL31", "Vaisala CL51")
SHARE_AT_MAXIMUM: Final = 0.58
PENETRATED_AT_M: Final = (300.0, 1300.0, 4300.0)
PENETRATED: Final = (0.48, 0.87, 0.83)  # share of the return that has come back from below the base


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
    sums = np.cumsum(np.maximum(np.nan_to_num(beta[gates]) - found.valley, 0.0))
    if not sums[-1] > 0.0:
        return found.bottom_m
    share = SHARE_AT_MAXIMUM
    if instrument not in AT_MAXIMUM:
        share = float(np.interp(range_m[found.peak], PENETRATED_AT_M, PENETRATED))
    return float(np.interp(share * sums[-1], sums, range_m[gates] + spacing_m / 2))
