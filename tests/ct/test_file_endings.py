"""Endings of file names in any letters: copies from media and programs that know capitals alone."""

from __future__ import annotations

import gzip
import struct
from datetime import UTC, datetime
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray
from synthetic_dicom import WriteSeries

from ipdsf_spark.cli.ct_generate import require_target
from ipdsf_spark.ct.phantom import chest_phantom
from ipdsf_spark.ct.provenance import Provenance
from ipdsf_spark.ct.reading import read_volume
from ipdsf_spark.ct.writing import write_volume
from ipdsf_spark.errors import InputError

Chest = NDArray[np.int16]
MADE = Provenance("denoise", datetime(2026, 1, 2, tzinfo=UTC), model="a" * 64, enhancement="b" * 64, source="study-1")
AFFINE = np.diag([-0.7, -0.7, 2.5, 1])


@pytest.fixture(scope="module")
def body() -> Chest:
    return np.rint(chest_phantom((12, 32, 32), seed=3, spacing_mm=(20, 11, 11)).volume.hu).astype(np.int16)


def put(path: Path, raw: bytes) -> Path:
    path.write_bytes(gzip.compress(raw) if path.name.lower().endswith(".gz") else raw)
    return path


def assert_read(body: Chest, *paths: Path) -> None:
    for path in (*paths, paths[0].parent):
        volume = read_volume(path)
        np.testing.assert_array_equal(volume.hu, body)
        np.testing.assert_allclose(volume.grid.spacing_mm, (2.5, 0.7, 0.7), rtol=1e-6)
        assert volume.problems == ()
        assert volume.study in ("v", path.name)


@pytest.mark.parametrize("ending", [".NII", ".Nii", ".NII.GZ", ".NII.gz", ".nii.GZ"])
def test_a_nifti_file_is_known_by_its_ending_in_any_letters(tmp_path: Path, body: Chest, ending: str) -> None:
    assert_read(body, put(tmp_path / f"v{ending}", nib.Nifti1Image(body.T, AFFINE).to_bytes()))


@pytest.mark.parametrize("kind", [nib.Nifti1Pair, nib.Nifti2Pair])
@pytest.mark.parametrize(
    ("header", "data"),
    [
        (".hdr", ".img"), (".HDR", ".IMG"), (".hdr", ".IMG"), (".HDR", ".img"), (".Hdr", ".Img"), (".HDR", ".IMG.GZ"),
        (".hdr", ".img.gz"), (".HDR.GZ", ".IMG.GZ"), (".hdr.gz", ".img"),
    ],
)  # fmt: skip
def test_a_pair_of_header_and_voxels_is_one_volume_whichever_is_named_and_in_any_letters(
    tmp_path: Path, body: Chest, header: str, data: str, kind: type[nib.Nifti1Pair]
) -> None:
    made = tmp_path / "made.hdr"
    kind(body.T, AFFINE).to_filename(made)
    raw = [path.read_bytes() for path in (made, made.with_suffix(".img"))]
    for path in (made, made.with_suffix(".img")):
        path.unlink()

    assert_read(body, *(put(tmp_path / f"v{ending}", part) for ending, part in zip((header, data), raw, strict=True)))


@pytest.mark.parametrize(("there", "absent"), [("V.HDR", "V.img"), ("v.IMG", "v.hdr"), ("v.img.gz", "v.hdr")])
def test_half_of_a_pair_names_the_other_half(tmp_path: Path, body: Chest, there: str, absent: str) -> None:
    made = tmp_path / "made.hdr"
    nib.Nifti1Pair(body.T, AFFINE).to_filename(made)
    half = made if there.lower().endswith(".hdr") else made.with_suffix(".img")
    folder = tmp_path / "half"
    folder.mkdir()
    put(folder / there, half.read_bytes())

    for path in (folder / there, folder):
        with pytest.raises(InputError, match=f"no {absent} lies beside it"):
            read_volume(path)


def image_of(body: Chest) -> sitk.Image:
    image = sitk.GetImageFromArray(body)
    image.SetSpacing((0.7, 0.7, 2.5))
    return image


@pytest.mark.parametrize("ending", [".NRRD", ".Nrrd", ".MHA", ".Mha"])
def test_nrrd_and_metaimage_are_known_by_their_endings_in_any_letters(tmp_path: Path, body: Chest, ending: str) -> None:
    made = tmp_path / f"made{ending.lower()}"
    sitk.WriteImage(image_of(body), str(made))

    assert_read(body, made.rename(tmp_path / f"v{ending}"))


@pytest.mark.parametrize("is_named_as_it_is", [True, False])
@pytest.mark.parametrize(
    ("header", "data"),
    [(".MHD", ".RAW"), (".mhd", ".RAW"), (".MHD", ".raw"), (".MHD", ".ZRAW"), (".NHDR", ".RAW"), (".nhdr", ".RAW.GZ")],
)
def test_a_header_finds_its_voxels_though_one_of_both_was_renamed_in_capitals(
    tmp_path: Path, body: Chest, header: str, data: str, is_named_as_it_is: bool
) -> None:
    made = tmp_path / f"v{header.lower()}"
    sitk.WriteImage(image_of(body), str(made), "z" in data.lower())
    (voxels,) = (path for path in tmp_path.iterdir() if path != made)
    said = made.read_text().replace(voxels.name, f"v{data}") if is_named_as_it_is else made.read_text()
    made.unlink()
    (tmp_path / f"v{header}").write_text(said)
    voxels.rename(tmp_path / f"v{data}")

    assert_read(body, tmp_path / f"v{header}")


def test_a_header_in_capitals_finds_a_list_of_files(tmp_path: Path, body: Chest) -> None:
    names = [f"s{k:02d}.raw" for k in range(len(body))]
    for name, values in zip(names, body, strict=True):
        (tmp_path / name.upper()).write_bytes(values.tobytes())
    depth, height, width = body.shape
    lines = ["ObjectType = Image", "NDims = 3", f"DimSize = {width} {height} {depth}", "ElementType = MET_SHORT",
             "ElementSpacing = 0.7 0.7 2.5", "BinaryData = True", "ElementDataFile = LIST", *names]  # fmt: skip
    (tmp_path / "v.MHD").write_text("\n".join(lines) + "\n")

    np.testing.assert_array_equal(read_volume(tmp_path / "v.MHD").hu, body)


@pytest.mark.parametrize("ending", [".DCM", ".Dcm", ".IMA", ".DICOM", ".IMG", ".HDR", ".nii", ""])
def test_dicom_is_dicom_whatever_its_names_end_in(chest: Chest, write_series: WriteSeries, ending: str) -> None:
    for path in (files := write_series(chest)):
        path.rename(path.with_name(path.stem + ending))

    np.testing.assert_array_equal(read_volume(files[0].parent).hu, chest)


def test_what_is_named_like_dicom_in_capitals_and_is_none_is_told(chest: Chest, write_series: WriteSeries) -> None:
    files = write_series(chest)
    files[0].with_name("X.DCM").write_text("no image")

    with pytest.raises(InputError, match=r"is named like DICOM but is not: X\.DCM"):
        read_volume(files[0].parent)


@pytest.mark.parametrize("name", ["OUT.NII.GZ", "out.Nii", "out.nii.GZ"])
def test_a_volume_is_written_packed_or_not_as_its_ending_says_in_any_letters(tmp_path: Path, name: str) -> None:
    require_target(tmp_path / "in.nii", tmp_path / name, format_="nifti", overwrites=False)
    volume = chest_phantom((12, 32, 32), seed=3, spacing_mm=(20, 11, 11)).volume

    written = write_volume(tmp_path / name, volume, MADE)

    assert (written.read_bytes()[:2] == b"\x1f\x8b") is name.lower().endswith(".gz")
    np.testing.assert_array_equal(read_volume(written, accept=["not_hu"]).hu, np.rint(volume.hu))


@pytest.mark.parametrize(
    ("header", "said", "there"),
    [
        ("in/v.MHD", "sub/v.raw", "in/sub/v.raw"),
        ("in/v.MHD", "../v.raw", "v.raw"),
        ("in/v.mhd", "sub/v.raw", "in/SUB/V.RAW"),
        ("in/V.MHD", "../data/v.raw", "DATA/V.raw"),
    ],
)
def test_voxels_in_another_folder_are_found_in_any_letters_and_nothing_is_written_there(
    tmp_path: Path, body: Chest, header: str, said: str, there: str
) -> None:
    for name in (header, there):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / there).write_bytes(body.tobytes())
    depth, height, width = body.shape
    lines = ["ObjectType = Image", "NDims = 3", f"DimSize = {width} {height} {depth}", "ElementType = MET_SHORT",
             "ElementSpacing = 0.7 0.7 2.5", "BinaryData = True", f"ElementDataFile = {said}"]  # fmt: skip
    (tmp_path / header).write_text("\n".join(lines) + "\n")
    before = sorted(tmp_path.rglob("*"))

    np.testing.assert_array_equal(read_volume(tmp_path / header).hu, body)
    assert sorted(tmp_path.rglob("*")) == before


def test_what_the_reader_says_of_a_nifti_header_is_a_remark_and_not_on_the_terminal(
    tmp_path: Path, body: Chest, capfd: pytest.CaptureFixture[str]
) -> None:
    raw = bytearray(nib.Nifti1Image(body.T, AFFINE).to_bytes())
    struct.pack_into("<f", raw, 76 + 4 * 3, -2.5)  # pixdim[3]
    (tmp_path / "v.nii").write_bytes(raw)

    volume = read_volume(tmp_path / "v.nii")

    assert ["pixdim" in str(p) for p in volume.problems if p.kind == "library_warning"] == [True]
    assert capfd.readouterr().err == ""
