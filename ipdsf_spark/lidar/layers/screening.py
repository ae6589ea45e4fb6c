"""What must not be mistaken for a layer top: fog, rain, snow and the blind zone of the near range.

beta[time, gate] in m-1 sr-1 averaged over the interval.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.profiles import Float64

FOG_BETA: Final = 10**-4.75  # m-1 sr-1; fog in the lowest gates (a-trous feature detection, Argonne 2023)
FOG_LOOK_M: Final = (30.0, 250.0)  # gates that are looked at for fog
RAIN_BETA: Final = 10**-5.5  # m-1 sr-1; cloud or rain strength
RAIN_LOOK_M: Final = (250.0, 2000.0)  # such a column is rain, with or without a cloud that it falls from
RAIN_DEPTH_M: Final = 1200.0  # a column that deep is rain under a cloud; the deepest haze seen reached 0.85 km
STRONG_RAIN_BETA: Final = 1e-5  # m-1 sr-1; below a low cloud a shorter column must be stronger
SHORT_COLUMN_M: Final = 250.0
BELOW_BASE_M: Final = 100.0  # a cloud's own signal begins this far below its base
FILLED: Final = 0.9  # of a column's gates must be that strong
MAJORITY: Final = 0.5  # of the interval's profiles

# Lowest gate that is used [m]; the site may say better. Up to 300 m the overlap of a CHM15k leaves errors of up to 45 %
# (Hervo et al. 2016, AMT 9, 2947): what is left of them above 250 m falls to the guard of the wavelet.
MIN_HEIGHT_M: Final = {"Lufft CHM15k": 250.0, "Lufft CHM8k": 250.0}
DEFAULT_MIN_HEIGHT_M: Final = 100.0

# Typical calibration [m-1 sr-1 per unit of the file] of instruments that deliver raw signal; the site may say better.
TYPICAL_CALIBRATION: Final = {"Lufft CHM15k": 3.0e-12, "Lufft CHM8k": 3.0e-12}


def is_fog(fraction_fog: Float64, low_beta: Float64) -> NDArray[np.bool_]:
    """(T,) fog: in most profiles said by the instrument or by a cloud base on the ground, or a fog-strength signal.

    Args:
        fraction_fog: (T,) share of such profiles.
        low_beta: (T, n) the gates of `FOG_LOOK_M`, in m-1 sr-1; n = 0 if beta has no absolute value.
    """
    fog = fraction_fog >= MAJORITY
    if low_beta.shape[1] > 1:
        # two gates together, so that one bad gate is no fog
        fog |= np.fmax.reduce(np.fmin(low_beta[:, 1:], low_beta[:, :-1]), axis=1) > FOG_BETA
    return fog


def is_precipitation(
    fraction_precipitation: Float64, column_beta: Float64, column_m: Float64, cloud_base_m: Float64, cover: Float64
) -> NDArray[np.bool_]:
    """(T,) rain or snow: said by the instrument, or a rain-strength column from the ground up.

    Args:
        fraction_precipitation: (T,) share of profiles that the instrument calls rain or snow.
        column_beta: (T, n) the gates of `RAIN_LOOK_M`, in m-1 sr-1; n = 0 if beta has no absolute value.
        column_m: (n,) their heights.
        cloud_base_m: (T,) lowest cloud base, NaN where none.
        cover: (T,) share of profiles with such a base.
    """
    wet: NDArray[np.bool_] = fraction_precipitation >= MAJORITY
    if column_m.size == 0:
        return wet
    strong = column_beta > RAIN_BETA
    wet |= strong.sum(axis=1) > FILLED * column_m.size
    for row in np.flatnonzero(cover >= MAJORITY):
        deep = column_m < min(cloud_base_m[row] - BELOW_BASE_M, RAIN_DEPTH_M)
        needed = RAIN_BETA if cloud_base_m[row] - BELOW_BASE_M >= RAIN_DEPTH_M else STRONG_RAIN_BETA
        column = column_beta[row, deep]
        if column.size and column_m[column.size - 1] - column_m[0] >= SHORT_COLUMN_M:
            wet[row] |= np.count_nonzero(column > needed) > FILLED * column.size
    return wet


def min_height_m(instrument: str, configured_m: float | None) -> float:
    """Lowest height to search: the site's, or the instrument's."""
    return configured_m if configured_m is not None else MIN_HEIGHT_M.get(instrument, DEFAULT_MIN_HEIGHT_M)


def calibration(instrument: str, configured: float | None, *, is_calibrated: bool) -> tuple[float, bool]:
    """Factor from the file's unit to m-1 sr-1, and whether the product is absolute for certain.

    Without the site's own factor raw signal gets a typical one of the instrument; without that one, 1.
    """
    if configured is not None:
        return configured, True
    if is_calibrated:
        return 1.0, True
    return TYPICAL_CALIBRATION.get(instrument, 1.0), False
