"""Vaisala CL61 ceilometer and DA10 differential-absorption profiler, netCDF-4 (SCIENCE 7.2).

Firmware 1.0 counts a `profile` dimension and has no tilt; 1.1 counts `time` and keeps status and monitoring as
attributes of two groups; from 1.2 they are variables. Of growing variables only what was needed is written: a file
without clouds has no rows of `cloud_base_heights` at all.

`beta_att` is the sum of `p_pol` and `x_pol` to the last bit of a float in every file of every firmware at hand, so the
depolarisation ratio x_pol / p_pol is computed from two of the three; the first profile is checked against the third.

Heights are along the beam unless the instrument's tilt correction is on (then cloud bases, but not the profile, are
vertical). `height_offset` is added by the instrument to cloud bases and is taken off here.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from ipdsf_spark.lidar.formats import container
from ipdsf_spark.lidar.formats.container import Damage, Dataset
from ipdsf_spark.lidar.profiles import Float32, Profiles

CL61: Final = "Vaisala CL61"
DA10: Final = "Vaisala DA10 DIAL"
WAVELENGTH_NM: Final = 910.55
EPOCH: Final = np.datetime64("1970-01-01", "us")
LEVELS: Final = {1: "status", 2: "warning", 3: "alarm"}

_MONITORING: Final = {
    "window_condition": "window_transmission_percent",
    "laser_power_percent": "laser_energy_percent",
    "background_radiance": "background_radiance",
    "internal_temperature": "internal_temperature_celsius",
    "internal_humidity": "internal_humidity_percent",
    "internal_pressure": "internal_pressure_hpa",
    "laser_temperature": "laser_temperature_celsius",
    "transmitter_enclosure_temperature": "transmitter_temperature_celsius",
    "window_blower": "window_blower_on",
    "window_blower_heater": "window_blower_heater_on",
    "internal_heater": "internal_heater_on",
}
_HOUSEKEEPING: Final = {
    "beta_att_noise_level": "noise_level",
    "receiver_gain": "receiver_gain",
    "cloud_calibration_factor_user": "calibration_factor",
    "sky_condition_total_cloud_cover": "total_cloud_cover_octas",
}


def recognise(dataset: Dataset) -> str | None:
    """``"Vaisala CL61"`` or ``"Vaisala DA10 DIAL"``, or None for another instrument's file."""
    names = dataset.variables
    if "beta_att" not in names or "cloud_base_heights" not in names or "range" not in names:
        return None
    told = f"{dataset.text('title')} {dataset.text('source')}"
    return DA10 if "DA10" in told or ("p_pol" not in names and "module" in names) else CL61


def profiles(dataset: Dataset, damage: list[Damage]) -> Profiles:
    """The profiles of a file.

    Args:
        dataset: an open file.
        damage: receives the stretches of time or backscatter that could not be read; their rows are NaN.

    Raises:
        UnreadableFile: an axis or the backscatter is missing or makes no sense.
    """
    values = dataset.require("time").read(damage).reshape(-1)
    time = container.since(np.asarray(values, np.float64), "seconds since 1970-01-01")
    num_profiles = len(time)
    first_m, spacing_m = container.regular_grid(np.asarray(dataset.require("range").read(), np.float64).reshape(-1))
    range_m = container.gate_centres(first_m, spacing_m, dataset.require("range").shape[0])
    beta = _field(dataset, "beta_att", damage, num_profiles, len(range_m))
    offset_m = np.nan_to_num(_column(dataset, "height_offset", num_profiles))[:, None]
    base_m = _heights(dataset, "cloud_base_heights", num_profiles)
    visibility_m = container.heights(_column(dataset, "vertical_visibility", num_profiles), lowest=0.1)
    cover = _heights(dataset, "sky_condition_cloud_layer_covers", num_profiles)
    sky_m = _heights(dataset, "sky_condition_cloud_layer_heights", num_profiles)
    return Profiles(
        instrument=recognise(dataset) or CL61,
        message_type=_message_type(dataset),
        time=time,
        range_m=range_m,
        range_resolution_m=round(spacing_m, 3),
        beta=beta,
        is_calibrated=True,
        wavelength_nm=WAVELENGTH_NM,
        cloud_base_m=container.heights(base_m - offset_m) if offset_m.any() else base_m,
        vertical_visibility_m=visibility_m,
        maker_layer_height_m=np.empty((num_profiles, 0), np.float32),
        sky_cover_octas=np.where(cover <= 8, cover, np.float32(np.nan)),
        sky_base_m=container.heights(sky_m - offset_m) if offset_m.any() else sky_m,
        is_precipitation=_column(dataset, "precipitation_detection", num_profiles) == 1,
        is_fog=(_column(dataset, "fog_detection", num_profiles) == 1) | np.isfinite(visibility_m),
        tilt_deg=np.nan_to_num(_column(dataset, "tilt_angle", num_profiles)),
        depolarisation=_depolarisation(dataset, beta, num_profiles, len(range_m)),
        alarms=_alarms(dataset, num_profiles),
        health=_health(dataset, num_profiles),
        latitude_deg=_position(dataset, "latitude"),
        longitude_deg=_position(dataset, "longitude"),
        altitude_m=_position(dataset, "elevation"),
    )


def _message_type(dataset: Dataset) -> str:
    schema = dataset.text("schema_version").lstrip("v")
    return f"netcdf schema {schema}" if schema else f"netcdf firmware {dataset.text('history').strip() or '1'}"[:64]


def _field(dataset: Dataset, name: str, damage: list[Damage], num_profiles: int, num_gates: int) -> Float32:
    variable = dataset.require(name)
    values = variable.read(damage)
    values = values.astype(np.float32, copy=not values.flags.writeable)
    values = container.by_time(variable, values, "time", num_profiles, num_gates)
    # Fill values are -999 or 9.97e36; real backscatter is a thousand times below 1 in the densest cloud.
    is_fill = np.abs(values) > 100.0
    if is_fill.any():
        values[is_fill] = np.nan
    return values


def _depolarisation(dataset: Dataset, beta: Float32, num_profiles: int, num_gates: int) -> Float32 | None:
    if "x_pol" not in dataset.variables:
        return None
    across = _field(dataset, "x_pol", dataset.gaps, num_profiles, num_gates)
    along = beta - across
    if "p_pol" in dataset.variables and num_profiles:
        stored = dataset.require("p_pol").read(dataset.gaps, max_rows=1)
        largest = np.abs(beta[:1]) + np.abs(across[:1])
        if stored.shape != along[:1].shape or (np.abs(stored - along[:1]) > 1e-6 * largest).any():
            along = _field(dataset, "p_pol", dataset.gaps, num_profiles, num_gates)
    ratio: Float32 = np.divide(across, along, out=along)
    ratio[np.isinf(ratio)] = np.nan
    return ratio


def _column(dataset: Dataset, name: str, num_profiles: int) -> Float32:
    """(T,) numbers, NaN for fills and what was never written; of two optics units the near-range one."""
    variable = dataset.variables.get(name)
    if variable is None:
        return np.full(num_profiles, np.nan, np.float32)
    stored = variable.read(dataset.gaps)
    if stored.ndim == 0:
        stored = np.full(num_profiles, stored)
    if len(stored) > num_profiles or 0 in stored.shape[1:] or stored.dtype.kind not in "iuf":
        return np.full(num_profiles, np.nan, np.float32)
    column = container.padded(stored.reshape(len(stored), -1)[:, 0] if len(stored) else stored.reshape(0), num_profiles)
    column[(column <= -99.0) | (column > container.FILL_LIMIT)] = np.nan
    return column


def _heights(dataset: Dataset, name: str, num_profiles: int) -> Float32:
    """(T, 5) heights or covers, NaN where there are none."""
    variable = dataset.variables.get(name)
    if variable is None or len(variable.shape) != 2 or variable.shape[1] == 0:
        return np.full((num_profiles, 1), np.nan, np.float32)
    return container.heights(container.table(variable, variable.read(dataset.gaps), num_profiles))


def _alarms(dataset: Dataset, num_profiles: int) -> tuple[tuple[str, ...], ...]:
    """Names of the status codes that are set: variables of a group, or attributes ``"OK: 0"`` for the whole file."""
    set_names: list[list[str]] = [[] for _ in range(num_profiles)]
    for group in ("status", "monitoring"):
        if group not in dataset.variables:
            continue
        opened = dataset.groups[group]
        for name, value in opened.attributes.items():
            word, colon, code = str(value).rpartition(": ")
            if word and colon and code.isdigit() and int(code):
                label = _label(name, int(code))
                for names in set_names:
                    names.append(label)
        if group != "status":
            continue
        for name, variable in opened.variables.items():
            if name == "time":
                continue
            codes = variable.read(dataset.gaps)
            if codes.dtype.kind not in "iu" or codes.shape != (num_profiles,) or not codes.any():
                continue
            for row, code in enumerate(codes.tolist()):
                if code > 0:
                    set_names[row].append(_label(name, code))
    return tuple(map(tuple, set_names))


def _label(name: str, code: int) -> str:
    return f"{LEVELS.get(code, f'code {code}')}: {name.replace('_', ' ').lower()}"


def _health(dataset: Dataset, num_profiles: int) -> dict[str, Float32]:
    health = {"beta_sum_sr": _column(dataset, "beta_att_sum", num_profiles) * np.float32(1e-4)}
    for name, key in _HOUSEKEEPING.items():
        if name in dataset.variables:
            health[key] = _column(dataset, name, num_profiles)
    if "monitoring" in dataset.variables:
        monitoring = dataset.groups["monitoring"]
        for name, key in _MONITORING.items():
            if name in monitoring.variables:
                health[key] = _column(monitoring, name, num_profiles)
            elif np.isfinite(value := container.number(monitoring.attributes.get(name))):
                health[key] = np.full(num_profiles, value, np.float32)
    return health


def _position(dataset: Dataset, name: str) -> float:
    variable = dataset.variables.get(name)
    if variable is None:
        return float("nan")
    values: Any = variable.read(dataset.gaps).reshape(-1)
    return float(values[0]) if len(values) and values[0] > -900.0 else float("nan")
