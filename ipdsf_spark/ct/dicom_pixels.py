"""Stored values of DICOM slices, whatever their transfer syntax, and the HU they stand for.

Native, deflated and run-length pixel data are unpacked by pydicom; the JPEG family (lossless, LS, 2000, baseline and
extended) by GDCM inside SimpleITK, from a copy that carries the pixels and nothing else. A file of many frames is
opened once, and each of its frames read once.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pydicom
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels.utils import pixel_array
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    JPEG2000TransferSyntaxes,
    RLELossless,
    SecondaryCaptureImageStorage,
    generate_uid,
)

from ipdsf_spark.ct.dicom_fields import quiet_pydicom
from ipdsf_spark.ct.dicom_header import SliceHeader
from ipdsf_spark.ct.dicom_syntax import contradiction, name_of, stream_contradiction, undecoded
from ipdsf_spark.ct.dicom_values import Noted, values_of_words
from ipdsf_spark.ct.native import is_whole_jpeg, overheard
from ipdsf_spark.ct.surplus import FEW
from ipdsf_spark.ct.volume import Hu, hu_array
from ipdsf_spark.errors import InputError

PIXEL_TAGS: Final = (
    "SOPClassUID",
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "NumberOfFrames",
    "PlanarConfiguration",
    "PixelData",
)

GE_BIG_ENDIAN: Final = "1.2.840.113619.5.2"  # implicit VR and little endian, but for the pixels
OTHER_PIXELS: Final = ("FloatPixelData", "DoubleFloatPixelData", "PixelDataProviderURL")
UNKNOWN_LENGTH: Final = b"\xff\xff\xff\xff"
MAX_PIXELS: Final = 8192 * 8192  # of a slice; a damaged header must not ask for gigabytes
DAMAGE, SURPLUS = "Corrupt JPEG data", "extraneous bytes"
# GDCM opens a stream as 8-bit first and says so; when it reads it afterwards, nothing is wrong.
TRIALS: Final = ("Unsupported JPEG data precision", "Invalid SOS parameters", "Unsupported marker type")
Words = NDArray[np.integer[Any]]
Frame = Callable[[SliceHeader, list[str]], Words]  # takes what the decoder says


class PixelReader:
    """Reads slices one after the other and keeps the file of the last one open, for the frames that follow."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._frame: Frame = lambda header, said: np.empty((0, 0), np.int16)

    def read_hu(self, header: SliceHeader) -> tuple[Hu, list[Noted]]:
        """hu[y, x] of one slice, and what must be said about its values; slope and intercept are the slice's own.

        Raises:
            InputError: cut short, damaged, in colour, or in a transfer syntax that cannot be decoded.
        """
        _check_size(header)
        said: list[str] = []
        try:
            with quiet_pydicom():
                if self._path != header.path:
                    self._path = None
                    self._frame = _opened(header)
                    self._path = header.path
                words = self._frame(header, said)
        except InputError:
            raise
        except Exception as error:  # decoders raise whatever damaged bytes lead to
            stated = name_of(header.transfer_syntax)
            raise InputError(
                f"{header.name}: its pixels cannot be decoded as TransferSyntaxUID says, {stated}: damaged, or in "
                f"another syntax ({type(error).__name__})"
            ) from None
        if words.shape != (header.rows, header.columns):
            raise InputError(
                f"{header.name}: {words.shape} values where {header.rows} × {header.columns} were announced"
            )
        stored, noted = values_of_words(words, header)
        noted += [("library_warning", f"its decoder says {line!r}") for line in said[:3]]
        slope, intercept = header.slope if header.slope is not None else 1.0, header.intercept or 0.0
        if slope.is_integer() and intercept.is_integer():
            return hu_array(stored * int(slope) + int(intercept)), noted
        return hu_array(stored * slope + intercept), noted


def read_hu(header: SliceHeader) -> Hu:
    """hu[y, x] of one slice alone."""
    return PixelReader().read_hu(header)[0]


def _check_size(header: SliceHeader) -> None:
    if header.samples != 1:
        raise InputError(f"{header.name} is a colour picture, not a CT slice")
    if not 0 < header.rows * header.columns <= MAX_PIXELS:
        raise InputError(f"{header.name} claims {header.rows} × {header.columns} pixels (Rows, Columns)")
    if header.bits_allocated not in (8, 16, 32) or not 1 <= header.bits_stored <= header.bits_allocated:
        raise InputError(
            f"{header.name} stores {header.bits_stored} of {header.bits_allocated} bits (BitsStored of BitsAllocated): "
            "8, 16 or 32 expected"
        )


def _opened(header: SliceHeader) -> Frame:
    """What gives the words of one frame after the other of a file that was parsed once."""
    syntax = pydicom.uid.UID(header.transfer_syntax)
    if not syntax.is_transfer_syntax:  # newer than the library's names
        _require_no(undecoded(syntax), header)
    if syntax == GE_BIG_ENDIAN:
        return _native_frames(header)
    if not syntax.is_compressed and syntax != DeflatedExplicitVRLittleEndian and header.num_frames > 1:
        return _native_frames(header)
    dataset = pydicom.dcmread(header.path, specific_tags=list(PIXEL_TAGS), force=True)
    if "PixelData" not in dataset:
        other = pydicom.dcmread(header.path, specific_tags=list(OTHER_PIXELS), force=True)
        there = next((keyword for keyword in OTHER_PIXELS if keyword in other), "")
        reason = f"its pixels are {there}; whole numbers in PixelData are read" if there else _private_pixels(header)
        raise InputError(f"{header.name} holds no pixels that can be read ({reason or 'cut off after its header?'})")
    if not hasattr(dataset.file_meta, "TransferSyntaxUID"):
        dataset.file_meta.TransferSyntaxUID = syntax
    _complete(dataset, header)
    expected = header.rows * header.columns * header.bits_allocated // 8 * header.num_frames
    if syntax.is_compressed or len(dataset.PixelData) not in (expected, expected + 1):
        _require_no(contradiction(syntax, dataset.PixelData), header)
    if syntax.is_compressed and syntax != DeflatedExplicitVRLittleEndian:
        streams = list(generate_frames(dataset.PixelData, number_of_frames=header.num_frames))
        if len(streams) < header.num_frames:  # which of them are gone nothing says
            said = f"{header.path.name} holds {len(streams)} compressed frames"
            raise InputError(f"{said}, but NumberOfFrames says {header.num_frames}: some are gone")
        decode = _decoded_run_lengths if syntax == RLELossless else _decoded_by_gdcm
        return lambda wanted, said: decode(wanted, dataset, streams[wanted.frame], said)
    _check_length(header, len(dataset.PixelData))
    _require_no(_surplus(dataset.PixelData[expected:]), header)
    return lambda wanted, said: np.asarray(
        pixel_array(dataset, index=wanted.frame, raw=True, correct_unused_bits=False)
    )


def _private_pixels(header: SliceHeader) -> str:
    """In which element of a maker's own the pixels lie, where they are not in PixelData; empty where in none."""
    dataset = pydicom.dcmread(header.path, force=True)
    for tag in sorted(dataset.keys()):
        value = getattr(dataset.get_item(tag), "value", None)  # as it is written, which nothing can refuse
        if tag.is_private and isinstance(value, bytes) and len(value) > header.rows * header.columns // 8:
            creator = getattr(dataset.get_item((tag.group, tag.element >> 8)), "value", None)
            owner = f" of {creator.decode('latin-1').strip()}" if isinstance(creator, bytes) else ""
            return f"its pixels are in the private element ({tag.group:04X},{tag.element:04X}){owner}"
    return ""


def _complete(dataset: Dataset, header: SliceHeader) -> None:
    """Give the decoders what the file leaves out and its header stands for."""
    known = {
        "SamplesPerPixel": header.samples,
        "PhotometricInterpretation": header.photometric or "MONOCHROME2",
        "BitsStored": header.bits_stored,
        "HighBit": header.high_bit,
        "PixelRepresentation": int(header.is_signed),
    }
    for keyword, value in known.items():
        if keyword not in dataset or dataset[keyword].value in (None, ""):
            setattr(dataset, keyword, value)
    if header.num_frames == 1 and "NumberOfFrames" in dataset:
        del dataset.NumberOfFrames  # perhaps no number


def _native_frames(header: SliceHeader) -> Frame:
    """Frames of native pixel data, each read from its place in the file when it is asked for."""
    with header.path.open("rb") as file:
        dataset = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=["Rows"], force=True)
        begin = file.tell()
        element = file.read(12)
    is_of_ge = header.transfer_syntax == GE_BIG_ENDIAN
    is_little, is_implicit = dataset.original_encoding[1], dataset.original_encoding[0]
    is_implicit = element[4:6] not in (b"OW", b"OB") if is_of_ge else is_implicit  # pydicom does not know its syntax
    if element[:4] not in (b"\xe0\x7f\x10\x00", b"\x7f\xe0\x00\x10"):
        raise InputError(f"{header.name} holds no pixels (cut off after its header?)")
    stated = element[4:8] if is_implicit else element[8:12]
    if stated == UNKNOWN_LENGTH:
        dataset = pydicom.dcmread(header.path, specific_tags=["PixelData"], force=True)
        _require_no(contradiction(header.transfer_syntax, dataset.PixelData), header)
    begin += 8 if is_implicit else 12
    _check_length(header, header.path.stat().st_size - begin)
    order = ">" if is_little is False or is_of_ge else "<"
    kind = np.dtype(f"{order}{'i' if header.is_signed else 'u'}{header.bits_allocated // 8}")
    count = header.rows * header.columns
    with header.path.open("rb") as file:
        file.seek(begin + count * kind.itemsize * header.num_frames)
        end = begin + int.from_bytes(stated, "big" if is_little is False else "little")
        _require_no(_surplus(file.read(max(0, end - file.tell()))), header)

    def frame(wanted: SliceHeader, said: list[str]) -> Words:
        values: Words = np.fromfile(wanted.path, kind, count, offset=begin + wanted.frame * count * kind.itemsize)
        return values.reshape(wanted.rows, wanted.columns)

    return frame


def _check_length(header: SliceHeader, num_bytes: int) -> None:
    expected = header.rows * header.columns * header.bits_allocated // 8 * header.num_frames
    if num_bytes < expected:
        raise InputError(f"{header.name} is cut short: {num_bytes} of {expected} bytes of pixels")
    if num_bytes >= 2 * expected:
        slices = f"{num_bytes * header.num_frames // expected} slices of pixels"
        raise InputError(f"{header.name} holds {slices}, but NumberOfFrames says {header.num_frames}")


def _surplus(values: bytes) -> str:
    """Against values behind the last pixel: with Rows or Columns too small, each row would be shifted against the last.

    Bytes of zero only fill up, and a few of any value are no row.
    """
    if len(values.rstrip(b"\0")) <= FEW:
        return ""
    return f"{len(values)} bytes of pixels more than Rows, Columns, BitsAllocated and NumberOfFrames ask for"


def _decoded_run_lengths(header: SliceHeader, dataset: Dataset, stream: bytes, said: list[str]) -> Words:
    _require_no(stream_contradiction(dataset.file_meta.TransferSyntaxUID, stream), header)
    return np.asarray(pixel_array(_single(dataset, stream), index=0, raw=True, correct_unused_bits=False))


def _decoded_by_gdcm(header: SliceHeader, dataset: Dataset, stream: bytes, said: list[str]) -> Words:
    """One frame of the JPEG family; slope and intercept are left out so that GDCM returns the stored values."""
    syntax = dataset.file_meta.TransferSyntaxUID
    _require_no(stream_contradiction(syntax, stream) or undecoded(syntax), header)
    if syntax not in JPEG2000TransferSyntaxes and not is_whole_jpeg(stream):
        raise InputError(f"{header.name} is cut short: its {syntax.name} stream has no end")
    single = _single(dataset, stream)
    single.HighBit = header.bits_stored - 1  # inside a JPEG stream values have no place in a word
    with tempfile.TemporaryDirectory(prefix="ipdsf-ct-") as folder:
        path = Path(folder) / "frame.dcm"
        single.save_as(path, enforce_file_format=True)
        reader = sitk.ImageFileReader()
        reader.SetImageIO("GDCMImageIO")
        reader.SetFileName(str(path))
        with overheard() as lines:
            image = reader.Execute()
    damage = [line for line in lines if DAMAGE in line and SURPLUS not in line]
    if damage:  # decoders fill in what is missing and carry on
        raise InputError(f"{header.name} is damaged or cut short: its decoder says {'; '.join(damage[:3])!r}")
    said += [line for line in lines if not line.startswith(TRIALS)]
    values: Words = np.squeeze(sitk.GetArrayFromImage(image), axis=0)
    return values


def _require_no(contradiction: str, header: SliceHeader) -> None:
    if contradiction:
        raise InputError(f"{header.name}: {contradiction}")


def _single(dataset: Dataset, stream: bytes) -> Dataset:
    """A data set of one encapsulated frame that carries pixels and nothing else."""
    single = Dataset()
    for keyword in PIXEL_TAGS:
        if keyword in dataset and keyword not in ("PixelData", "NumberOfFrames"):
            single[keyword] = dataset[keyword]
    single.PhotometricInterpretation = "MONOCHROME2"  # of MONOCHROME1 the decoder would turn the values round
    single.SOPClassUID, single.SOPInstanceUID = SecondaryCaptureImageStorage, generate_uid()
    single.PixelData = encapsulate([stream], has_bot=False)
    single["PixelData"].is_undefined_length = True
    single.file_meta = FileMetaDataset()
    single.file_meta.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID
    return single
