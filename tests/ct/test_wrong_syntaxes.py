"""A file that is written in another transfer syntax than it says: the reason names field, value and the right one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)
from synthetic_dicom import packed_by_itk, save, slice_dataset, with_frames

from ipdsf_spark.ct.dicom_syntax import stream_kind
from ipdsf_spark.ct.reading import survey
from ipdsf_spark.errors import InputError

HU = np.add.outer(np.arange(64) * 9, np.arange(64) * 5).astype(np.int16) - 900


def relabelled(path: Path, said: UID) -> Path:
    """The same bytes under another TransferSyntaxUID of the same length or shorter."""
    content = path.read_bytes()
    begin = content.index(b"\x02\x00\x10\x00UI") + 8
    length = int.from_bytes(content[begin - 2 : begin], "little")
    path.write_bytes(content[:begin] + said.encode().ljust(length, b"\0") + content[begin + length :])
    return path


def reason_of(folder: Path) -> str:
    with pytest.raises(InputError) as refused:
        survey(folder)
    return str(refused.value)


def jpeg_ls() -> list[bytes]:
    """A frame of 64 × 64 values, by another maker: GDCM writes none here."""
    path = str(get_testdata_file("MR_small_jpeg_ls_lossless.dcm"))
    return list(generate_frames(pydicom.dcmread(path).PixelData, number_of_frames=1))


def compressed(folder: Path, syntax: UID) -> Dataset:
    dataset = slice_dataset(HU)
    if syntax == RLELossless:
        dataset.compress(RLELossless)
        return dataset
    if syntax == JPEGLSLossless:
        return with_frames(dataset, jpeg_ls(), syntax)
    name = {JPEG2000Lossless: "JPEG2000", JPEGLosslessSV1: "JPEG"}[syntax]
    return with_frames(dataset, packed_by_itk(dataset, folder, name), syntax)


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless, JPEGLosslessSV1, RLELossless])
@pytest.mark.parametrize("said", [JPEG2000Lossless, JPEGLSLossless, JPEGLosslessSV1, RLELossless])
def test_pixels_of_another_compression_are_told_by_their_stream(tmp_path: Path, said: UID, syntax: UID) -> None:
    folder = tmp_path / "series"
    folder.mkdir()
    dataset = compressed(tmp_path, syntax)
    dataset.file_meta.TransferSyntaxUID = said
    save(dataset, folder / "one.dcm")

    if said == syntax:
        assert survey(folder).hu.shape == (1, 64, 64)
    else:
        kind = {JPEG2000Lossless: "JPEG 2000", JPEGLSLossless: "JPEG-LS", JPEGLosslessSV1: "JPEG Lossless"}
        there = kind.get(syntax, "RLE")
        wanted = (
            f"one.dcm: TransferSyntaxUID says {said.name} ({said}), but its pixels are {there}: that of {there} would"
        )
        assert wanted in reason_of(folder)


@pytest.mark.parametrize("frames", [1, 2])
def test_compressed_pixels_that_are_called_native_and_the_reverse_are_told(tmp_path: Path, frames: int) -> None:
    folder = tmp_path / "series"
    folder.mkdir()
    dataset = slice_dataset(HU)
    stream = jpeg_ls() * frames
    dataset.NumberOfFrames = frames
    path = save(with_frames(dataset, stream, JPEGLSLossless), folder / "one.dcm")
    said = reason_of_relabelled(path, ExplicitVRLittleEndian)
    assert f"says Explicit VR Little Endian ({ExplicitVRLittleEndian}), but its pixels are JPEG-LS: that of" in said

    native = slice_dataset(HU)
    native.NumberOfFrames, native.PixelData = frames, native.PixelData * frames
    padded = save(native, folder / "one.dcm")
    assert "but its pixels are not compressed: Explicit VR Little Endian" in reason_of_longer(padded, JPEGLSLossless)


def reason_of_relabelled(path: Path, said: UID) -> str:
    return reason_of(relabelled(path, said).parent)


def reason_of_longer(path: Path, said: UID) -> str:
    """As `relabelled`, where the new identifier is longer than the old one."""
    content = path.read_bytes()
    begin = content.index(b"\x02\x00\x10\x00UI") + 8
    length = int.from_bytes(content[begin - 2 : begin], "little")
    uid = said.encode() + b"\0" * (len(said) % 2)
    group = int.from_bytes(content[140:144], "little") + len(uid) - length
    head = content[:140] + group.to_bytes(4, "little") + content[144 : begin - 2] + len(uid).to_bytes(2, "little")
    path.write_bytes(head + uid + content[begin + length :])
    return reason_of(path.parent)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (ExplicitVRLittleEndian, ExplicitVRBigEndian),
        (ExplicitVRBigEndian, ExplicitVRLittleEndian),
        (DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian),
        (ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian),
        (DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian),
    ],
)
def test_elements_that_are_written_in_another_way_are_told(tmp_path: Path, written: UID, said: UID) -> None:
    dataset = slice_dataset(HU)
    dataset.file_meta.TransferSyntaxUID = written
    if written == ExplicitVRBigEndian:
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
    path = save(dataset, tmp_path / "one.dcm")

    found = reason_of_longer(path, said)

    assert (
        f"one.dcm: TransferSyntaxUID says {said.name} ({said}), but its elements are written in {written.name}" in found
    )


def test_a_stream_of_nothing_known_has_no_kind() -> None:
    for stream in (b"", b"\xff\xd8", b"\xff\xd8\xff\xe0\x00", bytes(100), b"\xff\xd8\xff\xe0\x00\x00" * 3):
        assert not stream_kind(stream)
