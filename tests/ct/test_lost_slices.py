"""Slices lost at an end of a series leave no gap: what stands in their place, or lists them, tells of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.encaps import generate_frames
from pydicom.fileset import FileSet
from pydicom.sequence import Sequence
from pydicom.uid import EnhancedCTImageStorage, RLELossless
from synthetic_dicom import WriteSeries, item, save, slice_dataset, with_frames

from ipdsf_spark.ct.reading import read_volume, survey
from ipdsf_spark.errors import InputError

Chest = NDArray[np.int16]


def said(path: Path, kind: str) -> str:
    return "; ".join(str(p) for p in survey(path).problems if p.kind == kind)


@pytest.fixture
def medium(chest: Chest, write_series: WriteSeries, tmp_path: Path) -> Path:
    """Two series as they lie on a CD, behind the directory that lists them."""
    directory = FileSet()
    for number, step in ((1, 2.5), (2, 5.0)):
        made = {"SeriesNumber": number, "series_uid": f"1.2.3.{number}", "folder": str(number), "step_mm": step}
        for file in write_series(chest, **made):
            slice_ = pydicom.dcmread(file)
            slice_.StudyID, slice_.StudyDate, slice_.StudyTime = "1", "20200101", "120000"
            directory.add(slice_)
    directory.write(tmp_path / "cd")
    return tmp_path / "cd"


def images(medium: Path, number: int) -> list[Path]:
    """The files of a series from the lowest slice up."""
    found = [p for p in medium.rglob("*") if p.is_file() and p.name != "DICOMDIR"]
    slices = {p: pydicom.dcmread(p) for p in found}
    mine = [p for p in found if slices[p].SeriesNumber == number]
    return sorted(mine, key=lambda p: float(slices[p].ImagePositionPatient[2]))


def test_slices_that_the_directory_of_a_medium_lists_and_that_are_not_there_are_missed(medium: Path) -> None:
    assert said(medium, "unreadable") == ""
    lost = [images(medium, 1)[k] for k in (0, -1)]
    for file in lost:
        file.unlink()

    found = [p for p in survey(medium, series=1).problems if p.kind == "unreadable"]

    assert [p.text for p in found] == ["DICOMDIR lists 2 image(s) of this series that are not here"]
    assert sorted(found[0].files) == sorted(str(p.relative_to(medium)) for p in lost)
    read_volume(medium, series=2)  # nothing of it is lost


def test_slices_that_were_renamed_since_the_directory_was_written_are_there(medium: Path) -> None:
    for number, file in enumerate(images(medium, 1)):
        file.rename(medium / f"slice{number}.dcm")
    assert said(medium, "unreadable") == ""


def test_a_damaged_directory_lists_nothing_and_where_it_cannot_be_read_that_is_remarked(medium: Path) -> None:
    whole = (medium / "DICOMDIR").read_bytes()
    remarks = []
    for length in (*range(140, len(whole), 97), 90):
        (medium / "DICOMDIR").write_bytes(whole[:length])
        remarks.append([p.text for p in survey(medium, series=1).problems if p.kind == "header_field"])

    assert "whether images that it lists are missing is not known" in remarks[-1][0]


@pytest.mark.parametrize("content", [bytes(5000), b"<!DOCTYPE html><title>404</title>" * 9, b"\0"])
def test_what_is_no_dicom_in_the_place_of_a_slice_is_no_mere_remark(
    chest: Chest, write_series: WriteSeries, content: bytes
) -> None:
    files = write_series(chest)
    for number, file in enumerate(files):
        file.rename(file.with_name(f"IM{number:06d}"))
    folder = files[0].parent
    (folder / "IM000005").write_bytes(content)
    (folder / "VERSION").write_bytes(content)
    (folder / "annex").mkdir()
    (folder / "annex" / "IM000009").write_bytes(content)

    assert "1 file(s) named like the slices are no DICOM" in said(folder, "unreadable")
    assert "IM000005" in said(folder, "unreadable")
    assert said(folder, "not_an_image") == "2 file(s) hold no DICOM image: VERSION, IM000009"


def test_a_link_to_a_folder_above_does_not_bring_in_what_lies_beside(
    chest: Chest, write_series: WriteSeries, tmp_path: Path
) -> None:
    write_series(chest, folder="study/other", series_uid="1.2.9", prefix="other")
    folder = write_series(chest, folder="study/mine")[0].parent
    (folder / "up").symlink_to(tmp_path / "study")
    (folder / "top").symlink_to(tmp_path)

    assert survey(folder).problems == ()


def test_more_frames_described_than_there_are_is_a_loss(chest: Chest, tmp_path: Path) -> None:
    frames = slice_dataset(chest[0], SOPClassUID=EnhancedCTImageStorage, NumberOfFrames=4)
    frames.PixelData = (chest[:4] + 1024).astype("<u2").tobytes()
    places = [item(ImagePositionPatient=[-10, -20, 2.5 * k]) for k in range(6)]
    frames.PerFrameFunctionalGroupsSequence = Sequence(item(PlanePositionSequence=Sequence([p])) for p in places)

    with pytest.raises(InputError, match="NumberOfFrames is 4, but 6 frames are described"):
        survey(save(frames, tmp_path / "frames.dcm"))


def test_compressed_frames_that_are_gone_are_a_loss_and_no_damage(chest: Chest, tmp_path: Path) -> None:
    frames = slice_dataset(chest[0], SOPClassUID=EnhancedCTImageStorage, NumberOfFrames=6)
    packed = [slice_dataset(values) for values in chest[:4]]
    for one in packed:
        one.compress(RLELossless, generate_instance_uid=False)
    streams = [next(generate_frames(one.PixelData, number_of_frames=1)) for one in packed]
    file = save(with_frames(frames, streams, RLELossless), tmp_path / "frames.dcm")

    with pytest.raises(InputError) as told:
        survey(file)
    assert str(told.value) == "frames.dcm holds 4 compressed frames, but NumberOfFrames says 6: some are gone"
