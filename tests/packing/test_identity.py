"""Volumes are known by their content, patients by pseudonyms, and splits follow patients."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest

from ipdsf_spark.ct.cubes import cut
from ipdsf_spark.ct.identity import content_of, share_of_marks, slice_marks
from ipdsf_spark.ct.reading import read_volume
from ipdsf_spark.errors import InputError
from ipdsf_spark.packing import pack as packing
from ipdsf_spark.packing.pack import PackReport
from ipdsf_spark.packing.reading import cube_batches
from ipdsf_spark.packing.reference import reference_of
from tests.packing.conftest import SavePhantom

pytestmark = pytest.mark.training
Pack = Callable[..., PackReport]


def series(folder: Path, patient: str, number: int) -> Path:
    """A small CT series of a patient; another number is another body."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(number)
    study, frame = pydicom.uid.generate_uid(), pydicom.uid.generate_uid()
    for k in range(8):
        ds = pydicom.Dataset()
        ds.file_meta = pydicom.dataset.FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = pydicom.uid.CTImageStorage
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = pydicom.uid.generate_uid()
        ds.PatientID, ds.PatientName, ds.Modality, ds.SeriesNumber, ds.InstanceNumber = patient, "X^Y", "CT", 1, k + 1
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = study, f"{study}.1", frame
        ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        ds.ImagePositionPatient, ds.ImageOrientationPatient = [0, 0, 2.5 * k], [1, 0, 0, 0, 1, 0]
        ds.PixelSpacing, ds.SliceThickness = [1, 1], 2.5
        ds.Rows = ds.Columns = 32
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
        ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = 0, 1, "HU"
        ds.PixelData = rng.integers(-900, 300, (32, 32), dtype=np.int16).tobytes()
        ds.save_as(folder / f"{k}.dcm", enforce_file_format=True)
    return folder


def test_two_patients_whose_folders_have_one_name_are_two_volumes(packed_here: Pack, tmp_path: Path) -> None:
    first = packed_here(tmp_path / "st", train=[series(tmp_path / "a" / "CT", "1", 1)])
    second = packed_here(tmp_path / "st", train=[series(tmp_path / "b" / "CT", "2", 2)])

    assert len(first.added) == len(second.added) == 1
    assert len(second.manifest.studies) == 2


def test_a_volume_under_another_name_or_format_is_named_as_the_one_that_is_there_already(
    packed_here: Pack, phantom_file: SavePhantom, tmp_path: Path
) -> None:
    volume = phantom_file(tmp_path / "x.nii.gz", 1, 24)
    packed_here(tmp_path / "st", train=[volume], names=("chest",))
    copy = Path(shutil.copy(volume, tmp_path / "other name.nii.gz"))

    again = packed_here(tmp_path / "st", train=[copy])
    assert again.added == {}
    assert again.skipped == (f"{copy} is in the data set already, as 'chest' (train)",)
    both = packed_here(tmp_path / "st", train=[phantom_file(tmp_path / "y.nii.gz", 2, 24), copy, copy])
    assert (len(both.added), len(both.skipped)) == (1, 2)
    with pytest.raises(InputError, match="'chest', which is for train: a volume keeps its split"):
        packed_here(tmp_path / "st", test=[copy])
    with pytest.raises(InputError, match="name 'chest' belongs to another volume"):
        packed_here(tmp_path / "st", train=[phantom_file(tmp_path / "z.nii.gz", 3, 24)], names=("chest",))


def test_series_of_one_patient_cannot_stand_in_both_splits_and_need_no_key_for_that(
    packed_here: Pack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("IPDSF_PSEUDONYM_KEY", raising=False)
    lung, soft, other = (series(tmp_path / n, p, k) for k, (n, p) in enumerate([("l", "7"), ("s", "7"), ("o", "8")]))

    with monkeypatch.context() as before_any_is_read, pytest.raises(InputError, match="would be in both splits"):
        before_any_is_read.setattr(packing, "_write", lambda *_: pytest.fail("volumes are read already"))
        packed_here(tmp_path / "st", train=[lung], test=[soft])
    packed_here(tmp_path / "st", train=[lung], test=[other])
    with pytest.raises(InputError, match=r"1 patient\(s\) would be in both splits"):
        packed_here(tmp_path / "st", test=[soft])
    followed = packed_here(tmp_path / "st", others=[soft], test_share=0.999)  # its patient is in training already
    assert {s.split for s in followed.manifest.studies.values() if s.name in followed.added.values()} == {"train"}


def test_the_patient_is_that_of_the_ct_and_not_of_images_that_lie_beside_it(
    packed_here: Pack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IPDSF_PSEUDONYM_KEY", "a key of the hospital")
    alone, together = series(tmp_path / "a", "7", 1), series(tmp_path / "b", "7", 2)
    for file in sorted(series(tmp_path / "mr", "8", 3).iterdir())[:2]:
        dataset = pydicom.dcmread(file)
        dataset.Modality, dataset.SeriesInstanceUID = "MR", "1.2.99"
        dataset.save_as(together / f"a first file of another {file.name}")

    report = packed_here(tmp_path / "st", train=[alone, together])

    assert len({study.patient for study in report.manifest.studies.values()}) == 1


def test_the_salt_is_another_in_every_data_set_and_leaves_neither_with_cubes_nor_with_the_manifest(
    packed_here: Pack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("IPDSF_PSEUDONYM_KEY", raising=False)
    lung = series(tmp_path / "l", "MUSTER-4711-XY", 1)
    reports = [packed_here(tmp_path / "st", train=[lung], name=name) for name in ("one", "two")]

    patients = [next(iter(report.manifest.studies.values())).patient for report in reports]
    assert patients[0] != patients[1]
    salt = (tmp_path / "st" / "cubes" / "one" / "salt").read_text()
    everything = [p.read_bytes() for p in (tmp_path / "st").rglob("*") if p.is_file() and p.name != "salt"]
    for planted in (b"MUSTER-4711-XY", salt.encode(), b"X^Y", str(tmp_path).encode()):
        assert not any(planted in raw for raw in everything)
    (tmp_path / "st" / "cubes" / "one" / "salt").unlink()
    with pytest.raises(InputError, match="salt of data set 'one' is missing"):
        packed_here(tmp_path / "st", train=[series(tmp_path / "m", "8", 2)], name="one")


def test_a_key_gives_one_pseudonym_everywhere_and_another_key_is_refused(
    packed_here: Pack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IPDSF_PSEUDONYM_KEY", "a key of the hospital")
    lung = series(tmp_path / "l", "7", 1)
    reports = [packed_here(tmp_path / "st", train=[lung], name=name) for name in ("one", "two")]
    assert len({next(iter(r.manifest.studies.values())).patient for r in reports}) == 1
    assert not (tmp_path / "st" / "cubes" / "one" / "salt").exists()

    monkeypatch.setenv("IPDSF_PSEUDONYM_KEY", "another")
    with pytest.raises(InputError, match="packed with another key"):
        packed_here(tmp_path / "st", train=[series(tmp_path / "m", "8", 2)], name="one")


def test_a_volume_of_which_nothing_is_packed_is_named(
    packed_here: Pack, phantom_file: SavePhantom, tmp_path: Path
) -> None:
    import nibabel as nib

    nib.save(nib.Nifti1Image(np.full((40, 40, 40), -1000, np.int16), np.eye(4)), tmp_path / "air.nii.gz")
    good = phantom_file(tmp_path / "good.nii.gz", 1, 24)

    report = packed_here(tmp_path / "st", train=[tmp_path / "air.nii.gz", good])

    named = [*report.added, *(line.partition(":")[0] for line in report.left_out)]
    assert str(good) in report.added
    assert len(named) == 2 or report.manifest.studies.keys() == {*report.added.values()}


@pytest.mark.parametrize(("first", "second", "is_torn"), [("train", "test", True), ("train", "train", False)])
def test_a_part_of_a_volume_is_not_for_testing_what_the_whole_was_for_training(
    packed_here: Pack, phantom_file: SavePhantom, tmp_path: Path, first: str, second: str, is_torn: bool
) -> None:
    whole, part = phantom_file(tmp_path / "whole.nii", 1), tmp_path / "part.nii"
    image: Any = nib.load(whole)
    nib.save(image.slicer[:, :, 4:20], part)
    packed_here(tmp_path / "st", **{first: [whole]})

    if is_torn:
        with pytest.raises(InputError, match=r"part\.nii \(test\) shares slices with ct-\w+ \(train\)"):
            packed_here(tmp_path / "st", **{second: [part]})
        with pytest.raises(InputError, match="would be in both splits"):
            packed_here(tmp_path / "other", **{first: [whole], second: [part]})
    else:
        report = packed_here(tmp_path / "st", **{second: [part]})
        assert any("shares slices" in remark for remark in report.remarks)


def test_folder_names_are_found_in_nothing_that_is_written(packed_here: Pack, tmp_path: Path) -> None:
    report = packed_here(tmp_path / "st", train=[series(tmp_path / "MUSTER^ERIKA_19500101", "9", 1)])

    (name,) = report.added.values()
    assert name.startswith("ct-")
    found = [
        p for p in (tmp_path / "st").rglob("*") if "MUSTER" in p.name or (p.is_file() and b"MUSTER" in p.read_bytes())
    ]
    assert found == []
    text = json.dumps(reference_of(__import__("ipdsf_spark.config").config.load(
        overrides=[f"storage.root={tmp_path / 'st'}"]), "d").facts)  # fmt: skip
    assert "MUSTER" not in text


def test_a_packed_voxel_is_the_nearest_whole_hu_of_what_was_measured(packed_here: Pack, tmp_path: Path) -> None:
    import nibabel as nib

    from ipdsf_spark.config import load

    hu = np.random.default_rng(0).uniform(-900, 300, (32, 32, 32)).astype(np.float32)
    nib.save(nib.Nifti1Image(hu.T[::-1, ::-1], np.diag([1, 1, 1, 1])), tmp_path / "v.nii")
    packed_here(tmp_path / "st", train=[tmp_path / "v.nii"])
    measured = read_volume(tmp_path / "v.nii").hu

    found = reference_of(load(overrides=[f"storage.root={tmp_path / 'st'}"]), "d")
    for cubes, keys in cube_batches(found.files, 32):
        for cube, key in zip(cubes, keys, strict=True):
            assert np.abs(cube - cut(measured, key, 32)).max() <= 0.5


def test_a_part_of_a_volume_shares_its_marks_and_another_volume_shares_none() -> None:
    rng = np.random.default_rng(1)
    volume, other = rng.integers(-900, 300, (2, 100, 8, 8), dtype=np.int16)
    marks = slice_marks(volume, 64)

    assert (len(marks), share_of_marks(marks, slice_marks(volume))) == (64, 1.0)
    assert 0.2 < share_of_marks(marks, slice_marks(volume[30:80])) < 0.8
    assert share_of_marks(marks, slice_marks(other)) == 0
    assert content_of(volume) != content_of(volume[:-1])
    assert content_of(volume) == content_of(volume.astype(np.float32) + 0.3)
