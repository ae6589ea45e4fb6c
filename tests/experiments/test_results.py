"""Results are kept whole, shown again instead of measured again, and laid out with the verdict on each claim."""

from __future__ import annotations

import csv
import json
import math
import re
from pathlib import Path

import pytest

from ipdsf_spark.cli.bench import HELP, SMALL, _settings
from ipdsf_spark.cli.main import main, parser_for
from ipdsf_spark.config import Config, KafkaConfig
from ipdsf_spark.errors import InputError, IpdsfError
from ipdsf_spark.experiments import live
from ipdsf_spark.experiments.bench import Bench
from ipdsf_spark.experiments.latency import LatencyRow, LatencySettings
from ipdsf_spark.experiments.page import BEGIN, END
from ipdsf_spark.experiments.result import Claim, Result, Table, read_result, write_result
from ipdsf_spark.experiments.run import perform, present, settings_class
from ipdsf_spark.monitoring.provenance import provenance_of


@pytest.fixture
def result() -> Result:
    rows = [
        LatencyRow("consumers", 1, 300, 290, math.nan, math.nan, 1.5, 2.5, 3.5, 4.25),
        LatencyRow("consumers", 2, 300, 300, 6.5, 0.5, 0.25, 0.5, 0.75, 4.5),
    ]
    claims = (
        Claim("time falls linearly", "1: > the limit", None),
        Claim("four times faster", "1.42 times", False),
        Claim("nothing is lost", "0 lost", True),
    )
    settings = {"files": 300, "files_per_s": 50.0, "consumers": [1, 2]}
    told = provenance_of(["ipdsf", "bench", "latency", "-o", "/somewhere/here"])
    return Result("latency", settings, told, (Table.of("latency", "300 files", rows),), claims, ("a note",), 12.5)


def test_a_result_is_the_same_after_writing_and_reading(result: Result, tmp_path: Path) -> None:
    again = read_result(write_result(result, tmp_path))

    assert again.claims == result.claims
    assert again.provenance == result.provenance
    before, after = result.tables[0].as_rows(LatencyRow), again.tables[0].as_rows(LatencyRow)
    assert after[1] == before[1]
    assert math.isnan(after[0].total_s)


def test_json_has_machine_versions_commit_and_command_without_paths(
    result: Result, tmp_path: Path, repository: Path
) -> None:
    content = json.loads(write_result(result, tmp_path).read_text(encoding="utf-8"))

    told = content["provenance"]
    assert told["command"] == "ipdsf bench latency -o here"
    assert re.fullmatch(r"\d+ cores, \S+, Python 3\.\d+\.\d+", told["machine"])
    assert re.fullmatch(r"[0-9a-f]{7,}\+?", told["commit"]) or not (repository / ".git").exists()
    assert "pyspark" in told["versions"]
    assert content["tables"][0]["rows"][0][4] is None  # NaN is no JSON


def test_csv_has_a_row_per_run_under_names_with_units(result: Result, tmp_path: Path) -> None:
    write_result(result, tmp_path)

    with (tmp_path / "latency.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))

    assert [row["consumers"] for row in rows] == ["1", "2"]
    assert float(rows[1]["excess_s"]) == 0.5


def test_what_lies_there_is_shown_and_not_measured_again(result: Result, tmp_path: Path) -> None:
    write_result(result, tmp_path)

    found, is_new = perform("latency", LatencySettings(), Bench(tmp_path / "never"), tmp_path, words=[])

    assert not is_new
    assert found.claims == result.claims
    assert not (tmp_path / "never").exists()


def test_a_damaged_result_is_named(tmp_path: Path) -> None:
    (tmp_path / "latency.json").write_text('{"format": "ipdsf-experiment/1", "tables"', encoding="utf-8")

    with pytest.raises(InputError, match=r"latency\.json holds no result of an experiment, or a damaged one"):
        present(tmp_path)


def test_a_table_of_another_version_is_refused(result: Result, tmp_path: Path) -> None:
    path = write_result(result, tmp_path)
    path.write_text(path.read_text(encoding="utf-8").replace("excess_s", "surplus_s"), encoding="utf-8")

    with pytest.raises(InputError, match="measure it with --again"):
        present(tmp_path)


def test_the_page_says_what_holds_and_what_does_not(result: Result, tmp_path: Path) -> None:
    write_result(result, tmp_path)

    page = present(tmp_path).read_text(encoding="utf-8")

    assert re.search(r'four times faster</td><td>1\.42 times</td><td class="bad">does not hold<', page)
    assert re.search(r'nothing is lost</td><td>0 lost</td><td class="good">holds<', page)
    assert re.search(r'time falls linearly</td><td>[^<]*</td><td class="warn">cannot be said here<', page)
    assert (tmp_path / "latency.png").stat().st_size > 10_000
    assert "http" not in page.lower()


def test_the_page_can_be_drawn_again_without_measuring(
    result: Result, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_result(result, tmp_path)

    assert main(["bench", "page", "-o", str(tmp_path)]) == 0
    assert "index.html" in capsys.readouterr().err
    text, at = (tmp_path / "experiments.md").read_text(encoding="utf-8"), result.provenance
    assert "| consumers | 2 |" in text
    assert f"{at.date}, {at.machine}, load {at.load:.1f} before, commit {at.commit}" in text


def test_the_tables_go_between_the_marks_of_a_document_however_often(result: Result, tmp_path: Path) -> None:
    write_result(result, tmp_path)
    document = tmp_path / "guide.md"
    document.write_text(f"before\n{BEGIN}\nformer tables\n{END}\nafter\n", encoding="utf-8")
    again = ["bench", "page", "-o", str(tmp_path), "--into", str(document)]

    assert main(again) == 0
    once = document.read_text(encoding="utf-8")
    assert main(again) == 0

    assert document.read_text(encoding="utf-8") == once
    assert once.startswith(f"before\n{BEGIN}\n### Time and latency") and once.endswith(f"{END}\nafter\n")
    assert "former" not in once and "| four times faster | 1.42 times | does not hold |" in once


@pytest.mark.parametrize("text", ["text\n", f"text\n{BEGIN}\nand no end\n", f"{END}\ntext\n{BEGIN}\n"])
def test_a_document_without_marks_is_left_alone(
    result: Result, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    write_result(result, tmp_path)
    document = tmp_path / "guide.md"
    document.write_text(text, encoding="utf-8")

    assert main(["bench", "page", "-o", str(tmp_path), "--into", str(document)]) == 1
    assert "experiments: begin" in capsys.readouterr().err
    assert document.read_text(encoding="utf-8") == text


def test_the_guide_has_a_place_for_the_tables(repository: Path) -> None:
    text = (repository / "docs" / "experiments.md").read_text(encoding="utf-8")

    assert BEGIN in text and END in text


@pytest.mark.parametrize("experiment", HELP)
def test_the_small_form_changes_settings_that_there_are(experiment: str) -> None:
    args = parser_for("bench").parse_args(["bench", experiment, "--small"])

    assert _settings(args, experiment) != settings_class(experiment)()


def test_an_option_counts_more_than_the_small_form() -> None:
    args = parser_for("bench").parse_args(["bench", "hosts", "--small", "--consumers", "3", "5"])

    assert _settings(args, "hosts").consumers == (3, 5)
    assert _settings(args, "hosts").partitions == SMALL["hosts"]["partitions"]


def test_a_page_of_nothing_names_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "page", "-o", str(tmp_path)]) == 1
    assert "no result of an experiment" in capsys.readouterr().err


def test_no_consumers_are_refused_before_anything_starts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "latency", "--consumers", "0", "-o", str(tmp_path)]) == 2
    assert "consumers must be above 0" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [["--files", "0"], ["--rate", "nan"], ["--rate", "inf"], ["--consumers", "1", "0"]])
def test_a_number_that_says_nothing_is_refused_before_anything_starts(
    wrong: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ipdsf_spark.experiments.run.perform", lambda *_, **__: pytest.fail("it was begun"))

    assert main(["bench", "latency", *wrong, "-o", str(tmp_path)]) == 2
    assert "must be above 0" in capsys.readouterr().err


def test_a_file_in_the_place_of_the_results_is_refused_before_anything_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ipdsf_spark.experiments.run.perform", lambda *_, **__: pytest.fail("it was begun"))
    (tmp_path / "out").write_text("mine")

    assert main(["bench", "latency", "-o", str(tmp_path / "out")]) == 1
    assert "a file lies there, and a folder is needed" in capsys.readouterr().err


def test_a_network_that_cannot_send_its_warm_up_is_told_in_words(tmp_path: Path) -> None:
    load = live.Load(tmp_path, sites=1, files_per_s=1.0, files=1, warm_up=1, limit_s=0.0, warm_up_per_s=1e9)

    with pytest.raises(IpdsfError, match="1 files of the warm-up were not sent within 0 s"):
        live._warm_up(Config(kafka=KafkaConfig(bootstrap_servers="127.0.0.1:1")), load)
