"""Stored values of one DICOM slice, whatever its transfer syntax, and the HU they stand for.

Native, deflated and run-length pixel data are unpacked by pydicom; the JPEG family (lossless, LS, 2000, baseline and
extended) by GDCM inside SimpleITK, from a copy that carries the pixels and nothing else.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np
import pydicom
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels.utils import pixel_array
from pydicom.uid import JPEG2000TransferSyntaxes, RLELossless, SecondaryCaptureImageStorage, generate_uid

from ipdsf_spark.ct.dicom_header import SliceHeader, quiet_pydicom
from ipdsf_spark.ct.native import is_whole_jpeg, muted
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

MAX_PIXELS: Final = 8192 * 8192  # of a slice; a damaged header must not ask for gigabytes


def read_hu(header: SliceHeader) -> Hu:
    """hu[y, x] of one slice; slope and intercept are the slice's own.

    Raises:
        InputError: cut short, damaged, in colour, or in a transfer syntax that cannot be decoded.
    """
    stored = _stored_values(header)
    slope, intercept = header.slope if header.slope is not None else 1.0, header.intercept or 0.0
    if slope.is_integer() and intercept.is_integer():
        return hu_array(stored.astype(np.int64) * int(slope) + int(intercept))
    return hu_array(stored * slope + intercept)


def _stored_values(header: SliceHeader) -> NDArray[np.integer[Any]]:
    """(Y, X) values as the scanner stored them, bits above BitsStored (overlays of old files) masked away."""
    if header.samples != 1:
        raise InputError(f"{header.name} is a colour picture, not a CT slice")
    if not 0 < header.rows * header.columns <= MAX_PIXELS:
        raise InputError(f"{header.name} claims {header.rows} × {header.columns} pixels")
    if header.bits_allocated not in (8, 16, 32) or not 1 <= header.bits_stored <= header.bits_allocated:
        raise InputError(
            f"{header.name} stores {header.bits_stored} of {header.bits_allocated} bits: 8, 16 or 32 expected"
        )
    try:
        with quiet_pydicom():
            dataset = pydicom.dcmread(header.path, specific_tags=list(PIXEL_TAGS), force=True)
            if "PixelData" not in dataset:
                raise InputError(f"{header.name} holds no pixels (cut off after its header?)")
            values = _decoded(header, dataset)
    except InputError:
        raise
    except Exception as error:  # decoders raise whatever damaged bytes lead to
        syntax = pydicom.uid.UID(header.transfer_syntax).name
        raise InputError(f"{header.name}: its pixels cannot be decoded ({syntax}; {type(error).__name__})") from None
    if values.shape != (header.rows, header.columns):
        raise InputError(f"{header.name}: {values.shape} values where {header.rows} × {header.columns} were announced")
    return _sign_extended(values, header.bits_stored, is_signed=header.is_signed)


def _decoded(header: SliceHeader, dataset: Dataset) -> NDArray[np.integer[Any]]:
    if not hasattr(dataset.file_meta, "TransferSyntaxUID"):
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.UID(header.transfer_syntax)
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax.is_compressed and syntax not in (RLELossless, pydicom.uid.DeflatedExplicitVRLittleEndian):
        return _decoded_by_gdcm(header, dataset)
    expected = header.rows * header.columns * header.bits_allocated // 8 * header.num_frames
    if syntax != RLELossless and len(dataset.PixelData) < expected:
        raise InputError(f"{header.name} is cut short: {len(dataset.PixelData)} of {expected} bytes of pixels")
    return np.asarray(pixel_array(dataset, index=header.frame, raw=True))


def _decoded_by_gdcm(header: SliceHeader, dataset: Dataset) -> NDArray[np.integer[Any]]:
    """One frame through GDCM; slope and intercept are left out so that it returns the stored values."""
    frames = generate_frames(dataset.PixelData, number_of_frames=header.num_frames)
    stream = next(data for index, data in enumerate(frames) if index == header.frame)
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax not in JPEG2000TransferSyntaxes and not is_whole_jpeg(stream):
        raise InputError(f"{header.name} is cut short: its {syntax.name} stream has no end")
    single = Dataset()
    for keyword in PIXEL_TAGS:
        if keyword in dataset and keyword not in ("PixelData", "NumberOfFrames"):
            single[keyword] = dataset[keyword]
    single.SOPClassUID, single.SOPInstanceUID = SecondaryCaptureImageStorage, generate_uid()
    single.PixelData = encapsulate([stream], has_bot=False)
    single["PixelData"].is_undefined_length = True
    single.file_meta = FileMetaDataset()
    single.file_meta.TransferSyntaxUID = syntax
    with tempfile.TemporaryDirectory(prefix="ipdsf-ct-") as folder:
        path = Path(folder) / "frame.dcm"
        single.save_as(path, enforce_file_format=True)
        reader = sitk.ImageFileReader()
        reader.SetImageIO("GDCMImageIO")
        reader.SetFileName(str(path))
        with muted():
            image = reader.Execute()
    values: NDArray[np.integer[Any]] = np.squeeze(sitk.GetArrayFromImage(image), axis=0)
    return values


def _sign_extended(values: NDArray[np.integer[Any]], bits_stored: int, *, is_signed: bool) -> NDArray[np.integer[Any]]:
    wide = values.astype(np.int64) & ((1 << bits_stored) - 1)
    if is_signed:
        wide -= (wide >> (bits_stored - 1)) << bits_stored
    return wide
