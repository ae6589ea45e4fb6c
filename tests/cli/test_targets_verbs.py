"""`ipdsf targets` and `ipdsf calibrate` from the outside: files in, classes, CF files, pictures and factors out."""

from __future__ import annotations

import csv
import itertools
import json
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from ipdsf_spark.cli.main import main
from ipdsf_spark.lidar.targets.classes import Target


@pytest.fixture(scope="module")
def sion(real_ceilometer_data: Path) -> Path:
    """A day of a CL61 under stratocumulus, five-minute profiles."""
    return next(real_ceilometer_data.rglob("L2_0-756-4-EERLCL61_A20260414.nc"))


@pytest.fixture(scope="module")
def payerne(real_ceilometer_data: Path) -> Path:
    """A clear night of a CHM 15k, five-minute profiles."""
    return next(real_ceilometer_data.rglob("L2_0-20000-0-06610_A20260225.nc"))


def rows_of(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_day_becomes_a_cf_file_a_picture_and_a_summary(
    sion: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nc, png = tmp_path / "out" / "day.nc", tmp_path / "day.png"
    assert main(["targets", str(sion), "--output", str(nc), "--plot", str(png)]) == 0
    text = capsys.readouterr().out

    assert "288 profiles" in text
    assert "liquid" in text
    assert png.read_bytes().startswith(b"\x89PNG")
    with netCDF4.Dataset(nc) as file:
        classes = file["target_classification"]
        assert classes.dimensions == ("time", "height")
        assert classes.shape == (288, 401)
        assert classes.flag_meanings.split() == [target.name.lower() for target in Target]
        np.testing.assert_array_equal(classes.flag_values, [int(target) for target in Target])
        assert set(np.unique(classes[...])) <= set(classes.flag_values.tolist())
        masks = file["target_quality"].flag_masks
        assert len(masks) == len(file["target_quality"].flag_meanings.split())
        base = file["cloud_base_height"][...].filled(np.nan)
        assert np.nanmedian(np.abs(base - file["maker_cloud_base_height"][...].filled(np.nan))) < 60.0
        assert np.all(np.diff(file["time"][...]) > 0)


def test_json_is_one_object_per_profile_whose_stretches_fill_the_column(
    sion: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["targets", str(sion), "--average", "300", "--json"]) == 0
    rows = rows_of(capsys)

    assert len(rows) == 288
    for row in rows:
        found = row["classes"]
        assert isinstance(found, list)
        assert found[0][0] == 0.0
        assert all(this[1] == following[0] for this, following in itertools.pairwise(found))


def test_several_sites_cannot_share_a_picture(
    sion: Path, real_ceilometer_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = next(real_ceilometer_data.rglob("cl51.DAT"))
    assert main(["targets", str(sion), str(other), "--plot", str(tmp_path / "x.png")]) == 2

    assert "one site at a time" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["targets", "--average", "5"], "--average is 10 to 3600 seconds"),
        (["targets", "--temperature", "290"], "--temperature is in °C"),
        (["targets", "--altitude", "1e9"], "--altitude must be metres above sea level, -500 to 9000"),
        (["targets", "--top", "nan"], "--top is 100 to 30000 m, not nan"),
        (["targets", "--plot", "day.gif"], "--plot writes .png, .svg, .pdf, not .gif"),
        (["calibrate", "--plot", "day.gif"], "--plot writes .png, .svg, .pdf, not .gif"),
        (["calibrate", "--water-vapour", "-1"], "--water-vapour is 0 to 100 mm"),
        (["calibrate", "--latitude", "50"], "--latitude and --longitude go together"),
    ],
)
def test_wrong_arguments_are_named(words: list[str], says: str, sion: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, str(sion)]) == 2

    assert says in capsys.readouterr().err


def test_a_file_without_a_profile_is_a_named_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "station" / "nothing.dat"
    path.parent.mkdir()
    path.write_bytes(b"no ceilometer")

    for verb in ("targets", "calibrate"):
        assert main([verb, str(path)]) == 1
        assert "no profile in 1 file(s)" in capsys.readouterr().err


def test_stratocumulus_calibrates_a_cl61_and_vapour_lowers_the_factor(
    sion: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ["--latitude", "46.2", "--longitude", "7.3", "--altitude", "480"]
    assert main(["calibrate", str(sion), *place, "--json"]) == 0
    (dry,) = rows_of(capsys)
    png = tmp_path / "factor.png"
    assert main(["calibrate", str(sion), *place, "--water-vapour", "12", "--json", "--plot", str(png)]) == 0
    (moist,) = rows_of(capsys)

    assert dry["day"] == "2026-04-14"
    assert "without_water_vapour" in dry["quality"]  # type: ignore[operator]
    assert "without_water_vapour" not in moist["quality"]  # type: ignore[operator]
    assert 1.0 < moist["factor"] < 0.95 * dry["factor"] < 2.0  # type: ignore[operator]
    assert png.read_bytes().startswith(b"\x89PNG")


def test_a_table_of_factors_has_a_line_per_day_and_nothing_where_there_is_none(
    sion: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ["--latitude", "46.2", "--longitude", "7.3"]
    assert main(["calibrate", str(sion), *place, "--json"]) == 0
    known = json.loads(capsys.readouterr().out)
    assert main(["calibrate", str(sion), *place, "--csv"]) == 0
    (row,) = csv.DictReader(capsys.readouterr().out.splitlines())

    assert list(row) == list(known)
    assert float(row["factor"]) == known["factor"] and row["mean_90_days"] == ""
    assert row["quality"].split() == known["quality"] and row["alarm"] == "0"


def test_a_clear_night_calibrates_a_chm15k_and_the_table_line_is_printed(
    payerne: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["calibrate", str(payerne), "--latitude", "46.8", "--longitude", "6.9", "--altitude", "490"]) == 0
    text = capsys.readouterr().out

    assert "rayleigh" in text
    factor = float(text.split("calibration = ")[1].split()[0])
    assert 0.8 < factor < 1.6  # the file is calibrated by the network, from many such nights


def test_air_quality_takes_the_factor_that_the_same_files_give(sion: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calibrate", str(sion), "--json"]) == 0
    (day,) = rows_of(capsys)
    assert main(["air", str(sion), "--calibrate", "--json"]) == 0
    found = capsys.readouterr()
    assert main(["air", str(sion), "--calibration", str(day["factor"]), "--json"]) == 0

    assert found.out == capsys.readouterr().out
    assert "from the files themselves" in found.err
    assert "factory_calibration" not in found.out


def test_air_quality_without_cloud_and_clear_night_cannot_calibrate_itself(
    real_ceilometer_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = next(real_ceilometer_data.rglob("20220729_norunda_cl51.nc"))
    assert main(["air", str(path), "--calibrate"]) == 1
    assert "no_suitable_cloud" in capsys.readouterr().err

    assert main(["air", str(path), "--calibrate", "--calibration", "2"]) == 2
    assert "one of the two" in capsys.readouterr().err
