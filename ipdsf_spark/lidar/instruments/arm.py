"""ARM ceilometer files, ``ceil.b1``, ``ceil10m.b1`` and the older ``vceil25k.b1``: CT25K, CL31 and CL51 of all sites.

Variables and units as in the headers of the ARM archive (houceil10mM1.b1, sgpceilC1.b1). Backscatter is in
``1/(sr*km*10000)``, 1e-7 m-1 sr-1; missing profiles are -9999 or the lowest 32-bit number. Cells and heights that a
`qc_` variable calls bad are missing. Cloud bases are vertical, as the instrument reports them.
"""

from __future__ import annotations

import re
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.containers import cf, cf_time
from ipdsf_spark.lidar.containers.container import Damage, Dataset, UnreadableFile
from ipdsf_spark.lidar.instruments import axes, fields, units, vaisala_cl
from ipdsf_spark.lidar.profiles import Float32, Profiles, Time

FULL_OBSCURATION: Final = 4
UNIT: Final = 1e-7  # m-1 sr-1
NEAR_GATES: Final = 100
MISSING: Final = -9999.0
LOWEST_COUNT: Final = -1e6  # a million counts are 0.1 m-1 sr-1
_MODELS: Final = (("CT25K", 905.0), ("CL31", 910.0), ("CL51", 910.0))
_BASES: Final = ("first_cbh", "second_cbh", "third_cbh")
_BAD_BIT: Final = re.compile(r"bit_(\d{1,2})_assessment")
_HEALTH: Final = {
    "laser_pulse_energy": "laser_energy_percent",
    "laser_temperature": "laser_temperature_celsius",
    "laser_temp": "laser_temperature_celsius",
    "window_contamination": "window_contamination_mv",
    "window_transmission": "window_transmission_percent",
    "background_light": "background_mv",
    "receiver_sensitivity": "receiver_sensitivity_percent",
    "sum_backscatter": "beta_sum",
    "detection_status": "detection_status",
}


def recognise(dataset: Dataset) -> str | None:
    """Maker and model, or None for a file of another kind."""
    names = dataset.variables
    if "backscatter" not in names or "range" not in names:
        return None
    told = f"{dataset.text('datastream')} {dataset.text('platform_id')} {dataset.text('zeb_platform')}".lower()
    if "ceil" not in told and not ("first_cbh" in names and ("base_time" in names or "time_offset" in names)):
        return None
    return f"Vaisala {_model(dataset)[0]}"


def profiles(dataset: Dataset, damage: list[Damage]) -> Profiles:
    """The profiles of a file.

    Args:
        dataset: an open file.
        damage: receives the stretches of time or backscatter that could not be read; their rows are NaN.

    Raises:
        UnreadableFile: an axis or the backscatter is missing or makes no sense.
    """
    model, wavelength_nm = _model(dataset)
    time = _times(dataset, damage)
    num_profiles = len(time)
    range_m, resolution_m = axes.range_axis(dataset, "range")
    fields.check_profiles(num_profiles, len(range_m))
    status = fields.column(dataset, "detection_status", num_profiles)
    is_obscured = status == FULL_OBSCURATION
    bases = np.stack([_height(dataset, name, num_profiles) for name in _BASES], axis=1)
    return Profiles(
        instrument=f"Vaisala {model}",
        message_type="ARM ceil",
        time=time,
        range_m=range_m,
        range_resolution_m=resolution_m,
        beta=_beta(dataset, damage, num_profiles, len(range_m)),
        is_calibrated=True,
        wavelength_nm=wavelength_nm,
        **{
            **fields.absent(num_profiles),
            "cloud_base_m": np.where(is_obscured[:, None], np.float32(np.nan), bases),
            "vertical_visibility_m": _height(dataset, "vertical_visibility", num_profiles, lowest=0.1),
            "is_fog": is_obscured,
            "tilt_deg": fields.tilt_deg(dataset, "tilt_angle", num_profiles),
            "alarms": _alarms(dataset, num_profiles),
        },
        health=fields.columns(dataset, _HEALTH, num_profiles),
        latitude_deg=fields.scalar(dataset, "lat"),
        longitude_deg=fields.scalar(dataset, "lon"),
        altitude_m=fields.scalar(dataset, "alt"),
        identity=fields.identity(dataset, "serial_number", "ceilometer_serial_number"),
    )


def _model(dataset: Dataset) -> tuple[str, float]:
    """Model and laser wavelength [nm]: as a global attribute says, else by the number of gates."""
    keys = ("ceilometer_model", "instrument", "instrument_type", "datastream", "platform_id", "zeb_platform")
    told = " ".join(dataset.text(key) for key in keys).upper().replace("25K", "CT25K")
    for name, wavelength_nm in _MODELS:
        if name in told:
            return name, wavelength_nm
    num_gates = (dataset.require("range").shape or (0,))[0]
    return _MODELS[0] if num_gates <= 256 else _MODELS[2] if num_gates > 1500 else _MODELS[1]


def _times(dataset: Dataset, damage: list[Damage]) -> Time:
    """`time`; or `base_time` + `time_offset`, which say the same, where there is none or its unit is not understood."""
    try:
        return cf_time.times(dataset.require("time"), damage)
    except UnreadableFile:
        base_s = fields.scalar(dataset, "base_time")
        if not np.isfinite(base_s) or "time_offset" not in dataset.variables:
            raise
    offset_s = cf.physical(dataset.require("time_offset"), damage=damage).reshape(-1)
    return cf_time.since(base_s + offset_s, "seconds since 1970-01-01", "base_time")


def _beta(dataset: Dataset, damage: list[Damage], num_profiles: int, num_gates: int) -> Float32:
    variable = dataset.require("backscatter")
    beta = fields.by_time(variable, cf.physical32(variable, damage=damage), "time", num_profiles, num_gates)
    is_missing = (beta == MISSING) | (beta < LOWEST_COUNT)
    if is_missing.any():
        beta = np.where(is_missing, np.float32(np.nan), beta)
    is_bad = _bad(dataset, "backscatter", beta.shape)
    if is_bad is not None:
        beta = np.where(is_bad, np.float32(np.nan), beta)
    unit = variable.text("units")
    inner = units.is_logarithm(unit)
    if inner is not None:
        beta, unit = np.asarray(10.0**beta, np.float32), inner
    factor, remark = units.backscatter_factor("backscatter", unit, beta[:, :NEAR_GATES], assumed=UNIT)
    if remark:
        dataset.note(remark)
    return beta * np.float32(factor)


def _height(dataset: Dataset, name: str, num_profiles: int, *, lowest: float = 0.0) -> Float32:
    heights_m = fields.layers_m(dataset, name, num_profiles, lowest=lowest)[:, 0]
    is_bad = _bad(dataset, name, heights_m.shape)
    return heights_m if is_bad is None else np.where(is_bad, np.float32(np.nan), heights_m)


def _bad(dataset: Dataset, name: str, shape: tuple[int, ...]) -> NDArray[np.bool_] | None:
    """What the quality variable of a variable calls bad: any bit, or those bits it assesses as bad if it says which."""
    variable = dataset.optional(f"qc_{name}")
    stored = dataset.stored(f"qc_{name}") if variable is not None else None
    if variable is None or stored is None or stored.shape != shape or stored.dtype.kind not in "iu":
        return None
    said = {int(match[1]): str(variable.attributes.get(key, "")) for key in variable.attributes
            if (match := _BAD_BIT.fullmatch(key))}  # fmt: skip
    bits = sum(1 << (bit - 1) for bit, word in said.items() if 0 < bit <= 31 and word.strip().lower() == "bad")
    return (stored.astype(np.int64) & bits) != 0 if said else stored > 0


def _alarms(dataset: Dataset, num_profiles: int) -> tuple[tuple[str, ...], ...]:
    """Names of the bits of `status_string`, the hexadecimal status word of the message."""
    stored: Any = dataset.stored("status_string") if "status_string" in dataset.variables else None
    if stored is None or stored.dtype.kind != "S" or stored.ndim != 2 or len(stored) != num_profiles:
        return ((),) * num_profiles
    words = [b"".join(row.tolist()).strip(b"\0 ") for row in stored[:, :16]]
    return tuple(
        vaisala_cl.status_names(int(word, 16)) if re.fullmatch(rb"[0-9A-Fa-f]{12}", word) else () for word in words
    )
