"""netCDF files made when they are needed: written by the C library, read by ours."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from ipdsf_spark.lidar import instruments
from ipdsf_spark.lidar.containers import hdf5
from ipdsf_spark.lidar.containers.container import Damage
from ipdsf_spark.lidar.profiles import Profiles

NAN = float("nan")


def written(write: Callable[[Any], None], *, layout: str = "NETCDF4") -> bytes:
    """The bytes of a file that `write` fills, as long as they would be on disk."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "made.nc")
        with netCDF4.Dataset(path, "w", format=layout) as file:
            write(file)
        return path.read_bytes()


def add(file: Any, name: str, axes: tuple[str, ...], values: Any, **attributes: Any) -> Any:
    """A variable with values and attributes; `fill` is its fill value, `packed` asks for deflate."""
    fill, packed = attributes.pop("fill", None), attributes.pop("packed", False)
    array = np.asarray(values)
    variable = file.createVariable(name, array.dtype, axes, fill_value=fill, zlib=packed, shuffle=packed)
    variable.set_auto_maskandscale(False)
    variable.setncatts(attributes)
    variable[...] = array
    return variable


def place_of_chunk(raw: bytes, name: str, *, row: int) -> int:
    """Offset of the packed chunk of a row: the deflate stream without which that row is lost."""
    for start in range(len(raw) - 1):
        if raw[start] == 0x78 and raw[start + 1] in (0x01, 0x5E, 0x9C, 0xDA):
            damage: list[Damage] = []
            hdf5.open_bytes(raw[:start] + b"\xff\xff" + raw[start + 2 :]).variables[name].read(damage)
            if [(stretch.offset, stretch.first) for stretch in damage] == [(start, row)]:
                return start
    raise AssertionError(f"no chunk of {name} holds row {row} alone")


def profiles(num_profiles: int = 3, num_gates: int = 32, *, seed: int = 1, calibrated: bool = True) -> Profiles:
    """Plausible profiles of every field: clouds, one foggy profile, layers, alarms."""
    random = np.random.default_rng(seed)
    bases = np.full((num_profiles, 3), np.nan, np.float32)
    bases[0, :2] = 900.0, 2100.0
    visibility = np.full(num_profiles, np.nan, np.float32)
    visibility[-1] = 150.0
    layers = np.full((num_profiles, 3), np.nan, np.float32)
    layers[:, 0] = 600.0
    cover = np.full((num_profiles, 5), np.nan, np.float32)
    base = np.full((num_profiles, 5), np.nan, np.float32)
    cover[:, 0], base[:, 0] = 4.0, 900.0
    beta = random.normal(1e-6, 3e-7, (num_profiles, num_gates)).astype(np.float32)
    return Profiles(
        instrument="Lufft CHM15k",
        message_type="netcdf mode 0",
        time=np.datetime64("2021-09-09T23:59:45", "us") + np.arange(num_profiles) * np.timedelta64(15, "s"),
        range_m=(np.arange(num_gates) + 0.5) * 15.0,
        range_resolution_m=15.0,
        beta=beta if calibrated else beta / np.float32(3e-12),
        is_calibrated=calibrated,
        wavelength_nm=1064.0,
        cloud_base_m=bases,
        vertical_visibility_m=visibility,
        maker_layer_height_m=layers,
        sky_cover_octas=cover,
        sky_base_m=base,
        is_precipitation=np.arange(num_profiles) == 1,
        is_fog=np.isfinite(visibility),
        tilt_deg=np.full(num_profiles, 3.0, np.float32),
        depolarisation=np.clip(random.normal(0.1, 0.02, (num_profiles, num_gates)), 0.0, 1.0).astype(np.float32),
        alarms=(("alarm: receiver overall",), *((),) * (num_profiles - 1)),
        health={"window_transmission_percent": np.full(num_profiles, 97.0, np.float32)},
        latitude_deg=59.94,
        longitude_deg=10.72,
        altitude_m=96.0,
    )


def eprofile_l2(
    *, transposed: bool = False, num_profiles: int = 4, num_gates: int = 6, unit: str = "1E-6*1/(m*sr)"
) -> bytes:
    """An E-PROFILE level 2 file: 96 m above the sea, one flagged pixel, a start time from another epoch."""

    def write(file: Any) -> None:
        file.setncatts({"instrument_type": "CHM15k", "title": "OSLO nimbus"})
        for name, length in (("time", num_profiles), ("altitude", num_gates), ("layer", 3)):
            file.createDimension(name, length)
        days = 18879.0 + np.arange(num_profiles) * 300.0 / 86400.0
        add(file, "time", ("time",), days, units="days since 1970-01-01 00:00:00.000")
        add(file, "start_time", ("time",), days + 719_529.0, units="days since 1970-01-01 00:00:00.000")
        add(file, "altitude", ("altitude",), 96.0 + 14.98 + 29.96 * np.arange(num_gates), units="m")
        beta = np.arange(1.0, num_profiles * num_gates + 1).reshape(num_profiles, num_gates)
        flag = np.zeros((num_profiles, num_gates), np.int32)
        flag[0, -1] = 1
        axes = ("altitude", "time") if transposed else ("time", "altitude")
        turn = np.transpose if transposed else np.asarray
        add(file, "attenuated_backscatter_0", axes, turn(beta), units=unit)
        add(file, "quality_flag", axes, turn(flag))
        bases = np.full((num_profiles, 3), np.nan)
        bases[:2] = [187.0, 5962.0, 6581.0], [-9.0, -999.9, 9.96921e36]
        add(file, "cloud_base_height", ("time", "layer"), bases, units="m")
        add(file, "vertical_visibility", ("time",), np.array([-1.0, 109.0, -1.0, -1.0])[:num_profiles], units="m")
        add(file, "cloud_amount", ("time",), np.array([4.0, 9.0, -1.0, 8.0])[:num_profiles])
        add(file, "l0_wavelength", (), np.array(1064.0))
        add(file, "station_altitude", (), np.array(96.0))
        add(file, "station_latitude", (), np.array(59.942))
        add(file, "station_longitude", (), np.array(10.72))

    return written(write)


def only_block(raw: bytes, *, remarks: int = 0) -> Profiles:
    """The one block of profiles of a file, whose remarks are counted."""
    decoded = instruments.decode(raw)
    assert len(decoded.rejected) == remarks, decoded.rejected
    (block,) = decoded.blocks
    assert instruments.recognise(raw) == decoded.instrument == block.instrument
    return block
