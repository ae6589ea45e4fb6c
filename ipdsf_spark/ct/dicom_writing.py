"""Generated volumes as a DICOM series: derived CT images with unique identifiers of their own.

PS3.3 A.3 (CT Image), C.7.6.1 (General Image), C.12.1 (SOP Common: Synthetic Data, Contributing Equipment), C.7.5.1
(General Equipment: of the scanner that acquired the source, which is not overwritten). The patient is not carried over
and no identifier of the source is referred to: all are new, so that the series may say that identity was removed. It
does not say so where the source has text burned into its pixels or shows a recognisable person.
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
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from ipdsf_spark import __version__
from ipdsf_spark.ct.provenance import STATEMENT, Provenance
from ipdsf_spark.ct.volume import Grid, Source
from ipdsf_spark.ct.writing import filling
from ipdsf_spark.errors import InputError

WINDOW_HU: Final = (-600.0, 1500.0)  # centre and width at which a lung is usually looked at
PURPOSE: Final = ("109100", "DCM", "Synthesizing Equipment")
# PS3.16 CID 7203 has no code for what a network does, save for resampling; codes of our own are allowed beside it.
DERIVATIONS: Final = {
    "depixelate": ("113085", "DCM", "Spatial resampling"),
    "denoise": ("DENOISE", "99IPDSF", "Denoised by a neural network"),
    "autoencode": ("AUTOENCODE", "99IPDSF", "Reproduced by a neural network"),
}
SYNTHESIS: Final = ("SYNTHESIS", "99IPDSF", "Synthesized by software")
BASIC_PROFILE: Final = ("113100", "DCM", "Basic Application Confidentiality Profile")


def write_dicom(
    folder: Path, grid: Grid, slabs: Iterable[NDArray[Any]], provenance: Provenance, source: Source | None = None
) -> Path:
    """Write hu[z, y, x] that comes in slabs of whole slices, inferior to superior, one file per slice.

    The folder appears when it is complete, and must not exist before.

    Args:
        folder: of the new series.
        grid: where the voxels lie.
        slabs: HU.
        provenance: what the headers say about the making.
        source: of the volume this one was made from; its scanner, compression and burned-in text are stated. None where
            it shows nobody: then no identity is said to have been removed, for there was none.

    Raises:
        InputError: the folder exists, the slabs do not fill the grid, or the disk is full.
    """
    if folder.exists():
        raise InputError(f"{folder} is already there; a generated series goes into a folder of its own")
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    series = _series(grid, provenance, source or Source())
    if source is not None:
        _add_identity(series, source)
    else:
        series.BurnedInAnnotation = "NO"
    try:
        slices = (hu for slab in filling(grid, slabs) for hu in slab)
        for index, hu in enumerate(slices):
            image = _slice(series, grid, index, hu)
            image.save_as(partial / f"generated-{index + 1:04d}.dcm", enforce_file_format=True)
        partial.chmod(0o777 & ~_umask())
        os.rename(partial, folder)
    except OSError as error:
        raise InputError(f"cannot write {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def _series(grid: Grid, provenance: Provenance, source: Source) -> Dataset:
    """What all slices have in common."""
    made = provenance.made_at
    common = Dataset()
    common.SpecificCharacterSet = "ISO_IR 192"
    common.SOPClassUID = CTImageStorage
    common.Modality = "CT"
    common.SyntheticData = "YES"
    common.ImageType = ["DERIVED", "SECONDARY", "AXIAL", "GENERATED"]
    common.PatientName, common.PatientID = "GENERATED", source.patient or "GENERATED"
    common.PatientBirthDate, common.PatientSex, common.Laterality = "", "", ""
    common.StudyInstanceUID, common.SeriesInstanceUID, common.FrameOfReferenceUID = (generate_uid() for _ in range(3))
    common.PositionReferenceIndicator, common.StudyID, common.AccessionNumber = "", "1", ""
    common.ReferringPhysicianName = ""
    common.SeriesNumber, common.AcquisitionNumber = 1, None
    common.StudyDate = common.SeriesDate = common.ContentDate = common.InstanceCreationDate = f"{made:%Y%m%d}"
    common.StudyTime = common.SeriesTime = common.ContentTime = common.InstanceCreationTime = f"{made:%H%M%S}"
    _add_equipment(common, provenance, source)
    _add_compression(common, source)
    common.SeriesDescription, common.ImageComments = STATEMENT, STATEMENT
    common.DerivationDescription = provenance.sentence[:1024]
    common.DerivationCodeSequence = Sequence([_code(*DERIVATIONS.get(provenance.made_by, SYNTHESIS))])
    common.ContentQualification = "RESEARCH"
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


def _add_equipment(common: Dataset, provenance: Provenance, source: Source) -> None:
    """The scanner stays what it was; the software is named as what contributed."""
    common.Manufacturer = source.manufacturer
    if source.model_name:
        common.ManufacturerModelName = source.model_name
    software = Dataset()
    software.PurposeOfReferenceCodeSequence = Sequence([_code(*PURPOSE)])
    software.Manufacturer = "ipdsf_spark"
    software.ManufacturerModelName = provenance.made_by
    software.SoftwareVersions = __version__
    software.ContributionDateTime = f"{provenance.made_at:%Y%m%d%H%M%S}"
    software.ContributionDescription = provenance.sentence[:1024]
    common.ContributingEquipmentSequence = Sequence([software])


def _add_identity(common: Dataset, source: Source) -> None:
    """What is burned in stays burned in; only without it identity was removed."""
    if source.burned_in:
        common.BurnedInAnnotation = source.burned_in
    if source.recognizable:
        common.RecognizableVisualFeatures = source.recognizable
    is_shown = "YES" in (source.burned_in, source.recognizable)
    common.PatientIdentityRemoved = "NO" if is_shown else "YES"
    if not is_shown:
        common.DeidentificationMethod = "identifying attributes were never read, identifiers are new"
        common.DeidentificationMethodCodeSequence = Sequence([_code(*BASIC_PROFILE)])


def _add_compression(common: Dataset, source: Source) -> None:
    """Loss cannot be undone: 01 stays 01; where the source keeps silent, so does the derived image."""
    if source.lossy:
        common.LossyImageCompression = source.lossy
    if source.lossy == "01":
        if source.lossy_ratios:
            common.LossyImageCompressionRatio = list(source.lossy_ratios)
        if source.lossy_methods:
            common.LossyImageCompressionMethod = list(source.lossy_methods)


def _slice(common: Dataset, grid: Grid, index: int, hu: NDArray[np.int16]) -> Dataset:
    image = Dataset()
    image.update(common)
    image.SOPInstanceUID = generate_uid()
    image.InstanceNumber = index + 1
    image.ImagePositionPatient = [_decimal(v) for v in grid.world_mm((float(index), 0.0, 0.0))]
    image.PixelData = hu.astype("<i2", copy=False).tobytes()
    image["PixelData"].VR = "OW"
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.file_meta.MediaStorageSOPClassUID = CTImageStorage
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    return image


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def _decimal(value: float) -> str:
    """A number in the sixteen characters a DICOM decimal string may have."""
    return next(text for digits in range(16, 0, -1) if len(text := f"{value + 0.0:.{digits}g}") <= 16)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
