"""Volume files as others' programs leave them, NIfTI, NRRD, MetaImage, Analyze: read rightly, or refused by name."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from asked import AFFINE, kinds_at
from numpy.typing import NDArray

from ipdsf_spark.ct.reading import read_volume, study_name, survey
from ipdsf_spark.errors import InputError

Chest = NDArray[np.int16]


def nifti(path: Path, hu: NDArray[Any], affine: NDArray[np.float64] = AFFINE) -> Path:
    nib.Nifti1Image(hu.T, affine).to_filename(path)
    return path


@pytest.mark.parametrize(("packed", "name"), [(True, "v.nii"), (False, "v.nii.gz"), (True, "V.NII.GZ")])
def test_a_nifti_file_is_packed_or_not_whatever_its_ending(
    body: Chest, tmp_path: Path, packed: bool, name: str
) -> None:
    whole = nifti(tmp_path / "whole.nii", body).read_bytes()
    path = tmp_path / name
    path.write_bytes(gzip.compress(whole) if packed else whole)

    np.testing.assert_array_equal(read_volume(path).hu, body)
    assert study_name(path).lower() == "v"


@pytest.mark.parametrize("name", ["v.nii.gz", "v.nii"])
def test_a_nifti_file_that_a_server_packed_once_more_says_so(body: Chest, tmp_path: Path, name: str) -> None:
    whole = nifti(tmp_path / "whole.nii", body).read_bytes()
    (tmp_path / name).write_bytes(gzip.compress(gzip.compress(whole)))

    with pytest.raises(InputError, match=f"{name} is packed twice"):
        read_volume(tmp_path / name)


def nrrd(path: Path, body: Chest, *lines: str) -> Path:
    """As scripts write it: the least that a header needs, and these lines."""
    z, y, x = body.shape
    header = ["NRRD0004", "type: short", "dimension: 3", f"sizes: {x} {y} {z}", "endian: little", *lines]
    path.write_bytes("\n".join([*header, "", ""]).encode() + body.tobytes())
    return path


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("encoding: bzip2", "encoding bzip2 is not read here"),
        ("encoding: raw\nspace: RPS\nspace directions: (1,0,0) (0,1,0) (0,0,1)", "space RPS is not read here"),
    ],
)
def test_a_form_of_nrrd_that_is_not_read_is_not_called_damage(
    body: Chest, tmp_path: Path, line: str, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        read_volume(nrrd(tmp_path / "scan.nrrd", body, *line.split("\n")))


@pytest.mark.parametrize(
    "lines",
    [
        ["spacings: .7 .7 2.5"],
        ["space dimension: 3", "space directions: (.7,0,0) (0,.7,0) (0,0,2.5)"],
        ["space: scanner-xyz", "space directions: (.7,0,0) (0,.7,0) (0,0,2.5)"],
    ],
)
def test_a_volume_whose_header_does_not_tell_left_from_right_is_remarked(
    body: Chest, tmp_path: Path, lines: list[str]
) -> None:
    def said(path: Path) -> str:
        return "; ".join(str(p) for p in read_volume(path).problems if p.kind == "no_geometry")

    assert "left and right are not said" in said(nrrd(tmp_path / "scan.nrrd", body, "encoding: raw", *lines))
    told = nrrd(
        tmp_path / "told.nrrd", body, "encoding: raw", "space: LPS", "space directions: (1,0,0) (0,1,0) (0,0,1)"
    )
    assert said(told) == ""
    sitk.WriteImage(sitk.GetImageFromArray(body), str(tmp_path / "scan.mha"))
    assert said(tmp_path / "scan.mha") == ""
    header = (tmp_path / "scan.mha").read_bytes()
    (tmp_path / "scan.mha").write_bytes(header.replace(b"TransformMatrix", b"SomethingOfOurs"))
    assert "left and right are not said" in said(tmp_path / "scan.mha")


def test_a_nifti_pair_in_a_folder_is_one_volume(body: Chest, tmp_path: Path) -> None:
    nib.Nifti1Pair(body.T, AFFINE).to_filename(tmp_path / "v.hdr")

    np.testing.assert_array_equal(read_volume(tmp_path).hu, body)


def test_analyze_is_refused_because_it_does_not_tell_left_from_right(body: Chest, tmp_path: Path) -> None:
    nib.AnalyzeImage(body.T, AFFINE).to_filename(tmp_path / "v.hdr")

    with pytest.raises(InputError, match="is Analyze, which does not say left from right"):
        read_volume(tmp_path / "v.hdr")


def test_a_sheared_volume_is_put_upright_where_a_tilt_is_accepted(tmp_path: Path) -> None:
    """A field that is linear in the room, on axes that slant by 13°, comes back: interpolation is exact."""
    affine = np.diag([-0.7, -0.7, 2.5, 1.0])
    affine[1, 2] = 0.6
    index = np.moveaxis(np.indices((30, 30, 8)), 0, -1)
    left, back, head = np.moveaxis(index @ affine[:3, :3].T * (-1, -1, 1), -1, 0)

    def field(x: Any, y: Any, z: Any) -> Any:
        return -500 + 9 * x + 14 * y + 20 * z

    path = tmp_path / "v.nii"
    nib.Nifti1Image(np.rint(field(left, back, head)).astype(np.int16), affine).to_filename(path)

    volume = read_volume(path, accept=["tilt", "not_hu"])

    inside = np.s_[:, 12:-12, 2:-2]
    places = volume.grid.world_mm(np.moveaxis(np.indices(volume.hu.shape), 0, -1)[inside].astype(float))
    assert volume.grid.spacing_mm == pytest.approx((2.5, 0.7, 0.7))
    assert np.abs(volume.hu[inside] - field(*np.moveaxis(places, -1, 0))).max() <= 1.5


@pytest.mark.parametrize(("factor", "told"), [(1e-3, True), (100.0, True), (1.0, False)])
def test_voxels_of_no_scanner_are_told(body: Chest, tmp_path: Path, factor: float, told: bool) -> None:
    path = nifti(tmp_path / "v.nii", body, np.diag([*(np.diag(AFFINE)[:3] * factor), 1.0]))

    assert ("unusual_geometry" in kinds_at(path)) is told


@pytest.mark.parametrize("name", ["v.mhd", "v.nhdr"])
def test_a_header_without_the_file_of_its_voxels_names_it(body: Chest, tmp_path: Path, name: str) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(body), str(tmp_path / name))
    assert read_volume(tmp_path).hu.shape == body.shape
    for path in tmp_path.glob("v.*raw*"):
        path.unlink()

    with pytest.raises(InputError, match=r"names v\.\w+ as the file of its voxels, which is not there"):
        read_volume(tmp_path / name)


@pytest.mark.parametrize("said", ["the voxels.raw", "LIST 2", "slice%02d.raw 1 6 1 2"])
def test_a_header_names_the_first_of_the_files_that_are_not_there(body: Chest, tmp_path: Path, said: str) -> None:
    header = f"NRRD0004\ntype: short\ndimension: 3\nsizes: 20 16 6\nendian: little\nencoding: raw\ndata file: {said}\n"
    (tmp_path / "scan.nhdr").write_text(header + "slice01.raw\nslice02.raw\n" * said.startswith("LIST"))
    name = "the voxels" if "voxels" in said else "slice01"

    with pytest.raises(InputError, match=f"scan.nhdr names {name}.raw as the file of its voxels, which is not there"):
        read_volume(tmp_path / "scan.nhdr")


def test_a_gzip_checksum_that_does_not_fit_is_damage_and_what_follows_the_end_is_nobodys(tmp_path: Path) -> None:
    raw = np.arange(-1000, 1000, dtype=np.int16)[:1000].reshape(10, 10, 10)
    path = tmp_path / "v.nii.gz"
    nib.save(nib.Nifti1Image(raw, np.diag([-1.0, -1.0, 1.0, 1.0])), path)
    whole = path.read_bytes()

    for content in (whole, whole + b"what a copier left"):
        path.write_bytes(content)
        np.testing.assert_array_equal(survey(path).hu, raw.T)
    path.write_bytes(whole[:-6] + bytes([whole[-6] ^ 1]) + whole[-5:])
    with pytest.raises(InputError, match=r"v.nii.gz is damaged: its gzip checksum"):
        survey(path)


def test_a_header_that_keeps_silent_about_the_size_of_voxels_is_told(tmp_path: Path) -> None:
    image = sitk.GetImageFromArray(np.zeros((4, 5, 6), np.int16))
    image.SetSpacing((0.7, 0.7, 2.5))
    for name in ("v.nrrd", "v.mha"):
        path = tmp_path / name
        sitk.WriteImage(image, str(path))
        assert "no_geometry" not in {p.kind for p in survey(path).problems}
        path.write_bytes(re.sub(rb"(space directions:|ElementSpacing =)[^\n]*\n", b"", path.read_bytes()))
        assert "says no spacing" in "; ".join(str(p) for p in survey(path).problems if p.kind == "no_geometry")
