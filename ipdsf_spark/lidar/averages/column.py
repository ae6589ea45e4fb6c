"""A profile on the fixed cells of a network: log10 of attenuated backscatter, whatever instrument measured it.

Cells without a trustworthy value are missing, not zero: below the lowest gate, in and above cloud, where the signal is
clipped, where noise hides it, and all of them in fog, rain and snow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.profiles import Float64

MAJORITY: Final = 0.5  # of a cell's gates, and of the profiles of wet weather


@dataclass(frozen=True)
class Cells:
    """K cells of equal length above the instrument.

    Attributes:
        lowest_m: lower edge of the first cell.
        cell_m: length of a cell.
        num: K.
        least_snr: a cell's mean below so many times its noise is missing.
    """

    lowest_m: float = 120.0
    cell_m: float = 60.0
    num: int = 40
    least_snr: float = 3.0

    @property
    def height_m(self) -> Float64:
        """(K,) centres."""
        return self.lowest_m + self.cell_m * (np.arange(self.num, dtype=np.float64) + 0.5)


@dataclass(frozen=True, eq=False)
class ClearProfile:
    """The mean of an interval's profiles, G gates.

    Attributes:
        beta: (G,) clear of cloud, in the file's unit, NaN where missing.
        first_m, gate_m: centre of the first gate and gate length along the beam.
        tilt_deg: angle of the beam from the vertical.
        noise_at_unit_range: of the mean of a gate, over range squared; 0 if unknown.
        factor: from the file's unit to m-1 sr-1.
        lowest_m: lowest trustworthy height.
        clipped_from_m: height above which the signal is clipped, infinite if it is not.
        is_wet: fog, rain or snow in most of the profiles.
    """

    beta: Float64
    first_m: float
    gate_m: float
    tilt_deg: float = 0.0
    noise_at_unit_range: float = 0.0
    factor: float = 1.0
    lowest_m: float = 0.0
    clipped_from_m: float = float("inf")
    is_wet: bool = False


def column_of(profile: ClearProfile, cells: Cells) -> NDArray[np.float32]:
    """(K,) log10 of backscatter [m-1 sr-1] of every cell, NaN where missing.

    Args:
        profile: of one interval.
        cells: of the network.
    """
    nothing = np.full(cells.num, np.nan, np.float32)
    beta = np.asarray(profile.beta, np.float64)
    if profile.is_wet or not beta.size or not profile.gate_m > 0.0 or not profile.factor > 0.0:
        return nothing
    range_m = profile.first_m + profile.gate_m * np.arange(beta.size)
    height_m = range_m * np.cos(np.radians(profile.tilt_deg))
    with np.errstate(invalid="ignore"):
        cell = np.floor((height_m - cells.lowest_m) / cells.cell_m)
    inside = (cell >= 0) & (cell < cells.num)
    is_used = inside & np.isfinite(beta) & (height_m >= profile.lowest_m) & (height_m < profile.clipped_from_m)
    number = np.where(inside, cell, 0).astype(np.int64)
    num_gates = np.bincount(number[inside], minlength=cells.num)
    num_used = np.bincount(number[is_used], minlength=cells.num)
    total = np.bincount(number[is_used], beta[is_used], minlength=cells.num)
    variance = np.bincount(
        number[is_used], (profile.noise_at_unit_range * range_m[is_used] ** 2) ** 2, minlength=cells.num
    )
    is_seen = (num_used > 0) & (num_used >= MAJORITY * num_gates)
    is_seen &= (total > 0.0) & (total >= cells.least_snr * np.sqrt(variance))
    mean = total[is_seen] / num_used[is_seen] * profile.factor
    nothing[is_seen] = np.log10(np.maximum(mean, 1e-30))
    return nothing
