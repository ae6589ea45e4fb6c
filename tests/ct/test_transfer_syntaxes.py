"""Every way in which scanners and archives pack the same slice."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom.data import get_testdata_file
from pydicom.encaps import generate_frames
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)
from synthetic_dicom import packed_by_itk, save, slice_dataset, with_frames

from ipdsf_spark.ct import dicom_pixels
from ipdsf_spark.ct.dicom_header import SliceHeader, read_headers
from ipdsf_spark.ct.dicom_pixels import PixelReader, read_hu
from ipdsf_spark.ct.reading import survey
from ipdsf_spark.errors import InputError


@pytest.fixture
def hu(rng: np.random.Generator) -> NDArray[np.int16]:
    """A slice with smooth parts, edges and extremes."""
    smooth = np.add.outer(np.arange(64) * 9, np.arange(48) * 5) - 900
    smooth[20:40, 10:30] = 3071
    smooth[:4] = -1024
    return (smooth + rng.integers(0, 9, smooth.shape)).astype(np.int16)


@pytest.mark.parametrize("is_signed", [False, True])
@pytest.mark.parametrize(("compressor", "syntax"), [("JPEG", JPEGLosslessSV1), ("JPEG2000", JPEG2000Lossless)])
def test_lossless_jpeg_gives_back_every_hu(
    hu: NDArray[np.int16], tmp_path: Path, compressor: str, syntax: UID, is_signed: bool
) -> None:
    dataset = slice_dataset(hu, is_signed=is_signed)
    packed = with_frames(dataset, packed_by_itk(dataset, tmp_path, compressor), syntax)

    np.testing.assert_array_equal(survey(save(packed, tmp_path / "slice.dcm")).hu[0], hu)


@pytest.mark.parametrize(("compressor", "syntax"), [("JPEG", JPEGLosslessSV1), ("JPEG2000", JPEG2000Lossless)])
def test_a_display_in_which_low_values_are_white_changes_no_hu(
    hu: NDArray[np.int16], tmp_path: Path, compressor: str, syntax: UID
) -> None:
    """MONOCHROME1 is about showing values (PS3.3 C.7.6.3.1.2); decoders turn them round."""
    dataset = slice_dataset(hu, PhotometricInterpretation="MONOCHROME1")
    native = save(dataset, tmp_path / "native.dcm")
    np.testing.assert_array_equal(survey(native).hu[0], hu)
    packed = with_frames(dataset, packed_by_itk(dataset, tmp_path, compressor), syntax)

    np.testing.assert_array_equal(survey(save(packed, tmp_path / "slice.dcm")).hu[0], hu)


def test_run_lengths_give_back_every_hu(hu: NDArray[np.int16], tmp_path: Path) -> None:
    dataset = slice_dataset(hu)
    dataset.compress(RLELossless, generate_instance_uid=False)

    np.testing.assert_array_equal(survey(save(dataset, tmp_path / "slice.dcm")).hu[0], hu)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_native_and_deflated_pixels_give_back_every_hu(hu: NDArray[np.int16], tmp_path: Path, syntax: UID) -> None:
    dataset = slice_dataset(hu)
    dataset.file_meta.TransferSyntaxUID = syntax

    np.testing.assert_array_equal(survey(save(dataset, tmp_path / "slice.dcm")).hu[0], hu)


def test_big_endian_pixels_give_back_every_hu(hu: NDArray[np.int16], tmp_path: Path) -> None:
    dataset = slice_dataset(hu)
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()

    np.testing.assert_array_equal(survey(save(dataset, tmp_path / "slice.dcm")).hu[0], hu)


def test_jpeg_ls_of_another_maker_gives_back_every_stored_value(tmp_path: Path) -> None:
    """pydicom ships the same picture plain and as JPEG-LS written by CharLS."""
    plain, packed = (pydicom.dcmread(get_testdata_file(f"MR_small{kind}.dcm")) for kind in ("", "_jpeg_ls_lossless"))
    stored = np.frombuffer(plain.PixelData, "<i2").reshape(plain.Rows, plain.Columns)
    dataset = slice_dataset(stored, intercept=0, is_signed=True)
    frames = list(generate_frames(packed.PixelData, number_of_frames=1))

    volume = survey(save(with_frames(dataset, frames, JPEGLSLossless), tmp_path / "slice.dcm"))

    np.testing.assert_array_equal(volume.hu[0], stored)


@pytest.mark.parametrize(
    "name", ["MR_small_RLE", "MR_small_jp2klossless", "MR_small_jpeg_ls_lossless", "MR_small_bigendian",
             "MR_small_implicit", "MR_small_padded"]
)  # fmt: skip
def test_files_of_other_makers_hold_the_picture_they_say(name: str) -> None:
    plain, packed = (read_headers(Path(str(get_testdata_file(f"{n}.dcm"))))[0] for n in ("MR_small", name))

    np.testing.assert_array_equal(read_hu(packed), read_hu(plain))


@pytest.mark.parametrize("name", ["JPEG-lossy", "JPGExtended", "JPEG2000", "JPEGLSNearLossless_16", "693_J2KI"])
def test_lossy_files_of_other_makers_read_as_itk_reads_them(name: str) -> None:
    path = str(get_testdata_file(f"{name}.dcm"))

    read = read_hu(read_headers(Path(path))[0])

    np.testing.assert_array_equal(read, sitk.GetArrayFromImage(sitk.ReadImage(path))[0])


def test_compression_with_loss_is_reported(hu: NDArray[np.int16], tmp_path: Path) -> None:
    dataset = slice_dataset(hu, LossyImageCompression="01")

    assert "lossy" in {p.kind for p in survey(save(dataset, tmp_path / "slice.dcm")).problems}


def test_a_syntax_that_cannot_be_decoded_is_named(hu: NDArray[np.int16], tmp_path: Path) -> None:
    dataset = with_frames(slice_dataset(hu), [b"\xff\x4f\xff\x51 not a code stream"], HTJ2KLossless)

    with pytest.raises(InputError, match=r"its pixels cannot be decoded.*High-Throughput JPEG 2000"):
        survey(save(dataset, tmp_path / "slice.dcm"))


@pytest.mark.parametrize(("number", "name"), [(102, "a video"), (110, "JPEG XL"), (94, "a reference to a server")])
def test_a_compression_that_none_knows_is_not_called_damage(
    hu: NDArray[np.int16], tmp_path: Path, number: int, name: str
) -> None:
    path = save(with_frames(slice_dataset(hu), [bytes(100)], HTJ2KLossless), tmp_path / "slice.dcm")
    raw = path.read_bytes()
    assert raw.count(HTJ2KLossless.encode()) == 1
    said = f"1.2.840.10008.1.2.4.{number}".encode().ljust(len(HTJ2KLossless), b"\0")
    path.write_bytes(raw.replace(HTJ2KLossless.encode(), said))

    with pytest.raises(InputError, match=f"cannot be decoded: {name}.*convert") as refused:
        survey(path)
    assert "damaged" not in str(refused.value)


def test_zeros_that_fill_up_a_stream_are_not_its_end(hu: NDArray[np.int16], tmp_path: Path) -> None:
    (stream,) = packed_by_itk(slice_dataset(hu), tmp_path, "JPEG")
    dataset = with_frames(slice_dataset(hu), [stream + bytes(500)], JPEGLosslessSV1)

    np.testing.assert_array_equal(read_hu(read_headers(save(dataset, tmp_path / "slice.dcm"))[0]), hu)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize(("compressor", "syntax"), [("JPEG", JPEGLosslessSV1), ("JPEG2000", JPEG2000Lossless)])
def test_a_compressed_slice_that_is_cut_short_is_named(
    hu: NDArray[np.int16],
    tmp_path: Path,
    compressor: str,
    syntax: UID,
    share: float,
) -> None:
    dataset = slice_dataset(hu)
    frames = [frame[: int(len(frame) * share)] for frame in packed_by_itk(dataset, tmp_path, compressor)]
    path = save(with_frames(dataset, frames, syntax), tmp_path / "slice.dcm")

    with pytest.raises(InputError, match=r"slice\.dcm"):
        survey(path)


@pytest.mark.parametrize("share", [0.3, 0.9, 0.99])
def test_a_lossless_stream_that_was_cut_and_given_an_end_is_told_by_its_decoder(
    hu: NDArray[np.int16], tmp_path: Path, share: float
) -> None:
    """Decoders fill in what is missing and carry on; what they say of it is not lost."""
    frames = [f[: int(len(f) * share)] + b"\xff\xd9" for f in packed_by_itk(slice_dataset(hu), tmp_path, "JPEG")]
    path = save(with_frames(slice_dataset(hu), frames, JPEGLosslessSV1), tmp_path / "slice.dcm")

    with pytest.raises(InputError, match=r"slice\.dcm is damaged or cut short: its decoder says 'Corrupt JPEG data"):
        survey(path)


def test_bytes_too_many_in_a_stream_are_a_remark(hu: NDArray[np.int16], tmp_path: Path) -> None:
    end = b"\xff\xd9"
    frames = [f[: f.rindex(end)] + b"123456" + end for f in packed_by_itk(slice_dataset(hu), tmp_path, "JPEG")]
    path = save(with_frames(slice_dataset(hu), frames, JPEGLosslessSV1), tmp_path / "slice.dcm")

    volume = survey(path)

    np.testing.assert_array_equal(volume.hu[0], hu)
    assert not any(p.is_serious for p in volume.problems)


@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
@pytest.mark.parametrize("name", ["JPEG-lossy", "MR_small_jpeg_ls_lossless"])
def test_a_stream_without_its_end_is_cut_short(tmp_path: Path, name: str, share: float) -> None:
    packed = pydicom.dcmread(get_testdata_file(f"{name}.dcm"))
    frame = next(generate_frames(packed.PixelData, number_of_frames=1)).rstrip(b"\0")
    dataset = slice_dataset(np.zeros((packed.Rows, packed.Columns)))
    cut = with_frames(dataset, [frame[: int(len(frame) * share)]], packed.file_meta.TransferSyntaxUID)

    with pytest.raises(InputError, match=r"slice\.dcm is cut short: its JPEG.* has no end"):
        survey(save(cut, tmp_path / "slice.dcm"))


def test_codecs_keep_their_doubts_to_themselves(tmp_path: Path) -> None:
    """GDCM tries a 12-bit stream as 8-bit first, and says so on standard error."""
    lossy = pydicom.dcmread(get_testdata_file("JPEG-lossy.dcm"))
    dataset = slice_dataset(np.zeros((lossy.Rows, lossy.Columns)), BitsStored=12, HighBit=11)
    frames = list(generate_frames(lossy.PixelData, number_of_frames=1))
    path = save(with_frames(dataset, frames, lossy.file_meta.TransferSyntaxUID), tmp_path / "slice.dcm")

    command = [sys.executable, "-m", "ipdsf_spark.cli.main", "ct", "info", "--json", str(path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True)

    assert json.loads(said.stdout)["shape"] == [1, 1024, 256]
    assert said.stderr == ""


def decoding_to(monkeypatch: pytest.MonkeyPatch, words: NDArray[np.int16], lines: tuple[str, ...] = ()) -> PixelReader:
    """A reader whose decoder gives these words of a slice and says these lines."""

    def opened(header: SliceHeader) -> Callable[[SliceHeader, list[str]], NDArray[np.int16]]:
        def frame(header: SliceHeader, said: list[str]) -> NDArray[np.int16]:
            said += lines
            return words

        return frame

    monkeypatch.setattr(dicom_pixels, "_opened", opened)
    return PixelReader()


def test_what_a_decoder_says_of_a_slice_stands_among_the_remarks_three_lines_of_it(
    hu: NDArray[np.int16], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = save(slice_dataset(hu, slope=0.5, intercept=-100), tmp_path / "a.dcm")
    (header,) = read_headers(file)
    reader = decoding_to(monkeypatch, np.full(hu.shape, 7, np.int16), ("first", "second", "third", "fourth"))

    values, noted = reader.read_hu(header)

    assert (values == 0.5 * 7 - 100).all()
    assert noted == [("library_warning", f"its decoder says {line!r}") for line in ("first", "second", "third")]


def test_a_decoder_that_gives_other_rows_or_columns_than_were_announced_is_not_believed(
    hu: NDArray[np.int16], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = save(slice_dataset(hu), tmp_path / "a.dcm")
    (header,) = read_headers(file)

    with pytest.raises(InputError, match=r"a\.dcm: \(48, 64\) values where 64 × 48 were announced"):
        decoding_to(monkeypatch, hu.T).read_hu(header)
