"""What `ipdsf inspect` says of files, folders, globs and paths that are not there."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ipdsf_spark.cli import inputs, inspect
from ipdsf_spark.cli.main import main
from ipdsf_spark.lidar.instruments import lufft_chm, vaisala_cl
from ipdsf_spark.lidar.profiles import Decoded, Profiles, Rejected


def block(num_profiles: int, num_gates: int = 4, **changes: Any) -> Profiles:
    missing = np.full(num_profiles, np.nan, np.float32)
    values: dict[str, Any] = {
        "instrument": "Lufft CHM15k",
        "message_type": "netcdf mode 0",
        "time": np.datetime64("2021-09-09T00:00:00", "us") + np.arange(num_profiles) * np.timedelta64(15, "s"),
        "range_m": np.arange(num_gates) * 15.0 + 7.5,
        "range_resolution_m": 15.0,
        "beta": np.zeros((num_profiles, num_gates), np.float32),
        "is_calibrated": False,
        "wavelength_nm": 1064.0,
        "cloud_base_m": np.full((num_profiles, 2), np.nan, np.float32),
        "vertical_visibility_m": missing,
        "maker_layer_height_m": np.full((num_profiles, 1), np.nan, np.float32),
        "sky_cover_octas": np.empty((num_profiles, 0), np.float32),
        "sky_base_m": np.empty((num_profiles, 0), np.float32),
        "is_precipitation": np.zeros(num_profiles, bool),
        "is_fog": np.zeros(num_profiles, bool),
        "tilt_deg": np.zeros(num_profiles, np.float32),
        "alarms": ((),) * num_profiles,
    }
    return Profiles(**{**values, **changes})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "2021" / "09").mkdir(parents=True)
    (tmp_path / "2021" / "a.nc").write_bytes(lufft_chm.encode_file(block(2)))
    (tmp_path / "2021" / "09" / "b.nc").write_bytes(lufft_chm.encode_file(block(3)))
    (tmp_path / "note.txt").write_text("no ceilometer\n")
    return tmp_path


def answers(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, Any]]:
    main(["inspect", "--json", *words])
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_folder_without_a_file_is_said_to_have_none(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["inspect", str(tmp_path)]) == 1
    assert f"ipdsf inspect: no file in {tmp_path}" in capsys.readouterr().err


def test_a_folder_is_read_with_its_folders_in_order(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    told = answers(capsys, str(folder))

    assert [Path(one["file"]).name for one in told] == ["b.nc", "a.nc", "note.txt"]
    assert [one["profiles"] for one in told] == [3, 2, 0]


def test_a_quoted_glob_is_as_good_as_one_the_shell_opens(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    told = answers(capsys, str(folder / "**" / "*.nc"))

    assert [Path(one["file"]).name for one in told] == ["b.nc", "a.nc"]


def test_a_path_that_cannot_be_read_is_named_and_the_others_are_still_told(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    code = main(["inspect", "--json", str(folder / "absent.nc"), str(folder / "2021" / "a.nc")])

    captured = capsys.readouterr()
    first, second = map(json.loads, captured.out.splitlines())
    assert code == 1
    assert first == {
        "file": str(folder / "absent.nc"),
        "error": f"cannot read {folder / 'absent.nc'}: No such file or directory",
    }
    assert second["profiles"] == 2
    assert "absent.nc" in captured.err


def test_an_empty_name_is_not_the_folder_one_stands_in(
    capsys: pytest.CaptureFixture[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)

    for verb in (["inspect"], ["layers", "--latitude", "60", "--longitude", "10"]):
        assert main([*verb, ""]) == 1
        told = capsys.readouterr()
        assert (told.out, told.err) == ("", f"ipdsf {verb[0]}: the name of a file or folder is empty\n")


def test_a_glob_without_a_match_is_a_path_that_cannot_be_read(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    assert main(["inspect", str(folder / "*.his")]) == 1
    assert "could not be read" in capsys.readouterr().out


def test_a_file_larger_than_any_ceilometers_is_not_read(
    capsys: pytest.CaptureFixture[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "LARGEST_FILE_BYTES", 5)

    assert main(["inspect", str(folder / "note.txt")]) == 1
    assert "has 14 bytes" in capsys.readouterr().err


def test_a_device_without_an_end_is_read_no_farther_than_the_largest_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(inputs, "LARGEST_FILE_BYTES", 1_000)

    assert main(["inspect", "/dev/zero"]) == 1

    assert "/dev/zero goes on after 1000 bytes" in capsys.readouterr().err


def test_heights_are_those_of_the_lowest_layer_of_the_profiles_that_have_one() -> None:
    bases = np.array([[np.nan, np.nan], [900.0, 500.0], [1200.0, np.nan]], np.float32)
    layers = np.array([[700.0, 300.0], [np.nan, 200.0], [650.0, np.nan]], np.float32)
    visibility = np.array([90.0, np.nan, np.nan], np.float32)
    made = block(3, cloud_base_m=bases, maker_layer_height_m=layers, vertical_visibility_m=visibility)

    told = inspect.summary_of(Decoded("Lufft CHM15k", (made,), ()), file="x.nc")

    assert (told["cloud_base_count"], told["cloud_base_min_m"], told["cloud_base_max_m"]) == (2, 500.0, 1200.0)
    assert told["vertical_visibility_count"] == 1
    assert told["maker_layer_heights_m"] == {"count": 2, "min": 650.0, "max": 700.0}  # the maker's first choice


def test_times_are_utc_in_the_order_of_the_file_with_fractions_only_where_there_are_some() -> None:
    stamps = np.array(["NaT", "2021-09-09T23:59:59.25", "2021-09-09T00:00:01"], "datetime64[us]")

    told = inspect.summary_of(Decoded("Lufft CHM15k", (block(3, time=stamps),), ()), file="x.nc")

    assert (told["first_time"], told["last_time"]) == ("2021-09-09T23:59:59.250Z", "2021-09-09T00:00:01Z")


def test_a_file_of_two_layouts_is_told_by_the_larger_and_counted_as_a_whole() -> None:
    decoded = Decoded("Vaisala CL31", (block(1, 8), block(3, 4)), (Rejected(7, 3, "why"),))

    told = inspect.summary_of(decoded, file="x.nc")

    assert (told["profiles"], told["gates"]) == (4, 4)
    assert told["rejected"] == [{"offset": 7, "reason": "why"}]


def test_a_person_reads_a_paragraph(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    main(["inspect", str(folder)])

    text = capsys.readouterr().out
    assert "Lufft CHM15k, message netcdf mode 0" in text
    assert "2 profiles of 4 gates of 15 m, 2021-09-09T00:00:00Z to 2021-09-09T00:00:15Z" in text
    assert "rejected     at byte 0: no message header" in text


@pytest.fixture
def local_log(tmp_path: Path) -> Path:
    """A log in the local time of Munich, with the day first."""
    made = block(3, 770, instrument="Vaisala CL31", range_resolution_m=10.0)
    path = tmp_path / "ceil.log"
    path.write_bytes(vaisala_cl.encode_file(made).replace(b"-2021-09-09", b"05/06/2026"))
    return path


def test_zone_and_order_of_dates_are_told_on_the_command_line_or_by_the_table_of_sites(
    capsys: pytest.CaptureFixture[str], local_log: Path, tmp_path: Path
) -> None:
    (refused,) = answers(capsys, str(local_log))
    assert refused["profiles"] == 0
    assert len(refused["rejected"]) == 3
    assert "day or month first? Set the site's date_order" in refused["rejected"][0]["reason"]

    (told,) = answers(capsys, str(local_log), "--timezone", "Europe/Berlin", "--date-order", "day_first")
    assert (told["first_time"], told["last_time"]) == ("2026-06-04T22:00:00Z", "2026-06-04T22:00:30Z")

    sites = tmp_path / "sites.toml"
    sites.write_text(
        '[munich]\nlatitude_deg = 48.1\nlongitude_deg = 11.6\ntimezone = "Europe/Berlin"\ndate_order = "day_first"\n'
    )
    (by_site,) = answers(capsys, str(local_log), "--site", "munich", "--sites", str(sites))
    assert by_site == told


def test_where_stamps_stand_is_told_on_the_command_line_or_by_the_table_of_sites(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    log = vaisala_cl.encode_file(block(3, 770, instrument="Vaisala CL31", range_resolution_m=10.0))
    message = log[log.index(b"\x01") : log.index(b"\x04") + 1] + b"\r\n"
    path, sites = tmp_path / "cut.log", tmp_path / "sites.toml"
    # Of a log with stamps behind its messages, from the stamp of one to the middle of another.
    path.write_bytes(b"2021-09-09 00:00:00\r\n" + message + b"2021-09-09 00:00:15\r\n" + message[:1000])
    sites.write_text('[munich]\nlatitude_deg = 48.1\nlongitude_deg = 11.6\nstamps = "behind"\n')

    (guessed,) = answers(capsys, str(path))
    (told,) = answers(capsys, str(path), "--stamps", "behind")
    (by_site,) = answers(capsys, str(path), "--site", "munich", "--sites", str(sites))

    assert guessed["first_time"] == "2021-09-09T00:00:00Z"
    assert told["first_time"] == "2021-09-09T00:00:15Z"
    assert by_site == told


def test_a_zone_that_does_not_exist_is_an_error(capsys: pytest.CaptureFixture[str], local_log: Path) -> None:
    assert main(["inspect", "--timezone", "Europe/Munich", str(local_log)]) != 0
    assert "no time zone 'Europe/Munich'" in capsys.readouterr().err


def test_what_an_archive_does_not_give_is_told_by_the_file_inside(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    with zipfile.ZipFile(folder / "day.zip", "w") as archive:
        archive.write(folder / "2021" / "a.nc", "a.nc")
        archive.writestr("readme.txt", "no ceilometer")

    (told,) = answers(capsys, str(folder / "day.zip"))
    assert told["profiles"] == 2
    assert [stretch["member"] for stretch in told["rejected"]] == ["readme.txt"]

    main(["inspect", str(folder / "day.zip")])
    assert "rejected     readme.txt, at byte 0: no message header" in capsys.readouterr().out
