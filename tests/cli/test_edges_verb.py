"""`ipdsf edges` from the outside: files in; a summary, records, CSV and a picture out."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest

from ipdsf_spark.cli.main import main
from ipdsf_spark.config import load
from ipdsf_spark.lidar.operators import Parameters, operators_named


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight hours of one CL51."""
    root = tmp_path_factory.mktemp("station")
    when = ["--date", "2026-06-15", "--start", "06:00", "--hours", "8", "--minutes", "60", "--cadence", "60"]
    what = ["--sites", "1", "--instrument", "cl51", "--scenario", "clear", "--seed", "3"]
    assert main(["simulate", *what, *when, "-o", str(root)]) == 0
    return root / "sim-01"


def test_a_summary_and_a_picture(station: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    picture = tmp_path / "edges.png"
    assert main(["edges", str(station), "--plot", str(picture)]) == 0

    told = capsys.readouterr().out
    assert "Vaisala CL51, 96 intervals" in told
    assert "of a decrease with height" in told
    assert f"wrote        {picture}" in told
    assert picture.stat().st_size > 20_000


def test_a_picture_without_ending_is_a_png_and_named_as_it_is_written(
    station: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = [str(path) for path in sorted(station.iterdir())[:2]]
    assert main(["edges", *few, "--plot", str(tmp_path / "edges")]) == 0

    assert [path.name for path in tmp_path.iterdir()] == ["edges.png"]
    assert f"wrote        {tmp_path / 'edges.png'}" in capsys.readouterr().out


def test_json_and_csv_say_the_same(station: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["edges", str(station), "--json"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert main(["edges", str(station), "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))

    assert len(records) == 96
    assert not any(record["provisional"] for record in records)
    edges = [(record["time"], edge) for record in records for edge in record["edges"]]
    assert len(edges) == len(rows) > 50
    for (time, edge), row in zip(edges, rows, strict=True):
        assert (row["time"], row["id"], float(row["height_m"])) == (time, edge["id"], edge["height_m"])


def test_folders_of_several_sites_are_not_one_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    when = ["--date", "2026-06-15", "--start", "06:00", "--hours", "1", "--minutes", "60", "--cadence", "60"]
    main(["simulate", "--sites", "2", "--instrument", "cl51", "--scenario", "clear", *when, "-o", str(tmp_path)])
    capsys.readouterr()

    assert main(["edges", str(tmp_path), "--sites", str(tmp_path / "sites.toml"), "--json"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["site"] for record in records] == ["sim-01"] * 12 + ["sim-02"] * 12
    assert main(["edges", str(tmp_path), "--sites", str(tmp_path / "sites.toml"), "--plot", "x.png"]) == 2
    assert "--plot is of one site, the files belong to sim-01, sim-02" in capsys.readouterr().err


def test_the_configuration_of_the_page_can_be_typed(repository: Path) -> None:
    page = (repository / "docs" / "edges.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^operators = .*$", page, flags=re.MULTILINE)

    config = load(overrides=[f"stream.{line.replace(' = ', '=')}"])
    assert [each.name for each in operators_named(config.stream.operators, Parameters())][-1] == "edges"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["nowhere.nc"], 1, "cannot read nowhere.nc"),
        (["x.nc", "-o", "out"], 2, "-o belongs to: ipdsf edges train"),
        (["x.nc", "--max-height", "10"], 2, "--max-height is from 300 to 20000 m, not 10"),
        (["x.nc", "--calibration", "-1"], 2, "--calibration must be a factor above 0, got -1"),
        (["x.nc", "--min-height", "nan"], 2, "--min-height must be metres above the instrument, 0 to 5000, got nan"),
        (["x.nc", "--top", "0"], 2, "--top is 100 to 30000 m, not 0"),
        (["x.nc", "--plot", "x.xyz"], 2, "--plot writes .png, .svg, .pdf, not .xyz (x.xyz)"),
        (["x.nc", "--plot", "."], 2, "--plot names a file, and . is a folder; say picture.png"),
        (["x.nc", "--site", "nowhere"], 2, "nowhere"),
        (["train"], 2, "ipdsf edges train needs -o FILE"),
        (["train", "-o", "x.npz", "--days", "0"], 2, "are above 0"),
    ],
)
def test_wrong_arguments_are_named(
    arguments: list[str], code: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["edges", *arguments]) == code
    assert says in capsys.readouterr().err


def test_a_model_that_is_none_is_refused(station: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "no.npz").write_bytes(b"nothing")

    assert main(["edges", str(station), "--model", str(tmp_path / "no.npz")]) == 1
    assert "no.npz is no model of edges" in capsys.readouterr().err


@pytest.mark.training
def test_a_network_is_trained_and_used(
    station: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ipdsf_spark.cli import edges_train

    monkeypatch.setattr(edges_train, "KINDS", ("clear",))
    model = tmp_path / "edges.npz"
    assert main(["edges", "train", "-o", str(model), "--days", "1", "--steps", "2"]) == 0
    assert "parameters, 1 simulated days, 2 steps" in capsys.readouterr().out

    few = [str(path) for path in sorted(station.iterdir())[:1]]
    assert main(["edges", *few, "--model", str(model), "--json"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(records) == 12
    assert np.all([record["num_profiles"] > 0 for record in records])
