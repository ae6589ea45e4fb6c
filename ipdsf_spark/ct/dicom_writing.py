"""Generated volumes as a DICOM series: derived CT images with unique identifiers of their own.

PS3.3 A.3 (CT Image), C.7.6.1 (General Image: derived images refer to their sources), C.12.1 (SOP Common: Synthetic
Data). The patient is not carried over: the series says that identity was removed, and the study is a new one.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from ipdsf_spark import __version__
from ipdsf_spark.ct.provenance import STATEMENT, Provenance
from ipdsf_spark.ct.volume import Grid, Source
from ipdsf_spark.ct.writing import filling
from ipdsf_spark.errors import InputError

WINDOW_HU: Final = (-600.0, 1500.0)  # centre and width at which a lung is usually looked at


def write_dicom(
    folder: Path, grid: Grid, slabs: Iterable[NDArray[Any]], provenance: Provenance, source: Source | None = None
) -> Path:
    """Write hu[z, y, x] that comes in slabs of whole slices from the feet up, one file per slice.

    The folder appears when it is complete, and must not exist before.

    Args:
        folder: of the new series.
        grid: where the voxels lie.
        slabs: HU.
        provenance: what the headers say about the making.
        source: of the volume this one was made from; its images are referred to.

    Raises:
        InputError: the folder exists, the slabs do not fill the grid, or the disk is full.
    """
    if folder.exists():
        raise InputError(f"{folder} is already there; a generated series goes into a folder of its own")
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    series = _series(grid, provenance, source)
    try:
        slices = (hu for slab in filling(grid, slabs) for hu in slab)
        for index, hu in enumerate(slices):
            image = _slice(series, grid, index, hu, source)
            image.save_as(partial / f"generated-{index + 1:04d}.dcm", enforce_file_format=True)
        partial.chmod(0o777 & ~_umask())
        os.rename(partial, folder)
    except OSError as error:
        raise InputError(f"cannot write {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def _series(grid: Grid, provenance: Provenance, source: Source | None) -> Dataset:
    """What all slices have in common."""
    made = provenance.made_at
    common = Dataset()
    common.SpecificCharacterSet = "ISO_IR 192"
    common.SOPClassUID = CTImageStorage
    common.Modality = "CT"
    common.SyntheticData = "YES"
    common.ImageType = ["DERIVED", "SECONDARY", "AXIAL", "GENERATED"]
    common.PatientName, common.PatientID = "GENERATED", (source.patient if source else "") or "GENERATED"
    common.PatientBirthDate, common.PatientSex = "", ""
    common.PatientIdentityRemoved = "YES"
    common.DeidentificationMethod = "identifying attributes were never read"
    common.StudyInstanceUID, common.SeriesInstanceUID = generate_uid(), generate_uid()
    common.FrameOfReferenceUID = (source.frame_of_reference_uid if source else "") or generate_uid()
    common.PositionReferenceIndicator, common.StudyID, common.AccessionNumber = "", "", ""
    common.ReferringPhysicianName = ""
    common.SeriesNumber, common.AcquisitionNumber = 1, None
    common.StudyDate = common.SeriesDate = common.ContentDate = common.InstanceCreationDate = f"{made:%Y%m%d}"
    common.StudyTime = common.SeriesTime = common.ContentTime = common.InstanceCreationTime = f"{made:%H%M%S}"
    common.Manufacturer, common.ManufacturerModelName = "ipdsf_spark", provenance.made_by
    common.SoftwareVersions = __version__
    common.SeriesDescription, common.ImageComments = STATEMENT, STATEMENT
    common.DerivationDescription = provenance.sentence[:1024]
    common.BurnedInAnnotation, common.RecognizableVisualFeatures = "NO", "NO"
    common.ContentQualification = "RESEARCH"
    common.LossyImageCompression = "00"
    common.KVP, common.PatientPosition = None, ""
    common.SamplesPerPixel, common.PhotometricInterpretation = 1, "MONOCHROME2"
    common.BitsAllocated, common.BitsStored, common.HighBit, common.PixelRepresentation = 16, 16, 15, 1
    common.RescaleSlope, common.RescaleIntercept, common.RescaleType = 1, 0, "HU"
    common.WindowCenter, common.WindowWidth = WINDOW_HU
    common.Rows, common.Columns = grid.shape[1], grid.shape[2]
    common.PixelSpacing = [_decimal(grid.spacing_mm[1]), _decimal(grid.spacing_mm[2])]
    common.SliceThickness = common.SpacingBetweenSlices = _decimal(grid.spacing_mm[0])
    common.ImageOrientationPatient = [_decimal(v) for v in (*grid.direction[2], *grid.direction[1])]
    return common


def _slice(common: Dataset, grid: Grid, index: int, hu: NDArray[np.int16], source: Source | None) -> Dataset:
    image = Dataset()
    image.update(common)
    image.SOPInstanceUID = generate_uid()
    image.InstanceNumber = index + 1
    image.ImagePositionPatient = [_decimal(v) for v in grid.world_mm((float(index), 0.0, 0.0))]
    if source and source.sop_instance_uids:
        is_aligned = len(source.slice_positions_mm) == grid.shape[0]
        referred = source.sop_instance_uids[index : index + 1] if is_aligned else source.sop_instance_uids
        image.SourceImageSequence = [_reference(source.sop_class_uid, uid) for uid in dict.fromkeys(referred)]
    image.PixelData = hu.astype("<i2", copy=False).tobytes()
    image["PixelData"].VR = "OW"
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.file_meta.MediaStorageSOPClassUID = CTImageStorage
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    return image


def _reference(sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class_uid, sop_instance_uid
    return item


def _decimal(value: float) -> str:
    """A number in the sixteen characters a DICOM decimal string may have."""
    return next(text for digits in range(16, 0, -1) if len(text := f"{value + 0.0:.{digits}g}") <= 16)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
