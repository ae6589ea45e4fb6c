"""Absorption by water vapour on the way to a cloud and back, at about 910 nm.

    T² = 1 - 0.17 w^0.52        w: precipitable water below the cloud [cm]

(Markowicz et al. 2008, J. Atmos. Ocean. Technol. 25, 928, as used by Hopkin et al. 2019, Atmos. Meas. Tech. 12, 4131,
and within 2 % of the spectral calculation of Wiegner and Gasteiger 2015, Atmos. Meas. Tech. 8, 3971.) Water vapour
decreases with height with a scale of 2 km.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from ipdsf_spark.lidar.profiles import Float64
from ipdsf_spark.lidar.site import Site

ABSORBING_NM: Final = (895.0, 930.0)
SCALE_M: Final = 2000.0
MM_PER_CM: Final = 10.0
WARMEST_DAY: Final = 205.0  # of the year, north of the equator
DAYS_PER_YEAR: Final = 365.25
LEAST: Final = 0.2  # below, the formula has left what it was fitted to


def is_absorbing(wavelength_nm: float) -> bool:
    """Whether the laser lies in the band."""
    return bool(ABSORBING_NM[0] <= wavelength_nm <= ABSORBING_NM[1])


def precipitable_mm(site: Site, day: int) -> float | None:
    """The site's precipitable water on a day [mm], None where the table of sites does not say.

    Args:
        site: its mean over the year, and the amplitude of the yearly cycle.
        day: since 1970.
    """
    if site.precipitable_water_mm is None:
        return None
    of_year = float(day % DAYS_PER_YEAR)
    sign = -1.0 if site.latitude_deg < 0.0 else 1.0
    cycle = sign * float(np.cos(2.0 * np.pi * (of_year - WARMEST_DAY) / DAYS_PER_YEAR))
    return max(site.precipitable_water_mm + site.precipitable_water_amplitude_mm * cycle, 0.0)


def transmission_squared(precipitable_water_mm: float, height_m: Float64) -> Float64:
    """(G,) two-way transmission from the ground to heights above it.

    Args:
        precipitable_water_mm: of the whole column.
        height_m: (G,) above the instrument.
    """
    below_cm = precipitable_water_mm / MM_PER_CM * (1.0 - np.exp(-np.maximum(height_m, 0.0) / SCALE_M))
    return np.asarray(np.maximum(1.0 - 0.17 * below_cm**0.52, LEAST))
