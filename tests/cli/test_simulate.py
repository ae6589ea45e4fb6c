"""`ipdsf simulate` from the outside: a network of genuine files with known heights."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from ipdsf_spark.cli.main import main
from ipdsf_spark.lidar.instruments import decode
from ipdsf_spark.sites import load_sites

SHORT = ["--hours", "0.5", "--date", "2026-06-15", "--start", "12:00"]


def test_a_network_has_a_folder_of_files_a_truth_and_a_row_of_the_table_per_site(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", "--sites", "4", "-o", str(tmp_path), "--json", *SHORT]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    sites = load_sites(tmp_path / "sites.toml")

    assert sorted(sites) == ["sim-01", "sim-02", "sim-03", "sim-04"]
    assert [row["instrument"] for row in told] == ["Vaisala CL31", "Vaisala CL51", "Lufft CHM15k", "Vaisala CL61"]
    for row in told:
        files = sorted((tmp_path / row["site"]).iterdir())
        assert len(files) == row["files"] == 6
        assert row["profiles"] == 120
        assert {decode(path.read_bytes()).instrument for path in files} == {sites[row["site"]].instrument}
        with (tmp_path / "truth" / f"{row['site']}.csv").open(encoding="utf-8") as truth:
            assert len(list(csv.DictReader(truth))) == 30


def test_files_follow_each_other_without_gap_or_overlap(tmp_path: Path) -> None:
    arguments = ["--sites", "1", "--instrument", "cl51", "--minutes", "1", "--start", "23:50", "--hours", "0.5"]
    main(["simulate", "-o", str(tmp_path), "--date", "2026-06-15", *arguments])

    files = sorted((tmp_path / "sim-01").iterdir())
    times = np.concatenate([block.time for path in files for block in decode(path.read_bytes()).blocks])

    assert len(files) == 30
    assert times[0] == np.datetime64("2026-06-15T23:50:00")
    assert set(np.diff(times)) == {np.timedelta64(15_000_000, "us")}
    assert len(times) == 120


def test_the_same_seed_writes_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    def written(folder: str, seed: str) -> list[bytes]:
        main(["simulate", "--sites", "2", "-o", str(tmp_path / folder), "--seed", seed, *SHORT])
        return [path.read_bytes() for path in sorted((tmp_path / folder).rglob("*.*")) if path.suffix != ".toml"]

    first, same, other = written("a", "1"), written("b", "1"), written("c", "2")

    assert first == same
    assert first != other


def test_two_periods_of_a_site_agree_where_they_meet(tmp_path: Path) -> None:
    def truth(folder: str, *period: str) -> list[dict[str, str]]:
        main(["simulate", "--sites", "1", "-o", str(tmp_path / folder), "--scenario", "mixed", *period])
        with (tmp_path / folder / "truth" / "sim-01.csv").open(encoding="utf-8") as file:
            return list(csv.DictReader(file))

    long = truth("long", "--date", "2026-06-15", "--start", "10:00", "--hours", "2")
    short = truth("short", "--date", "2026-06-15", "--start", "11:00", "--hours", "1")

    assert [row["mixing_height_m"] for row in long[60:]] == [row["mixing_height_m"] for row in short]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--instrument", "cl52"], "did you mean 'cl51'"),
        (["--scenario", "storm"], "unknown scenario 'storm'"),
        (["--sites", "0"], "1 or more"),
        (["--minutes", "90"], "1 to 60"),
        (["--date", "15.6.2026"], "YYYY-MM-DD"),
        (["--date", "1960-01-01"], "--date must lie in the years 1985 to 2199, is 1960-01-01"),
        (["--date", "9999-12-31"], "--date must lie in the years 1985 to 2199, is 9999-12-31"),
        (["--hours", "0"], "more than nothing"),
        (["--noise", "-1"], "--noise must be"),
        (["--cadence", "1000"], "--cadence must be"),
    ],
)
def test_what_cannot_be_simulated_is_refused_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["simulate", "-o", str(tmp_path / "out"), *arguments]) == 2

    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("text", ["[oslo]\nlatitude_deg = 59.9\n", "[sim-01]\n[default]\n", "[half"])
def test_a_table_of_sites_that_nobody_simulated_is_not_written_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    (tmp_path / "sites.toml").write_text(text)

    assert main(["simulate", "--sites", "1", "--hours", "1", "-o", str(tmp_path)]) == 1

    assert f"{tmp_path / 'sites.toml'} would be written over" in capsys.readouterr().err
    assert (tmp_path / "sites.toml").read_text() == text
    assert [path.name for path in tmp_path.iterdir()] == ["sites.toml"]


def test_other_days_and_sites_of_an_earlier_simulation_stay_with_their_heights(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def simulated(*more: str) -> int:
        told = ["simulate", "-o", str(tmp_path), "--minutes", "30", "--cadence", "60", "--hours", "0.5", *more]
        return main(told)

    def times() -> list[str]:
        with (tmp_path / "truth" / "sim-01.csv").open(encoding="utf-8") as file:
            return [row["time"] for row in csv.DictReader(file)]

    assert simulated("--sites", "2", "--date", "2026-06-21") == 0
    assert simulated("--sites", "1", "--date", "2026-06-22", "--instrument", "cl31") == 0
    assert simulated("--sites", "1", "--date", "2026-06-22", "--start", "00:10", "--instrument", "cl31") == 0
    assert sorted(load_sites(tmp_path / "sites.toml")) == ["sim-01", "sim-02"]
    assert [len([time for time in times() if time.startswith(f"2026-06-{day}")]) for day in (21, 22)] == [30, 40]
    assert times() == sorted(set(times()))

    assert simulated("--sites", "1", "--date", "2026-06-23", "--instrument", "cl61") == 1
    assert "sim-01 holds files of a Vaisala CL31, and a Vaisala CL61 would write" in capsys.readouterr().err


def test_a_network_may_be_simulated_anew_in_its_folder(tmp_path: Path) -> None:
    again = ["simulate", "--sites", "1", "--minutes", "60", "--hours", "1", "--date", "2026-06-21", "-o", str(tmp_path)]

    assert [main(again), main(again)] == [0, 0]
