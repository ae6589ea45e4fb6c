"""`ipdsf layers` from the outside: files in, rows, netCDF and pictures out."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from ipdsf_spark.cli.main import main


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two simulated sites, three hours of five-minute files of two makers."""
    root = tmp_path_factory.mktemp("network")
    when = ["--date", "2026-06-15", "--start", "22:30", "--hours", "3", "--cadence", "30"]
    code = main(["simulate", "--sites", "3", "--scenario", "clear", *when, "-o", str(root)])
    assert code == 0
    return root


def rows_of(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_json_is_one_object_per_product_time(network: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    code = main(
        ["layers", str(network / "sim-01"), "--site", "sim-01", "--sites", str(network / "sites.toml"), "--json"]
    )
    rows = rows_of(capsys)

    assert code == 0
    assert len(rows) == 36
    assert {row["site"] for row in rows} == {"sim-01"}
    assert rows[0]["time"] == "2026-06-15T22:32:30Z"
    assert set(rows[0]) >= {
        "site",
        "time",
        "mixing_height_m",
        "uncertainty_m",
        "provisional",
        "quality",
        "candidates_m",
    }
    assert all(row["mixing_height_m"] is not None or row["quality"] for row in rows)


def test_every_site_and_day_gets_csv_netcdf_and_picture(network: Path, tmp_path: Path) -> None:
    code = main(["layers", str(network), "--sites", str(network / "sites.toml"), "-o", str(tmp_path)])
    written = sorted(path.name for path in tmp_path.iterdir())

    assert code == 0
    assert written == [
        f"{site}_{day}.{suffix}"
        for site in ("sim-01", "sim-02", "sim-03")
        for day in ("20260615", "20260616")
        for suffix in ("csv", "nc", "png")
    ]
    with netCDF4.Dataset(tmp_path / "sim-02_20260616.nc") as file:
        rows = list(csv.DictReader((tmp_path / "sim-02_20260616.csv").open(encoding="utf-8")))
        assert len(file["time"]) == len(rows) == 18
        heights = [float(row["mixing_height_m"] or "nan") for row in rows]
        np.testing.assert_allclose(file["pblh"][:].filled(np.nan), heights, atol=0.06)
        assert file.instrument == "Vaisala CL51"


def test_a_dot_in_a_sites_id_is_no_ending_of_its_files(network: Path, tmp_path: Path) -> None:
    table = tmp_path / "sites.toml"
    table.write_text('["no.oslo"]\nlatitude_deg = 50.0\nlongitude_deg = 30.0\n', encoding="utf-8")
    told = [str(network / "sim-01"), "--site", "no.oslo", "--sites", str(table), "-o", str(tmp_path / "out")]
    assert main(["layers", *told]) == 0
    assert main(["air", *told]) == 0

    heights = [f"no.oslo_{day}.{suffix}" for day in ("20260615", "20260616") for suffix in ("csv", "nc", "png")]
    air = [f"no.oslo_air.{suffix}" for suffix in ("csv", "jsonl", "png")]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == heights + air


def test_live_leaves_the_newest_hour_provisional(network: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    main(["layers", str(network / "sim-01"), "--latitude", "59.9", "--longitude", "10.7", "--json", "--live"])
    provisional = [bool(row["provisional"]) for row in rows_of(capsys)]

    assert provisional[-12:] == [True] * 12
    assert not any(provisional[:8])


def test_csv_goes_to_standard_output_with_one_header(network: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    main(["layers", str(network), "--sites", str(network / "sites.toml"), "--csv"])
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))

    assert {row["site"] for row in rows} == {"sim-01", "sim-02", "sim-03"}
    assert len(rows) == 108


def test_two_instruments_at_one_site_are_refused_by_name(network: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["layers", str(network / "sim-01"), str(network / "sim-03"), "--latitude", "48", "--longitude", "11"])

    told = capsys.readouterr().err
    assert code == 1
    assert "Vaisala CL31" in told and "Lufft CHM15k" in told and "one at a time" in told


def test_a_misspelt_site_is_refused_and_the_nearest_offered(network: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["layers", str(network / "sim-01"), "--site", "osloo"])

    assert code == 2
    assert "did you mean 'oslo'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--min-height", "-50"], "--min-height must be metres above the instrument, 0 to 5000, got -50"),
        (["--min-height", "nan"], "--min-height must be metres above the instrument, 0 to 5000, got nan"),
        (["--altitude", "nan"], "--altitude must be metres above sea level, -500 to 9000, got nan"),
        (["--calibration", "0"], "--calibration must be a factor above 0, got 0"),
        (["--top", "nan"], "--top is 100 to 30000 m, not nan"),
    ],
)
def test_numbers_of_the_command_line_have_the_limits_of_the_table_of_sites(
    words: list[str], says: str, network: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["layers", str(network / "sim-01"), "--latitude", "50", "--longitude", "30", *words]) == 2

    assert says in capsys.readouterr().err


def test_tables_alone_are_said_to_be_passed_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "pm.csv").write_text("time,pm25\n", encoding="utf-8")

    assert main(["air", str(tmp_path / "pm.csv")]) == 1
    assert "pm.csv: tables and pictures are passed over" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["none.dat", "none/*.dat"])
def test_a_name_without_a_file_is_named_before_its_place_is_asked_for(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["layers", str(tmp_path / name)]) == 1
    assert f"cannot read {tmp_path / name}: No such file or directory" in capsys.readouterr().err


def test_a_file_that_stands_nowhere_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.dat").write_bytes(b"")

    assert main(["layers", str(tmp_path / "a.dat")]) == 2
    assert "--latitude" in capsys.readouterr().err
    assert main(["layers", str(tmp_path / "a.dat"), "--latitude", "48"]) == 2
    assert "go together" in capsys.readouterr().err


def test_tables_beside_the_folders_of_sites_are_passed_over_whatever_the_letters_of_their_ending(
    network: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sim-01").symlink_to(network / "sim-01")
    (tmp_path / "TRUTH.CSV").write_text("nothing\n")

    assert main(["layers", str(tmp_path / "sim-01"), str(tmp_path / "TRUTH.CSV"), "--sites",
                 str(network / "sites.toml"), "--json"]) == 0  # fmt: skip
    assert "TRUTH" not in capsys.readouterr().err


def test_what_cannot_be_read_is_listed_and_the_rest_is_used(
    network: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = sorted((network / "sim-01").iterdir())[:12]
    bad = tmp_path / "bad.dat"
    bad.write_bytes(good[0].read_bytes()[:5000].replace(b"HN15", b"HX15"))
    capsys.readouterr()

    code = main(["layers", *map(str, good), str(bad), "--latitude", "59.9", "--longitude", "10.7", "--json"])
    captured = capsys.readouterr()

    assert code == 0
    assert len(captured.out.splitlines()) == 12
    assert f"{bad} at byte" in captured.err
    assert "gave no profile" in captured.err
    told = json.loads(captured.err.splitlines()[-1])
    assert told["left_out"] == len(told["rejected"]) > 0
    assert told["rejected"][0]["file"] == str(bad)
    assert "measurement parameters" in told["rejected"][0]["reason"]


def test_a_folder_without_a_single_profile_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "readme.txt").write_text("nothing to see")

    assert main(["layers", str(tmp_path), "--latitude", "48", "--longitude", "11"]) == 1
    assert "no profile in 1 file" in capsys.readouterr().err


def test_the_oslo_day_gives_heights_by_day_and_flags_in_its_fog(
    real_ceilometer_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = real_ceilometer_data / "AugustinMortier+A-Profiles/examples/data/E-PROFILE/L2_0-20000-001492_A20210909.nc"

    assert main(["layers", str(path), "--site", "oslo", "--json", "-o", str(tmp_path)]) == 0
    rows = rows_of(capsys)

    assert len(rows) == 273
    fog = [row for row in rows if "fog" in row["quality"]]  # type: ignore[operator]
    assert len(fog) > 100
    assert all(row["mixing_height_m"] is None for row in fog)
    assert (tmp_path / "oslo_20210909.png").stat().st_size > 50_000
