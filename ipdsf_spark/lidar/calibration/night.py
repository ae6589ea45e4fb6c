"""Clear intervals of a night are summed until it is over, and then looked at for the return of air."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from ipdsf_spark.lidar.aerosol.molecular import molecular_profiles
from ipdsf_spark.lidar.averages.average import Average
from ipdsf_spark.lidar.calibration.flags import CalibrationFlag
from ipdsf_spark.lidar.calibration.rayleigh import DEPTHS_M, LOOK_M, rayleigh_sample
from ipdsf_spark.lidar.calibration.state import CalibrationState, Night
from ipdsf_spark.lidar.layers import screening
from ipdsf_spark.lidar.layers.ceiling import Ceiling
from ipdsf_spark.lidar.layers.sun import sun_prior
from ipdsf_spark.lidar.profiles import Float64
from ipdsf_spark.lidar.site import Site

NIGHT_S: Final = 10_800  # of clear night that the return of air needs
LEAST_INTERVALS: Final = 24  # in it
NIGHT_TOP_M: Final = 8000.0
NIGHT_GAP_S: Final = 3600
NIGHT_MOST_S: Final = 43_200  # in polar night, or where the place is unknown, a night is looked at after so long
CLOUD_TEST: Final = 25.0  # a block that exceeds the mean of its neighbours by this factor is no clear air
OVERLAP_SIGMA: Final = 0.03  # relative; what the overlap and its correction leave in a factor from one night


def take_night(
    known: CalibrationState,
    site: Site,
    average: Average,
    beta: Float64,
    first_m: float,
    length_m: float,
    interval_s: int,
) -> bool:
    """Add a clear interval of the night, or look at the night that has ended."""
    night = known.night
    gates = int(np.searchsorted(first_m + length_m * np.arange(beta.size), NIGHT_TOP_M))
    part = beta[:gates]
    is_night = _is_night(site, average.index * interval_s)
    is_clear = is_night and _is_clear(average, part) and average.num_noise > 0
    is_other = night.num > 0 and (
        is_over(night, average.index, interval_s)
        or (average.index - night.first_index) * interval_s >= NIGHT_MOST_S
        or night.total.size != part.size
        or abs(night.first_m - first_m) > 1.0
    )
    has_sample = False
    if night.num and (is_other or not is_night):
        has_sample = end_of_night(known, site, interval_s)
        night = known.night
    if is_clear:
        if not night.num:
            night.total, night.first_m, night.length_m = np.zeros(part.size), first_m, length_m
            night.wavelength_nm = site.wavelength_nm or average.wavelength_nm
            night.lowest_m = screening.min_height_m(average.instrument, site.min_height_m)
            night.first_index = average.index
        night.total = night.total + part
        night.variance += average.sigma_unit**2 / average.block_gates
        night.num += 1
        night.last_index = average.index
    return has_sample


def is_over(night: Night, index: int, interval_s: int) -> bool:
    """Whether a night's last clear interval lies too far back for it to go on."""
    return night.num > 0 and (index - night.last_index) * interval_s > NIGHT_GAP_S


def _is_night(site: Site, second: float) -> bool:
    """Without coordinates any hour: the sun's noise then keeps the day out."""
    prior = sun_prior(second, (site.latitude_deg, site.longitude_deg), Ceiling(), site.max_height_m)
    return not prior.is_known or not prior.is_day


def _is_clear(average: Average, beta: Float64) -> bool:
    """No cloud in the maker's word, and none that stands out of the profile; gates all there."""
    if (average.cloud_base_m.size and average.cloud_base_m[0] < NIGHT_TOP_M) or average.num_fog:
        return False
    if not np.isfinite(beta).all() or beta.size < 10:
        return False
    typical = float(np.median(np.abs(beta)))
    return bool(beta[5:].max() < CLOUD_TEST * typical) if typical > 0.0 else False


def end_of_night(known: CalibrationState, site: Site, interval_s: int) -> bool:
    """Look for the return of air in the night that is over; whether it was seen."""
    night, known.night = known.night, Night()
    length_s = (night.last_index - night.first_index + 1) * interval_s
    if length_s < NIGHT_S or night.num < LEAST_INTERVALS:
        return False
    height_m = night.first_m + night.length_m * np.arange(night.total.size, dtype=np.float64)
    if height_m[-1] < LOOK_M[0] + DEPTHS_M[-1]:
        return False
    altitude_m = site.altitude_m if math.isfinite(site.altitude_m) else 0.0
    sample = rayleigh_sample(
        night.total / night.num,
        np.sqrt(night.variance) / night.num * np.square(height_m),
        height_m,
        *molecular_profiles(night.wavelength_nm, height_m, altitude_m),
        lowest_m=night.lowest_m,
    )
    if sample is None:
        return False
    # Particles aloft are much the same in the nights of a day: they make none of them count less.
    weight = 1.0 / (sample.sigma**2 - sample.particles**2 + OVERLAP_SIGMA**2)
    day = known.day
    day.num_rayleigh += 1
    day.rayleigh += weight * math.log(sample.factor)
    day.rayleigh_weight += weight
    day.particles += weight * sample.particles
    day.notes |= CalibrationFlag.RAYLEIGH
    return True
