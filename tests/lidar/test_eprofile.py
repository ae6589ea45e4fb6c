"""E-PROFILE files: units, axes in either order, altitudes above the sea, flags, a start time that lies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_files import add, eprofile_l2, written

from ipdsf_spark.lidar import instruments
from ipdsf_spark.lidar.profiles import Profiles


def only_block(raw: bytes) -> Profiles:
    decoded = instruments.decode(raw)
    assert decoded.rejected == ()
    (block,) = decoded.blocks
    return block


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(("num_profiles", "num_gates"), [(4, 6), (4, 4), (2, 5)])
def test_level_2_is_read_whichever_axis_comes_first(transposed: bool, num_profiles: int, num_gates: int) -> None:
    read = only_block(eprofile_l2(transposed=transposed, num_profiles=num_profiles, num_gates=num_gates))

    expected = np.arange(1.0, num_profiles * num_gates + 1).reshape(num_profiles, num_gates) * 1e-6
    expected[0, -1] = np.nan
    assert (read.instrument, read.message_type, read.is_calibrated) == ("Lufft CHM15k", "E-PROFILE L2", True)
    assert np.allclose(read.beta, expected, rtol=1e-6, equal_nan=True)


def test_altitudes_become_heights_above_the_station() -> None:
    read = only_block(eprofile_l2())

    assert read.range_m == pytest.approx(14.98 + 29.96 * np.arange(6))
    assert read.range_resolution_m == 29.96
    assert (read.tilt_deg == 0.0).all()  # the archive has corrected for it


def test_time_counts_days_and_the_start_time_of_another_epoch_is_ignored() -> None:
    read = only_block(eprofile_l2())

    assert read.time.astype("datetime64[ms]").astype(str).tolist()[:2] == [
        "2021-09-09T00:00:00.000",
        "2021-09-09T00:05:00.000",
    ]


def test_fills_are_no_clouds_and_visibility_stands_apart() -> None:
    read = only_block(eprofile_l2())

    assert read.cloud_base_m[0].tolist() == [187.0, 5962.0, 6581.0]
    assert not np.isfinite(read.cloud_base_m[1:]).any()
    assert np.array_equal(read.vertical_visibility_m, [np.nan, 109.0, np.nan, np.nan], equal_nan=True)
    assert read.is_fog.tolist() == [False, True, False, False]
    assert np.array_equal(read.sky_cover_octas[:, 0], [4.0, np.nan, np.nan, 8.0], equal_nan=True)


@pytest.mark.parametrize(
    ("unit", "factor"), [("1E-6*1/(m*sr)", 1e-6), ("Mm-1 sr-1", 1e-6), ("10^-6 m-1 sr-1", 1e-6), ("", 1e-6)]
)
def test_the_unit_is_a_millionth_however_it_is_written(unit: str, factor: float) -> None:
    assert only_block(eprofile_l2(unit=unit)).beta[1, 0] == pytest.approx(7.0 * factor)


def test_heights_without_a_station_altitude_are_refused() -> None:
    raw = eprofile_l2().replace(b"station_altitude", b"station_altitudo")

    decoded = instruments.decode(raw)

    assert decoded.blocks == ()
    assert "station_altitude" in decoded.rejected[0].reason


def level_1(instrument_type: str, **columns: Any) -> bytes:
    def write(file: Any) -> None:
        file.setncatts({"instrument_type": instrument_type, "title": "somewhere"})
        for name, length in (("time", 2), ("range", 3), ("layer", 3)):
            file.createDimension(name, length)
        add(file, "time", ("time",), np.array([17000.5, 17000.75]), units="days since 1970-01-01 00:00:00")
        add(file, "range", ("range",), np.array([14.985, 29.97, 44.955], "f4"), units="m")
        rcs = np.array([[1.0, 2.0, -999.9], [4.0, 5.0, 6.0]])
        add(file, "rcs_0", ("time", "range"), rcs, fill=-999.9, missing_value=-999.9, units="m^2*counts/s")
        bases = np.array([[-9.0, -9.0, -9.0], [800.0, -9.0, -9.0]], "f4")
        add(file, "cloud_base_height", ("time", "layer"), bases, fill=np.float32(-9), units="m")
        add(file, "tilt_angle", (), np.array(3.0, "f4"))
        add(file, "station_altitude", (), np.array(490.0, "f4"))
        for name, values in columns.items():
            add(file, name, ("time", "layer")[: np.ndim(values)], np.asarray(values))

    return written(write)


@pytest.mark.parametrize(
    ("instrument_type", "name", "wavelength_nm"),
    [
        ("CHM15K", "Lufft CHM15k", 1064.0),
        ("CL31", "Vaisala CL31", 910.0),
        ("CL51", "Vaisala CL51", 910.0),
        ("CS135", "Campbell CS135", 912.0),
        ("Mini-MPL", "Sigma MiniMPL", 532.0),
        ("something new", "E-PROFILE ceilometer", np.nan),
    ],
)
def test_level_1_names_the_instrument_and_is_a_signal(instrument_type: str, name: str, wavelength_nm: float) -> None:
    read = only_block(level_1(instrument_type))

    assert (read.instrument, read.message_type, read.is_calibrated) == (name, "E-PROFILE L1", False)
    assert read.wavelength_nm == pytest.approx(wavelength_nm, nan_ok=True)
    assert np.array_equal(read.beta, [[1.0, 2.0, np.nan], [4.0, 5.0, 6.0]], equal_nan=True)
    assert np.array_equal(read.cloud_base_m[:, 0], [np.nan, 800.0], equal_nan=True)
    assert (read.tilt_deg == 3.0).all()


def test_level_1_keeps_what_the_makers_file_knew() -> None:
    read = only_block(
        level_1(
            "CHM15K",
            pbl=np.array([[805.0, 1028.0, -9.0], [-1.0, -9.0, -9.0]]),
            pbs=np.array([[1, 1, 0], [0, 0, 0]], "i4"),
            sci=np.array([0, 1], "i4"),
            error_ext=np.array([0, 1 << 17], "i4"),
            window_transmission=np.array([63.0, 61.0]),
            temp_int=np.array([287.3, 287.2]),
        )
    )

    assert read.maker_layer_height_m[0, :2].tolist() == [805.0, 1028.0]
    assert not np.isfinite(read.maker_layer_height_m[1]).any()
    assert read.is_precipitation.tolist() == [False, True]
    assert read.alarms[1] == ("warning: window contaminated",)
    assert read.health["window_transmission_percent"].tolist() == [63.0, 61.0]
    assert read.health["internal_temperature_celsius"] == pytest.approx([14.15, 14.05], abs=0.01)


def test_the_oslo_day_is_read_as_its_inventory_says(real_ceilometer_data: Path) -> None:
    read = only_block(next(real_ceilometer_data.rglob("L2_0-20000-001492_A20210909.nc")).read_bytes())

    assert read.beta.shape == (273, 511)
    assert np.isfinite(read.cloud_base_m[:, 0]).mean() == pytest.approx(0.97, abs=0.01)
    assert (np.nanmin(read.cloud_base_m), np.nanmax(read.cloud_base_m)) == (15.0, 12138.0)
    assert (np.nanmin(read.vertical_visibility_m), np.nanmax(read.vertical_visibility_m)) == (109.0, 358.0)
    assert np.isnan(read.beta).mean() == pytest.approx(0.61, abs=0.01)  # masked, not dropped
