"""A header that counts fewer voxels than its file holds shears or shortens a volume, and nothing else tells of it."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Callable
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


NRRD = "NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 20 16 6\n\
space directions: (.7,0,0) (0,.7,0) (0,0,2.5)\nendian: little\n"
META = "ObjectType = Image\nNDims = 3\nBinaryData = True\nTransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 0 0 0\n\
ElementSpacing = .7 .7 2.5\nDimSize = 20 16 6\nElementType = MET_SHORT\n"
MORE = b"\x11" * 192


def nrrd(folder: Path, voxels: bytes, lines: str) -> Path:
    """A header with its voxels behind it."""
    (folder / "scan.nrrd").write_bytes(f"{NRRD}{lines}\n\n".encode() + voxels)
    return folder / "scan.nrrd"


def nrrd_with_dos_lines(folder: Path, voxels: bytes, lines: str) -> Path:
    header = f"{NRRD}{lines}\n\n".replace("\n", "\r\n")
    (folder / "scan.nrrd").write_bytes(header.encode() + voxels)
    return folder / "scan.nrrd"


def nhdr(folder: Path, voxels: bytes, lines: str) -> Path:
    """A header that names the file of its voxels, with a blank in it."""
    (folder / "the voxels.raw").write_bytes(voxels)
    (folder / "scan.nhdr").write_text(f"{NRRD}{lines}\ndata file: the voxels.raw\n")
    return folder / "scan.nhdr"


def mha(folder: Path, voxels: bytes, lines: str) -> Path:
    size = f"CompressedDataSize = {len(voxels)}\n" if "Compressed" in lines else ""
    (folder / "scan.mha").write_bytes(f"{META}{lines}\n{size}ElementDataFile = LOCAL\n".encode() + voxels)
    return folder / "scan.mha"


def mhd(folder: Path, voxels: bytes, lines: str) -> Path:
    (folder / "the voxels.raw").write_bytes(voxels)
    (folder / "scan.mhd").write_text(f"{META}{lines}\nElementDataFile = the voxels.raw\n")
    return folder / "scan.mhd"


def slices(form: str) -> Callable[[Path, bytes, str], Path]:
    """A header that names a file for each slice: by a pattern, or one a line."""

    def write(folder: Path, voxels: bytes, lines: str) -> Path:
        each = len(voxels) // 6
        for k in range(6):
            (folder / f"slice{k + 1:02d}.raw").write_bytes(voxels[k * each : (k + 1) * each])
        is_nrrd = lines.startswith("encoding")
        said = form if is_nrrd else form.replace(" 2", "")
        names = "".join(f"slice{k + 1:02d}.raw\n" for k in range(6)) if form.startswith("LIST") else ""
        header = f"{NRRD}{lines}\ndata file: {said}\n" if is_nrrd else f"{META}{lines}\nElementDataFile = {said}\n"
        file = folder / ("scan.nhdr" if is_nrrd else "scan.mhd")
        file.write_text(header + names)
        return file

    return write


FORMS: Any = [
    (nrrd, lambda voxels: gzip.compress(voxels), "encoding: gzip"),
    (nrrd_with_dos_lines, lambda voxels: voxels, "encoding: raw"),
    (nhdr, lambda voxels: voxels, "encoding: raw"),
    (nhdr, lambda voxels: b"a maker's header" * 32 + voxels, "encoding: raw\nbyte skip: 512"),
    (nhdr, lambda voxels: gzip.compress(voxels), "encoding: gz"),
    (slices("slice%02d.raw 1 6 1 2"), lambda voxels: voxels, "encoding: raw"),
    (slices("LIST 2"), lambda voxels: voxels, "encoding: raw"),
    (mha, zlib.compress, "CompressedData = True"),
    (mhd, zlib.compress, "CompressedData = True"),
    (mhd, lambda voxels: voxels, "CompressedData = False"),
    (mhd, lambda voxels: b"a maker's header" * 32 + voxels, "HeaderSize = 512"),
    (slices("slice%02d.raw 1 6 1"), lambda voxels: voxels, "CompressedData = False"),
    (slices("LIST"), lambda voxels: voxels, "CompressedData = False"),
]


@pytest.mark.parametrize(("write", "packed", "lines"), FORMS)
def test_voxels_are_counted_wherever_they_lie_and_however_they_are_packed(
    chest: Chest, tmp_path: Path, write: Any, packed: Any, lines: str
) -> None:
    whole = write(tmp_path, packed(chest.tobytes()), lines)
    assert serious(whole) == ""
    np.testing.assert_array_equal(survey(whole).hu, chest)
    longer = (
        [s.tobytes() + MORE for s in chest] if "slice01" in str(list(tmp_path.iterdir())) else [chest.tobytes() + MORE]
    )

    assert "192 bytes beyond the last voxel" in serious(write(tmp_path, packed(b"".join(longer)), lines))


@pytest.mark.parametrize(("write", "packed", "lines"), [form for form in FORMS if "gz" in form[2] or "True" in form[2]])
@pytest.mark.parametrize("share", [0.5, 0.95])
def test_packed_voxels_that_are_cut_short_are_never_filled_up(
    chest: Chest, tmp_path: Path, write: Any, packed: Any, lines: str, share: float
) -> None:
    voxels = packed(chest.tobytes())
    with pytest.raises(InputError, match=r"cut short|could not be unpacked|damaged"):
        survey(write(tmp_path, voxels[: int(len(voxels) * share)], lines))


def test_packed_voxels_whose_length_is_not_said_are_not_taken_half_unpacked(chest: Chest, tmp_path: Path) -> None:
    file = mha(tmp_path, zlib.compress(chest.tobytes()), "CompressedData = True")
    file.write_bytes(file.read_bytes().replace(b"CompressedDataSize", b"SomeOtherNumber   "))
    with pytest.raises(InputError, match="CompressedDataSize is absent"):
        survey(file)
