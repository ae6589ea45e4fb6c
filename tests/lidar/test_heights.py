"""Heights of other tools are read as they are written, and judged by the hours of the sun."""

from __future__ import annotations

import json
from pathlib import Path

import netCDF4
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipdsf_spark.cli import main as cli
from ipdsf_spark.errors import InputError
from ipdsf_spark.lidar.heights.comparison import CLASSES, hour_classes, paired, scores
from ipdsf_spark.lidar.heights.series import Heights, read_heights

DAY = np.datetime64("2021-06-21", "us")
MINUTE = np.timedelta64(60, "s")


def arm_file(variable: str, values: list[float], *, qc: list[int] | None = None, place: bool = False) -> bytes:
    """A file as the ARM archive has them: base_time, time_offset, time, qc_ with assessments bit by bit."""
    file = netCDF4.Dataset("arm.nc", "w", memory=1024)
    file.createDimension("time", len(values))
    base = file.createVariable("base_time", "i4")
    base[...] = 1_624_233_600
    base.units = "seconds since 1970-1-1 0:00:00 0:00"
    time = file.createVariable("time", "f8", ("time",))
    time[:] = 600.0 * np.arange(len(values))
    time.units = "seconds since 2021-06-21 00:00:00 0:00"
    height = file.createVariable(variable, "f4", ("time",), fill_value=-9999.0)
    height[:] = values
    height.units = "m"
    for name, degrees in (("latitude", 46.2), ("longitude", 7.3)) if place else ():
        file.createVariable(name, "f8")[...] = degrees
    if qc is not None:
        flags = file.createVariable(f"qc_{variable}", "i4", ("time",))
        flags[:] = qc
        flags.setncatts({"bit_1_assessment": "Indeterminate", "bit_2_assessment": "Bad"})
    return bytes(file.close())


@pytest.mark.parametrize("variable", ["bl_height_1", "pbl_height_haar", "pbl_height_liu_liang", "pbl_height_heffter"])
def test_arm_heights_are_read_and_what_is_assessed_as_bad_is_not(variable: str) -> None:
    found = read_heights(arm_file(variable, [500.0, 600.0, -9999.0, 900.0], qc=[0, 1, 0, 2]))

    assert found.time.tolist() == [(DAY + 10 * number * MINUTE).item() for number in range(4)]
    np.testing.assert_array_equal(found.height_m, [500.0, 600.0, np.nan, np.nan])


@pytest.mark.parametrize(
    "text",
    [
        "time,mixing_height_m,uncertainty_m\n2021-06-21T12:00:00Z,800,50\n2021-06-21T12:05:00Z,,\n",
        "# a comment\nTIMESTAMP;MLH;SIGMA_M\n2021-06-21 12:00;800;50\n2021-06-21 12:05;-999;\n",
        "UnixTime,BL_HEIGHT_1,std_m\n1624276800,800,50\n1624277100,-999,-999\n",
        "time;blh;sigma_m\n2021/6/21 12:00;800,0;50,0\n2021/6/21 12:05;;\n",
        "timestamp,blh_m,sigma_m\n1624276800000,800,50\n1624277100000,,\n",
        "time,blh,sigma_m\n2021-06-21 12:00:00+00,800,50\n2021-06-21 12:05:00+00,,\n",
        "date_time\tblh\tsigma_m\n2021-06-21T14:00:00+02:00\t800\t50\n2021-06-21T14:05:00+0200\tnan\t\n",
    ],
)
def test_tables_of_many_hands_say_the_same(text: str) -> None:
    found = read_heights(text.encode())

    assert found.time.tolist() == [(DAY + minutes * MINUTE).item() for minutes in (720, 725)]
    np.testing.assert_array_equal(found.height_m, [800.0, np.nan])
    np.testing.assert_array_equal(found.sigma_m, [50.0, np.nan])


def test_a_table_of_a_spreadsheet_in_utf16_is_read() -> None:
    found = read_heights("time\tblh\n2021-06-21 12:00\t800\n".encode("utf-16"))

    np.testing.assert_array_equal(found.height_m, [800.0])


@pytest.mark.parametrize(
    ("column", "factor"), [("blh_km", 1e3), ("blh [km]", 1e3), ("top (ft)", 0.3048), ("blh", 1.0), ("bl_height_1", 1.0)]
)
def test_a_columns_name_says_its_unit(column: str, factor: float) -> None:
    found = read_heights(f"time,{column}\n2021-06-21T12:00Z,2.0\n".encode(), variable=column)

    np.testing.assert_allclose(found.height_m, [2.0 * factor])


@pytest.mark.parametrize(
    "text",
    [
        "time,blh_km\n2021-06-21T12:00Z,0.8\n",
        "time,MLH [km]\n2021-06-21T12:00Z,0.8\n",
        "time,blh,unit\n2021-06-21T12:00Z,0.8,km\n",
        "time;mlh;units\n2021-06-21T12:00Z;800;m AGL\n",
    ],
)
def test_a_known_column_is_found_with_its_unit_behind_it_or_in_a_column_of_units(text: str) -> None:
    np.testing.assert_allclose(read_heights(text.encode()).height_m, [800.0])


def test_a_column_of_units_that_are_no_lengths_is_refused() -> None:
    with pytest.raises(InputError, match=r"blh is no height: its unit is 'hPa'"):
        read_heights(b"time,blh,unit\n2021-06-21T12:00Z,900,hPa\n")


def test_heights_that_are_all_of_some_metres_are_asked_whether_they_are_kilometres() -> None:
    lines = "".join(f"2021-06-21T{hour:02d}:00Z,{0.2 + hour / 12:.2f}\n" for hour in range(24))
    with pytest.raises(InputError, match=r"none of 24 heights reaches 8 m: .*kilometres"):
        read_heights(f"time,blh\n{lines}".encode())

    np.testing.assert_allclose(read_heights(f"time,blh_km\n{lines}".encode()).height_m.max(), 2120.0)


def test_times_that_cannot_be_read_are_shown_with_what_would_be_right() -> None:
    with pytest.raises(InputError, match=r"time says '06/21/2021 12:00', wanted is ISO 8601"):
        read_heights(b"time,blh\n06/21/2021 12:00,800\n")


def model_file(time: str = "time", unit: str = "m") -> bytes:
    """Heights of a model, an hour apart."""
    file = netCDF4.Dataset("model.nc", "w", memory=1024)
    for name, length in ((time, 2), ("latitude", 1), ("longitude", 1)):
        file.createDimension(name, length)
    hours = file.createVariable(time, "i4", (time,))
    hours[:] = [12, 13]
    hours.units = "hours since 2021-06-21"
    height = file.createVariable("blh", "f4", (time, "latitude", "longitude"))
    height[:] = [[[800.0]], [[900.0]]]
    height.units = unit
    return bytes(file.close())


@pytest.mark.parametrize("time", ["time", "valid_time", "Time"])
def test_times_are_those_along_the_heights_whatever_they_are_called(time: str) -> None:
    found = read_heights(model_file(time))

    assert found.time.tolist() == [(DAY + minutes * MINUTE).item() for minutes in (720, 780)]
    np.testing.assert_array_equal(found.height_m, [800.0, 900.0])


def test_a_variable_whose_unit_is_no_length_is_no_height() -> None:
    for unit in ("m", "[m]", "m AGL", "1", ""):
        np.testing.assert_array_equal(read_heights(model_file(unit=unit)).height_m, [800.0, 900.0])
    with pytest.raises(InputError, match="blh is no height: its unit is 'hPa'"):
        read_heights(model_file(unit="hPa"))


def test_the_layers_of_a_bl_view_history_file_are_read() -> None:
    text = (
        "History file\nCREATEDATE, UNIXTIME, CEILOMETER, PERIOD, BL_HEIGHT_1, BL_INDEX_1\n"
        "2021-06-21 12:00:00, 1624276800, DEVICE_1, 16, 810, 2\n"
        "2021-06-21 12:00:16, 1624276816, DEVICE_1, 16, -999, 0\n"
    )

    found = read_heights(text.encode())

    assert found.source == "Vaisala BL-View, maker's layer"
    np.testing.assert_array_equal(found.height_m, [810.0, np.nan])


def test_the_makers_layers_and_a_models_heights_of_real_files_are_compared(
    real_ceilometer_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = real_ceilometer_data / "actris-cloudnet+cloudnet-processing" / "tests" / "data"
    chm15k = data / "input/bucharest/uncalibrated/chm15k/2020/04/02"
    model = data / "output/bucharest/calibrated/ecmwf/2020/20200402_bucharest_ecmwf.nc"
    files = [str(path) for path in sorted(chm15k.glob("00100_A20200402*.nc"))]

    code = cli.main(
        [
            "score",
            *files,
            "--reference",
            str(model),
            "--every",
            "3600",
            "--site",
            "bucharest",
            "-o",
            str(tmp_path),
            "--json",
        ]
    )

    told = json.loads(capsys.readouterr().out)
    by_hour = {row["hours"]: row for row in told["scores"]}
    assert code == 0
    assert told["heights"] == "Lufft CHM15k, maker's layer"
    assert by_hour["all"]["num"] == 25  # hourly values of the model, midnight to midnight
    assert by_hour["night"]["bias_m"] > 1000.0  # a residual layer is no mixing layer: the maker's heights at 21 UTC
    assert {path.name for path in tmp_path.iterdir()} == {"score.csv", "score.json", "score.png"}
    assert json.loads((tmp_path / "score.json").read_text()) == told


def series(height_m: np.ndarray, *, sigma_m: float = 50.0, start: np.datetime64 = DAY) -> Heights:
    time = start + np.arange(len(height_m)) * 5 * MINUTE
    return Heights("made", time, np.asarray(height_m, float), np.full(len(height_m), sigma_m))


def test_bias_availability_and_honesty_are_those_of_the_hand() -> None:
    reference = series(np.full(100, 1000.0))
    heights = series(np.where(np.arange(100) < 80, 1060.0, np.nan), sigma_m=40.0)

    found = scores(paired(heights, reference, 300), float("nan"), float("nan"))

    assert set(found) == {"all"}
    all_hours = found["all"]
    assert (all_hours.num, all_hours.available) == (100, 0.8)
    assert (all_hours.bias_m, all_hours.rmse_m) == pytest.approx((60.0, 60.0))
    assert (all_hours.within_1_sigma, all_hours.within_2_sigma) == (0.0, 1.0)


def test_a_radiosonde_counts_one_time_and_sees_the_mean_around_it() -> None:
    sonde = Heights("sonde", np.array([DAY + 725 * MINUTE]), np.array([1000.0]), np.array([np.nan]))
    heights = series(np.linspace(900.0, 1100.0, 288))

    pairs = paired(heights, sonde, 1800)

    assert pairs.reference_m.tolist() == [1000.0]
    assert pairs.height_m[0] == pytest.approx(heights.height_m[144:150].mean())


def test_the_site_that_layers_wrote_into_its_netcdf_tells_the_hours_apart_and_no_other_tools_position_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def told(variable: str) -> str:
        path = tmp_path / f"{variable}.nc"
        path.write_bytes(arm_file(variable, [800.0] * 144, place=True))
        assert cli.main(["score", str(path), "--reference", str(path)]) == 0
        return capsys.readouterr().out

    own, other = told("pblh"), told("BLH")
    assert "noon" in own
    assert "hours by the sun at 46.20 7.30, where the file says that its site stands" in own
    assert "hours are not told apart" in other


def test_a_misspelt_site_does_not_lose_its_sun(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    heights, table = tmp_path / "mine.csv", tmp_path / "sites.toml"
    heights.write_text("time,blh\n2021-06-21T12:00Z,800\n", encoding="utf-8")
    table.write_text("[default]\n[sion]\nlatitude_deg = 46.2\nlongitude_deg = 7.3\n", encoding="utf-8")
    told = ["score", str(heights), "--reference", str(heights), "--sites", str(table), "--site"]

    assert cli.main([*told, "sionn"]) == 2
    assert "unknown site 'sionn'; did you mean 'sion'?" in capsys.readouterr().err
    assert cli.main([*told, "sion"]) == 0
    assert "noon" in capsys.readouterr().out


def test_nothing_in_common_is_said_with_both_times() -> None:
    with pytest.raises(InputError, match=r"no time in common: heights from 2021-06-25.*reference from 2021-06-21"):
        paired(series(np.ones(5), start=DAY + np.timedelta64(4, "D")), series(np.ones(5)), 300)


def test_the_sun_tells_the_hours_apart_at_any_longitude() -> None:
    hours = DAY + np.arange(24) * 60 * MINUTE

    oslo = [CLASSES[number] for number in hour_classes(hours, 59.9, 10.7)]
    chicago = [CLASSES[number] for number in hour_classes(hours, 41.7, -88.0)]

    assert [oslo[hour] for hour in (0, 6, 12, 19, 23)] == ["night", "growth", "noon", "evening", "night"]
    assert [chicago[hour] for hour in (6, 14, 19, 0)] == ["night", "growth", "noon", "evening"]
    assert set(hour_classes(hours, float("nan"), 0.0)) == {-1}
    assert {CLASSES[n] for n in hour_classes(hours - np.timedelta64(180, "D"), 80.0, 0.0)} == {"night"}


def test_what_holds_no_heights_is_refused_with_what_it_holds() -> None:
    with pytest.raises(InputError, match="no column of layer heights among time, temperature; name one with"):
        read_heights(b"time,temperature\n2021-06-21T00:00:00Z,3\n")
    with pytest.raises(InputError, match="no variable 'nothing'; there are base_time, bl_height_1, time"):
        read_heights(arm_file("bl_height_1", [1.0]), variable="nothing")
    with pytest.raises(InputError, match="not one of 1 rows has a time"):
        read_heights(b"time,mlh\nyesterday,3\n")


@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda text: f"time,mlh\n{text}".encode()))
def test_any_bytes_give_heights_or_a_named_reason(raw: bytes) -> None:
    try:
        found = read_heights(raw, "odd.bin")
    except InputError as error:
        assert str(error)
    else:
        assert found.time.shape == found.height_m.shape == found.sigma_m.shape
        assert (np.diff(found.time) >= np.timedelta64(0)).all()
