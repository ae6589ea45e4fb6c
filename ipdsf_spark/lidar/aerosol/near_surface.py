"""Mean extinction of particles near the ground from one averaged profile, or the reason why there is none.

Looked at is the layer from the lowest trustworthy gate up to 300 m, or to the top of the mixing layer where that is
lower. Below a low cloud a value needs evidence of dry aerosol: gates near the base are left out, and a signal as strong
as drizzle's gives none, because a column too short to tell rain from haze by its shape cannot (unless a hygrometer says
that the air is dry). Gates in which the overlap of laser and telescope is incomplete are left out (Hervo et al. 2016,
Atmos. Meas. Tech. 9, 2947).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from ipdsf_spark.lidar.aerosol.flags import REASONS, AirFlag
from ipdsf_spark.lidar.aerosol.inversion import LayerExtinction, layer_mean
from ipdsf_spark.lidar.aerosol.molecular import molecular_profiles
from ipdsf_spark.lidar.aerosol.types import AerosolType
from ipdsf_spark.lidar.profiles import Float64

LAYER_TOP_M: Final = 300.0
THINNEST_M: Final = 60.0  # a layer of fewer metres, or of one gate, is not a layer
BELOW_CLOUD_M: Final = 50.0  # a cloud begins this far below the reported base
# Below its base a mixed layer loses about 4 % of humidity in 100 m: nearer than this the particles are swollen, unless
# the humidity at the ground says that the air is dry.
HUMID_BELOW_CLOUD_M: Final = 250.0
DRY: Final = 0.8  # relative humidity
LOW_CLOUD_M: Final = 1500.0  # from a base up to here drizzle reaches the ground
DRIZZLE_BETA: Final = 5e-6  # m-1 sr-1; of a layer below a low cloud, where particles would be 100 ug/m3 and more
LEAST_SNR: Final = 3.0  # of the mean signal of the layer
CLIPPED_SHARE: Final = 0.5  # of the layer's gates exactly zero: the firmware clips weak signal
MOST_HUMIDITY: Final = 1.1  # of a hygrometer in fog; more is no humidity, and neither is 0
STRONGEST_PER_M: Final = 3e-3  # extinction; visibility below 1 km is fog whatever the instrument says
NOTHING: Final = AirFlag(0)
WATER_VAPOUR_NM: Final = (895.0, 930.0)  # lasers of Vaisala and Campbell ceilometers lie in an absorption band


@dataclass(frozen=True, eq=False)
class AerosolInterval:
    """One averaged profile, as the inversion needs it. Averages of 1 to 5 min.

    Attributes:
        start: of the interval, UTC, datetime64.
        beta: (G,) mean attenuated backscatter in the file's unit; NaN where a gate is missing or in cloud.
        variance: (G,) of the noise of `beta`.
        height_m: (G,) heights of the gates above the instrument, equally spaced.
        wavelength_nm: of the laser.
        min_height_m: lowest trustworthy height.
        calibration: factor to m-1 sr-1, or None where none is known.
        calibration_sigma: its relative standard deviation.
        cloud_base_m: lowest cloud base of the interval, NaN where none.
        is_fog, is_precipitation: in most profiles of the interval.
        mixing_height_m: NaN where unknown.
        relative_humidity: near the ground, 0 to 1; NaN where unknown, and what no air has counts as unknown.
        pressure_hpa, temperature_k: near the ground; NaN where unknown.
        flags: what is already known about the data, e.g. `AirFlag.FACTORY_CALIBRATION`.
    """

    start: np.datetime64
    beta: Float64
    variance: Float64
    height_m: Float64
    wavelength_nm: float
    min_height_m: float = 100.0
    calibration: float | None = 1.0
    calibration_sigma: float = 0.1
    cloud_base_m: float = float("nan")
    is_fog: bool = False
    is_precipitation: bool = False
    mixing_height_m: float = float("nan")
    relative_humidity: float = float("nan")
    pressure_hpa: float = float("nan")
    temperature_k: float = float("nan")
    flags: AirFlag = NOTHING


@dataclass(frozen=True)
class NearSurface:
    """Extinction near the ground.

    Attributes:
        extinction: mean of the layer and its uncertainty, or None with a reason among the flags.
        bottom_m, top_m: of the layer; NaN where there is none.
        flags: reasons and notes.
    """

    extinction: LayerExtinction | None
    bottom_m: float
    top_m: float
    flags: AirFlag


def near_surface(
    interval: AerosolInterval,
    kind: AerosolType,
    *,
    altitude_m: float = 0.0,
    lidar_ratio_sr: float | None = None,
    layer_top_m: float = LAYER_TOP_M,
) -> NearSurface:
    """Extinction of particles near the ground.

    Args:
        interval: the averaged profile.
        kind: type of aerosol, for its lidar ratio and the spread of it.
        altitude_m: of the station above sea level.
        lidar_ratio_sr: measured at the site, instead of the type's.
        layer_top_m: upper end of the layer; at least `THINNEST_M` above the lowest trustworthy height.
    """
    flags = AirFlag(interval.flags)
    if WATER_VAPOUR_NM[0] <= interval.wavelength_nm <= WATER_VAPOUR_NM[1]:
        flags |= AirFlag.WITHOUT_WATER_VAPOUR
    flags |= _weather(interval) | _setup(interval)
    height_m, min_height_m = interval.height_m, interval.min_height_m
    top_m = max(layer_top_m, min_height_m + THINNEST_M)
    mixing_m = interval.mixing_height_m
    if mixing_m < top_m:
        if mixing_m < min_height_m + THINNEST_M:
            flags |= AirFlag.ABOVE_MIXING_LAYER
        else:
            top_m = mixing_m
    is_dry = known_humidity(interval.relative_humidity) < DRY
    if interval.cloud_base_m < LOW_CLOUD_M:
        flags |= AirFlag.BELOW_LOW_CLOUD
    clear_m = interval.cloud_base_m - (BELOW_CLOUD_M if is_dry else HUMID_BELOW_CLOUD_M)
    if clear_m < top_m:
        top_m = clear_m
        if top_m < min_height_m + THINNEST_M:
            flags |= AirFlag.CLOUD
    gates = (height_m >= min_height_m) & (height_m <= top_m)
    if np.count_nonzero(gates) < 2 and not flags & AirFlag.CLOUD:
        flags |= AirFlag.NO_GATE
    if flags & REASONS:
        return NearSurface(None, float("nan"), float("nan"), flags)
    factor = float(interval.calibration or 0.0)
    beta, variance = interval.beta[gates] * factor, interval.variance[gates] * factor**2
    flags |= _signal(beta, variance)
    if flags & AirFlag.BELOW_LOW_CLOUD and not is_dry and float(np.mean(beta)) > DRIZZLE_BETA:
        flags |= AirFlag.DROPLETS
    if flags & REASONS:
        return NearSurface(None, float("nan"), float("nan"), flags)
    air = molecular_profiles(
        interval.wavelength_nm,
        height_m[gates],
        altitude_m,
        _within(interval.pressure_hpa, 300.0, 1100.0),
        _within(interval.temperature_k, 180.0, 340.0),
    )
    ratio_sr, ratio_sigma_sr = kind.lidar_ratio_at(interval.wavelength_nm)
    if lidar_ratio_sr is not None:
        ratio_sr, ratio_sigma_sr = lidar_ratio_sr, 0.1 * lidar_ratio_sr
    else:
        flags |= AirFlag.ASSUMED_AEROSOL
    found = layer_mean(
        beta, variance, height_m[gates], top_m, ratio_sr, ratio_sigma_sr, interval.calibration_sigma, *air
    )
    if found is None or found.mean > STRONGEST_PER_M:
        return NearSurface(None, float("nan"), float("nan"), flags | AirFlag.ATTENUATED)
    if found.mean < -3.0 * found.noise - 0.5 * float(air[1][0]):
        flags |= AirFlag.IMPLAUSIBLE  # less than air alone scatters: the calibration or the offset is wrong
    return NearSurface(found, float(height_m[gates][0]), float(height_m[gates][-1]), flags)


def known_humidity(relative_humidity: float) -> float:
    """The relative humidity, 0 to 1, or NaN for what no air outdoors has: a sensor that says 0 says nothing."""
    return relative_humidity if 0.0 < relative_humidity <= MOST_HUMIDITY else float("nan")


def _weather(interval: AerosolInterval) -> AirFlag:
    flags = AirFlag(0)
    if interval.is_fog:
        flags |= AirFlag.FOG
    if interval.is_precipitation:
        flags |= AirFlag.PRECIPITATION
    return flags


def _setup(interval: AerosolInterval) -> AirFlag:
    flags = AirFlag(0)
    if interval.calibration is None or not 0.0 < interval.calibration < np.inf:
        flags |= AirFlag.UNCALIBRATED
    if not 230.0 <= interval.wavelength_nm <= 1690.0:
        flags |= AirFlag.NO_WAVELENGTH
    return flags


def _signal(beta: Float64, variance: Float64) -> AirFlag:
    """Whether the layer's gates hold a signal at all."""
    if not np.isfinite(beta).all() or np.count_nonzero(beta == 0.0) > CLIPPED_SHARE * beta.size:
        return AirFlag.NO_SIGNAL
    noise = float(np.sqrt(np.nansum(variance))) / beta.size
    return AirFlag(0) if float(np.mean(beta)) > LEAST_SNR * noise else AirFlag.NO_SIGNAL


def _within(value: float, low: float, high: float) -> float | None:
    """A measured value where it is possible, else None: the standard atmosphere's is used."""
    return value if low <= value <= high else None
