"""A header that counts fewer voxels than its file holds shears or shortens a volume, and nothing else tells of it."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom.uid import DeflatedExplicitVRLittleEndian, EnhancedCTImageStorage, ImplicitVRLittleEndian
from synthetic_dicom import WriteSeries, save, slice_dataset

from ipdsf_spark.ct.reading import read_volume, survey
from ipdsf_spark.errors import InputError

Chest = NDArray[np.int16]
DIM, VOX_OFFSET = 40, 108  # bytes of a NIfTI-1 header


def serious(path: Path) -> str:
    return "; ".join(str(p) for p in survey(path).problems if p.is_serious)


@pytest.mark.parametrize("keyword", ["Rows", "Columns"])
@pytest.mark.parametrize("syntax", [None, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_a_slice_with_a_row_or_column_more_than_its_header_counts_is_unreadable(
    chest: Chest, write_series: WriteSeries, keyword: str, syntax: Any
) -> None:
    files = write_series(chest)
    wrong = pydicom.dcmread(files[3])
    setattr(wrong, keyword, wrong[keyword].value - 1)
    wrong.file_meta.TransferSyntaxUID = syntax or wrong.file_meta.TransferSyntaxUID
    wrong.save_as(files[3])
    with pytest.raises(InputError, match="bytes of pixels more than Rows, Columns"):
        survey(files[3])


def test_frames_are_counted_as_well(chest: Chest, tmp_path: Path) -> None:
    frames = slice_dataset(chest[0], SOPClassUID=EnhancedCTImageStorage, NumberOfFrames=6)
    stored = np.rint(chest + 1024).astype("<u2").tobytes()
    frames.PixelData = stored + stored[:100]
    with pytest.raises(InputError, match="100 bytes of pixels more"):
        survey(save(frames, tmp_path / "frames.dcm"))


def test_zeros_behind_the_pixels_only_fill_up(chest: Chest, write_series: WriteSeries) -> None:
    files = write_series(chest)
    for file in files:
        slice_ = pydicom.dcmread(file)
        slice_.PixelData += bytes(512)
        slice_.save_as(file)
    np.testing.assert_array_equal(read_volume(files[0].parent).hu, chest)


def test_a_few_bytes_behind_the_pixels_are_no_row(chest: Chest, write_series: WriteSeries, tmp_path: Path) -> None:
    files = write_series(chest)
    for file in files:
        slice_ = pydicom.dcmread(file)
        slice_.PixelData += b"\x01\x02"
        slice_.save_as(file)
    volume = tmp_path / "scan.nii"
    nib.save(nib.Nifti1Image(chest.T, np.diag([-0.7, -0.7, 2.5, 1.0])), volume)
    volume.write_bytes(volume.read_bytes() + b"\r\n")

    np.testing.assert_array_equal(read_volume(files[0].parent).hu, chest)
    assert read_volume(volume).hu.shape == chest.shape


def nifti(chest: Chest, path: Path, place: int, form: str, value: float) -> Path:
    """A NIfTI file with one number of its header changed."""
    nib.save(nib.Nifti1Image(chest.T, np.diag([-0.7, -0.7, 2.5, 1.0])), path)
    raw = bytearray(gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes())
    struct.pack_into(form, raw, place, value)
    path.write_bytes(gzip.compress(bytes(raw)) if path.suffix == ".gz" else bytes(raw))
    return path


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize(("axis", "size"), [(1, 19), (2, 15), (3, 5)])
def test_a_nifti_file_with_more_voxels_than_its_header_counts_is_refused(
    chest: Chest, tmp_path: Path, ending: str, axis: int, size: int
) -> None:
    file = nifti(chest, tmp_path / f"scan{ending}", DIM + 2 * axis, "<h", size)
    surplus = 2 * (chest.size - chest.size // chest.shape[3 - axis] * size)
    assert f"{surplus} bytes beyond the last voxel" in serious(file)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_voxels_that_would_begin_within_the_header_are_refused_by_the_name_of_the_field(
    chest: Chest, tmp_path: Path, ending: str
) -> None:
    file = nifti(chest, tmp_path / f"scan{ending}", VOX_OFFSET, "<f", 0.0)
    with pytest.raises(InputError, match="vox_offset is 0, where the header alone takes 352 bytes"):
        survey(file)


@pytest.mark.parametrize("ending", [".nrrd", ".nhdr", ".mha", ".mhd"])
def test_nrrd_and_metaimage_with_more_voxels_than_they_count_are_refused(
    chest: Chest, tmp_path: Path, ending: str
) -> None:
    file = tmp_path / f"scan{ending}"
    sitk.WriteImage(sitk.GetImageFromArray(chest), str(file))
    whole = file.read_bytes()
    assert b"20 16 6\n" in whole
    assert serious(file) == ""
    if ending == ".nhdr":  # ITK packs what lies beside a header of NRRD
        voxels = file.with_suffix(".raw")
        file.write_bytes(whole.replace(b"encoding: gzip", b"encoding: raw").replace(b".raw.gz", b".raw"))
        voxels.write_bytes(chest.tobytes())
        whole = file.read_bytes()
    file.write_bytes(whole.replace(b"20 16 6\n", b"19 16 6\n"))

    assert "192 bytes beyond the last voxel" in serious(file)
