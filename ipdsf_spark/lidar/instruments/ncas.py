"""NCAS / AMOF product ``aerosol-backscatter`` of a ceilometer (NCAS-GENERAL and NCAS-AMF conventions 1.x and 2.x).

`attenuated_aerosol_backscatter_coefficient` [m-1 sr-1] on (time, altitude); altitudes are above the geoid, that of the
ground is the global attribute `platform_altitude` ("191 m (WGS84)"). Cells whose quality flag means bad data are
missing. Cloud bases are a product of their own (``cloud-base``), in another file.
"""

from __future__ import annotations

import re
from typing import Final

import numpy as np

from ipdsf_spark.lidar.containers import cf, cf_time
from ipdsf_spark.lidar.containers.container import Damage, Dataset, NotUnderstood
from ipdsf_spark.lidar.instruments import axes, fields, units
from ipdsf_spark.lidar.profiles import Float32, Float64, Profiles

SIGNAL: Final = "attenuated_aerosol_backscatter_coefficient"
NEAR_GATES: Final = 100
ZERO_CELSIUS_K: Final = 273.15
_FLAGS: Final = ("qc_flag", f"qc_flag_{SIGNAL}", "qc_flag_backscatter", "qc_flag_aerosol_backscatter")
_AXES: Final = ("altitude", "range", "height", "gate_mid_height")
_MODELS: Final = (
    (re.compile(r"cl\W?31", re.I), "Vaisala CL31", 910.0),
    (re.compile(r"cl\W?51", re.I), "Vaisala CL51", 910.0),
    (re.compile(r"cl\W?61", re.I), "Vaisala CL61", 910.55),
    (re.compile(r"ct\W?(25|75)k", re.I), "Vaisala CT25K", 905.0),
    (re.compile(r"cs\W?135|skyvue", re.I), "Campbell CS135", 912.0),
    (re.compile(r"chm\W?15k|nimbus", re.I), "Lufft CHM15k", 1064.0),
    # The pool's numbers of its instruments, for files that say no model.
    (re.compile(r"ncas-ceilometer-[12]\b", re.I), "Vaisala CL51", 910.0),
    (re.compile(r"ncas-ceilometer-3\b", re.I), "Campbell CS135", 912.0),
)
_HEALTH: Final = {
    "laser_pulse_energy": "laser_energy_percent",
    "window_transmittance": "window_transmission_percent",
    "window_contamination": "window_contamination_mv",
    "background_light": "background_mv",
    "backscatter_sum": "beta_sum_sr",
}


def recognise(dataset: Dataset) -> str | None:
    """Maker and model, or None for a file of another kind."""
    return _model(dataset)[0] if SIGNAL in dataset.variables else None


def profiles(dataset: Dataset, damage: list[Damage]) -> Profiles:
    """The profiles of a file.

    Args:
        dataset: an open file.
        damage: receives the stretches of time or backscatter that could not be read; their rows are NaN.

    Raises:
        NotUnderstood: an axis or the backscatter is missing or makes no sense, or the file is of a scanning lidar.
    """
    signal = dataset.require(SIGNAL)
    if "index_of_angle" in signal.dimensions or len(signal.shape) > 2:
        raise NotUnderstood("NCAS product of a scanning Doppler lidar: its beams are no profile of a ceilometer")
    instrument, wavelength_nm = _model(dataset)
    time = cf_time.times(dataset.require("time"), damage)
    num_profiles = len(time)
    ground_m = _ground_m(dataset)
    range_m, resolution_m, is_vertical = _axis(dataset, ground_m)
    fields.check_profiles(num_profiles, len(range_m))
    health = fields.columns(dataset, _HEALTH, num_profiles)
    if "laser_temperature" in dataset.variables:
        health["laser_temperature_celsius"] = fields.column(dataset, "laser_temperature", num_profiles) - np.float32(
            ZERO_CELSIUS_K
        )
    bases = fields.layers(dataset, "cloud_base_altitude", num_profiles) - np.float32(np.nan_to_num(ground_m))
    return Profiles(
        instrument=instrument,
        message_type="NCAS aerosol-backscatter",
        time=time,
        range_m=range_m,
        range_resolution_m=resolution_m,
        beta=_beta(dataset, damage, num_profiles, len(range_m)),
        is_calibrated=True,
        wavelength_nm=wavelength_nm,
        **{
            **fields.absent(num_profiles),
            "cloud_base_m": fields.heights(bases),
            "tilt_deg": fields.tilt_deg(dataset, "" if is_vertical else "sensor_zenith_angle", num_profiles),
        },
        health=health,
        latitude_deg=fields.scalar(dataset, "latitude"),
        longitude_deg=fields.scalar(dataset, "longitude"),
        altitude_m=ground_m,
        identity=fields.identity(dataset, "instrument_serial_number"),
    )


def _model(dataset: Dataset) -> tuple[str, float]:
    for key in ("instrument_model", "source", "title", "comment", "instrument_name"):
        for pattern, name, wavelength_nm in _MODELS:
            if pattern.search(dataset.text(key)):
                return name, wavelength_nm
    return "NCAS ceilometer", 910.0


def _ground_m(dataset: Dataset) -> float:
    """Altitude of the ground [m]; NaN if the file does not say it."""
    match = re.match(r"\s*(-?\d+(?:\.\d+)?)\s*(km|m|$)?", dataset.text("platform_altitude"))
    ground = float(match[1]) * (1e3 if match[2] == "km" else 1.0) if match else float("nan")
    return ground if -500.0 < ground < 9000.0 else float("nan")


def _axis(dataset: Dataset, ground_m: float) -> tuple[Float64, float, bool]:
    """Gate centres [m], gate length [m], and whether they are vertical."""
    name = next((name for name in _AXES if name in dataset.variables), "altitude")
    if name == "range":
        return *axes.range_axis(dataset, name), False
    above_m = axes.along_m(dataset, name)
    first_m, spacing_m = axes.regular_grid(above_m)
    height_m = first_m - ground_m
    if -spacing_m < height_m < 10.0 * spacing_m:
        return above_m - ground_m, round(spacing_m, 3), True
    if -spacing_m < first_m < 3.0 * spacing_m:
        if height_m == height_m and name == "altitude":
            dataset.note(f"altitude begins at {first_m:g} m, below platform_altitude {ground_m:g} m: read as height")
        return axes.gate_centres(first_m, spacing_m, len(above_m)), round(spacing_m, 3), True
    dataset.note(f"platform_altitude does not fit altitudes from {first_m:g} m: the lowest gate is taken as the first")
    return above_m - first_m + spacing_m / 2, round(spacing_m, 3), True


def _beta(dataset: Dataset, damage: list[Damage], num_profiles: int, num_gates: int) -> Float32:
    variable = dataset.require(SIGNAL)
    beta = fields.by_time(variable, cf.physical32(variable, damage=damage), "time", num_profiles, num_gates)
    flag = next((name for name in _FLAGS if name in dataset.variables), None)
    if flag is not None:
        bad = _bad_flags(dataset, flag)
        stored = dataset.stored(flag)
        if stored is not None and stored.shape in (beta.shape, beta.shape[::-1]) and bad:
            flags = fields.by_time(dataset.require(flag), stored, "time", *beta.shape)
            beta = np.where(np.isin(flags, bad), np.float32(np.nan), beta)
        elif stored is None or bad:
            dataset.note(f"{flag} cannot be read beside the backscatter: no cell is left out for it")
    unit = variable.text("units")
    factor, remark = units.backscatter_factor(SIGNAL, unit, beta[:, :NEAR_GATES], assumed=1.0)
    if remark:
        dataset.note(remark)
    return beta if factor == 1.0 else beta * np.float32(factor)


def _bad_flags(dataset: Dataset, name: str) -> list[int]:
    """Values of a flag whose meaning begins with "bad", in the order of its meanings."""
    attributes = dataset.require(name).attributes
    meanings = re.split(r"[\s|,]+", str(attributes.get("flag_meanings", "")).strip())
    values = cf.numbers(attributes.get("flag_values")) or [
        float(found) for found in re.findall(r"\d+", str(attributes.get("flag_values", "")))
    ]
    if len(values) != len(meanings):
        values = [float(index) for index in range(len(meanings))]
    return [int(value) for value, meaning in zip(values, meanings, strict=True) if meaning.lower().startswith("bad")]
