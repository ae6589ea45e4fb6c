"""Ceilometer profiles as three archives rewrite them: Cloudnet lidar files, cl2nc, and NOAA's CL51 cloud product.

Cloudnet (netCDF convention of the data portal): `beta_raw` [m-1 sr-1] on gate centres, hours since the day began,
maker and model in `source`; neither cloud bases nor status. cl2nc (README): Vaisala messages variable by variable,
backscatter per km, gates told by `vertical_resolution`. NOAA: counts of 1e-8 m-1 sr-1 under a unit that says
``10e-9 m^-1 sr^-1``, cloud bases that mean visibility under status 4.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.containers import container
from ipdsf_spark.lidar.containers.container import Damage, Dataset, UnreadableFile, Variable
from ipdsf_spark.lidar.instruments import vaisala_cl
from ipdsf_spark.lidar.profiles import Float32, Float64, Profiles

FULL_OBSCURATION: Final = 4
_SIGNALS: Final = ("beta_raw", "backscatter", "backscatter_profile")
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
    if "backscatter_profile" in names and "cloud_base" in names and "range" in names:
        return source if source.startswith(_MAKERS) else "Vaisala CL51"
    return None


def profiles(dataset: Dataset, damage: list[Damage]) -> Profiles:
    """The profiles of a file.

    Args:
        dataset: an open file.
        damage: receives the stretches of time or backscatter that could not be read; their rows are NaN.

    Raises:
        UnreadableFile: an axis or the backscatter is missing or makes no sense.
    """
    time = container.times(dataset.require("time"), damage)
    num_profiles = len(time)
    signal = dataset.require(next(name for name in _SIGNALS if name in dataset.variables))
    range_m, resolution_m = _axis(dataset, signal)
    container.check_profiles(num_profiles, len(range_m))
    stored = container.physical32(signal, damage=damage)
    beta = container.by_time(signal, stored, "time", num_profiles, len(range_m)) * np.float32(_unit(signal))
    is_obscured = _is_obscured(dataset, num_profiles)
    bases, visibility_m = _clouds(dataset, num_profiles, is_obscured)
    tilt = next((name for name in ("zenith_angle", "tilt_angle") if name in dataset.variables), "")
    wavelength_nm = container.scalar(dataset, "wavelength")
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
        sky_base_m=container.heights(container.layers(dataset, "layer_height", num_profiles)),
        is_precipitation=np.zeros(num_profiles, bool),
        is_fog=is_obscured | np.isfinite(visibility_m),
        tilt_deg=np.nan_to_num(container.column(dataset, tilt, num_profiles)),
        alarms=_alarms(dataset, num_profiles),
        health={
            key: container.column(dataset, name, num_profiles)
            for name, key in _HEALTH.items()
            if name in dataset.variables
        },
        latitude_deg=container.scalar(dataset, "latitude"),
        longitude_deg=container.scalar(dataset, "longitude"),
        altitude_m=container.scalar(dataset, "altitude"),
    )


def _message_type(signal: Variable) -> str:
    return {"beta_raw": "Cloudnet lidar", "backscatter": "cl2nc", "backscatter_profile": "NOAA CL51"}[signal.name]


def _axis(dataset: Dataset, signal: Variable) -> tuple[Float64, float]:
    if "range" in dataset.variables:
        first_m, spacing_m = container.regular_grid(container.physical(dataset.require("range")))
        return container.gate_centres(first_m, spacing_m, dataset.require("range").shape[0]), round(spacing_m, 3)
    resolution_m = container.scalar(dataset, "vertical_resolution")
    if not 1.0 <= resolution_m <= 100.0 or len(signal.shape) != 2:
        raise UnreadableFile("vertical_resolution is missing or makes no sense")
    container.check_profiles(1, signal.shape[1])
    return (np.arange(signal.shape[1]) + 0.5) * resolution_m, resolution_m


def _unit(signal: Variable) -> float:
    if signal.name == "backscatter_profile":
        return vaisala_cl.UNIT_PER_COUNT
    return 1e-3 if "km" in str(signal.attributes.get("units", "")) else 1.0


def _is_obscured(dataset: Dataset, num_profiles: int) -> NDArray[np.bool_]:
    is_obscured: NDArray[np.bool_] = container.column(dataset, "cloud_status", num_profiles) == FULL_OBSCURATION
    return is_obscured


def _clouds(dataset: Dataset, num_profiles: int, is_obscured: NDArray[np.bool_]) -> tuple[Float32, Float32]:
    """Cloud bases and vertical visibility [m], never one for the other."""
    if "cloud_base" in dataset.variables:
        found = container.heights(container.layers(dataset, "cloud_base", num_profiles))
        bases = np.where(is_obscured[:, None], np.float32(np.nan), found)
        return bases, np.where(is_obscured, found[:, 0], np.float32(np.nan))
    layers = [container.heights(container.column(dataset, f"cbh_{layer}", num_profiles)) for layer in (1, 2, 3)]
    visibility = container.heights(container.column(dataset, "vertical_visibility", num_profiles), lowest=0.1)
    return np.stack(layers, axis=1), visibility


def _cover(dataset: Dataset, num_profiles: int) -> Float32:
    cover = container.heights(container.layers(dataset, "layer_cloud_amount", num_profiles))
    return np.where(cover <= 8, cover, np.float32(np.nan))


def _alarms(dataset: Dataset, num_profiles: int) -> tuple[tuple[str, ...], ...]:
    words = [
        np.nan_to_num(container.column(dataset, f"status_{name}", num_profiles)).astype(np.int64)
        for name in ("alarm", "warning", "internal")
    ]
    codes = (words[0] & 0xFFFF) << 32 | (words[1] & 0xFFFF) << 16 | (words[2] & 0xFFFF)
    return tuple(vaisala_cl.status_names(code) if code else () for code in codes.tolist())
