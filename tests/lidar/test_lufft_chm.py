"""Lufft CHM files of both modes, old firmware and a met service: offsets, fills, clocks, codes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_files import add, profiles, written

from ipdsf_spark.lidar import instruments
from ipdsf_spark.lidar.instruments import lufft_chm
from ipdsf_spark.lidar.profiles import Profiles


def only_block(raw: bytes) -> Profiles:
    decoded = instruments.decode(raw)
    assert decoded.rejected == ()
    (block,) = decoded.blocks
    return block


@given(
    num_profiles=st.integers(1, 6),
    num_gates=st.integers(2, 40),
    seed=st.integers(0, 100),
    mode=st.sampled_from((0, 1)),
    offset=st.integers(0, 3000),
)
def test_what_the_instrument_writes_is_read_back(
    num_profiles: int, num_gates: int, seed: int, mode: int, offset: int
) -> None:
    made = profiles(num_profiles, num_gates, seed=seed)

    read = only_block(lufft_chm.encode_file(made, mode=mode, calibration=3e-12, height_offset_m=offset))

    assert read.instrument == "Lufft CHM15k"
    assert read.message_type == f"netcdf mode {mode}"
    assert read.is_calibrated == (mode == 1)
    assert np.array_equal(read.time, made.time)
    assert read.range_m == pytest.approx(made.range_m)
    assert read.range_resolution_m == 15.0
    assert read.beta * (1.0 if mode == 1 else 3e-12) == pytest.approx(made.beta, rel=1e-6)
    assert np.array_equal(read.cloud_base_m[:, :3], made.cloud_base_m, equal_nan=True)
    assert np.array_equal(read.maker_layer_height_m, made.maker_layer_height_m, equal_nan=True)
    assert np.array_equal(read.vertical_visibility_m, made.vertical_visibility_m, equal_nan=True)
    assert np.array_equal(read.is_fog, made.is_fog)
    assert np.array_equal(read.is_precipitation, made.is_precipitation & ~made.is_fog)
    assert np.array_equal(read.sky_cover_octas[:, 0], made.sky_cover_octas[:, 0])
    assert (read.tilt_deg == 3.0).all()
    assert read.health["window_transmission_percent"].tolist() == [97.0] * num_profiles
    assert (read.latitude_deg, read.altitude_m) == (pytest.approx(59.94), 96.0)


def test_the_factor_of_mode_1_is_kept_beside_the_backscatter() -> None:
    read = only_block(lufft_chm.encode_file(profiles(), mode=1, calibration=3.2e-12))

    assert read.health["calibration_factor"] == pytest.approx(np.full(3, 3.2e-12))


def test_one_profile_is_a_file() -> None:
    assert len(only_block(lufft_chm.encode_file(profiles(1)))) == 1


def chm_file(**changes: Any) -> bytes:
    """A small mode 0 file; `changes` replace values of variables, None leaves one out."""
    values: dict[str, tuple[tuple[str, ...], Any, dict[str, Any]]] = {
        "time": (("time",), np.array([3.7e9, 3.7e9 + 30]), {"units": "seconds since 1904-01-01 00:00:00.000 00:00"}),
        "range": (("range",), np.array([14.985, 29.97, 44.955], "f4"), {"units": "m"}),
        "beta_raw": (("time", "range"), np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], "f4"), {}),
        "cbh": (("time", "layer"), np.array([[-1, -1], [570, 2070]], "i2"), {"units": "m"}),
        "pbl": (("time", "layer"), np.array([[579, -1], [594, 864]], "i2"), {"units": "m"}),
        "cho": ((), np.array(70, "i2"), {"units": "m"}),
        "sci": (("time",), np.array([0, 3], "i1"), {}),
        "vor": (("time",), np.array([-1, 2500], "i2"), {"units": "m"}),
        "tcc": (("time",), np.array([-1, 8], "i1"), {}),
        "error_ext": (("time",), np.array([0, 0], "i4"), {}),
        "temp_lom": (("time",), np.array([3081, 3076], "i2"), {"scale_factor": 0.1}),
    }

    def write(file: Any) -> None:
        file.setncatts({"title": "CHM15k Nimbus", "software_version": "17.05.1 2.13 1.040 0"})
        file.setncatts(changes.get("attributes", {}))
        for name, length in (("time", None), ("range", 3), ("layer", 2)):
            file.createDimension(name, length)
        for name, (axes, array, attributes) in values.items():
            replaced = changes.get(name, array)
            if replaced is not None:
                add(file, name, axes, np.asarray(replaced), **attributes)
        for name, array in changes.get("more", {}).items():
            add(file, name, ("time",), np.asarray(array))

    return written(write, layout=changes.get("layout", "NETCDF3_CLASSIC"))


@pytest.mark.parametrize("layout", ["NETCDF3_CLASSIC", "NETCDF4", "NETCDF4_CLASSIC"])
def test_cloud_bases_and_layers_lose_the_height_offset_and_their_fill_values(layout: str) -> None:
    read = only_block(chm_file(layout=layout))

    assert np.array_equal(read.cloud_base_m, [[np.nan, np.nan], [500.0, 2000.0]], equal_nan=True)
    assert np.array_equal(read.maker_layer_height_m, [[509.0, np.nan], [524.0, 794.0]], equal_nan=True)
    assert np.array_equal(read.vertical_visibility_m, [np.nan, 2500.0], equal_nan=True)


def test_layer_heights_that_lie_on_the_gates_as_they_are_carry_no_offset() -> None:
    on_gates = np.rint(np.array([[34, 35], [53, 91]]) * 14.985).astype("i2")

    read = only_block(chm_file(pbl=on_gates))

    assert np.array_equal(read.maker_layer_height_m, on_gates)


def test_gates_are_centred_although_the_file_gives_upper_edges() -> None:
    assert only_block(chm_file()).range_m == pytest.approx([7.4925, 22.4775, 37.4625], abs=1e-4)


def test_the_default_fill_of_netcdf_is_no_signal() -> None:
    read = only_block(chm_file(beta_raw=np.array([[1.0, 9.96921e36, 3.0], [4.0, 5.0, 6.0]], "f4")))

    assert np.argwhere(np.isnan(read.beta)).tolist() == [[0, 1]]


def test_time_counts_from_1904_and_crosses_midnight_in_order() -> None:
    midnight = (np.datetime64("2020-10-10") - np.datetime64("1904-01-01")) / np.timedelta64(1, "s")

    read = only_block(chm_file(time=np.array([midnight - 1.0, midnight + 29.0])))

    assert read.time.astype("datetime64[s]").astype(str).tolist() == ["2020-10-09T23:59:59", "2020-10-10T00:00:29"]


def test_sky_condition_and_service_code_are_told_by_name() -> None:
    bits = (1 << 17) | (1 << 11)

    read = only_block(chm_file(sci=np.array([2, 3], "i1"), error_ext=np.array([0, bits], "i4")))

    assert read.is_fog.tolist() == [True, False]
    assert read.is_precipitation.tolist() == [False, True]
    assert read.alarms == ((), ("error: laser trigger not detected", "warning: window contaminated"))


def test_visibility_below_a_kilometre_is_fog_even_where_the_index_says_rain() -> None:
    read = only_block(chm_file(sci=np.array([1, 1], "i1"), vor=np.array([105, 2500], "i2")))

    assert read.is_fog.tolist() == [True, False]


@pytest.mark.parametrize("stored", [np.array([3081, 3076], "i2"), np.array([308.1, 307.6])])
def test_temperatures_scaled_twice_by_an_archive_are_still_temperatures(stored: np.ndarray) -> None:
    read = only_block(chm_file(temp_lom=stored))

    assert read.health["laser_temperature_celsius"] == pytest.approx([34.95, 34.45], abs=0.01)


def test_signal_of_old_firmware_is_brought_to_the_scale_of_the_new() -> None:
    noise = np.array([2e-5, 4e-5], "f4")
    file = {"attributes": {"software_version": "0.559"}, "more": {"stddev": noise, "nn1": np.array([145, 140], "i2")}}

    read = only_block(chm_file(**file))

    gain = np.array([1.24**-1, 1.0])
    expected = np.array([[1, 2, 3], [4, 5, 6]]) * (noise / gain)[:, None] * read.range_m**2
    assert read.beta == pytest.approx(expected, rel=1e-5)


def test_a_file_without_health_or_clouds_is_still_profiles() -> None:
    without = dict.fromkeys(("cbh", "pbl", "cho", "sci", "vor", "tcc", "error_ext", "temp_lom"))

    read = only_block(chm_file(**without))

    assert len(read) == 2
    assert not np.isfinite(read.cloud_base_m).any()
    assert read.alarms == ((), ())


@pytest.mark.parametrize(("missing", "reason"), [("range", "'range' is missing"), ("time", "'time' is missing")])
def test_a_file_without_an_axis_is_rejected_with_its_name(missing: str, reason: str) -> None:
    decoded = instruments.decode(chm_file(**{missing: None}))

    assert (decoded.instrument, decoded.blocks) == ("Lufft CHM15k", ())
    assert [reason in stretch.reason for stretch in decoded.rejected] == [True]


def test_a_file_cut_in_its_second_profile_gives_the_first_and_names_the_rest() -> None:
    raw = lufft_chm.encode_file(profiles(3))

    decoded = instruments.decode(raw[:-100])

    assert decoded.num_profiles == 2
    assert decoded.rejected[0].reason == "file ends after 2 of the 3 rows its header promises"


def met_office_file() -> bytes:
    """The layout of the UK Met Office: upper-case names, kilometres, hours since the day began."""

    def write(file: Any) -> None:
        file.setncatts({"system": "nimbus", "source": "Met Office Jenoptik CHM15k Nimbus LCBR", "firmware_version": 1})
        for name, length in (("time", None), ("range", 3), ("nbases", 2)):
            file.createDimension(name, length)
        add(file, "time", ("time",), np.array([0.25, 0.5], "f4"), units="hours since 2016-05-14 00:00:00 +00:00")
        add(file, "range", ("range",), np.array([0.0225, 0.0375, 0.0525], "f4"), units="km")
        add(file, "beta", ("time", "range"), np.full((2, 3), 2e-7, "f4"), fill=np.float32(-999), units="m-1 sr-1")
        add(file, "beta_raw", ("time", "range"), np.full((2, 3), 177.0, "f4"), units="photons m^2")
        bases = np.array([[0.664, -999.0], [-999.0, -999.0]], "f4")
        add(file, "CBH", ("time", "nbases"), bases, fill=np.float32(-999), units="km")
        add(file, "PBL", ("time", "nbases"), np.array([[0.872, -999.0], [0.719, 1.2]], "f4"), units="km")
        add(file, "visibility", ("time",), np.array([-999.0, 0.703], "f4"), fill=np.float32(-999), units="km")
        add(file, "CHO", (), np.array(0, "i1"))
        add(file, "TCC", ("time",), np.array([7, -127], "i1"))
        add(file, "SCI", ("time",), np.array([1, 0], "i1"))
        add(file, "zenith", (), np.array(5.0, "f4"))

    return written(write)


def test_the_files_a_met_service_rewrote_are_read_in_metres_and_utc() -> None:
    read = only_block(met_office_file())

    assert (read.instrument, read.message_type, read.is_calibrated) == ("Lufft CHM15k", "netcdf Met Office", True)
    assert read.time.astype("datetime64[s]").astype(str).tolist() == ["2016-05-14T00:15:00", "2016-05-14T00:30:00"]
    assert read.range_m == pytest.approx([22.5, 37.5, 52.5], abs=1e-3)
    assert np.allclose(read.cloud_base_m, [[664.0, np.nan], [np.nan, np.nan]], equal_nan=True)
    assert np.allclose(read.maker_layer_height_m, [[872.0, np.nan], [719.0, 1200.0]], equal_nan=True)
    assert np.allclose(read.vertical_visibility_m, [np.nan, 703.0], equal_nan=True)
    assert read.is_precipitation.tolist() == [True, False]
    assert (read.tilt_deg == 5.0).all()
    assert read.beta == pytest.approx(np.full((2, 3), 2e-7))


def test_layer_heights_of_every_real_file_carry_the_offset_of_its_cloud_bases(real_ceilometer_data: Path) -> None:
    """The proof that `pbl` is to be corrected as `cbh` is: only then do all heights lie on the gates."""
    heights = []
    for path in real_ceilometer_data.rglob("*CHM170137*.nc"):
        block = only_block(path.read_bytes())
        heights += block.maker_layer_height_m[np.isfinite(block.maker_layer_height_m)].tolist()
    found = np.array(heights)

    assert len(found) > 150
    assert np.abs(found - np.rint(found / 14.985) * 14.985).max() <= 0.51  # whole metres on gates of 14.985 m
    with_offset = found + 70.0
    assert np.abs(with_offset - np.rint(with_offset / 14.985) * 14.985).max() > 4.0
