"""MiniMPL netCDF is read, raw photon counts are named for what they are."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_files import add, written
from network_files import mplnet_nrb

from ipdsf_spark.lidar import instruments


def mini_mpl_file(*, month: float = 6.0) -> bytes:
    def write(file: Any) -> None:
        file.card_type = "MiniMPL"
        file.device_serial_number = np.int32(5030)  # a number, as the maker's software writes it
        lengths = {"time": 1, "range_nrb": 4, "number_of_clouds": 2, "number_of_cloud_outlines": 3}
        for name, length in lengths.items():
            file.createDimension(name, length)
        stamp = {"year": 2016.0, "month": month, "day": 1.0, "hour": 0.0, "minute": 5.0, "second": 9.0}
        for name, value in stamp.items():
            add(file, name, ("time",), np.array([value], "f4"))
        add(file, "range_nrb", ("range_nrb",), np.array([0.12, 0.15, 0.18, 0.21], "f4"), unit="kilometers")
        add(file, "copol_nrb", ("time", "range_nrb"), np.array([[4.0, 3.0, 2.0, 1.0]], "f4"))
        add(file, "crosspol_nrb", ("time", "range_nrb"), np.array([[1.0, 0.5, 0.25, 0.0]], "f4"))
        add(file, "depolarization_ratio", ("time", "range_nrb"), np.array([[0.2, 0.15, 0.1, 0.0]], "f4"))
        add(file, "pbls", ("time", "number_of_clouds"), np.array([[0.15, np.nan]], "f4"))
        outlines = np.array([[[1.2, 1.3, 1.5], [np.nan] * 3]], "f4")
        add(file, "clouds", ("time", "number_of_clouds", "number_of_cloud_outlines"), outlines)

    return written(write)


def test_mini_mpl_gives_total_signal_layers_and_clouds_in_metres() -> None:
    decoded = instruments.decode(mini_mpl_file())

    (read,) = decoded.blocks
    assert (decoded.instrument, read.message_type, read.is_calibrated) == ("Sigma MiniMPL", "netcdf NRB", False)
    assert read.identity == "5030"
    assert str(read.time[0].astype("datetime64[s]")) == "2016-06-01T00:05:09"
    assert read.range_m == pytest.approx([120.0, 150.0, 180.0, 210.0])
    assert read.beta.tolist() == [[6.0, 4.0, 2.5, 1.0]]
    assert read.maker_layer_height_m[0, 0] == pytest.approx(150.0)
    assert read.cloud_base_m[0, 0] == pytest.approx(1200.0)
    assert read.depolarisation == pytest.approx(np.array([[0.2, 0.15, 0.1, 0.0]]))


def test_an_impossible_date_is_no_time() -> None:
    (read,) = instruments.decode(mini_mpl_file(month=13.0)).blocks

    assert np.isnat(read.time[0])


def raw_binary(num_records: int = 2, num_bins: int = 20, *, is_mini: bool = True) -> bytes:
    header = bytearray(163)
    struct.pack_into("<8H", header, 0, 5005, 414, 2015, 9, 2, 15, 0, 1)
    struct.pack_into("<H", header, 56, 2)
    struct.pack_into("<I", header, 58, num_bins)
    struct.pack_into("<H", header, 70, num_bins - 5)  # of the atmosphere; the others are of the background
    header[121] = is_mini
    struct.pack_into("<H", header, 126, len(header))
    return bytes(header + bytes(8 * num_bins)) * num_records


@pytest.mark.parametrize("num_records", [1, 2, 7])
def test_raw_photon_counts_are_rejected_by_name_with_what_would_be_right(num_records: int) -> None:
    decoded = instruments.decode(raw_binary(num_records))

    assert (decoded.instrument, decoded.blocks) == ("Sigma MiniMPL", ())
    assert f"{num_records} records of photon counts" in decoded.rejected[0].reason
    assert "netCDF instead" in decoded.rejected[0].reason


def test_a_micropulse_lidar_without_mini_in_its_header_is_called_so() -> None:
    assert instruments.decode(raw_binary(is_mini=False)).instrument == "Sigma MPL"


def test_other_bytes_are_not_taken_for_photon_counts() -> None:
    damaged = bytearray(raw_binary())
    struct.pack_into("<H", damaged, 6, 13)  # the month

    assert instruments.recognise(bytes(damaged)) == "unknown"


def test_the_real_raw_file_is_recognised(real_ceilometer_data: Path) -> None:
    decoded = instruments.decode(next(real_ceilometer_data.rglob("*.bi")).read_bytes())

    assert decoded.instrument == "Sigma MiniMPL"
    assert "102 records" in decoded.rejected[0].reason


@pytest.mark.parametrize("axes", [("altitude", "wavelength"), ("altitude", "time")])
def test_mplnet_files_as_the_network_hands_them_out_are_read(axes: tuple[str, ...]) -> None:
    (plain,) = instruments.decode(mplnet_nrb()).blocks

    (read,) = instruments.decode(mplnet_nrb(axes=axes, ratio="vol_depol_ratio")).blocks

    np.testing.assert_array_equal(read.range_m, plain.range_m)
    np.testing.assert_array_equal(read.beta, plain.beta)
    assert read.depolarisation is not None
    assert read.depolarisation == pytest.approx(np.full(read.beta.shape, 0.02))
