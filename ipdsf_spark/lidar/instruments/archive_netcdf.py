"""Ceilometer profiles as three archives rewrite them: Cloudnet lidar files, cl2nc, and NOAA's CL51 cloud product.

Cloudnet (netCDF convention of the data portal): `beta_raw` [m-1 sr-1] on gate centres, hours since the day began,
maker and model in `source`; neither cloud bases nor status. cl2nc (README): Vaisala messages variable by variable,
backscatter per km, gates told by `vertical_resolution`. NOAA: counts of 1e-8 m-1 sr-1 under a unit that says
``10e-9 m^-1 sr^-1``, cloud bases (`cloud_base`, since version 1.1 `cloud_data`) that mean visibility under status 4.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.containers import cf, cf_time
from ipdsf_spark.lidar.containers.container import Damage, Dataset, NotUnderstood, Variable
from ipdsf_spark.lidar.instruments import axes, fields, units, vaisala_cl
from ipdsf_spark.lidar.profiles import Float32, Float64, Profiles

FULL_OBSCURATION: Final = 4
NEAR_GATES: Final = 100
_SIGNALS: Final = ("beta_raw", "backscatter", "backscatter_profile")
_ASSUMED: Final = {"backscatter": 1e-3, "backscatter_profile": vaisala_cl.UNIT_PER_COUNT}  # m-1 sr-1: where no unit is
_BASES: Final = ("cloud_base", "cloud_data")
_MAKERS: Final = ("Vaisala", "Lufft", "Campbell", "Sigma")
_HEALTH: Final = {
    "window_transmission": "window_transmission_percent",
    "pulse_energy": "laser_energy_percent",
    "laser_temperature": "laser_temperature_celsius",
    "background_light": "background_mv",
    "backscatter_sum": "beta_sum_sr",
    "detection_status": "detection_status",
}


def recognise(dataset: Dataset) -> str | None:
    """Maker and model, or None for a file of another kind."""
    names = dataset.variables
    source = " ".join(dataset.text("source").split()[:2])
    if "beta_raw" in names and dataset.text("cloudnet_file_type") == "lidar" and "range" in names:
        return source if source.startswith(_MAKERS) else "Cloudnet lidar"
    if "backscatter" in names and "vertical_resolution" in names and "cbh_1" in names:
        return "Vaisala CL31" if dataset.require("backscatter").shape[-1:] == (770,) else "Vaisala CL51"
    if "backscatter_profile" in names and "range" in names and any(name in names for name in _BASES):
        return source if source.startswith(_MAKERS) else "Vaisala CL51"
    return None


def profiles(dataset: Dataset, damage: list[Damage]) -> Profiles:
    """The profiles of a file.

    Args:
        dataset: an open file.
        damage: receives the stretches of time or backscatter that could not be read; their rows are NaN.

    Raises:
        NotUnderstood: an axis or the backscatter is missing or makes no sense.
    """
    time = cf_time.times(dataset.require("time"), damage)
    num_profiles = len(time)
    signal = dataset.require(next(name for name in _SIGNALS if name in dataset.variables))
    range_m, resolution_m = _axis(dataset, signal, num_profiles)
    fields.check_profiles(num_profiles, len(range_m))
    stored = cf.physical32(signal, damage=damage)
    values = fields.by_time(signal, stored, "time", num_profiles, len(range_m))
    beta = values * np.float32(_factor(dataset, signal, values))
    is_obscured = _is_obscured(dataset, num_profiles)
    bases, visibility_m = _clouds(dataset, num_profiles, is_obscured)
    angle = next((name for name in ("zenith_angle", "tilt_angle") if name in dataset.variables), "")
    wavelength_nm = fields.scalar(dataset, "wavelength")
    return Profiles(
        instrument=recognise(dataset) or "Vaisala CL51",
        message_type=_message_type(signal),
        time=time,
        range_m=range_m,
        range_resolution_m=resolution_m,
        beta=beta,
        is_calibrated=True,
        wavelength_nm=vaisala_cl.WAVELENGTH_NM if np.isnan(wavelength_nm) else wavelength_nm,
        cloud_base_m=bases,
        vertical_visibility_m=visibility_m,
        maker_layer_height_m=np.empty((num_profiles, 0), np.float32),
        sky_cover_octas=_cover(dataset, num_profiles),
        sky_base_m=fields.layers_m(dataset, "layer_height", num_profiles),
        is_precipitation=np.zeros(num_profiles, bool),
        is_fog=is_obscured | np.isfinite(visibility_m),
        tilt_deg=fields.tilt_deg(dataset, angle, num_profiles),
        alarms=_alarms(dataset, num_profiles),
        health={
            key: fields.column(dataset, name, num_profiles)
            for name, key in _HEALTH.items()
            if name in dataset.variables
        },
        latitude_deg=fields.scalar(dataset, "latitude"),
        longitude_deg=fields.scalar(dataset, "longitude"),
        altitude_m=fields.scalar(dataset, "altitude"),
        identity=fields.identity(dataset, "serial_number"),
    )


def _message_type(signal: Variable) -> str:
    return {"beta_raw": "Cloudnet lidar", "backscatter": "cl2nc", "backscatter_profile": "NOAA CL51"}[signal.name]


def _axis(dataset: Dataset, signal: Variable, num_profiles: int) -> tuple[Float64, float]:
    if "range" in dataset.variables:
        return axes.range_axis(dataset, "range")
    stored = fields.scalar(dataset, "vertical_resolution")
    resolution_m = round(float(fields.in_metres(dataset, "vertical_resolution", stored)), 3)
    if not 1.0 <= resolution_m <= 100.0:
        raise NotUnderstood("vertical_resolution is missing or makes no sense")
    num_gates = fields.num_gates_of(signal, num_profiles)
    fields.check_profiles(1, num_gates)
    return (np.arange(num_gates, dtype=np.float64) + 0.5) * resolution_m, resolution_m


def _factor(dataset: Dataset, signal: Variable, values: Float32) -> float:
    unit = signal.text("units")
    factor, remark = units.backscatter_factor(
        signal.name, unit, values[:, :NEAR_GATES], assumed=_ASSUMED.get(signal.name, 1.0)
    )
    if remark:
        dataset.note(remark)
    return factor


def _is_obscured(dataset: Dataset, num_profiles: int) -> NDArray[np.bool_]:
    is_obscured: NDArray[np.bool_] = fields.column(dataset, "cloud_status", num_profiles) == FULL_OBSCURATION
    return is_obscured


def _clouds(dataset: Dataset, num_profiles: int, is_obscured: NDArray[np.bool_]) -> tuple[Float32, Float32]:
    """Cloud bases and vertical visibility [m], never one for the other."""
    name = next((name for name in _BASES if name in dataset.variables), None)
    if name is not None:
        found = fields.layers_m(dataset, name, num_profiles)
        bases = np.where(is_obscured[:, None], np.float32(np.nan), found)
        return bases, np.where(is_obscured, found[:, 0], np.float32(np.nan))
    layers = [fields.layers_m(dataset, f"cbh_{layer}", num_profiles)[:, 0] for layer in (1, 2, 3)]
    visibility = fields.layers_m(dataset, "vertical_visibility", num_profiles, lowest=0.1)[:, 0]
    return np.stack(layers, axis=1), visibility


def _cover(dataset: Dataset, num_profiles: int) -> Float32:
    cover = fields.heights(fields.layers(dataset, "layer_cloud_amount", num_profiles))
    return np.where(cover <= 8, cover, np.float32(np.nan))


def _alarms(dataset: Dataset, num_profiles: int) -> tuple[tuple[str, ...], ...]:
    words = [
        np.nan_to_num(fields.column(dataset, f"status_{name}", num_profiles)).astype(np.int64)
        for name in ("alarm", "warning", "internal")
    ]
    codes = (words[0] & 0xFFFF) << 32 | (words[1] & 0xFFFF) << 16 | (words[2] & 0xFFFF)
    return tuple(vaisala_cl.status_names(code) if code else () for code in codes.tolist())
