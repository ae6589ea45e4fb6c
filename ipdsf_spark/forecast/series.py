"""What a forecast is made from: five-minute series of one or many sites, gaps as gaps.

S sites, T intervals; heights in metres above the instrument; what is not known is NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.profiles import Float64

INTERVAL_S: Final = 300
LEADS_MIN: Final = (0, 10, 30, 60, 180)  # 0: what the height is now, where nothing is seen
LEAD_STEPS: Final = tuple(60 * lead // INTERVAL_S for lead in LEADS_MIN)
QUANTILES: Final = (0.1, 0.5, 0.9)

RAIN, FOG, CAPPED, AMBIGUOUS = 1, 2, 4, 8  # bits of `Observed.flags` that the network sees
LOW_SNR, NO_EDGE, RESIDUAL, CLIPPED = 16, 32, 64, 128  # further ones, that only say why there is no height


@dataclass(frozen=True, eq=False)
class Observed:
    """What the retrieval says of one interval at S sites, or of T intervals: (T, S).

    Attributes:
        height_m: mixing height, NaN where none.
        sigma_m: stated standard deviation of it.
        below_m: upper bound where the top lies too low to be seen, else NaN.
        cloud_m: lowest cloud base, NaN where none.
        residual_m: top of the residual layer, NaN where unknown.
        flags: bits RAIN, FOG, CAPPED (by a cloud), AMBIGUOUS, and why there is no height.
        has_data: anything was measured at all.
    """

    height_m: Float64
    sigma_m: Float64
    below_m: Float64
    cloud_m: Float64
    residual_m: Float64
    flags: NDArray[np.uint8]
    has_data: NDArray[np.bool_]

    @classmethod
    def nothing(cls, *shape: int) -> Observed:
        """Intervals in which nothing was measured."""
        none = np.full(shape, np.nan)
        return cls(none, none, none, none, none, np.zeros(shape, np.uint8), np.zeros(shape, bool))

    def at(self, step: int) -> Observed:
        """One interval of T."""
        return Observed(*(getattr(self, name)[step] for name in Observed.__dataclass_fields__))


@dataclass(frozen=True, eq=False)
class Series:
    """T intervals of S sites.

    Attributes:
        sites: (S) their ids.
        latitude_deg, longitude_deg: (S,) NaN where unknown.
        start: number of the first interval since 1970; interval n lasts from n to n + 1 times `INTERVAL_S`.
        observed: (T, S).
        target_m: (T, S) what is to be foretold: the truth, or final heights; NaN where unknown.
        has_target_in_gaps: the targets are a truth, known also where nothing was seen.
    """

    sites: tuple[str, ...]
    latitude_deg: Float64
    longitude_deg: Float64
    start: int
    observed: Observed
    target_m: Float64
    has_target_in_gaps: bool = False

    def __len__(self) -> int:
        """Number of intervals."""
        return len(self.target_m)


def seconds_of(index: int | NDArray[np.int64]) -> Float64:
    """Middle of intervals [s since 1970]."""
    return np.asarray(index, np.float64) * INTERVAL_S + INTERVAL_S / 2
