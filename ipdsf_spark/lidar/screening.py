"""What must not be mistaken for a layer top: cloud, fog, rain and the blind zone of the near range.

beta[time, gate] in m-1 sr-1 averaged over the interval, height_m[gate] above the instrument.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.profiles import Float64

FOG_BETA: Final = 10**-4.75  # m-1 sr-1; fog in the lowest gates (a-trous feature detection, Argonne 2023)
RAIN_BETA: Final = 10**-5.5  # m-1 sr-1; cloud or rain strength
RAIN_DEPTH_M: Final = 1200.0  # such a column from the ground up is rain; the deepest haze seen reached 0.85 km
FOG_BASE_M: Final = 200.0  # a cloud base below this is fog to a boundary-layer retrieval
FOG_TOP_M: Final = 250.0  # gates below this are looked at for fog
MAJORITY: Final = 0.5  # of the interval's profiles
CLOUD_FRACTION: Final = 0.15  # of the interval's profiles with a cloud base make the interval cloudy

# Lowest height at which the overlap is trusted [m]; the site may say better.
MIN_HEIGHT_M: Final = {"Lufft CHM15k": 200.0, "Lufft CHM8k": 200.0}
DEFAULT_MIN_HEIGHT_M: Final = 100.0

# Typical calibration [m-1 sr-1 per unit of the file] of instruments that deliver raw signal; the site may say better.
TYPICAL_CALIBRATION: Final = {"Lufft CHM15k": 3.0e-12, "Lufft CHM8k": 3.0e-12}


def is_fog(
    beta: Float64, height_m: Float64, fraction_fog: Float64, cloud_base_m: Float64, *, is_calibrated: bool
) -> NDArray[np.bool_]:
    """(T,) fog: said by the instrument, a cloud base on the ground, or a fog-strength signal in the lowest gates.

    Args:
        beta: (T, G).
        height_m: (G,).
        fraction_fog: (T,) share of profiles that the instrument calls fog or full obscuration.
        cloud_base_m: (T,) lowest cloud base, NaN where none.
        is_calibrated: whether beta can be compared with absolute values.
    """
    with np.errstate(invalid="ignore"):
        fog = (fraction_fog >= MAJORITY) | (cloud_base_m <= FOG_BASE_M)
        if is_calibrated and (low := height_m < FOG_TOP_M).any():
            fog |= np.where(np.isnan(beta[:, low]), -np.inf, beta[:, low]).max(axis=1) > FOG_BETA
    return np.asarray(fog)


def is_precipitation(
    beta: Float64, height_m: Float64, fraction_precipitation: Float64, *, is_calibrated: bool
) -> NDArray[np.bool_]:
    """(T,) rain or snow: said by the instrument, or a rain-strength column from the ground to `RAIN_DEPTH_M`."""
    wet = fraction_precipitation >= MAJORITY
    column = (height_m > FOG_TOP_M) & (height_m < RAIN_DEPTH_M)
    if is_calibrated and column.any():
        with np.errstate(invalid="ignore"):
            strong = beta[:, column] > RAIN_BETA
        wet = wet | (strong.mean(axis=1) > 0.9)
    return np.asarray(wet)


def min_height_m(instrument: str, configured_m: float | None) -> float:
    """Lowest height to search: the site's, or the instrument's."""
    return configured_m if configured_m is not None else MIN_HEIGHT_M.get(instrument, DEFAULT_MIN_HEIGHT_M)


def calibration(instrument: str, configured: float | None) -> tuple[float, bool]:
    """Factor from the file's unit to m-1 sr-1, and whether it is known rather than typical or 1."""
    if configured is not None:
        return configured, True
    return TYPICAL_CALIBRATION.get(instrument, 1.0), False
