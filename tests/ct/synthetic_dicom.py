"""DICOM slices written at test time, with every trap a test asks for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, generate_uid

AIR_HU, WATER_HU, BONE_HU = -1000, 0, 700
PATIENT = "Doe^Jane"
PATIENT_ID = "MRN-QZXWJV"  # letters that no identifier, number or hash can hold by chance


def item(**attributes: Any) -> Dataset:
    """An item of a sequence."""
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def slice_dataset(
    hu: NDArray[Any],
    *,
    position: tuple[float, float, float] = (-10.0, -20.0, 0.0),
    orientation: tuple[float, ...] = (1, 0, 0, 0, 1, 0),
    spacing: tuple[float, float] = (0.7, 0.7),
    slope: float = 1,
    intercept: float = -1024,
    is_signed: bool = False,
    series_uid: str = "1.2.3.4",
    **attributes: Any,
) -> Dataset:
    """A CT slice that shows `hu`; attributes override anything."""
    stored = np.rint((hu - intercept) / slope)
    slice_ = Dataset()
    slice_.file_meta = FileMetaDataset()
    slice_.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    slice_.SOPClassUID, slice_.SOPInstanceUID = CTImageStorage, generate_uid()
    slice_.StudyInstanceUID, slice_.SeriesInstanceUID = "1.2.3", series_uid
    slice_.FrameOfReferenceUID = "1.2.3.9"
    slice_.Modality, slice_.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
    slice_.PatientName, slice_.PatientID, slice_.PatientBirthDate = PATIENT, PATIENT_ID, "19700101"
    slice_.SeriesNumber, slice_.AcquisitionNumber, slice_.InstanceNumber = 1, 1, 1
    slice_.ImagePositionPatient, slice_.ImageOrientationPatient = list(position), list(orientation)
    slice_.PixelSpacing, slice_.SliceThickness = list(spacing), 2.5
    slice_.Rows, slice_.Columns, slice_.SamplesPerPixel = *hu.shape, 1
    slice_.PhotometricInterpretation = "MONOCHROME2"
    slice_.BitsAllocated, slice_.BitsStored, slice_.HighBit = 16, 16, 15
    slice_.PixelRepresentation = int(is_signed)
    slice_.RescaleSlope, slice_.RescaleIntercept = str(slope), str(intercept)
    slice_.PixelData = stored.astype("<i2" if is_signed else "<u2").tobytes()
    slice_["PixelData"].VR = "OW"
    for keyword, value in attributes.items():
        if value is None:
            delattr(slice_, keyword)
        else:
            setattr(slice_, keyword, value)
    return slice_


def save(dataset: Dataset, path: Path) -> Path:
    """Write a file with preamble and meta header."""
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.save_as(path, enforce_file_format=True)
    return path


WriteSeries = Callable[..., list[Path]]


def packed_by_itk(dataset: Dataset, folder: Path, compressor: str) -> list[bytes]:
    """The compressed frame that GDCM makes of the stored values."""
    dtype = "<i2" if dataset.PixelRepresentation else "<u2"
    stored = np.frombuffer(dataset.PixelData, dtype).reshape(1, dataset.Rows, dataset.Columns)
    writer = sitk.ImageFileWriter()
    writer.SetFileName(str(folder / "packed.dcm"))
    writer.UseCompressionOn()
    writer.SetCompressor(compressor)
    writer.Execute(sitk.GetImageFromArray(stored))
    return list(generate_frames(pydicom.dcmread(folder / "packed.dcm").PixelData, number_of_frames=1))


def with_frames(dataset: Dataset, frames: list[bytes], syntax: UID) -> Dataset:
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = encapsulate(frames)
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    return dataset
