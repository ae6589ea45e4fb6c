"""Where `ipdsf ct generate` and `evaluate` write: into nothing that is there, and never over a source."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ipdsf_spark.cli.ct_evaluate import require_report_folder
from ipdsf_spark.cli.ct_generate import require_target
from ipdsf_spark.cli.main import main
from ipdsf_spark.errors import InputError


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """A measured volume."""
    (tmp_path / "scan.nii.gz").write_bytes(b"measured")
    return tmp_path / "scan.nii.gz"


@pytest.mark.parametrize("name", ["out.mha", "out.dcm", "out.nrrd", "out", "out.nii.zip", "out.gz", "model.pt"])
def test_a_suffix_that_is_not_niftis_is_refused(scan: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"ends in \.nii or \.nii\.gz"):
        require_target(scan, scan.parent / name, format_="nifti", overwrites=True)


@pytest.mark.parametrize("overwrites", [False, True])
def test_the_source_is_never_the_target_by_whatever_name(scan: Path, overwrites: bool) -> None:
    os.link(scan, scan.parent / "hard.nii.gz")
    (scan.parent / "soft.nii.gz").symlink_to(scan)
    for name in ("scan.nii.gz", "./scan.nii.gz", "hard.nii.gz", "soft.nii.gz"):
        with pytest.raises(InputError, match="a source is never replaced"):
            require_target(scan, scan.parent / name, format_="nifti", overwrites=overwrites)


@pytest.mark.parametrize("format_", ["nifti", "dicom"])
def test_nothing_is_written_into_the_folder_of_a_source(tmp_path: Path, format_: str) -> None:
    (tmp_path / "series").mkdir()
    (tmp_path / "series" / "1.dcm").touch()
    with pytest.raises(InputError, match="folder of the source"):
        require_target(tmp_path / "series", tmp_path / "series" / "x.nii", format_=format_, overwrites=True)


def test_what_is_there_is_replaced_only_when_that_is_said_and_only_a_file(scan: Path, tmp_path: Path) -> None:
    there = tmp_path / "there.nii"
    there.touch()
    (tmp_path / "folder.nii").mkdir()
    with pytest.raises(InputError, match="exists: name another file, or say --overwrite"):
        require_target(scan, there, format_="nifti", overwrites=False)
    require_target(scan, there, format_="nifti", overwrites=True)
    with pytest.raises(InputError, match="is no file"):
        require_target(scan, tmp_path / "folder.nii", format_="nifti", overwrites=True)
    with pytest.raises(InputError, match="goes into a new folder"):
        require_target(scan, tmp_path / "folder.nii", format_="dicom", overwrites=True)
    with pytest.raises(InputError, match="is no folder"):
        require_target(scan, tmp_path / "nowhere" / "x.nii", format_="nifti", overwrites=False)
    require_target(scan, tmp_path / "new.nii", format_="nifti", overwrites=False)


def test_a_report_replaces_nothing_but_a_report_and_only_when_that_is_said(tmp_path: Path) -> None:
    require_report_folder(tmp_path / "new", overwrites=False)
    (tmp_path / "index.html").write_text("mine")
    for overwrites in (False, True):
        with pytest.raises(InputError, match=r"holds index\.html and no report"):
            require_report_folder(tmp_path, overwrites=overwrites)
    (tmp_path / "cases.json").touch()
    with pytest.raises(InputError, match="say --overwrite"):
        require_report_folder(tmp_path, overwrites=False)
    require_report_folder(tmp_path, overwrites=True)
    with pytest.raises(InputError, match="is a file"):
        require_report_folder(tmp_path / "index.html", overwrites=True)


@pytest.mark.parametrize(
    "words",
    [
        ["train", "--name", "chest", "--model", "..", "--anew"],
        ["train", "--name", "chest", "--model", "a/b", "--anew"],
        ["train", "--name", "../chest"],
        ["export", "--name", "..", "-o", "x"],
        ["pack", "--name", "a/b", "--train", "x"],
        ["generate", "x.nii", "--model", "../m", "-o", "y.nii"],
        ["evaluate", "x.nii", "--model", "../m"],
    ],
)
def test_names_cannot_lead_out_of_the_storage_array(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.nii").touch()
    (tmp_path / "st" / "models" / "m").mkdir(parents=True)
    (tmp_path / "st" / "models" / "m" / "model.pt").write_bytes(b"mine")

    assert main(["ct", *words, "--set", f"storage.root={tmp_path / 'st'}"]) == 1

    assert capsys.readouterr().err.startswith("ipdsf ct: ")
    assert (tmp_path / "st" / "models" / "m" / "model.pt").read_bytes() == b"mine"


def test_a_training_that_cannot_begin_touches_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "slice.dcm").write_bytes(b"DICM")
    for source in (["--name", "chesst"], ["--cubes", str(tmp_path / "nowhere")]):
        words = ["ct", "train", *source, "-o", str(tmp_path / "mine"), "--anew", "--set", f"storage.root={tmp_path}"]
        assert main(words) == 1
        assert "Traceback" not in capsys.readouterr().err
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["slice.dcm"]


@pytest.mark.parametrize("empty", ["", " "])
def test_an_empty_path_is_not_the_folder_one_stands_in(
    scan: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], empty: str
) -> None:
    monkeypatch.chdir(scan.parent)
    for words in (["info", empty], ["generate", "scan.nii.gz", "--model", empty, "-o", "x.nii"]):
        assert main(["ct", *words]) == 1
        assert capsys.readouterr().err.rstrip().endswith("is empty")
