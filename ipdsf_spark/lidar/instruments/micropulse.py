"""Sigma Space MiniMPL netCDF (read) and Sigma MPL raw binary ``.bi`` (recognised).

The netCDF holds normalised relative backscatter of two channels; total = co + 2 · cross (Flynn et al. 2007, Opt.
Express 15, 2785, eq. 5). It has no absolute calibration. The binary holds photon counts, to be corrected with
dead-time, afterpulse and overlap tables that the file does not carry.
"""

from __future__ import annotations

import struct
from typing import Final

import numpy as np

from ipdsf_spark.lidar.containers import cf
from ipdsf_spark.lidar.containers.container import Damage, Dataset
from ipdsf_spark.lidar.instruments import axes, fields
from ipdsf_spark.lidar.profiles import Decoded, Float32, Profiles, Rejected, Time

MINI_MPL: Final = "Sigma MiniMPL"
MPL: Final = "Sigma MPL"
WAVELENGTH_NM: Final = 532.0
KM_M: Final = 1000.0
_DATE: Final = ("year", "month", "day", "hour", "minute", "second")
_HEALTH: Final = {
    "laser_energy": "laser_energy_uj",
    "laser_temperature": "laser_temperature_celsius",
    "detector_temperature": "detector_temperature_celsius",
    "telescope_temperature": "telescope_temperature_celsius",
    "copol_background": "background_along",
    "crosspol_background": "background_across",
}
# Raw binary record: unit and version, date, then at fixed places channels, bins and the size of the header itself.
_RECORD_DATE: Final = struct.Struct("<8H")
_CHANNELS_AT, _BINS_AT, _SYSTEM_AT, _HEADER_SIZE_AT = 56, 58, 121, 126


def recognise(dataset: Dataset) -> str | None:
    """``"Sigma MiniMPL"``, or None for a file of another kind."""
    return MINI_MPL if {"copol_nrb", "crosspol_nrb", "range_nrb"} <= set(dataset.variables) else None


def profiles(dataset: Dataset, damage: list[Damage]) -> Profiles:
    """The profiles of a MiniMPL netCDF file.

    Args:
        dataset: an open file.
        damage: receives the stretches of the signal that could not be read; their rows are NaN.

    Raises:
        UnreadableFile: an axis or the signal is missing or makes no sense.
    """
    time = _times(dataset, damage)
    num_profiles = len(time)
    range_m, resolution_m = axes.range_axis(dataset, "range_nrb", default=KM_M)
    fields.check_profiles(num_profiles, len(range_m))

    def field(name: str, sink: list[Damage]) -> Float32:
        variable = dataset.require(name)
        values = cf.physical32(variable, damage=sink)
        return fields.by_time(variable, values, "time", num_profiles, len(range_m))

    bases = np.full((num_profiles, 1), np.nan, np.float32)
    outlines = cf.optional(dataset, "clouds")
    if outlines is not None and outlines.ndim == 3 and outlines.shape[0] == num_profiles and outlines.size:
        bases = fields.heights(outlines[:, :, 0] * KM_M)
    layers = fields.layers_m(dataset, "pbls", num_profiles, default=KM_M)
    return Profiles(
        instrument=MINI_MPL,
        message_type="netcdf NRB",
        time=time,
        range_m=range_m,
        range_resolution_m=resolution_m,
        beta=field("copol_nrb", damage) + 2.0 * field("crosspol_nrb", damage),
        is_calibrated=False,
        wavelength_nm=WAVELENGTH_NM,
        cloud_base_m=bases,
        vertical_visibility_m=np.full(num_profiles, np.nan, np.float32),
        maker_layer_height_m=layers,
        sky_cover_octas=np.empty((num_profiles, 0), np.float32),
        sky_base_m=np.empty((num_profiles, 0), np.float32),
        is_precipitation=np.zeros(num_profiles, bool),
        is_fog=np.zeros(num_profiles, bool),
        tilt_deg=np.zeros(num_profiles, np.float32),
        depolarisation=field("depolarization_ratio", dataset.gaps)
        if "depolarization_ratio" in dataset.variables
        else None,
        alarms=((),) * num_profiles,
        health={
            key: fields.column(dataset, name, num_profiles)
            for name, key in _HEALTH.items()
            if name in dataset.variables
        },
        latitude_deg=fields.scalar(dataset, "latitude"),
        longitude_deg=fields.scalar(dataset, "longitude"),
        altitude_m=fields.scalar(dataset, "altitude"),
        identity=fields.identity(dataset, "device_serial_number"),
    )


def _times(dataset: Dataset, damage: list[Damage]) -> Time:
    year, month, day, hour, minute, second = (
        cf.physical(dataset.require(name), damage=damage).reshape(-1) for name in _DATE
    )
    fields.check_profiles(len(year), 1)
    stamps: list[np.datetime64] = []
    for parts in zip(year, month, day, hour, minute, second, strict=False):
        numbers = [int(part) if np.isfinite(part) else -1 for part in parts]
        text = "{:04d}-{:02d}-{:02d}T{:02d}:{:02d}:{:02d}".format(*numbers)
        try:
            stamps.append(np.datetime64(text, "us"))
        except ValueError:
            stamps.append(np.datetime64("NaT", "us"))
    return np.array(stamps, "datetime64[us]")


def is_raw_binary(raw: bytes) -> bool:
    """Whether the bytes are records of a Sigma MPL: a sane date, and a second record where the first says it is."""
    if len(raw) < _HEADER_SIZE_AT + 2:
        return False
    _, _, year, month, day, hour, minute, second = _RECORD_DATE.unpack_from(raw)
    if not (1990 <= year < 2100 and 1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second < 61):
        return False
    length = _record_bytes(raw)
    return length > 0 and len(raw) >= length and raw[:4] == (raw[length : length + 4] or raw[:4])


def raw_binary_kind(raw: bytes) -> str | None:
    """``"Sigma MiniMPL"`` or ``"Sigma MPL"``, as the header says, or None for bytes of another kind."""
    if not is_raw_binary(raw):
        return None
    return _system(raw)


def decode_raw_binary(raw: bytes) -> Decoded:
    """The named reason why photon counts give no profile."""
    length, kind = _record_bytes(raw), _system(raw)
    reason = (
        f"{kind} raw binary, {len(raw) // length} records of photon counts: dead-time, afterpulse and overlap "
        "tables are not in the file; export normalised relative backscatter as netCDF instead"
    )
    return Decoded(kind, (), (Rejected(0, len(raw), reason),))


def _system(raw: bytes) -> str:
    return MINI_MPL if raw[_SYSTEM_AT] else MPL


def _record_bytes(raw: bytes) -> int:
    channels = struct.unpack_from("<H", raw, _CHANNELS_AT)[0]
    bins = struct.unpack_from("<I", raw, _BINS_AT)[0]  # those before the pulse, of the background, included
    header = struct.unpack_from("<H", raw, _HEADER_SIZE_AT)[0]
    is_sane = 1 <= channels <= 4 and 10 <= bins <= 10_000 and 100 <= header <= 1000
    return header + 4 * channels * bins if is_sane else 0
