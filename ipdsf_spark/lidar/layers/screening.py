"""What must not be mistaken for a layer top: fog, rain, snow and the blind zone of the near range.

beta[time, gate] in m-1 sr-1 averaged over the interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.profiles import Float64

FOG_BETA: Final = 10**-4.75  # m-1 sr-1; fog in the lowest gates (a-trous feature detection, Argonne 2023)
HAZE_BETA: Final = 6e-6  # m-1 sr-1; with the instrument's word for fog
FOG_BASE_M: Final = 200.0  # a cloud base up to here is fog to a boundary-layer retrieval
BEHIND_FOG_M: Final = (400.0, 1000.0)  # what can no longer be seen through fog
LOST: Final = 0.05  # of the signal of the lowest gates
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


class Columns(NamedTuple):
    """Where fog and rain are looked for.

    Attributes:
        gate_m: (G,) heights of all gates.
        fog, rain: gates that are looked at for them.
        rain_m: heights of the latter.
    """

    gate_m: Float64
    fog: slice
    rain: slice
    rain_m: Float64

    @classmethod
    def of(cls, gate_m: Float64) -> Columns:
        """Those of gates at these heights."""
        rain = _between(gate_m, *RAIN_LOOK_M)
        return cls(gate_m, _between(gate_m, *FOG_LOOK_M), rain, gate_m[rain])


def weather(
    averages: Sequence[Any], beta: Float64, columns: Columns, cloud_m: Float64, cover: Float64, *, has_level: bool
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(T,) fog and (T,) precipitation of averages of one geometry.

    Args:
        averages: what the instrument says.
        beta: (T, G) their mean.
        columns: where to look.
        cloud_m: (T,) lowest cloud base.
        cover: (T,) share of profiles that have it.
        has_level: beta is in m-1 sr-1.
    """
    said = np.array(
        [
            (
                average.num_fog,
                average.num_precipitation,
                np.searchsorted(average.cloud_base_m, FOG_BASE_M, side="right"),
                average.num_profiles,
            )
            for average in averages
        ],
        np.float64,
    )
    share = said[:, :3] / said[:, 3:]
    nothing = slice(0, 0)
    wet = is_precipitation(
        share[:, 1],
        beta[:, columns.rain if has_level else nothing],
        columns.rain_m if has_level else columns.rain_m[:0],
        cloud_m,
        cover,
    )
    low = beta[:, columns.fog]
    fog = is_fog(share[:, 0], share[:, 2], low, is_beam_lost(beta, columns.gate_m), has_level=has_level)
    fog &= ~wet | (share[:, 0] >= MAJORITY)  # strong rain is as bright as fog
    return fog, wet


def is_fog(
    fraction_fog: Float64,
    fraction_low_base: Float64,
    low_beta: Float64,
    beam_lost: NDArray[np.bool_],
    *,
    has_level: bool = True,
) -> NDArray[np.bool_]:
    """(T,) fog: a cloud base on the ground, a signal as of fog, or the instrument's word where the signal bears it out.

    Args:
        fraction_fog: (T,) share of profiles that the instrument calls fog or full obscuration.
        fraction_low_base: (T,) share of profiles with a cloud base up to `FOG_BASE_M`.
        low_beta: (T, n) the gates of `FOG_LOOK_M`.
        beam_lost: (T,) nothing comes back from above the fog.
        has_level: `low_beta` is in m-1 sr-1.
    """
    is_said = fraction_fog >= MAJORITY
    fog: NDArray[np.bool_] = (fraction_low_base >= MAJORITY) | (is_said & beam_lost)
    if has_level and low_beta.shape[1] > 1:
        # two gates together, so that one bad gate is no fog
        brightest = np.fmax.reduce(np.fmin(low_beta[:, 1:], low_beta[:, :-1]), axis=1)
        fog |= brightest > FOG_BETA
        fog |= is_said & (brightest > HAZE_BETA)
    return fog


def is_beam_lost(beta: Float64, gate_m: Float64) -> NDArray[np.bool_]:
    """(T,) whether the signal from `BEHIND_FOG_M` is next to nothing beside that from the lowest gates."""
    low = _between(gate_m, *FOG_LOOK_M)
    high = _between(gate_m, *BEHIND_FOG_M)
    if low.stop <= low.start or high.stop <= high.start:
        return np.zeros(len(beta), bool)
    near = np.fmax.reduce(beta[:, low], axis=1)
    far = np.nan_to_num(beta[:, high]).mean(axis=1)
    return np.asarray(~(far > LOST * near))


def _between(height_m: Float64, low_m: float, high_m: float) -> slice:
    return slice(int(np.searchsorted(height_m, low_m)), int(np.searchsorted(height_m, high_m)))


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
