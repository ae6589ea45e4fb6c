"""Averages as one Arrow row: the value of a record of the averages topic, and a row of the archive.

A record's value is an Arrow IPC stream without its schema, which is the same for all: `SCHEMA`, also kept as a file
beside the documentation. Schema and value together are a stream that any Arrow library reads:

    pyarrow.ipc.read_record_batch(value, SCHEMA)
    pyarrow.ipc.open_stream(SCHEMA.serialize().to_pybytes() + value).read_all()
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pyarrow as pa

from ipdsf_spark.lidar.averages.average import MICROSECONDS, Average

VERSION: Final = 1


def _field(name: str, kind: pa.DataType, meaning: str, units: str = "") -> pa.Field:
    metadata = {"long_name": meaning} | ({"units": units} if units else {})
    return pa.field(name, kind, metadata=metadata)


_FLOATS: Final = pa.list_(pa.float32())

SCHEMA: Final = pa.schema(
    [
        _field("site", pa.string(), "site id"),
        _field("start", pa.timestamp("us", "UTC"), "begin of the interval"),
        _field("interval_s", pa.int32(), "length of the interval", "s"),
        _field("instrument", pa.string(), "maker and model"),
        _field("identity", pa.string(), "serial number or other mark of the single instrument"),
        _field("wavelength_nm", pa.float32(), "laser wavelength", "nm"),
        _field("is_calibrated", pa.bool_(), "backscatter is in m-1 sr-1"),
        _field("tilt_deg", pa.float32(), "mean angle of the beam from the vertical", "degree"),
        _field("num_profiles", pa.int32(), "profiles averaged"),
        _field("first_time", pa.timestamp("us", "UTC"), "time of the first profile"),
        _field("last_time", pa.timestamp("us", "UTC"), "time of the last profile"),
        _field("gate_first_m", pa.float32(), "range of the first gate's centre", "m"),
        _field("gate_length_m", pa.float32(), "distance of gates", "m"),
        _field("beta_clear", _FLOATS, "mean attenuated backscatter of gates clear of cloud", "m-1 sr-1"),
        _field("block_first_m", pa.float32(), "range of the first block's centre", "m"),
        _field("block_length_m", pa.float32(), "distance of blocks", "m"),
        _field("beta", _FLOATS, "mean attenuated backscatter of blocks, clouds included", "m-1 sr-1"),
        _field("beta_variance", _FLOATS, "variance over profiles and gates of a block", "m-2 sr-2"),
        _field("depolarisation", _FLOATS, "linear depolarisation ratio of blocks; null if not measured"),
        _field("noise_at_unit_range", pa.float64(), "noise of the mean of a gate, divided by range squared"),
        _field("num_fog", pa.int32(), "profiles with fog"),
        _field("num_precipitation", pa.int32(), "profiles with rain or snow"),
        _field("cloud_base_m", _FLOATS, "lowest cloud base of each profile that has one", "m"),
        _field("higher_cloud_base_m", _FLOATS, "further cloud bases", "m"),
        _field("vertical_visibility_m", _FLOATS, "vertical visibility of each profile that has one", "m"),
        _field("maker_layer_m", _FLOATS, "the maker's own layer heights", "m"),
        _field("clipped_from_m", _FLOATS, "height above which the signal of a profile is clipped", "m"),
        _field("health", pa.map_(pa.string(), pa.float32()), "mean housekeeping values, unit in the name"),
        _field("alarms", pa.list_(pa.string()), "status bits that any profile set"),
        _field("latitude_deg", pa.float32(), "latitude that the file claims", "degree_north"),
        _field("longitude_deg", pa.float32(), "longitude that the file claims", "degree_east"),
        _field("altitude_m", pa.float32(), "altitude that the file claims", "m"),
    ],
    metadata={"title": "ceilometer averages", "version": str(VERSION)},
)


def row_of(site_id: str, average: Average, *, interval_s: int) -> dict[str, Any]:
    """One average as plain columns of `SCHEMA`."""
    step_m = average.resolution_m * average.block_gates
    depolarisation = average.block_depolarisation()
    latitude, longitude, altitude = (_finite(value) for value in average.position)
    return {
        "site": site_id,
        "start": average.index * interval_s * MICROSECONDS,
        "interval_s": interval_s,
        "instrument": average.instrument,
        "identity": average.identity,
        "wavelength_nm": _finite(average.wavelength_nm),
        "is_calibrated": average.is_calibrated,
        "tilt_deg": average.tilt_sum_deg / average.num_profiles,
        "num_profiles": average.num_profiles,
        "first_time": int(average.times[0]),
        "last_time": int(average.times[-1]),
        "gate_first_m": average.first_m,
        "gate_length_m": average.resolution_m,
        "beta_clear": average.mean().astype(np.float32),
        "block_first_m": average.first_m + (step_m - average.resolution_m) / 2,
        "block_length_m": step_m,
        "beta": average.block_mean().astype(np.float32),
        "beta_variance": average.block_variance().astype(np.float32),
        "depolarisation": None if depolarisation is None else depolarisation.astype(np.float32),
        "noise_at_unit_range": average.sigma_unit,
        "num_fog": average.num_fog,
        "num_precipitation": average.num_precipitation,
        "cloud_base_m": average.cloud_base_m,
        "higher_cloud_base_m": average.higher_base_m,
        "vertical_visibility_m": average.vertical_visibility_m,
        "maker_layer_m": average.maker_layer_m,
        "clipped_from_m": average.clipped_from_m,
        "health": [(name, total.mean) for name, total in sorted(average.health.items())],
        "alarms": list(average.alarms),
        "latitude_deg": latitude,
        "longitude_deg": longitude,
        "altitude_m": altitude,
    }


def to_message(site_id: str, average: Average, *, interval_s: int) -> bytes:
    """One average as the value of a record: an Arrow record batch of one row, without its schema."""
    row = row_of(site_id, average, interval_s=interval_s)
    columns = [pa.array([row[field.name]], field.type) for field in SCHEMA]
    return bytes(pa.RecordBatch.from_arrays(columns, schema=SCHEMA).serialize())


def from_message(value: bytes) -> pa.RecordBatch:
    """The inverse of `to_message`.

    Raises:
        pyarrow.ArrowInvalid: the bytes are no such record.
    """
    return pa.ipc.read_record_batch(pa.py_buffer(value), SCHEMA)


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
