"""One door for every format: told by content, packed or not, and never a surprise."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_files import add, eprofile_l2, profiles, written

from ipdsf_spark.lidar import instruments
from ipdsf_spark.lidar.containers import packed
from ipdsf_spark.lidar.containers.cf_time import since
from ipdsf_spark.lidar.containers.container import UnreadableFile
from ipdsf_spark.lidar.instruments import lufft_chm, vaisala_cl, vaisala_cl61
from ipdsf_spark.lidar.instruments.axes import gate_centres, regular_grid
from ipdsf_spark.lidar.instruments.fields import check_profiles
from ipdsf_spark.lidar.profiles import Decoded

MADE = {
    "Lufft CHM15k": lufft_chm.encode_file(profiles()),
    "Vaisala CL61": vaisala_cl61.encode_file(profiles()),
    "E-PROFILE": eprofile_l2(),
}


@pytest.mark.parametrize(("name", "raw"), MADE.items())
def test_a_format_is_told_by_content_and_not_by_file_name(name: str, raw: bytes) -> None:
    decoded = instruments.decode(raw, name="C5061800.DAT")

    assert decoded.instrument == instruments.recognise(raw)
    assert decoded.instrument.startswith(name) or name == "E-PROFILE"
    assert decoded.num_profiles >= 3


@pytest.mark.parametrize("raw", MADE.values(), ids=MADE)
def test_packing_with_gzip_changes_nothing(raw: bytes) -> None:
    packed = gzip.compress(raw)

    assert instruments.recognise(packed) == instruments.recognise(raw)
    assert np.array_equal(
        instruments.decode(packed).blocks[0].beta, instruments.decode(raw).blocks[0].beta, equal_nan=True
    )


@pytest.mark.parametrize("kept", [2, 30, -9, -1])
def test_a_damaged_gzip_file_is_rejected_with_its_reason(kept: int) -> None:
    decoded = instruments.decode(gzip.compress(MADE["Lufft CHM15k"])[:kept])

    assert decoded.blocks == ()
    assert "gzip" in decoded.rejected[0].reason


def test_a_gzip_bomb_is_refused_at_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "MAX_BYTES", 1000)

    decoded = instruments.decode(gzip.compress(bytes(1_000_000)))

    assert "unpacks to over" in decoded.rejected[0].reason


@settings(max_examples=200)
@given(raw=st.binary(max_size=400))
def test_any_bytes_give_an_answer(raw: bytes) -> None:
    decoded = instruments.decode(raw)

    assert isinstance(decoded, Decoded)
    assert decoded.blocks or decoded.rejected
    assert isinstance(instruments.recognise(raw), str)


@settings(max_examples=100)
@given(start=st.sampled_from([b"CDF\x01", b"CDF\x05", b"\x89HDF\r\n\x1a\n", b"\x1f\x8b", b"\x01CL"]), rest=st.binary())
def test_any_bytes_after_a_known_beginning_give_an_answer(start: bytes, rest: bytes) -> None:
    decoded = instruments.decode(start + rest)

    assert decoded.blocks or decoded.rejected


def without_time(num_profiles: int) -> bytes:
    fill = b"seconds since 1904-01-01", b"seconds since 1004-01-01"
    return lufft_chm.encode_file(profiles(num_profiles)).replace(*fill)


def test_the_only_profile_of_a_file_without_any_time_takes_the_time_it_was_sent() -> None:
    sent = np.datetime64("2021-09-09T12:00:00", "us")

    assert np.isnat(instruments.decode(without_time(1)).blocks[0].time).all()
    assert instruments.decode(without_time(1), received=sent).blocks[0].time.tolist() == [sent.item()]


def test_one_time_of_sending_is_not_shared_by_several_profiles() -> None:
    decoded = instruments.decode(without_time(3), received=np.datetime64("2021-09-09T12:00:00", "us"))

    assert decoded.blocks == ()
    assert [stretch.reason for stretch in decoded.rejected] == [
        f"profile {i} of 3 has a time that is missing or a fill value: not within 1985 to 2099" for i in (1, 2, 3)
    ]


def test_model_output_and_lists_of_hits_are_named_for_what_they_are(real_ceilometer_data: Path) -> None:
    model = instruments.decode(next(real_ceilometer_data.rglob("ecmwf_model.nc")).read_bytes())
    hits = instruments.decode(next(real_ceilometer_data.rglob("Geneva*.csv")).read_bytes())

    assert "weather model" in model.rejected[0].reason
    assert "cloud hits" in hits.rejected[0].reason
    assert (model.instrument, hits.instrument) == ("NWP model column", "airport ceilometer hits csv")


def test_a_netcdf_file_of_nobody_says_which_variables_it_has() -> None:
    def write(file: Any) -> None:
        file.createDimension("x", 2)
        for index in range(12):
            add(file, f"quantity_{index:02d}", ("x",), np.arange(2))

    decoded = instruments.decode(written(write))

    assert decoded.rejected[0].reason.endswith("quantity_06, quantity_07 and 4 more")


def test_text_logs_go_to_their_own_readers() -> None:
    made = profiles(2, 770)
    raw = vaisala_cl.encode_file(
        type(made)(**{**made.__dict__, "instrument": "Vaisala CL31", "range_resolution_m": 10.0})
    )

    assert instruments.recognise(raw) == "Vaisala CL31"
    assert instruments.decode(raw).num_profiles == 2


def test_reading_needs_no_engine_and_no_c_library() -> None:
    heavy = "{'pyspark', 'pandas', 'torch', 'netCDF4', 'h5py'}"
    code = f"import sys, ipdsf_spark.lidar.instruments; print({heavy} & set(sys.modules))"

    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"


@given(
    first=st.sampled_from([0.0, 0.5, 1.0]),
    resolution=st.floats(3.0, 60.0),
    num_gates=st.integers(2, 50),
)
def test_gates_are_centred_from_lower_edges_centres_and_upper_edges(
    first: float, resolution: float, num_gates: int
) -> None:
    centres = gate_centres(first * resolution, resolution, num_gates)

    assert centres == pytest.approx((np.arange(num_gates) + 0.5) * resolution)


def test_a_range_that_begins_high_is_taken_as_it_stands() -> None:
    assert gate_centres(120.0, 30.0, 3).tolist() == [120.0, 150.0, 180.0]


@pytest.mark.parametrize("values", [[1.0], [1.0, np.nan], [3.0, 2.0, 1.0], [0.0, 10.0, 100.0], [0.0, 0.0]])
def test_an_axis_that_is_no_grid_is_refused(values: list[float]) -> None:
    with pytest.raises(UnreadableFile):
        regular_grid(np.array(values))


@pytest.mark.parametrize(("num_profiles", "num_gates"), [(100_001, 1), (90_000, 3276), (1, 1 << 31)])
def test_more_profiles_than_a_day_can_have_are_refused(num_profiles: int, num_gates: int) -> None:
    with pytest.raises(UnreadableFile, match="split it into files of a day"):
        check_profiles(num_profiles, num_gates)


def test_a_day_of_the_fastest_instruments_is_not_refused() -> None:
    check_profiles(17_280, 3276)  # CL61 every 5 s
    check_profiles(86_400, 640)  # one profile a second


@pytest.mark.parametrize(
    ("unit", "count", "expected"),
    [
        ("seconds since 1904-01-01 00:00:00.000 00:00", 3.5e9, "2014-11-28T06:13:20"),
        ("days since 1970-01-01 00:00:00.000", 18879.000046296, "2021-09-09T00:00:04"),
        ("hours since 2022-07-29 00:00:00 +00:00", 0.5, "2022-07-29T00:30:00"),
        ("minutes since 2022-07-29", 90, "2022-07-29T01:30:00"),
        ("milliseconds since 1970-01-01T00:00:00", 1500.0, "1970-01-01T00:00:02"),
    ],
)
def test_time_is_read_in_every_unit_and_epoch_met(unit: str, count: float, expected: str) -> None:
    stamp = since(np.array([count]), unit)[0]

    assert abs(stamp - np.datetime64(expected)) <= np.timedelta64(500, "ms")


@pytest.mark.parametrize("count", [np.nan, np.inf, 9.96921e36, -9.96921e36, 1e20])
def test_no_fill_value_becomes_a_time(count: float) -> None:
    assert np.isnat(since(np.array([count]), "seconds since 1970-01-01")[0])


@pytest.mark.parametrize("unit", ["", "fortnights since 1970-01-01", "seconds since 2021-13-45"])
def test_a_unit_that_cannot_be_understood_is_refused(unit: str) -> None:
    with pytest.raises(UnreadableFile, match=r"unit|impossible date"):
        since(np.zeros(1), unit)
