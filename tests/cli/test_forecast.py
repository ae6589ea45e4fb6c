"""`ipdsf forecast`: train, evaluate, show."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ipdsf_spark.cli.main import main


def test_a_forecast_is_trained_judged_and_used_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = str(tmp_path / "model")
    small = ["--days", "3", "--seed", "1"]

    sized = ["--sites", "3", "--epochs", "1", "--width", "4", "--layers", "1", "--json"]
    assert main(["forecast", "train", "-o", model, *small, *sized]) == 0
    trained = json.loads(capsys.readouterr().out)
    assert trained["ended"] == "1 epochs" and len(trained["sha256"]) == 64

    assert main(["forecast", "evaluate", "--model", model, *small, "--held-out", "2", "--json"]) == 0
    judged = json.loads(capsys.readouterr().out)
    assert judged["model"] == trained["sha256"]
    assert [line["lead_min"] for line in judged["judged"]["seen"]] == [10, 30, 60, 180]
    assert {"LSTM", "persistence", "yesterday", "climatology", "damped trend"} <= judged["judged"]["seen"][0][
        "errors"
    ].keys()


def test_files_become_a_forecast_and_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    days = str(tmp_path / "days")
    main(["simulate", "--sites", "1", "--hours", "3", "--start", "08:00", "--date", "2026-06-21", "--cadence", "60",
          "--minutes", "60", "--instrument", "cl51", "-o", days])  # fmt: skip
    capsys.readouterr()
    picture = tmp_path / "fan.png"

    shown = main(["forecast", "show", days, "--sites", f"{days}/sites.toml", "--at", "2026-06-21T10:30", "--json",
                  "--plot", str(picture)])  # fmt: skip

    values = json.loads(capsys.readouterr().out)
    assert shown == 0
    assert values["time"] == "2026-06-21T10:27:30Z"
    assert [at["lead_min"] for at in values["forecast"]] == [10, 30, 60, 180]
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_files_of_another_place_are_told_by_the_verb_that_was_called(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["simulate", "--sites", "1", "--hours", "1", "--date", "2026-06-21", "--cadence", "60", "--minutes", "60",
          "--instrument", "chm15k", "-o", str(tmp_path)])  # fmt: skip
    capsys.readouterr()

    assert main(["forecast", "show", str(tmp_path / "sim-01"), "--latitude", "-78", "--longitude", "179.9"]) == 0
    told = capsys.readouterr()
    assert told.err.startswith("ipdsf forecast: site stands at -78.000 179.900, the files say 59.900 10.700")
    assert "no_data" not in told.out


def test_a_site_that_gives_nothing_costs_no_other_its_forecast(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    days = tmp_path / "days"
    main(["simulate", "--sites", "2", "--hours", "2", "--start", "08:00", "--date", "2026-06-21", "--cadence", "60",
          "--minutes", "60", "--instrument", "cl51", "-o", str(days)])  # fmt: skip
    for path in (days / "sim-01").iterdir():
        path.write_bytes(b"nothing")
    cut = next((days / "sim-02").iterdir())
    cut.write_bytes(cut.read_bytes()[:-2000])
    capsys.readouterr()

    assert main(["forecast", "show", str(days), "--sites", str(days / "sites.toml"), "--json"]) == 1
    told = capsys.readouterr()
    assert json.loads(told.out)["site"] == "sim-02"
    assert "ipdsf forecast: sim-01: no height in 2 file(s) of sim-01" in told.err
    assert "sim-02: 1 stretch(es) gave no profile" in told.err


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["show", "x.dat", "--at", "2026"], 2, "--at must be a time such as 2026-06-21T09:00, not '2026'"),
        (["show"], 2, "name files, or --archive DIR with --site ID"),
        (["show", "x.dat", "--at", "noon"], 2, "--at must be a time such as 2026-06-21T09:00, not 'noon'"),
        (["show", "x.nc", "--plot", "fan.xyz"], 2, "--plot writes .png, .svg, .pdf, not .xyz"),
        (["evaluate", "--model", "/nowhere"], 1, "no forecast model in /nowhere"),
        (["evaluate", "--held-out", "0"], 2, "--held-out must be at least 1, got 0"),
        (["evaluate", "--days", "0"], 2, "--days must be at least 1, got 0"),
        (["train", "-o", "m", "--epochs", "0"], 2, "--epochs must be at least 1, got 0"),
        (["train", "-o", "m", "--minutes", "nan"], 2, "--minutes must be 0 or more, got nan"),
        (["train", "-o", "m", "--threads", "-1"], 2, "--threads must be at least 0, got -1"),
        (
            ["train", "-o", "m", "--since", "2026-06-01"],
            2,
            "--since chooses days of an archive: name it with --archive",
        ),
        (["train", "-o", "m", "--archive", "a", "--since", "2026-13-01"], 2, "--since must be a day like 2026-06-21"),
        (["show", "--archive", "a", "--site", "oslo", "--until", "1.6.2026"], 2, "--until must be a day like"),
        (
            ["show", "--archive", "a", "--site", "oslo", "--since", "2026-06-02", "--until", "2026-06-01"],
            2,
            "--since must not be after --until, is 2026-06-02 and 2026-06-01",
        ),
        (["train", "-o", "m", "--archive", "/nowhere"], 1, "no archive of products at /nowhere"),
    ],
)
def test_what_is_wrong_is_said(
    arguments: list[str], code: int, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)

    assert main(["forecast", *arguments]) == code
    assert says in capsys.readouterr().err
