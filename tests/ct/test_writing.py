from __future__ import annotations

import fcntl
import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray
from synthetic_dicom import PATIENT_ID, WriteSeries

from ipdsf_spark.ct.dicom_writing import write_dicom
from ipdsf_spark.ct.provenance import STATEMENT, Provenance
from ipdsf_spark.ct.reading import read_volume
from ipdsf_spark.ct.volume import Grid, Source, Volume
from ipdsf_spark.ct.writing import as_int16, write_nifti, write_volume
from ipdsf_spark.errors import InputError

MADE = Provenance("denoise", datetime(2026, 1, 2, tzinfo=UTC), model="a" * 64, enhancement="b" * 64, source="study-1")
TURNED = Grid((6, 16, 20), (2.5, 0.7, 0.8), (-10.0, -20.0, 100.0), ((0.0, -0.6, 0.8), (0.0, 0.8, 0.6), (1.0, 0.0, 0.0)))


def slabs(hu: NDArray[Any]) -> Iterator[NDArray[Any]]:
    yield from (hu[:1], hu[1:4], hu[4:])


@pytest.mark.parametrize("name", ["made.nii", "made.nii.gz"])
def test_a_written_nifti_reads_back_with_its_place_in_the_patient(
    chest: NDArray[np.int16], tmp_path: Path, name: str
) -> None:
    path = write_nifti(tmp_path / name, TURNED, slabs(chest), MADE)

    volume = read_volume(path)

    np.testing.assert_array_equal(volume.hu, chest)
    np.testing.assert_allclose(volume.grid.spacing_mm, TURNED.spacing_mm, rtol=1e-6)
    np.testing.assert_allclose(volume.grid.origin_mm, TURNED.origin_mm, rtol=1e-6)
    np.testing.assert_allclose(volume.grid.direction, TURNED.direction, atol=1e-6)
    image = sitk.ReadImage(str(path))
    np.testing.assert_allclose(image.TransformIndexToPhysicalPoint((3, 2, 1)), TURNED.world_mm((1, 2, 3)), atol=1e-4)


def test_a_written_dicom_series_reads_back_with_its_place_in_the_patient(
    chest: NDArray[np.int16], tmp_path: Path
) -> None:
    folder = write_dicom(tmp_path / "made", TURNED, slabs(chest), MADE)

    volume = read_volume(folder)

    np.testing.assert_array_equal(volume.hu, chest)
    for part, wanted in (
        ("spacing_mm", TURNED.spacing_mm),
        ("origin_mm", TURNED.origin_mm),
        ("direction", TURNED.direction),
    ):
        np.testing.assert_allclose(getattr(volume.grid, part), wanted, atol=1e-9)
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(names)), chest)


def test_a_generated_nifti_says_so_in_its_header(chest: NDArray[np.int16], tmp_path: Path) -> None:
    path = write_volume(tmp_path / "made.nii.gz", Volume(chest, TURNED), MADE)

    header = nib.load(path).header
    record = json.loads(header.extensions[0].get_content())
    assert bytes(header["descrip"]).rstrip(b"\0").decode() == STATEMENT
    assert record["is_generated"] is True
    assert (record["model"], record["enhancement"], record["source"]) == ("a" * 64, "b" * 64, "study-1")
    assert record["made_at"] == "2026-01-02T00:00:00+00:00"


def test_a_generated_dicom_image_says_so_and_names_what_made_it(
    chest: NDArray[np.int16], write_series: WriteSeries, tmp_path: Path
) -> None:
    files = write_series(chest, Manufacturer="SCANNERS Ltd", ManufacturerModelName="Spiral 64")
    measured = read_volume(files[0].parent)

    folder = write_dicom(tmp_path / "made", measured.grid, [measured.hu], MADE, measured.source)

    made = [pydicom.dcmread(path) for path in sorted(folder.iterdir())]
    originals = [pydicom.dcmread(path) for path in files]
    for image, original in zip(made, originals, strict=True):
        assert image.ImageType[:2] == ["DERIVED", "SECONDARY"]
        assert image.SyntheticData == "YES"
        assert STATEMENT in image.SeriesDescription
        assert "denoise from study-1" in image.DerivationDescription
        assert image.DerivationCodeSequence[0].CodingSchemeDesignator == "99IPDSF"
        assert (image.Manufacturer, image.ManufacturerModelName) == ("SCANNERS Ltd", "Spiral 64")
        (software,) = image.ContributingEquipmentSequence
        purpose = software.PurposeOfReferenceCodeSequence[0]
        assert (purpose.CodeValue, purpose.CodingSchemeDesignator) == ("109100", "DCM")
        assert software.Manufacturer == "ipdsf_spark"
        assert image.ImagePositionPatient == original.ImagePositionPatient
        assert image.PatientIdentityRemoved == "YES"
        assert image.DeidentificationMethodCodeSequence[0].CodeValue == "113100"
        assert "LossyImageCompression" not in image  # the source keeps silent
        assert (image.SliceThickness, image.InstanceNumber) == (2.5, original.InstanceNumber)
    assert len({i.SOPInstanceUID for i in made}) == 6
    assert len({i.SeriesInstanceUID for i in made}) == 1


def test_no_identifier_of_the_source_is_left(
    chest: NDArray[np.int16], write_series: WriteSeries, tmp_path: Path
) -> None:
    planted = {
        keyword: f"1.2.826.0.1.3680043.8.498.4711{k}"
        for k, keyword in enumerate(("StudyInstanceUID", "series_uid", "FrameOfReferenceUID"))
    }
    files = write_series(chest, **planted)
    planted |= {path.name: pydicom.dcmread(path).SOPInstanceUID for path in files}
    measured = read_volume(files[0].parent)

    folder = write_dicom(tmp_path / "made", measured.grid, [measured.hu], MADE, measured.source)

    for path in folder.iterdir():
        raw = path.read_bytes()
        assert not [uid for uid in planted.values() if uid.encode() in raw]


@pytest.mark.parametrize("burned_in", ["YES", "NO", None])
@pytest.mark.parametrize("recognizable", ["YES", "NO", None])
def test_what_is_burned_in_is_carried_over_and_identity_is_not_said_to_be_gone(
    chest: NDArray[np.int16],
    write_series: WriteSeries,
    tmp_path: Path,
    burned_in: str | None,
    recognizable: str | None,
) -> None:
    said = {"BurnedInAnnotation": burned_in, "RecognizableVisualFeatures": recognizable}
    stated = {keyword: value for keyword, value in said.items() if value}
    measured = read_volume(write_series(chest, **stated)[0].parent)

    folder = write_dicom(tmp_path / "made", measured.grid, [measured.hu], MADE, measured.source)

    image = pydicom.dcmread(next(folder.iterdir()))
    assert {keyword: image.get(keyword) for keyword in said} == said
    assert image.PatientIdentityRemoved == ("NO" if "YES" in said.values() else "YES")
    assert ("DeidentificationMethod" in image) == (image.PatientIdentityRemoved == "YES")


def test_lossy_compression_sticks(chest: NDArray[np.int16], write_series: WriteSeries, tmp_path: Path) -> None:
    files = write_series(chest[:3], LossyImageCompression="00")
    lossy = {"LossyImageCompressionRatio": ["12.5"], "LossyImageCompressionMethod": ["ISO_15444_1"]}
    write_series(chest[3:], LossyImageCompression="01", first_mm=107.5, prefix="next", first_instance=4, **lossy)
    measured = read_volume(files[0].parent)

    folder = write_dicom(tmp_path / "made", measured.grid, [measured.hu], MADE, measured.source)

    images = [pydicom.dcmread(path) for path in folder.iterdir()]
    assert {i.LossyImageCompression for i in images} == {"01"}
    assert {(i.LossyImageCompressionRatio, i.LossyImageCompressionMethod) for i in images} == {(12.5, "ISO_15444_1")}
    assert {p.kind for p in read_volume(folder).problems} == {"generated", "lossy"}


# PS3.3 A.3 (CT Image IOD) and C.12.1: attributes that must be there with a value (type 1), and that must be there (2).
TYPE_1 = """SOPClassUID SOPInstanceUID StudyInstanceUID SeriesInstanceUID Modality FrameOfReferenceUID ImageType
    SamplesPerPixel PhotometricInterpretation Rows Columns BitsAllocated BitsStored HighBit PixelRepresentation
    PixelSpacing ImageOrientationPatient ImagePositionPatient RescaleIntercept RescaleSlope RescaleType PixelData"""
TYPE_2 = """PatientName PatientID PatientBirthDate PatientSex StudyDate StudyTime ReferringPhysicianName StudyID
    AccessionNumber SeriesNumber Manufacturer InstanceNumber PositionReferenceIndicator SliceThickness KVP
    AcquisitionNumber PatientPosition Laterality"""
CODES = ("DerivationCodeSequence", "DeidentificationMethodCodeSequence")


def test_a_generated_image_has_what_the_standard_asks_of_a_ct_image(chest: NDArray[np.int16], tmp_path: Path) -> None:
    folder = write_dicom(tmp_path / "made", TURNED, [chest], MADE, Source())

    for path in folder.iterdir():
        image = pydicom.dcmread(path)
        assert [k for k in TYPE_1.split() if k not in image or image[k].is_empty] == []
        assert [k for k in TYPE_2.split() if k not in image] == []
        for element in image.iterall():  # values within their representation: PS3.5 6.2
            for value in element.value if element.VM > 1 else [element.value]:
                plain = str(value) if element.VR in ("DS", "IS") and value is not None else value
                pydicom.valuerep.validate_value(element.VR, plain, pydicom.config.RAISE)
        assert len(str(image.SeriesDescription)) <= 64
        for code in (image[keyword][0] for keyword in CODES):
            assert 0 < len(code.CodeValue) <= 16
            assert 0 < len(code.CodeMeaning) <= 64
            assert 0 < len(code.CodingSchemeDesignator) <= 16
        assert image.ContributingEquipmentSequence[0].PurposeOfReferenceCodeSequence
        assert image.file_meta.MediaStorageSOPInstanceUID == image.SOPInstanceUID
        assert image.BitsStored == image.HighBit + 1


def test_no_patient_comes_out_of_what_went_in(
    chest: NDArray[np.int16], write_series: WriteSeries, tmp_path: Path
) -> None:
    measured = read_volume(write_series(chest)[0].parent, pseudonym_key=b"secret")

    folder = write_dicom(tmp_path / "made", measured.grid, [measured.hu], MADE, measured.source)
    nifti = write_volume(tmp_path / "made.nii", measured, MADE)

    for path in [nifti, *folder.iterdir()]:
        raw = path.read_bytes()
        assert not any(secret in raw for secret in (b"Doe", b"Jane", PATIENT_ID.encode(), b"19700101", b"secret"))
    assert pydicom.dcmread(next(folder.iterdir())).PatientID == measured.source.patient


def test_hu_are_rounded_and_held_within_the_type() -> None:
    hu = np.array([-40_000, -1.6, 0.4, 40_000], np.float32)

    assert as_int16(hu).tolist() == [-32768, -2, 0, 32767]
    with pytest.raises(InputError, match="no number"):
        as_int16(np.array([1.0, np.nan]))


def test_a_generated_volume_is_known_for_one_when_it_is_read(chest: NDArray[np.int16], tmp_path: Path) -> None:
    made = [write_volume(tmp_path / "made.nii", Volume(chest, TURNED), MADE)]
    made.append(write_dicom(tmp_path / "made", TURNED, [chest], MADE))

    for path in made:
        problems = read_volume(path).problems
        assert [(p.kind, p.is_serious) for p in problems] == [("generated", False)]


WRITERS = [
    pytest.param(lambda path, hu: write_nifti(path / "made.nii.gz", TURNED, hu, MADE), id="nifti"),
    pytest.param(lambda path, hu: write_dicom(path / "made", TURNED, hu, MADE), id="dicom"),
]


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("depth", [5, 7])
def test_slabs_that_do_not_fill_the_volume_leave_nothing_behind(tmp_path: Path, write: Any, depth: int) -> None:
    with pytest.raises(InputError, match=f"{depth} slices came for a volume of 6"):
        write(tmp_path, [np.zeros((depth, 16, 20), np.int16)])

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("write", WRITERS)
def test_an_interruption_leaves_nothing_behind(tmp_path: Path, write: Any) -> None:
    def broken() -> Iterator[NDArray[np.int16]]:
        yield np.zeros((2, 16, 20), np.int16)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, broken())

    assert list(tmp_path.iterdir()) == []


def test_a_series_is_not_written_over_another(chest: NDArray[np.int16], tmp_path: Path) -> None:
    write_dicom(tmp_path / "made", TURNED, [chest], MADE)

    with pytest.raises(InputError, match="already there"):
        write_dicom(tmp_path / "made", TURNED, [chest], MADE)


@pytest.mark.parametrize("write", WRITERS)
def test_a_slab_of_another_size_is_refused(tmp_path: Path, write: Any) -> None:
    with pytest.raises(InputError, match="does not fit"):
        write(tmp_path, [np.zeros((6, 16, 21), np.int16)])


def test_a_full_disk_is_named_and_the_old_file_stays(
    chest: NDArray[np.int16], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_volume(tmp_path / "made.nii.gz", Volume(chest, TURNED), MADE)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(gzip.GzipFile, "write", full)
    with pytest.raises(InputError, match=r"cannot write .*made.nii.gz: No space left on device"):
        write_volume(path, Volume(chest, TURNED), MADE)

    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_the_same_volume_gives_the_same_bytes(chest: NDArray[np.int16], tmp_path: Path) -> None:
    one, two = (write_volume(tmp_path / f"{k}.nii.gz", Volume(chest, TURNED), MADE) for k in "ab")

    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize("name", ["made.nii", "made.nii.gz"])
def test_a_file_is_written_by_one_process_at_a_time_and_by_the_next_when_that_was_killed(
    chest: NDArray[np.int16], tmp_path: Path, name: str
) -> None:
    grid = Grid((6, 16, 20), (2.5, 0.7, 0.8))
    with (tmp_path / f".{name}.part").open("wb") as of_another:
        of_another.write(b"half of what another process writes")
        fcntl.flock(of_another, fcntl.LOCK_EX)
        with pytest.raises(InputError, match=f"{name} is being written by another process"):
            write_nifti(tmp_path / name, grid, [chest], MADE)
        assert (tmp_path / f".{name}.part").exists()

    np.testing.assert_array_equal(read_volume(write_nifti(tmp_path / name, grid, [chest], MADE)).hu, chest)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_file_that_appeared_while_another_was_made_is_not_replaced(chest: NDArray[np.int16], tmp_path: Path) -> None:
    def slowly() -> Iterator[NDArray[np.int16]]:
        yield chest[:3]
        (tmp_path / "made.nii").write_bytes(b"of somebody else")
        yield chest[3:]

    grid = Grid((6, 16, 20), (2.5, 0.7, 0.8))
    with pytest.raises(InputError, match=r"made.nii has appeared meanwhile and is not replaced"):
        write_nifti(tmp_path / "made.nii", grid, slowly(), MADE, replaces=False)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"of somebody else"]
    write_nifti(tmp_path / "made.nii", grid, slowly(), MADE)
    np.testing.assert_array_equal(read_volume(tmp_path / "made.nii").hu, chest)
