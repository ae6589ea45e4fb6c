"""What the rules of classification look at: calibrated backscatter with its noise, from profiles or from averages.

The two ways into one set of rules. T profiles or intervals, G gates along the beam.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.aerosol.molecular import molecular_profiles, standard_atmosphere
from ipdsf_spark.lidar.averages.average import Average
from ipdsf_spark.lidar.layers import screening
from ipdsf_spark.lidar.profiles import Float64, Profiles, Time
from ipdsf_spark.lidar.signal import noise_at_unit_range
from ipdsf_spark.lidar.site import Site
from ipdsf_spark.lidar.targets.classes import TargetFlag
from ipdsf_spark.lidar.targets.returns import gates_in, moving_mean

DETECTION_M: Final = 60.0  # faint signal is looked for in means over this length ...
DETECTION_S: Final = 300.0  # ... and over the profiles of this time
LEAST_RANGE_M: Final = 4000.0
LEAST_LASER_PERCENT: Final = 40.0  # below, a CL61 no longer compensates, and depolarisation is off by up to .1
FACTORY_SCALED: Final = ("Vaisala", "Campbell")
DEFAULT_WAVELENGTH_NM: Final = 1064.0
WAVELENGTHS_NM: Final = (230.0, 1690.0)
SECOND_US: Final = 1_000_000


@dataclass(frozen=True, eq=False)
class Column:
    """Profiles of one instrument on one set of gates.

    Attributes:
        time: (T,) UTC.
        range_m: (G,) gate centres along the beam, equally spaced.
        slant: vertical over slant distance, cosine of the tilt.
        beta: (T, G) attenuated backscatter [m-1 sr-1]; NaN where missing.
        noise: (T, G) its standard deviation; NaN where unknown.
        mean: (T, G) beta averaged over `DETECTION_M`, and over neighbouring profiles.
        mean_noise: (T, G) the standard deviation of `mean`.
        depolarisation: (T, G) linear depolarisation ratio, or None.
        clipped_from_m: (T,) range from which the signal is clipped; NaN where it is not.
        is_wet_said: (T,) the instrument says that it rains or snows.
        molecular: (G,) attenuated backscatter of air alone [m-1 sr-1].
        temperature_k: (G,) of the standard atmosphere, or shifted to a known one near the ground.
        lowest_m: lowest trustworthy range.
        instrument: maker and model.
        flags: (T,) what is known beforehand.
    """

    time: Time
    range_m: Float64
    slant: float
    beta: Float64
    noise: Float64
    mean: Float64
    mean_noise: Float64
    depolarisation: Float64 | None
    clipped_from_m: Float64
    is_wet_said: NDArray[np.bool_]
    molecular: Float64
    temperature_k: Float64
    lowest_m: float
    instrument: str
    flags: NDArray[np.int32]


def column_of_profiles(blocks: Sequence[Profiles], site: Site, *, surface_temperature_k: float | None = None) -> Column:
    """Profiles as files hold them, those without a time included.

    Args:
        blocks: of one instrument and one set of gates, at least one; in time order for faint signal to be seen in more
            than one profile.
        site: calibration, lowest height, altitude.
        surface_temperature_k: near the ground; None = the standard atmosphere's.
    """
    first = blocks[0]
    range_m = first.range_m
    factor, flags = _level(first.instrument, site, is_calibrated=first.is_calibrated)
    time = np.concatenate([block.time for block in blocks])
    raw = np.concatenate([block.beta for block in blocks])
    unit = noise_at_unit_range(raw, range_m) * factor
    noise = np.where(unit > 0.0, unit, np.nan)[:, None] * np.square(range_m)
    beta = raw.astype(np.float64) * factor
    tilts = np.concatenate([block.tilt_deg for block in blocks])
    tilts = tilts[np.isfinite(tilts)]
    slant = float(np.cos(np.radians(np.median(tilts)))) if tilts.size else 1.0
    gates = gates_in(DETECTION_M, _spacing_m(range_m, first.range_resolution_m))
    mean, count = _neighbours(moving_mean(beta, gates), time)
    low_laser = np.concatenate([_is_laser_low(block) for block in blocks])
    depolarisation = None
    if all(block.depolarisation is not None for block in blocks):
        ratios = np.concatenate([np.asarray(block.depolarisation) for block in blocks]).astype(np.float64)
        depolarisation = np.where(low_laser[:, None], np.nan, ratios)
    per_profile = np.full(len(time), int(flags), np.int32)
    per_profile[low_laser] |= int(TargetFlag.LOW_LASER)
    clipped = [
        np.full(len(block), np.nan) if block.clipped_from_m is None else block.clipped_from_m.astype(np.float64)
        for block in blocks
    ]
    return _column(
        time=time,
        range_m=range_m,
        slant=slant,
        beta=beta,
        noise=noise,
        mean=mean,
        mean_noise=noise / np.sqrt(gates * count),
        depolarisation=depolarisation,
        clipped_from_m=np.concatenate(clipped),
        is_wet_said=np.concatenate([block.is_precipitation for block in blocks]),
        flags=per_profile,
        site=site,
        instrument=first.instrument,
        wavelength_nm=float(first.wavelength_nm),
        surface_temperature_k=surface_temperature_k,
    )


def _is_laser_low(block: Profiles) -> NDArray[np.bool_]:
    """(T,) whether the laser is too weak for its depolarisation to be used."""
    if block.depolarisation is None or "laser_energy_percent" not in block.health:
        return np.zeros(len(block), bool)
    return np.asarray(block.health["laser_energy_percent"] < LEAST_LASER_PERCENT)


def column_of_averages(
    averages: Sequence[Average], site: Site, *, interval_s: int, surface_temperature_k: float | None = None
) -> Column:
    """The block grids of averages that have one geometry and one instrument: at least one.

    Args:
        averages: in time order.
        site: calibration, lowest height, altitude.
        interval_s: length of an interval.
        surface_temperature_k: near the ground; None = the standard atmosphere's.
    """
    first = averages[0]
    factor, flags = _level(first.instrument, site, is_calibrated=first.is_calibrated)
    range_m = first.block_range_m
    beta = np.array([average.block_mean() for average in averages]) * factor
    unit = np.array([average.sigma_unit for average in averages]) * factor / np.sqrt(first.block_gates)
    noise = np.where(unit > 0.0, unit, np.nan)[:, None] * np.square(range_m)
    depolarisation = None
    if first.block_cross is not None:
        rows = [average.block_depolarisation() for average in averages]
        depolarisation = np.array([np.full(range_m.size, np.nan) if row is None else row for row in rows])
    per_interval = np.full(len(averages), int(flags), np.int32)
    for row, average in enumerate(averages):
        laser = average.health.get("laser_energy_percent")
        if depolarisation is not None and laser is not None and laser.mean < LEAST_LASER_PERCENT:
            depolarisation[row] = np.nan
            per_interval[row] |= int(TargetFlag.LOW_LASER)
        if average.num_profiles > 1:
            span_s = (average.times[-1] - average.times[0]) / SECOND_US
            if span_s * average.num_profiles / (average.num_profiles - 1) < interval_s / 2:
                per_interval[row] |= int(TargetFlag.FEW_PROFILES)
    slant = float(np.cos(np.radians(first.tilt_deg)))
    return _column(
        time=np.array([average.index * interval_s * SECOND_US for average in averages]).astype("datetime64[us]"),
        range_m=range_m,
        slant=slant,
        beta=beta,
        noise=noise,
        mean=beta,
        mean_noise=noise,
        depolarisation=depolarisation,
        clipped_from_m=np.array([_clipped(average) for average in averages]),
        is_wet_said=np.array([2 * average.num_precipitation >= average.num_profiles for average in averages]),
        flags=per_interval,
        site=site,
        instrument=first.instrument,
        wavelength_nm=float(first.wavelength_nm),
        surface_temperature_k=surface_temperature_k,
    )


def _column(
    *,
    time: Time,
    range_m: Float64,
    slant: float,
    beta: Float64,
    noise: Float64,
    mean: Float64,
    mean_noise: Float64,
    depolarisation: Float64 | None,
    clipped_from_m: Float64,
    is_wet_said: NDArray[np.bool_],
    flags: NDArray[np.int32],
    site: Site,
    instrument: str,
    wavelength_nm: float,
    surface_temperature_k: float | None,
) -> Column:
    wavelength_nm = site.wavelength_nm or wavelength_nm
    if not WAVELENGTHS_NM[0] <= wavelength_nm <= WAVELENGTHS_NM[1]:
        wavelength_nm = DEFAULT_WAVELENGTH_NM
        flags |= int(TargetFlag.NO_WAVELENGTH)
    if not range_m.size or range_m[-1] < LEAST_RANGE_M:
        flags |= int(TargetFlag.SHORT_RANGE)
    if depolarisation is None:
        flags |= int(TargetFlag.PHASE_BY_TEMPERATURE)
    flags[~np.isfinite(noise).any(axis=1)] |= int(TargetFlag.NOISE_UNKNOWN)
    altitude_m = site.altitude_m if np.isfinite(site.altitude_m) else 0.0
    grid = (float(range_m[0]) if range_m.size else 0.0, _spacing_m(range_m, 1.0), range_m.size)
    molecular, temperature_k = _air(wavelength_nm, *grid, slant, altitude_m, surface_temperature_k)
    return Column(
        time=time,
        range_m=range_m,
        slant=slant,
        beta=beta,
        noise=noise,
        mean=mean,
        mean_noise=mean_noise,
        depolarisation=depolarisation,
        clipped_from_m=clipped_from_m,
        is_wet_said=is_wet_said,
        molecular=molecular,
        temperature_k=temperature_k,
        lowest_m=screening.min_height_m(instrument, site.min_height_m) / slant,
        instrument=instrument,
        flags=flags,
    )


@lru_cache(maxsize=64)
def _air(
    wavelength_nm: float,
    first_m: float,
    spacing_m: float,
    gates: int,
    slant: float,
    altitude_m: float,
    surface_temperature_k: float | None,
) -> tuple[Float64, Float64]:
    """(G,) attenuated backscatter of air alone [m-1 sr-1] and its temperature [K], the same in every batch."""
    height_m = (first_m + spacing_m * np.arange(gates, dtype=np.float64)) * slant
    air, extinction = molecular_profiles(wavelength_nm, height_m, altitude_m, None, surface_temperature_k)
    molecular = air * np.exp(-2.0 * spacing_m * np.cumsum(extinction))
    temperature_k = standard_atmosphere(height_m, altitude_m, None, surface_temperature_k)[1]
    molecular.flags.writeable = temperature_k.flags.writeable = False
    return molecular, temperature_k


def _level(instrument: str, site: Site, *, is_calibrated: bool) -> tuple[float, TargetFlag]:
    """Factor to m-1 sr-1, and what is known of it."""
    factor, is_certain = screening.calibration(instrument, site.calibration, is_calibrated=is_calibrated)
    if not is_certain:
        return factor, TargetFlag.TYPICAL_CALIBRATION if factor != 1.0 else TargetFlag.NO_LEVEL
    is_factory = site.calibration is None and instrument.startswith(FACTORY_SCALED)
    return factor, TargetFlag.FACTORY_CALIBRATION if is_factory else TargetFlag(0)


def _clipped(average: Average) -> float:
    """Range from which most profiles of an interval are clipped; NaN if most are not."""
    heights_m = average.clipped_from_m
    if 2 * heights_m.size < average.num_profiles:
        return float("nan")
    return float(heights_m[(average.num_profiles - 1) // 2 if heights_m.size > average.num_profiles // 2 else -1])


def _neighbours(values: Float64, time: Time) -> tuple[Float64, Float64]:
    """(T, G) mean over the profiles within `DETECTION_S`, and (T, 1) how many they are; never across a gap."""
    num = len(values)
    count = np.ones((num, 1))
    if num < 3 or np.isnat(time).any():
        return values, count
    steps_s = np.diff(time.astype("datetime64[us]")) / np.timedelta64(1, "s")
    typical_s = float(np.median(steps_s))
    if not 0.0 < typical_s < DETECTION_S / 2:
        return values, count
    width = gates_in(DETECTION_S, typical_s)
    mean = values.copy()
    cuts = np.flatnonzero((steps_s > DETECTION_S) | (steps_s < 0.0)) + 1
    at = 0
    for stop in [*cuts.tolist(), num]:
        mean[at:stop] = moving_mean(values[at:stop].T, width).T
        inside = np.arange(stop - at)
        half = width // 2
        count[at:stop, 0] = np.minimum(inside + half + 1, stop - at) - np.maximum(inside - half, 0)
        at = stop
    return mean, count


def _spacing_m(range_m: Float64, otherwise: float) -> float:
    return float(range_m[1] - range_m[0]) if range_m.size > 1 else otherwise
