"""What one DICOM image says about itself, read without its pixels and without its patient.

Only the attributes listed here are parsed; names, dates and numbers of patients are skipped in the byte stream, so that
they can reach neither a volume nor a log. An Enhanced multi-frame object (PS3.3 A.38) gives one header per frame.
"""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pydicom
import pydicom.config
from pydicom.dataset import Dataset

from ipdsf_spark.ct.volume import Vector
from ipdsf_spark.errors import InputError

TAGS: Final = (
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "FrameOfReferenceUID",
    "Modality",
    "ImageType",
    "SeriesNumber",
    "AcquisitionNumber",
    "InstanceNumber",
    "ConvolutionKernel",
    "GantryDetectorTilt",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "BitsAllocated",
    "BitsStored",
    "PixelRepresentation",
    "NumberOfFrames",
    "RescaleSlope",
    "RescaleIntercept",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "LossyImageCompression",
    "SyntheticData",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)
IMAGE_WORDS: Final = ("LOCALIZER", "SCOUT", "TOPOGRAM")
DICOM_SUFFIXES: Final = (".dcm", ".dicom", ".ima")
MAX_FRAMES: Final = 16_384


@dataclass(frozen=True)
class SliceHeader:
    """One slice: where it lies, how its stored values become HU, which acquisition it belongs to."""

    path: Path
    frame: int
    series_number: int | None
    acquisition: int | None
    instance: int
    kernel: str
    image_type: tuple[str, ...]
    modality: str
    tilt_deg: float
    position_mm: Vector | None  # LPS, centre of the first voxel
    row_direction: Vector | None  # along which the column index grows
    column_direction: Vector | None
    spacing_mm: tuple[float, float] | None  # (between rows, between columns)
    rows: int
    columns: int
    samples: int
    bits_allocated: int
    bits_stored: int
    is_signed: bool
    slope: float | None
    intercept: float | None
    padding_stored: float | None
    is_lossy: bool
    is_generated: bool
    num_frames: int
    transfer_syntax: str
    patient: str = field(repr=False)
    study_uid: str = field(repr=False)
    series_uid: str = field(repr=False)
    frame_of_reference_uid: str = field(repr=False)
    sop_class_uid: str = field(repr=False)
    sop_instance_uid: str = field(repr=False)

    @property
    def name(self) -> str:
        """The file's name, with the frame of a multi-frame file."""
        return f"{self.path.name}#{self.frame + 1}" if self.num_frames > 1 else self.path.name

    @property
    def is_scout(self) -> bool:
        """True for the overview from which a scan is planned."""
        return any(word in value.upper() for word in IMAGE_WORDS for value in self.image_type)

    @property
    def padding_hu(self) -> float | None:
        """The stated padding in HU."""
        if self.padding_stored is None:
            return None
        return self.padding_stored * (self.slope or 1.0) + (self.intercept or 0.0)


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Neither warnings nor log lines of pydicom, which quote the values they complain about."""
    before = pydicom.config.settings.reading_validation_mode
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    logger = logging.getLogger("pydicom")
    was_disabled, logger.disabled = logger.disabled, True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        pydicom.config.settings.reading_validation_mode = before
        logger.disabled = was_disabled


def is_dicom(path: Path) -> bool:
    """True for a file with DICOM's mark, or without the preamble but with the group that must then come first."""
    with path.open("rb") as file:
        head = file.read(136)
    begins_with_group_8 = head[:2] == b"\x08\x00" and len(head) == 136
    has_length = head[4:6].isalpha() or int.from_bytes(head[4:8], "little") < 128  # explicit or implicit VR
    return head[128:132] == b"DICM" or (begins_with_group_8 and has_length)


def read_headers(path: Path, *, pseudonym_key: bytes = b"") -> list[SliceHeader]:
    """The headers of one DICOM file; empty for a DICOM object that is no image (report, plan, segmentation list).

    Args:
        path: file.
        pseudonym_key: turns the patient's identifier into a keyed hash; without it the identifier is not even read.

    Raises:
        InputError: not DICOM, cut short, or without what an image must say.
    """
    tags: list[Any] = [*TAGS, *(["PatientID"] if pseudonym_key else [])]
    try:
        with quiet_pydicom():
            dataset = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=tags, force=True)
            if "Rows" not in dataset or "Columns" not in dataset:
                if "SOPClassUID" not in dataset:
                    raise InputError(f"{path.name} is not a DICOM file (or is cut off within its header)")
                return []
            patient = _pseudonym(str(dataset.get("PatientID", "")), pseudonym_key)
            num_frames = int(dataset.get("NumberOfFrames") or 1)
            if not 1 <= num_frames <= MAX_FRAMES:
                raise InputError(f"{path.name} claims {num_frames} frames")
            return [_header(path, dataset, frame, num_frames, patient) for frame in range(num_frames)]
    except InputError:
        raise
    except Exception as error:  # pydicom raises whatever malformed bytes lead to; its text may quote a value
        raise InputError(f"{path.name} is not readable as DICOM ({type(error).__name__} in its header)") from None


def _header(path: Path, dataset: Dataset, frame: int, num_frames: int, patient: str) -> SliceHeader:
    groups = _functional_groups(dataset, frame)

    def get(keyword: str) -> Any:
        value = dataset.get(keyword)
        return value if value is not None else next((g[keyword].value for g in groups if keyword in g), None)

    position, orientation, spacing = get("ImagePositionPatient"), get("ImageOrientationPatient"), get("PixelSpacing")
    meta = getattr(dataset, "file_meta", Dataset())
    bits = int(dataset.get("BitsAllocated") or 0)
    return SliceHeader(
        path=path,
        frame=frame,
        series_number=_whole(get("SeriesNumber")),
        acquisition=_whole(get("AcquisitionNumber")),
        instance=_whole(get("InstanceNumber")) or 0 if num_frames == 1 else frame + 1,
        kernel=_text(get("ConvolutionKernel")),
        image_type=tuple(str(v) for v in (get("ImageType") or get("FrameType") or ())),
        modality=str(get("Modality") or ""),
        tilt_deg=float(get("GantryDetectorTilt") or 0.0),
        position_mm=_vector(position),
        row_direction=_vector(orientation, slice(0, 3)),
        column_direction=_vector(orientation, slice(3, 6)),
        spacing_mm=(float(spacing[0]), float(spacing[1])) if spacing is not None and len(spacing) == 2 else None,
        rows=int(dataset.Rows),
        columns=int(dataset.Columns),
        samples=int(dataset.get("SamplesPerPixel") or 1),
        bits_allocated=bits,
        bits_stored=int(dataset.get("BitsStored") or bits),
        is_signed=bool(dataset.get("PixelRepresentation") or 0),
        slope=_number(get("RescaleSlope")),
        intercept=_number(get("RescaleIntercept")),
        padding_stored=_number(get("PixelPaddingValue")),
        is_lossy=str(get("LossyImageCompression") or "") == "01",
        is_generated=str(get("SyntheticData") or "") == "YES",
        num_frames=num_frames,
        transfer_syntax=str(meta.get("TransferSyntaxUID", "") or pydicom.uid.ImplicitVRLittleEndian),
        patient=patient,
        study_uid=str(dataset.get("StudyInstanceUID", "")),
        series_uid=str(dataset.get("SeriesInstanceUID", "")),
        frame_of_reference_uid=str(dataset.get("FrameOfReferenceUID", "") or ""),
        sop_class_uid=str(dataset.get("SOPClassUID", "")),
        sop_instance_uid=str(dataset.get("SOPInstanceUID", "")),
    )


def _functional_groups(dataset: Dataset, frame: int) -> list[Dataset]:
    """The items that describe a frame of an Enhanced object: its own first, then those shared by all."""
    found = []
    for keyword, index in (("PerFrameFunctionalGroupsSequence", frame), ("SharedFunctionalGroupsSequence", 0)):
        sequence = dataset.get(keyword)
        if sequence and index < len(sequence):
            found += [item for element in sequence[index] if element.VR == "SQ" for item in element.value[:1]]
    return found


def _pseudonym(identifier: str, key: bytes) -> str:
    if not key or not identifier:
        return ""
    return hashlib.blake2b(identifier.encode(), key=key[:64], digest_size=8).hexdigest()


def _vector(values: Any, part: slice = slice(0, 3)) -> Vector | None:
    if values is None:
        return None
    x, y, z = (float(v) for v in list(values)[part])
    return (x, y, z)


def _whole(value: Any) -> int | None:
    return None if value in (None, "") else int(value)


def _number(value: Any) -> float | None:
    return None if value in (None, "") else float(value)


def _text(value: Any) -> str:
    return "" if value is None else "\\".join(value) if not isinstance(value, str) else value
