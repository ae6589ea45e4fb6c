"""The factor from one opaque liquid cloud.

All that a beam loses in a liquid cloud it loses to droplets, of which a known share comes back: through a cloud that
extinguishes it the integral of the attenuated backscatter is

    B = 1 / (2 η S),        S = 18.8 ± 0.8 sr

(O'Connor, Illingworth and Hogan 2004, J. Atmos. Ocean. Technol. 21, 777; Hopkin et al. 2019, Atmos. Meas. Tech. 12,
4131). Whatever the instrument's unit, factor · integral = B. The integral runs over a fixed window, because what makers
call a cloud's base lies inside it. What is no such cloud is refused by tests on the shape of the profile alone, so that
no prior calibration enters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from ipdsf_spark.lidar.calibration import water_vapour
from ipdsf_spark.lidar.calibration.scattering import eta
from ipdsf_spark.lidar.profiles import Float64

LIDAR_RATIO_SR: Final = 18.8
LIDAR_RATIO_SIGMA: Final = 0.8 / 18.8
WINDOW_M: Final = (100.0, 2400.0)
PEAK_M: Final = (500.0, 2400.0)
BESIDE_M: Final = 300.0  # the strongest return is that narrow ...
SHARPNESS: Final = 20.0  # ... by this factor
AEROSOL_SHARE: Final = 0.05  # of the integral, from below the cloud
COLDEST_M: Final = 5400.0  # above sea level: -20 °C in the standard atmosphere


@dataclass(frozen=True)
class CloudSample:
    """What one profile through an opaque liquid cloud says.

    Attributes:
        factor: from the file's unit to m-1 sr-1.
        height_m: of the strongest return above the instrument.
        has_own_eta: multiple scattering is that of this instrument.
        has_water_vapour: absorption is corrected, or there is none at this wavelength.
    """

    factor: float
    height_m: float
    has_own_eta: bool
    has_water_vapour: bool


def cloud_sample(
    beta: Float64,
    height_m: Float64,
    length_m: float,
    *,
    instrument: str,
    wavelength_nm: float,
    precipitable_water_mm: float | None = None,
    altitude_m: float = 0.0,
) -> CloudSample | None:
    """The factor from one profile, or None if it shows no opaque liquid cloud.

    Args:
        beta: (G,) attenuated backscatter in any unit.
        height_m: (G,) gate centres above the instrument.
        length_m: of a gate along the beam.
        instrument: maker and model.
        wavelength_nm: of the laser.
        precipitable_water_mm: of the column; None where unknown.
        altitude_m: of the station above sea level.
    """
    gates = (height_m >= WINDOW_M[0]) & (height_m <= WINDOW_M[1])
    if not gates.any() or height_m[-1] < WINDOW_M[1] or not np.isfinite(beta[gates]).any():
        return None
    peak = int(np.nanargmax(np.where(gates, beta, -np.inf)))
    if not np.isfinite(beta[gates & (height_m <= height_m[peak])]).all():
        return None
    beta = np.nan_to_num(beta)  # archives mask what lies behind an opaque cloud
    peak_m = float(height_m[peak])
    if not PEAK_M[0] <= peak_m <= PEAK_M[1] or peak_m + altitude_m > COLDEST_M or not beta[peak] > 0.0:
        return None
    below, above = (int(np.searchsorted(height_m, peak_m + step)) for step in (-BESIDE_M, BESIDE_M))
    if above >= beta.size or not SHARPNESS * max(float(beta[below]), float(beta[above])) < beta[peak]:
        return None
    is_corrected = True
    seen = beta
    if water_vapour.is_absorbing(wavelength_nm):
        is_corrected = precipitable_water_mm is not None
        if precipitable_water_mm is not None:
            seen = beta / water_vapour.transmission_squared(precipitable_water_mm, height_m)
    integral = float(seen[gates].sum()) * length_m
    haze = float(seen[gates & (height_m < peak_m - BESIDE_M)].sum()) * length_m
    if not integral > 0.0 or haze > AEROSOL_SHARE * integral:
        return None
    scattering, is_own = eta(instrument, peak_m)
    return CloudSample(1.0 / (2.0 * scattering * LIDAR_RATIO_SR * integral), peak_m, is_own, is_corrected)
