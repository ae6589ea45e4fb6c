"""E-PROFILE netCDF of any maker's instrument: level 1 (`rcs_0`) and level 2 (attenuated backscatter).

Level 1 counts gates along the beam (`range`) or, in files that were made over, above the sea (`altitude`); a MiniMPL
gives its two polarisations as `rcs_1` and `rcs_2`. Level 2 gives altitudes above sea level, already corrected for tilt,
and 1e-6 m-1 sr-1; pixels whose `quality_flag` is not 0 become NaN, profiles are kept. Either order of the axes is read,
told by their names where the lengths agree. `start_time` counts from another epoch than its unit says in files of 2026
and is not used.
"""

from __future__ import annotations

import re
from typing import Any, Final

import numpy as np

from ipdsf_spark.lidar.containers import cf, cf_time
from ipdsf_spark.lidar.containers.container import Damage, Dataset, NotUnderstood
from ipdsf_spark.lidar.instruments import axes, fields, units
from ipdsf_spark.lidar.instruments.lufft_chm import ERROR_BITS, FOG, FOG_VISIBILITY_M, PARTICLES, RAIN, SNOW, named_bits
from ipdsf_spark.lidar.profiles import Float32, Float64, Profiles

LEVEL_1: Final = "E-PROFILE L1"
LEVEL_2: Final = "E-PROFILE L2"
NEAR_GATES: Final = 100
FALLBACK: Final = "E-PROFILE ceilometer"

# What `instrument_type`, or failing that the title, says: maker, model and laser wavelength [nm].
_MODELS: Final = (
    (re.compile(r"chm\W?15k", re.I), "Lufft CHM15k", 1064.0),
    (re.compile(r"chm\W?8k", re.I), "Lufft CHM8k", 905.0),
    (re.compile(r"cl\W?31", re.I), "Vaisala CL31", 910.0),
    (re.compile(r"cl\W?51", re.I), "Vaisala CL51", 910.0),
    (re.compile(r"cl\W?61", re.I), "Vaisala CL61", 910.55),
    (re.compile(r"ct\W?25k", re.I), "Vaisala CT25K", 905.0),
    (re.compile(r"cs\W?135|skyvue", re.I), "Campbell CS135", 912.0),
    (re.compile(r"mini\W?mpl", re.I), "Sigma MiniMPL", 532.0),
    (re.compile(r"\bmpl", re.I), "Sigma MPL", 532.0),
    (re.compile(r"nimbus|chm", re.I), "Lufft CHM15k", 1064.0),
)
_HEALTH: Final = {
    "window_transmission": "window_transmission_percent",
    "status_laser": "laser_quality_percent",
    "status_detector": "detector_quality_percent",
    "laser_energy": "laser_energy_percent",
    "laser_life_time": "laser_hours",
    "laser_pulses": "laser_pulses",
    "bckgrd_rcs_0": "background",
    "stddev": "noise_counts",
    "calibration_constant_0": "calibration_constant",
}
_TEMPERATURES: Final = {
    "temperature_optical_module": "laser_temperature_celsius",
    "temperature_laser": "laser_temperature_celsius",
    "temperature_detector": "detector_temperature_celsius",
    "temp_int": "internal_temperature_celsius",
    "temp_ext": "external_temperature_celsius",
}


def recognise(dataset: Dataset) -> str | None:
    """Maker and model, or None for a file of another kind."""
    names = dataset.variables
    has_axis = any(name in names for name in ("range", "altitude"))
    if "attenuated_backscatter_0" not in names and not (has_axis and ("rcs_0" in names or "rcs_1" in names)):
        return None
    return _model(dataset)[0]


def profiles(dataset: Dataset, damage: list[Damage]) -> Profiles:
    """The profiles of a file.

    Args:
        dataset: an open file.
        damage: receives the stretches of time or signal that could not be read; their rows are NaN.

    Raises:
        NotUnderstood: an axis, the signal or (level 2) the station altitude is missing or makes no sense.
    """
    instrument, wavelength_nm = _model(dataset)
    is_level_2 = "attenuated_backscatter_0" in dataset.variables
    time = cf_time.times(dataset.require("time"), damage)
    num_profiles = len(time)
    range_m, resolution_m = _axis(dataset, is_level_2)
    fields.check_profiles(num_profiles, len(range_m))
    beta, is_calibrated = _signal(dataset, damage, is_level_2, num_profiles, len(range_m))
    visibility_m = _heights(dataset, ("vertical_visibility", "vor"), num_profiles, lowest=0.1)[:, 0]
    condition = np.nan_to_num(fields.column(dataset, "sci", num_profiles))
    cover = fields.layers(dataset, "cloud_amount", num_profiles)
    # Heights above the sea are vertical already.
    angle = "tilt_angle" if not is_level_2 and "range" in dataset.variables else ""
    codes = np.nan_to_num(fields.column(dataset, "error_ext", num_profiles)).astype(np.int64)
    stored_nm = fields.scalar(dataset, "l0_wavelength")
    return Profiles(
        instrument=instrument,
        message_type=LEVEL_2 if is_level_2 else LEVEL_1,
        time=time,
        range_m=range_m,
        range_resolution_m=resolution_m,
        beta=beta,
        is_calibrated=is_calibrated,
        wavelength_nm=stored_nm if 200.0 < stored_nm < 3000.0 else wavelength_nm,
        cloud_base_m=_heights(dataset, ("cloud_base_height",), num_profiles),
        vertical_visibility_m=visibility_m,
        maker_layer_height_m=_heights(dataset, ("pbl",), num_profiles),
        sky_cover_octas=np.where((cover >= 0) & (cover <= 8), cover, np.float32(np.nan)),
        sky_base_m=_sky_base(dataset, num_profiles, cover.shape[1]),
        is_precipitation=np.isin(condition, (RAIN, SNOW, PARTICLES)),
        is_fog=(condition == FOG) | (visibility_m < FOG_VISIBILITY_M),
        tilt_deg=fields.tilt_deg(dataset, angle, num_profiles),
        depolarisation=_depolarisation(dataset, num_profiles, len(range_m)),
        alarms=named_bits(ERROR_BITS, codes),
        health=_health(dataset, num_profiles),
        latitude_deg=fields.scalar(dataset, "station_latitude"),
        longitude_deg=fields.scalar(dataset, "station_longitude"),
        altitude_m=fields.scalar(dataset, "station_altitude"),
        identity=fields.identity(dataset, "instrument_serial_number"),
    )


def _model(dataset: Dataset) -> tuple[str, float]:
    for key in ("instrument_type", "title", "source", "comment"):
        told = dataset.text(key)
        for pattern, name, wavelength_nm in _MODELS:
            if pattern.search(told):
                return name, wavelength_nm
    return FALLBACK, float("nan")


def _axis(dataset: Dataset, is_level_2: bool) -> tuple[Float64, float]:
    if not is_level_2 and "range" in dataset.variables:
        return axes.range_axis(dataset, "range")
    station_m = float(fields.in_metres(dataset, "station_altitude", fields.scalar(dataset, "station_altitude")))
    if not -500.0 < station_m < 9000.0:
        raise NotUnderstood("station_altitude is missing, so heights above ground cannot be told")
    altitude_m = axes.along_m(dataset, "altitude") - station_m
    _, spacing_m = axes.regular_grid(altitude_m)
    return altitude_m, round(spacing_m, 3)


def _signal(
    dataset: Dataset, damage: list[Damage], is_level_2: bool, num_profiles: int, num_gates: int
) -> tuple[Float32, bool]:
    names = dataset.variables
    name = "attenuated_backscatter_0" if is_level_2 else "rcs_0" if "rcs_0" in names else "rcs_1"
    variable = dataset.require(name)
    beta = fields.by_time(variable, cf.physical32(variable, damage=damage), "time", num_profiles, num_gates)
    unit = variable.text("units")
    units.refuse_logarithm(name, unit)
    if not is_level_2:
        if name == "rcs_1" and "rcs_2" in names:
            across = dataset.require("rcs_2")
            stored = cf.physical32(across, damage=damage)
            # Total of a depolarising lidar: along + 2 across (Flynn et al. 2007, Opt. Express 15, 2785, eq. 5).
            beta = beta + 2.0 * fields.by_time(across, stored, "time", num_profiles, num_gates)
        if units.per_metre_steradian(unit) is None:
            return beta, False
        return _in_unit(dataset, name, unit, beta, 1.0), True
    if "quality_flag" in names:
        flag = dataset.require("quality_flag")
        flags = fields.by_time(flag, flag.read(damage), "time", num_profiles, num_gates)
        beta = np.where(flags == 0, beta, np.float32(np.nan))
    # Files of the archive say 1E-6; should one say nothing, aerosol is around 1 in that unit and 1e-6 without it.
    return _in_unit(dataset, name, unit, beta, 1e-6), True


def _in_unit(dataset: Dataset, name: str, unit: str, beta: Float32, assumed: float) -> Float32:
    factor, remark = units.backscatter_factor(name, unit, beta[:, :NEAR_GATES], assumed=assumed)
    if remark:
        dataset.note(remark)
    return beta if factor == 1.0 else beta * np.float32(factor)


def _heights(dataset: Dataset, names: tuple[str, ...], num_profiles: int, *, lowest: float = 0.0) -> Float32:
    name = next((name for name in names if name in dataset.variables), names[0])
    return fields.layers_m(dataset, name, num_profiles, lowest=lowest)


def _sky_base(dataset: Dataset, num_profiles: int, num_layers: int) -> Float32:
    base = _heights(dataset, ("clh",), num_profiles)
    return base if base.shape[1] == num_layers else np.full((num_profiles, num_layers), np.nan, np.float32)


def _depolarisation(dataset: Dataset, num_profiles: int, num_gates: int) -> Float32 | None:
    name = next((name for name in ("linear_depol_ratio", "depolarization_ratio") if name in dataset.variables), None)
    if name is None:
        return None
    values = cf.optional(dataset, name)
    if values is None or values.ndim != 2:
        return None
    return fields.by_time(dataset.require(name), values.astype(np.float32), "time", num_profiles, num_gates)


def _health(dataset: Dataset, num_profiles: int) -> dict[str, Float32]:
    health: dict[str, Any] = {}
    for name, key in _HEALTH.items():
        if name in dataset.variables:
            health[key] = fields.column(dataset, name, num_profiles)
    for name, key in _TEMPERATURES.items():
        if name in dataset.variables and key not in health:
            health[key] = fields.column(dataset, name, num_profiles) - np.float32(273.15)
    if "pbs" in dataset.variables:
        quality = fields.heights(fields.layers(dataset, "pbs", num_profiles))
        for layer in range(quality.shape[1]):
            health[f"maker_layer_{layer + 1}_quality"] = quality[:, layer]
    return health
