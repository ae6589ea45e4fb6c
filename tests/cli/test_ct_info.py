from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from ipdsf_spark.cli.main import main
from ipdsf_spark.ct.dicom_writing import write_dicom
from ipdsf_spark.ct.phantom import chest_phantom
from ipdsf_spark.ct.provenance import Provenance


@pytest.fixture
def series(tmp_path: Path) -> Path:
    volume = chest_phantom((20, 32, 32), seed=1, spacing_mm=(10, 11, 11), has_padding=True).volume
    made = Provenance("phantom", datetime(2026, 1, 2, tzinfo=UTC))
    return write_dicom(tmp_path / "series", volume.grid, [volume.hu], made)


def facts(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> list[dict[str, object]]:
    assert main(["ct", "info", "--json", *words]) == code
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_json_states_shape_spacing_range_padding_and_problems(series: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (found,) = facts(capsys, str(series))

    assert found["shape"] == [20, 32, 32]
    assert found["spacing_mm"] == [10, 11, 11]
    assert found["hu_range"][0] == -2048  # type: ignore[index]
    assert -1100 < found["hu_range_measured"][0] < -1000  # type: ignore[index]
    assert found["padding"]["hu"] == -2048  # type: ignore[index]
    assert 0.15 < found["padding"]["share"] < 0.27  # type: ignore[index]
    assert (found["is_usable"], found["format"], found["files"]) == (True, "dicom", 20)
    assert [p["kind"] for p in found["problems"]] == ["generated"]  # type: ignore[attr-defined]


def test_json_names_the_files_of_a_problem(series: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (series / "generated-0007.dcm").unlink()
    (series / "generated-0012.dcm").write_text("not a slice")

    (found,) = facts(capsys, str(series))

    by_kind = [(p["kind"], p["files"]) for p in found["problems"]]  # type: ignore[attr-defined]
    assert ("unreadable", ["generated-0012.dcm"]) in by_kind
    assert ("missing_slices", ["generated-0006.dcm", "generated-0008.dcm"]) in by_kind
    assert ("missing_slices", ["generated-0011.dcm", "generated-0013.dcm"]) in by_kind
    assert found["is_usable"] is False


def test_a_person_reads_the_same(series: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (series / "generated-0007.dcm").unlink()

    assert main(["ct", "info", str(series)]) == 0

    said = capsys.readouterr().out
    assert "19 × 32 × 32" in said
    assert "10 × 11 × 11 mm" in said
    assert "padding                  -2048 (" in said
    assert "PROBLEM missing_slices: 1 slice(s) missing between -45.00 and -25.00 mm" in said
    assert "    generated-0006.dcm\n    generated-0008.dcm" in said
    assert "not usable as it is" in said


def test_several_paths_give_one_line_each(series: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert [f["path"] for f in facts(capsys, str(series), str(series))] == [str(series)] * 2


@pytest.mark.parametrize("name", ["none", "empty", "text.dcm", "cut.dcm"])
def test_what_is_no_volume_is_a_named_error(
    series: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.dcm").write_text("not a slice")
    (tmp_path / "cut.dcm").write_bytes((series / "generated-0001.dcm").read_bytes()[:-500])

    assert main(["ct", "info", "--json", str(tmp_path / name)]) == 1

    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("ipdsf ct: ")
    assert name in err
    assert "Traceback" not in err


def test_a_path_without_a_volume_keeps_no_other_from_being_told(
    series: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [tmp_path / "nothing", series, tmp_path / "one" / "v.nii.gz", tmp_path / "two" / "v.nii.gz", series]
    for empty in paths[2:4]:
        empty.parent.mkdir()
        empty.touch()

    assert main(["ct", "info", "--json", *map(str, paths)]) == 1

    out, err = capsys.readouterr()
    assert [json.loads(line)["path"] for line in out.splitlines()] == [str(series), str(series)]
    assert [str(path) in line for path, line in zip([paths[0], *paths[2:4]], err.splitlines(), strict=True)] == [
        True
    ] * 3


def test_pictures_need_their_flags(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for k in range(3):
        sitk.WriteImage(sitk.GetImageFromArray(np.full((8, 9), 100 * k, np.uint8)), str(tmp_path / f"{k}.png"))

    assert main(["ct", "info", str(tmp_path)]) == 1
    assert main(["ct", "info", str(tmp_path), "--spacing", "1", "1", "1"]) == 1
    assert "pictures need both --spacing Z Y X and --grey BLACK WHITE" in capsys.readouterr().err
    (found,) = facts(capsys, str(tmp_path), "--spacing", "2", "1", "1", "--grey", "-1000", "400")
    assert (found["shape"], found["spacing_mm"]) == ([3, 8, 9], [2.0, 1.0, 1.0])
    assert found["hu_range"] == [-1000.0, 98.0]
