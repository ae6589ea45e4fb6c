"""`ipdsf air` from the outside: files in, hours of PM2.5 and indices out, and a site's line."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from ipdsf_spark.cli.main import main


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three days of one CL51, hourly files of five-minute profiles."""
    root = tmp_path_factory.mktemp("station")
    when = ["--date", "2026-06-15", "--hours", "72", "--minutes", "60", "--cadence", "300"]
    what = ["--sites", "1", "--instrument", "cl51", "--scenario", "clear", "--seed", "3"]
    assert main(["simulate", *what, *when, "-o", str(root)]) == 0
    return root / "sim-01"


def rows_of(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_every_hour_has_a_value_with_its_quality_and_the_note(
    station: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["air", str(station), "--humidity", "60", "--json"]) == 0
    rows = rows_of(capsys)

    assert len(rows) == 72
    assert {row["site"] for row in rows} == {"sim-01"}
    assert all(row["note"] == "indicative, estimated from lidar" for row in rows)
    assert all({"factory_calibration", "without_regression"} <= set(row["quality"]) for row in rows)  # type: ignore[call-overload]
    assert all("no_humidity" not in row["quality"] for row in rows)  # type: ignore[operator]
    assert [row["us_aqi"] is None for row in rows[:3]] == [True, False, False]
    assert not any(row["provisional"] for row in rows)


def test_csv_json_and_picture_are_written_for_a_site(station: Path, tmp_path: Path) -> None:
    few = [str(path) for path in sorted(station.iterdir())[:4]]
    assert main(["air", *few, "-o", str(tmp_path)]) == 0

    assert sorted(path.name for path in tmp_path.iterdir()) == ["sim-01_air.csv", "sim-01_air.jsonl", "sim-01_air.png"]
    rows = list(csv.DictReader((tmp_path / "sim-01_air.csv").open(encoding="utf-8")))
    told = [json.loads(line) for line in (tmp_path / "sim-01_air.jsonl").read_text().splitlines()]
    assert [float(row["pm2p5_ug_m3"]) for row in rows] == [row["pm2p5_ug_m3"] for row in told]
    assert (tmp_path / "sim-01_air.png").stat().st_size > 10_000


def test_the_zone_of_the_sites_logger_counts(station: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = [str(path) for path in sorted(station.iterdir())[:4]]
    table = tmp_path / "sites.toml"
    table.write_text('[sim-01]\nlatitude_deg = 50.0\nlongitude_deg = 30.0\ntimezone = "+03:00"\n')
    capsys.readouterr()
    assert main(["air", *few, "--json"]) == 0
    stated = [np.datetime64(str(row["time"]).removesuffix("Z")) for row in rows_of(capsys)]
    assert main(["air", *few, "--sites", str(table), "--json"]) == 0
    found = [np.datetime64(str(row["time"]).removesuffix("Z")) for row in rows_of(capsys)]

    assert found == [time - np.timedelta64(3, "h") for time in stated]
    assert main(["air", *few, "--timezone", "+03:00", "--json"]) == 0
    assert [np.datetime64(str(row["time"]).removesuffix("Z")) for row in rows_of(capsys)] == found


def test_a_humidity_of_0_to_1_is_not_taken_for_percent(station: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["air", str(station), "--humidity", "0.7"]) == 2

    assert "--humidity is a percentage, and no air is as dry as 0.7 %: say 70?" in capsys.readouterr().err


def test_a_monitor_of_another_year_is_seen_by_its_times(
    station: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monitor = tmp_path / "pm.csv"
    monitor.write_text("time,pm25\n2025-06-15T00:00Z,4\n2025-06-15T01:00Z,5\n", encoding="utf-8")

    assert main(["air", "fit", str(station), "--monitor", str(monitor)]) == 1
    said = capsys.readouterr().err
    assert "0 hours have both" in said
    assert "(estimates 2026-06-15T00Z to 2026-06-17T23Z, monitor 2025-06-15T00Z to 2025-06-15T01Z)" in said


def test_a_line_is_fitted_to_a_monitor_and_then_used(
    station: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    main(["air", str(station), "--json"])
    estimates = [(row["time"], row["pm2p5_ug_m3"]) for row in rows_of(capsys)]
    noise = np.random.default_rng(1).normal(0.0, 0.3, len(estimates))
    lines = [
        f"{time},{4.0 + 0.5 * float(str(value)) + e:.3f},0.000"
        for (time, value), e in zip(estimates, noise, strict=True)
    ]
    bad = f"{estimates[5][0]},500.0,0.459"
    monitor = tmp_path / "pm25.csv"
    monitor.write_text("\n".join(["time,pm25,flag", *lines, bad]) + "\n")

    assert main(["air", "fit", str(station), "--monitor", str(monitor), "-o", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    line = json.loads((tmp_path / "sim-01_line.json").read_text())
    main(["air", str(station), "--line", str(tmp_path / "sim-01_line.json"), "--json"])
    with_line = rows_of(capsys)
    assert main(["air", str(station), "--line", str(tmp_path / "sim-01_line.json"), "--aerosol", "dust"]) == 1
    of_other = capsys.readouterr().err

    assert "fitted to other estimates: aerosol continental, here dust; fit a line to these" in of_other
    assert "tells nothing" not in told
    assert "1 excluded by flags" in told and "line, robust" in told and "MAE" in told
    assert line["slope"] == pytest.approx(0.5, abs=0.05) and line["intercept"] == pytest.approx(4.0, abs=0.5)
    expected = line["intercept"] + line["slope"] * float(str(estimates[10][1]))
    assert with_line[10]["pm2p5_ug_m3"] == pytest.approx(expected, abs=0.02)
    assert "without_regression" not in with_line[10]["quality"]  # type: ignore[operator]


def test_a_line_that_is_no_better_than_the_mean_of_the_monitor_says_so(
    station: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    main(["air", str(station), "--json"])
    rows = rows_of(capsys)
    estimates = np.array([float(str(row["pm2p5_ug_m3"])) for row in rows])
    measured = np.random.default_rng(4).uniform(5.0, 30.0, len(rows)) + 0.01 * estimates
    lines = [f"{row['time']},{value:.3f}" for row, value in zip(rows, measured, strict=True)]
    monitor = tmp_path / "pm25.csv"
    monitor.write_text("\n".join(["time,pm25", *lines]) + "\n", encoding="utf-8")

    assert main(["air", "fit", str(station), "--monitor", str(monitor)]) == 0
    assert "no better than the mean of the monitor: it tells nothing" in capsys.readouterr().out


def test_raw_signal_without_a_calibration_gives_no_mass_but_a_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    when = ["--date", "2026-06-15", "--start", "10:00", "--hours", "1", "--minutes", "60", "--cadence", "300"]
    main(["simulate", "--sites", "1", "--instrument", "chm15k", "--scenario", "clear", *when, "-o", str(tmp_path)])
    folder = str(tmp_path / "sim-01")
    capsys.readouterr()
    main(["air", folder, "--json"])
    (uncalibrated,) = rows_of(capsys)
    main(["air", folder, "--sites", str(tmp_path / "sites.toml"), "--calibration", "3e-12", "--json"])
    (calibrated,) = rows_of(capsys)

    assert uncalibrated["pm2p5_ug_m3"] is None and "uncalibrated" in uncalibrated["quality"]  # type: ignore[operator]
    assert calibrated["pm2p5_ug_m3"] is not None


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["nowhere.dat"], 1, "cannot read nowhere.dat"),
        (["fit", "x.dat"], 2, "--monitor"),
        (["x.dat", "--monitor", "m.csv"], 2, "ipdsf air fit"),
        (["x.dat", "--aerosol", "unicorn"], 2, "continental"),
        (["x.dat", "--humidity", "140"], 2, "percentage"),
        (["x.dat", "--humidity", "0"], 2, "no air outdoors is at 0 %"),
        (["x.dat", "--calibration", "-1"], 2, "above 0"),
        (["x.dat", "--growth", "linear"], 2, "kappa"),
        (["x.dat", "--line", "none.json"], 1, "cannot read none.json"),
        (["x.dat", "--site", "osloo"], 2, "did you mean 'oslo'"),
    ],
)
def test_what_is_wrong_is_said_before_any_file_is_read(
    words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["air", *words]) == code
    assert said in capsys.readouterr().err


def test_the_oslo_day_has_an_index_by_day_and_reasons_in_its_fog(
    real_ceilometer_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = real_ceilometer_data / "AugustinMortier+A-Profiles/examples/data/E-PROFILE/L2_0-20000-001492_A20210909.nc"
    capsys.readouterr()
    assert main(["air", str(path), "--site", "oslo", "--json"]) == 0
    rows = rows_of(capsys)

    assert len(rows) == 24
    assert all(row["pm2p5_ug_m3"] is None and "fog" in row["quality"] for row in rows[:9])  # type: ignore[operator]
    by_day = [float(str(row["pm2p5_ug_m3"])) for row in rows[11:20]]
    assert all(1.0 < value < 25.0 for value in by_day)  # a clean northern city in September
