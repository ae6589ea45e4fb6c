"""Profiles as archives rewrite them: Cloudnet, cl2nc, and a product whose unit lies by ten."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
from made_files import add, written

from ipdsf_spark.lidar import instruments
from ipdsf_spark.lidar.profiles import Profiles


def only_block(raw: bytes) -> Profiles:
    decoded = instruments.decode(raw)
    assert decoded.rejected == ()
    (block,) = decoded.blocks
    return block


def cl2nc_file(num_gates: int = 4, *, unit: str = "km^-1.sr^-1") -> bytes:
    def write(file: Any) -> None:
        file.software = "cl2nc (https://github.com/peterkuma/cl2nc)"
        for name, length in (("time", 2), ("level", num_gates), ("layer", 5)):
            file.createDimension(name, length)
        add(file, "time", ("time",), np.array([1.6e9, 1.6e9 + 16]), units="seconds since 1970-01-01 00:00:00 UTC")
        add(file, "backscatter", ("time", "level"), np.full((2, num_gates), 2e-3, "f4"), units=unit)
        add(file, "vertical_resolution", ("time",), np.array([10.0, 10.0], "f4"), units="m")
        for name, values in {
            "cbh_1": [530, -(1 << 31)],
            "cbh_2": [980, -(1 << 31)],
            "cbh_3": [-(1 << 31), -(1 << 31)],
            "vertical_visibility": [-(1 << 31), 90],
            "status_warning": [0, 0x8000],
            "status_alarm": [0, 0],
            "status_internal": [0x80, 0x80],
            "tilt_angle": [3, 3],
            "window_transmission": [98, 60],
        }.items():
            add(file, name, ("time",), np.array(values, "i4"), fill=np.int32(-(1 << 31)))
        add(file, "layer_cloud_amount", ("time", "layer"), np.array([[8, -1, -1, -1, -1], [9, -1, -1, -1, -1]], "i4"))
        add(file, "layer_height", ("time", "layer"), np.full((2, 5), 500, "i4"))

    return written(write)


def test_cl2nc_files_keep_all_of_the_message() -> None:
    read = only_block(cl2nc_file())

    assert (read.instrument, read.message_type, read.is_calibrated) == ("Vaisala CL51", "cl2nc", True)
    assert read.range_m.tolist() == [5.0, 15.0, 25.0, 35.0]
    assert read.beta == pytest.approx(np.full((2, 4), 2e-6))
    assert np.array_equal(read.cloud_base_m, [[530.0, 980.0, np.nan], [np.nan] * 3], equal_nan=True)
    assert np.array_equal(read.vertical_visibility_m, [np.nan, 90.0], equal_nan=True)
    assert read.is_fog.tolist() == [False, True]
    assert read.alarms == ((), ("warning: window contamination",))
    assert read.sky_cover_octas[0, 0] == 8.0
    assert np.isnan(read.sky_cover_octas[1, 0])  # 9 says visibility, not cover
    assert read.health["window_transmission_percent"].tolist() == [98.0, 60.0]


def test_backscatter_of_cl2nc_is_per_kilometre_also_where_its_unit_was_lost() -> None:
    assert only_block(cl2nc_file(unit="")).beta == pytest.approx(np.full((2, 4), 2e-6))


def test_the_number_of_gates_tells_a_cl31_from_a_cl51() -> None:
    assert only_block(cl2nc_file(770)).instrument == "Vaisala CL31"


@pytest.mark.parametrize("name_of_bases", ["cloud_base", "cloud_data"])  # of version 1.0, and since 1.1
def test_counts_are_1e_8_whatever_the_unit_says_and_visibility_is_no_cloud(name_of_bases: str) -> None:
    def write(file: Any) -> None:
        file.source = "Vaisala CL51 ceilometer"
        file.serial_number = "r1350815"
        for name, length in (("time", 2), ("range", 3), ("cloud_layer", 3)):
            file.createDimension(name, length)
        add(file, "time", ("time",), np.array([0, 36], "i8"), units="seconds since 2020-01-01 00:00:00")
        add(file, "range", ("range",), np.array([10, 20, 30], "i8"), units="meters")
        counts = np.array([[100.0, 200.0, 300.0]] * 2, "f4")
        add(file, "backscatter_profile", ("time", "range"), counts, units="10e-9 m^-1 sr^-1")
        add(file, "cloud_status", ("time",), np.array([1.0, 4.0], "f4"))
        bases = np.array([[1500.0, -999.0, -999.0], [120.0, 300.0, -999.0]], "f4")
        add(file, name_of_bases, ("time", "cloud_layer"), bases, units="m")

    read = only_block(written(write))

    assert (read.instrument, read.identity) == ("Vaisala CL51", "r1350815")
    assert read.beta[0] == pytest.approx([1e-6, 2e-6, 3e-6])
    assert np.array_equal(read.cloud_base_m, [[1500.0, np.nan, np.nan], [np.nan] * 3], equal_nan=True)
    assert np.array_equal(read.vertical_visibility_m, [np.nan, 120.0], equal_nan=True)
    assert read.is_fog.tolist() == [False, True]


def test_the_norunda_day_is_read_as_the_archive_wrote_it(real_ceilometer_data: Path) -> None:
    path = next(real_ceilometer_data.rglob("20220729_norunda_cl51.nc"))

    read = only_block(path.read_bytes())

    assert (read.instrument, read.message_type, read.beta.shape) == ("Vaisala CL51", "Cloudnet lidar", (212, 1540))
    assert read.range_m[[0, -1]].tolist() == [5.0, 15395.0]
    assert read.tilt_deg[0] == 4.0
    with netCDF4.Dataset(path) as file:
        assert np.array_equal(read.beta, np.asarray(file["beta_raw"][...]))
