"""More forms of known faults: what a file leaves out, spells otherwise, or says where nobody looks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    PositronEmissionTomographyImageStorage,
    SecondaryCaptureImageStorage,
)
from synthetic_dicom import WriteSeries, item, save, slice_dataset

from ipdsf_spark.ct.phantom import chest_phantom
from ipdsf_spark.ct.plausibility import value_problems
from ipdsf_spark.ct.reading import read_volume, survey
from ipdsf_spark.errors import InputError

Chest = NDArray[np.int16]
POINTER = "/annex/objects/MD5E-s20--0123.gz\n"
PAGE = "<!DOCTYPE html>\n<html><title>Log in</title></html>"
DENIED = '\n<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>'
LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 20\n"


def said(path: Path, kind: str) -> str:
    return "; ".join(str(p) for p in survey(path).problems if p.kind == kind)


def kinds(path: Path) -> dict[str, bool]:
    return {p.kind: p.is_serious for p in survey(path).problems}


def renamed(files: list[Path], names: list[str]) -> Path:
    for file, name in zip(files, names, strict=True):
        file.rename(file.with_name(name))
    return files[0].parent


# Files beside the slices, and in their place


def test_an_empty_file_of_a_medium_is_no_slice_and_an_empty_slice_is_no_mere_remark(
    chest: Chest, write_series: WriteSeries
) -> None:
    folder = renamed(write_series(chest), [f"IM00000{k}" for k in range(6)])
    for name in ("LOCKFILE", "VERSION"):
        (folder / name).touch()
    assert kinds(folder) == {"not_an_image": False}

    (folder / "IM000006").touch()
    assert "IM000006" in said(folder, "unreadable")


@pytest.mark.parametrize("stem", ["1.2.840.113619.{}", "a3{}f9c0", "CT.1.2.{}"])
def test_an_empty_slice_is_known_by_the_names_of_the_others_whatever_their_form(
    chest: Chest, write_series: WriteSeries, stem: str
) -> None:
    folder = renamed(write_series(chest), [stem.format(10 + k) for k in range(6)])
    (folder / stem.format(17)).touch()

    assert stem.format(17) in said(folder, "unreadable")


def test_a_directory_of_a_medium_alone_says_what_to_name(tmp_path: Path, chest: Chest) -> None:
    directory = item(FileSetID="CD", DirectoryRecordSequence=Sequence([]))
    directory.file_meta = slice_dataset(chest[0]).file_meta
    directory.file_meta.MediaStorageSOPClassUID = pydicom.uid.UID("1.2.840.10008.1.3.10")
    directory.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.UID("1.2.3.10")
    directory.save_as(tmp_path / "DICOMDIR", enforce_file_format=True)

    with pytest.raises(InputError, match="name the folder"):
        survey(tmp_path / "DICOMDIR")


@pytest.mark.parametrize("name", ["v.nii.gz", "v.nii", "v.nrrd", "v.mha"])
@pytest.mark.parametrize(
    ("content", "words"),
    [(POINTER, "pointer"), (LFS, "pointer"), ("", "is empty"), (PAGE, "page of the web"), (DENIED, "page of the web")],
)
def test_a_volume_file_that_was_never_fetched_says_so(tmp_path: Path, name: str, content: str, words: str) -> None:
    (tmp_path / name).write_text(content)

    with pytest.raises(InputError, match=words):
        survey(tmp_path)


# Headers


@pytest.mark.parametrize(
    "keyword", ["SamplesPerPixel", "PhotometricInterpretation", "BitsStored", "PixelRepresentation"]
)
def test_an_absent_attribute_of_the_pixels_is_assumed_and_named(
    chest: Chest, write_series: WriteSeries, keyword: str
) -> None:
    folder = write_series(chest, **{keyword: None})[0].parent

    np.testing.assert_array_equal(read_volume(folder).hu, chest)
    assert keyword in said(folder, "header_field")


def test_a_number_of_frames_that_is_none_is_one_frame_where_no_frames_are_described(
    chest: Chest, write_series: WriteSeries
) -> None:
    files = write_series(chest, NumberOfFrames=1)
    for file in files:
        file.write_bytes(file.read_bytes().replace(b"\x28\x00\x08\x00IS\x02\x001 ", b"\x28\x00\x08\x00IS\x02\x00x "))

    np.testing.assert_array_equal(read_volume(files[0].parent).hu, chest)
    assert "NumberOfFrames" in said(files[0].parent, "header_field")


@pytest.mark.parametrize(
    ("gone", "named"),
    [(("RescaleIntercept",), "no RescaleIntercept,"), (("RescaleSlope", "RescaleIntercept"), "no RescaleSlope and")],
)
def test_the_half_of_the_rescale_that_is_missing_is_named(
    chest: Chest, write_series: WriteSeries, gone: tuple[str, ...], named: str
) -> None:
    assert named in said(write_series(chest, **dict.fromkeys(gone))[0].parent, "no_rescale")


@pytest.mark.parametrize(
    ("name", "unit", "expected"),
    [
        ("ELECTRON_DENSITY", "HU", {"no_rescale": True}),
        ("EFF_ATOMIC_NUM", None, {"no_rescale": True}),
        ("MAT_SPECIFIC", None, {"no_rescale": True}),
        ("MAT_SPECIFIC", "HU", {"header_field": False}),
        ("MAT_REMOVED", "HU", {"header_field": False}),
        ("VMI", "HU", {}),
    ],
)
def test_maps_of_a_scanner_of_several_energies_are_no_ordinary_ct(
    chest: Chest, write_series: WriteSeries, name: str, unit: str | None, expected: dict[str, bool]
) -> None:
    attributes = {"RescaleType": unit} if unit else {}
    files = write_series(chest, ImageType=["DERIVED", "PRIMARY", "AXIAL", name], **attributes)

    assert kinds(files[0].parent) == expected


@pytest.mark.parametrize("answer", ["YES", "yes", "Y", "true"])
def test_burned_in_text_is_noticed_however_it_is_said(chest: Chest, write_series: WriteSeries, answer: str) -> None:
    folder = write_series(chest, BurnedInAnnotation=answer)[0].parent

    assert kinds(folder) == {"burned_in": False}
    assert read_volume(folder).source.burned_in == "YES"


def test_captured_screens_may_show_a_name(chest: Chest, write_series: WriteSeries) -> None:
    files = write_series(chest, SOPClassUID=SecondaryCaptureImageStorage)

    assert kinds(files[0].parent) == {"burned_in": False}


def test_images_of_another_modality_under_the_identifier_of_the_ct_are_called_what_they_are(
    chest: Chest, write_series: WriteSeries
) -> None:
    pet = {"Modality": "PT", "SOPClassUID": PositronEmissionTomographyImageStorage}
    write_series(np.concatenate([chest, chest]), prefix="pt", **pet)
    folder = write_series(chest)[0].parent

    np.testing.assert_array_equal(read_volume(folder).hu, chest)
    assert "12 image(s) of other modalities (PT)" in said(folder, "set_aside")


def test_the_modality_that_is_no_ct_is_named(chest: Chest, write_series: WriteSeries) -> None:
    assert "Modality is MR" in said(write_series(chest, Modality="MR")[0].parent, "not_ct")


# Slices


@pytest.mark.parametrize(("thickness", "is_one"), [(2.5, True), (5.0, False)])
def test_slices_without_numbers_whose_headers_alternate_are_one_pass_where_each_half_would_have_gaps(
    chest: Chest, write_series: WriteSeries, thickness: float, is_one: bool
) -> None:
    for k, hu in enumerate(chest):
        kind = ["ORIGINAL", "PRIMARY", "AXIAL", "X"][: 3 + k % 2]
        files = write_series(hu[None], first_mm=100 + 2.5 * k, prefix=f"s{k}", ImageType=kind, InstanceNumber=None,
                             SliceThickness=thickness)  # fmt: skip

    assert ("alternating_header" in kinds(files[0].parent)) is is_one
    assert ("mixed_acquisitions" in kinds(files[0].parent)) is not is_one


def test_a_copy_of_a_slice_does_not_tear_a_pass_whose_headers_alternate(
    chest: Chest, write_series: WriteSeries
) -> None:
    for k, hu in enumerate(chest):
        kind = ["ORIGINAL", "PRIMARY", "AXIAL", "X"][: 3 + k % 2]
        files = write_series(hu[None], first_mm=100 + 2.5 * k, prefix=f"s{k}", ImageType=kind, first_instance=1 + k)
    files[0].with_name("again.dcm").write_bytes(files[0].read_bytes())

    volume = read_volume(files[0].parent)

    np.testing.assert_array_equal(volume.hu, chest)
    assert {p.kind for p in volume.problems} == {"alternating_header", "duplicates"}


@pytest.mark.parametrize(
    ("keyword", "values"), [("KVP", ("120", "120.000001")), ("ConvolutionKernel", ("B30f", "B30F"))]
)
def test_spellings_of_one_setting_are_one_setting(
    chest: Chest, write_series: WriteSeries, keyword: str, values: tuple[str, str]
) -> None:
    for k, hu in enumerate(chest):
        number = {"first_mm": 100 + 2.5 * k, "prefix": f"s{k}", "first_instance": 1 + k}
        files = write_series(hu[None], **number, **{keyword: values[k % 2]})

    np.testing.assert_array_equal(read_volume(files[0].parent).hu, chest)


def test_slices_of_several_frames_of_reference_are_told(chest: Chest, write_series: WriteSeries) -> None:
    for k, hu in enumerate(chest):
        number = {"first_mm": 100 + 2.5 * k, "prefix": f"s{k}", "first_instance": 1 + k}
        files = write_series(hu[None], **number, FrameOfReferenceUID=f"1.2.{k // 3}")

    assert "FrameOfReferenceUID" in said(files[0].parent, "geometry_conflict")


def test_a_deflated_file_of_many_frames_reads_like_its_slices(chest: Chest, tmp_path: Path) -> None:
    enhanced = slice_dataset(chest[0], ImagePositionPatient=None)
    enhanced.SOPClassUID, enhanced.NumberOfFrames = EnhancedCTImageStorage, len(chest)
    places = [item(ImagePositionPatient=[-10, -20, 100 + 2.5 * k]) for k in range(len(chest))]
    frames = [item(PlanePositionSequence=Sequence([place])) for place in places]
    enhanced.PerFrameFunctionalGroupsSequence = Sequence(frames)
    enhanced.PixelData = (chest.astype(np.int32) + 1024).astype("<u2").tobytes()
    enhanced.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian

    np.testing.assert_array_equal(read_volume(save(enhanced, tmp_path / "enhanced.dcm")).hu, chest)


# Volume files


def header_of(path: Path, hu: Chest, **fields: Any) -> Path:
    """A NIfTI file whose header is changed past what its library would let through."""
    image = nib.Nifti1Image(hu.T, np.diag([-0.7, -0.7, 2.5, 1.0]))
    image.header.set_xyzt_units("mm")
    raw = bytearray(image.to_bytes())
    header = nib.Nifti1Header(bytes(raw[:348]))
    for name, value in fields.items():
        header[name] = value
    raw[:348] = header.binaryblock
    path.write_bytes(raw)
    return path


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"scl_slope": np.inf}, "scl_slope is inf"),
        ({"scl_slope": 0, "scl_inter": -1024}, "scl_inter, -1024"),
        ({"xyzt_units": 7}, "xyzt_units"),
        ({"qform_code": 1, "quatern_b": 2, "quatern_c": 2}, "qform cannot be used"),
    ],
)
def test_what_a_nifti_header_says_and_cannot_mean_is_named(
    chest: Chest, tmp_path: Path, fields: dict[str, Any], words: str
) -> None:
    path = header_of(tmp_path / "v.nii", chest, **fields)

    np.testing.assert_array_equal(np.sort(read_volume(path).hu, None), np.sort(chest, None))
    assert words in "; ".join(map(str, survey(path).problems))


def test_an_intercept_that_is_no_number_is_named(chest: Chest, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="intercept nan"):
        read_volume(header_of(tmp_path / "v.nii", chest, scl_slope=1, scl_inter=np.nan))


@pytest.mark.parametrize(
    "line",
    [
        "spacings: nan nan nan",
        "spacings: 0.7 0.7 NaN",
        "space: left-posterior-superior\nspace directions: (nan,nan,nan) (0,0.7,0) (0,0,2.5)",
    ],
)
def test_a_spacing_that_is_no_number_is_not_passed_over(chest: Chest, tmp_path: Path, line: str) -> None:
    head = f"NRRD0004\ntype: short\ndimension: 3\n{line}\nsizes: 20 16 6\nendian: little\nencoding: raw\n\n"
    (tmp_path / "v.nrrd").write_bytes(head.encode() + chest.astype("<i2").tobytes())

    assert "is no number" in said(tmp_path / "v.nrrd", "no_geometry")


@pytest.mark.parametrize(("unit", "is_told"), [("cm", True), ("mm", False)])
def test_units_that_are_no_millimetres_are_told(chest: Chest, tmp_path: Path, unit: str, is_told: bool) -> None:
    head = (
        "NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\n"
        f'space units: "{unit}" "{unit}" "{unit}"\nspace directions: (0.7,0,0) (0,0.7,0) (0,0,2.5)\n'
        "sizes: 20 16 6\nendian: little\nencoding: raw\n\n"
    )
    (tmp_path / "v.nrrd").write_bytes(head.encode() + chest.astype("<i2").tobytes())

    assert (unit in said(tmp_path / "v.nrrd", "geometry_conflict")) is is_told


# Values


@pytest.fixture(scope="module")
def body() -> Chest:
    return np.rint(chest_phantom((24, 64, 64), seed=3, spacing_mm=(10.0, 5.6, 5.6)).volume.hu).astype(np.int16)


def test_a_turned_sign_is_told_beside_bone(body: Chest) -> None:
    bony = body.copy()
    bony[:, 28:32, 30:33] = 1100  # of a spine more than of streaks

    assert "wrong end" in "; ".join(map(str, value_problems(-bony)))
    assert value_problems(bony) == []


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (lambda hu: np.maximum(hu, -500), "clipped to a window"),
        (lambda hu: np.where(np.arange(64) < 12, 0, hu), "outside a mask"),
        (lambda hu: np.rint(hu * 0.5), "clipped to a window"),
    ],
)
def test_one_value_in_too_many_places_is_remarked(body: Chest, changed: Any, words: str) -> None:
    air = np.where(body < -950, -1000, body)
    (problem,) = value_problems(changed(air))

    assert (problem.kind, words in problem.text) == ("unusual_values", True)
    assert value_problems(air) == []


# Headers against each other


@pytest.mark.parametrize(("bits", "is_told"), [(8, True), (9, True), (12, False)])
def test_grey_levels_whose_bits_hold_no_scan_in_hu_are_refused(
    chest: Chest, write_series: WriteSeries, bits: int, is_told: bool
) -> None:
    values = np.clip(chest, -1024, -1024 + 2**bits - 1)
    folder = write_series(values, BitsStored=bits, HighBit=bits - 1)[0].parent

    assert ("BitsStored and RescaleSlope let values span less" in said(folder, "not_hu")) is is_told


def test_a_slope_of_zero_is_told_once(chest: Chest, write_series: WriteSeries) -> None:
    files = write_series(chest)
    for file in files:
        dataset = pydicom.dcmread(file)
        dataset.RescaleSlope = 0
        dataset.save_as(file)

    assert not said(files[0].parent, "not_hu")
    assert "RescaleSlope is not above" in said(files[0].parent, "no_rescale")


def test_eight_bits_with_a_slope_that_spans_hu_are_a_scan(chest: Chest, write_series: WriteSeries) -> None:
    folder = write_series(chest, slope=8, BitsStored=8, HighBit=7)[0].parent

    assert not kinds(folder)


def test_every_second_slice_is_missed_where_numbers_and_spacing_tell_of_it(
    chest: Chest, write_series: WriteSeries
) -> None:
    files = write_series(np.concatenate([chest, chest]), SpacingBetweenSlices=2.5)
    for file in files[1::2]:
        file.unlink()

    assert "SpacingBetweenSlices is 2.5 mm and slices lie 5 mm apart" in said(files[0].parent, "missing_slices")


@pytest.mark.parametrize("thickness", [2.5, 5.0])
def test_every_second_number_alone_is_no_missing_slice(
    chest: Chest, write_series: WriteSeries, thickness: float
) -> None:
    for k, hu in enumerate(chest):
        numbered = {"first_mm": 2.5 * k, "prefix": f"s{k}", "first_instance": 1 + 2 * k}
        files = write_series(hu[None], SliceThickness=thickness, **numbered)

    assert not kinds(files[0].parent)


@pytest.mark.parametrize(("between", "expected"), [(2.5, {}), (-2.5, {}), (5.0, {"geometry_conflict": False})])
def test_a_spacing_that_the_positions_contradict_is_told_and_theirs_is_taken(
    chest: Chest, write_series: WriteSeries, between: float, expected: dict[str, bool]
) -> None:
    folder = write_series(chest, SpacingBetweenSlices=between)[0].parent

    assert kinds(folder) == expected
    assert read_volume(folder).grid.spacing_mm[0] == 2.5


@pytest.mark.parametrize("name", ["v.nii", "v.nrrd", "v.mha", "v.hdr"])
@pytest.mark.parametrize("mark", [b"PK\x03\x04", b"7z\xbc\xaf\x27\x1c", b"Rar!", b"\x28\xb5\x2f\xfd"])
def test_an_archive_that_is_named_like_a_volume_is_told(tmp_path: Path, name: str, mark: bytes) -> None:
    (tmp_path / name).write_bytes(mark + bytes(1000))

    with pytest.raises(InputError, match="is a packed archive or file"):
        survey(tmp_path)
