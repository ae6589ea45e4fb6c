"""What one DICOM image says about itself, read without its pixels and without its patient.

Only the attributes listed here are parsed; names, dates and numbers of patients are skipped in the byte stream, so that
they can reach neither a volume nor a log. An Enhanced multi-frame object (PS3.3 A.38) gives one header per frame.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pydicom
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSNearLossless,
    LegacyConvertedEnhancedCTImageStorage,
    MediaStorageDirectoryStorage,
)

from ipdsf_spark.ct.dicom_fields import (
    Fields,
    FunctionalGroups,
    directions,
    length,
    number,
    quiet_pydicom,
    spacing,
    text,
    vector,
    whole,
    word,
    words,
)
from ipdsf_spark.ct.dicom_syntax import encoding_contradiction
from ipdsf_spark.ct.identifiers import is_nobody, one_form
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
    "KVP",
    "SeriesNumber",
    "AcquisitionNumber",
    "InstanceNumber",
    "ConvolutionKernel",
    "GantryDetectorTilt",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "SpacingBetweenSlices",
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "NumberOfFrames",
    "RescaleSlope",
    "RescaleIntercept",
    "RescaleType",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "LossyImageCompression",
    "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
    "SyntheticData",
    "BurnedInAnnotation",
    "RecognizableVisualFeatures",
    "Manufacturer",
    "ManufacturerModelName",
    "FrameType",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)
OVERLAY_BIT_TAGS: Final = tuple((0x6000 + 2 * k) << 16 | 0x0102 for k in range(16))  # OverlayBitPosition
SCOUT_WORDS: Final = ("LOCALIZER", "SCOUT", "TOPOGRAM", "SURVIEW")
CAPTURE_WORDS: Final = ("SCREEN SAVE", "DOSE_INFO", "DOSE INFO")
ANSWERS: Final = {"Y": "YES", "TRUE": "YES", "1": "YES", "N": "NO", "FALSE": "NO", "0": "NO"}
# What is taken where an attribute that every image must have is absent.
ASSUMED: Final = {
    "SamplesPerPixel": "one value per pixel",
    "PhotometricInterpretation": "MONOCHROME2",
    "BitsStored": "as many as BitsAllocated",
    "PixelRepresentation": "unsigned values",
}
CT_CLASSES: Final = (CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage, "")
# Progressive, spectral and hierarchical JPEG of DCT, retired in 2001 (PS3.6 A).
RETIRED_LOSSY: Final = tuple(f"1.2.840.10008.1.2.4.{k}" for k in (52, 53, 54, 55, 56, 59, 60, 61, 62, 63, 64))
LOSSY_SYNTAXES: Final = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless, *RETIRED_LOSSY)
HU_TYPES: Final = ("", "HU", "HU_MOD", "US")  # HU, HU that software modified, unspecified (PS3.3 C.11.1.1.2)
RESOURCE_FORK: Final = "._"  # begins the names of what macOS leaves beside files on foreign disks
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
    kvp: float
    image_type: tuple[str, ...]
    modality: str
    tilt_deg: float
    position_mm: Vector | None  # LPS, centre of the first voxel
    row_direction: Vector | None  # along which the column index grows
    column_direction: Vector | None
    spacing_mm: tuple[float, float] | None  # (between rows, between columns)
    thickness_mm: float | None
    between_mm: float | None  # SpacingBetweenSlices, which CT images need not say
    rows: int
    columns: int
    samples: int
    photometric: str
    bits_allocated: int
    bits_stored: int
    high_bit: int
    overlay_bits: frozenset[int]  # bits of a pixel's word that hold overlays (60xx,0102), retired since 2004
    is_signed: bool
    slope: float | None
    intercept: float | None
    rescale_type: str
    padding_stored: float | None
    padding_limit: float | None  # the other end of the range of padding, stored value
    lossy: str
    lossy_ratios: tuple[str, ...]
    lossy_methods: tuple[str, ...]
    is_generated: bool
    burned_in: str
    recognizable: str
    manufacturer: str
    model_name: str
    num_frames: int
    transfer_syntax: str
    broken: tuple[str, ...]  # keywords of attributes that are there but hold no value of their kind
    comma: tuple[str, ...]  # keywords of attributes whose numbers are written with a decimal comma
    assumed: tuple[str, ...]  # keywords of `ASSUMED` that are absent
    patient: str = field(repr=False)  # pseudonym of the identifier in one form of writing
    patient_as_written: str = field(repr=False)  # of the identifier letter by letter, as earlier versions made it
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
        return self._is_called(SCOUT_WORDS)

    @property
    def is_capture(self) -> bool:
        """True for what was on a screen, or was written by a scanner for people to read."""
        return "Secondary Capture" in pydicom.uid.UID(self.sop_class_uid).name or self._is_called(CAPTURE_WORDS)

    @property
    def rank(self) -> int:
        """0 for a slice of a CT, 1 for other images of the modality CT (captured screens), 2 for those of others."""
        if self.modality not in ("CT", ""):
            return 2
        return 0 if self.sop_class_uid in CT_CLASSES and not self._is_called(CAPTURE_WORDS) else 1

    @property
    def is_lossy(self) -> bool:
        """True when the slice was ever compressed with loss, also where its header keeps silent about it."""
        return self.lossy == "01" or self.transfer_syntax in LOSSY_SYNTAXES

    @property
    def padding_hu(self) -> float | None:
        """The stated padding in HU."""
        if self.padding_stored is None:
            return None
        return self.padding_stored * (self.slope or 1.0) + (self.intercept or 0.0)

    def _is_called(self, names: tuple[str, ...]) -> bool:
        return any(name in value.upper() for name in names for value in self.image_type)


def has_dicom_mark(path: Path) -> bool:
    """True for a file with DICOM's mark behind a preamble, which no volume file has there; False where it is closed."""
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def is_dicom(path: Path) -> bool:
    """True for a file with DICOM's mark, or without the preamble but with a group that must then come first."""
    with path.open("rb") as file:
        head = file.read(136)
    begins_with_group_8 = head[:2] == b"\x08\x00" and len(head) == 136
    has_length = head[4:6].isalpha() or int.from_bytes(head[4:8], "little") < 128  # explicit or implicit VR
    begins_with_meta = head.startswith(b"\x02\x00\x00\x00UL\x04\x00") and len(head) == 136
    return head[128:132] == b"DICM" or (begins_with_group_8 and has_length) or begins_with_meta


def is_of_series(header: SliceHeader, wanted: int | str) -> bool:
    """True when a slice belongs to the series of a SeriesNumber or SeriesInstanceUID."""
    return str(wanted) in (str(header.series_number), header.series_uid)


def is_pointer(path: Path) -> bool:
    """True for the few lines that git-annex and Git LFS leave in place of a file that was not fetched."""
    with path.open("rb") as file:
        head = file.read(64)
    return head.startswith((b"/annex/objects/", b"version https://git-lfs", b"../.git/annex/", b".git/annex/"))


def read_headers(path: Path, *, pseudonym_key: bytes = b"", warned: list[str] | None = None) -> list[SliceHeader]:
    """The headers of one DICOM file; empty for a DICOM object that is no image (directory, report, plan).

    Args:
        path: file.
        pseudonym_key: turns the patient's identifier into a keyed hash; without it the identifier is not even read.
        warned: takes what pydicom warns of.

    Raises:
        InputError: not DICOM, cut short, or without what an image must say.
    """
    tags: list[Any] = [*TAGS, *OVERLAY_BIT_TAGS, *(["PatientID"] if pseudonym_key else [])]
    try:
        with quiet_pydicom(warned):
            dataset = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=tags, force=True)
            if "Rows" not in dataset or "Columns" not in dataset:
                _check_not_an_image(path, dataset)
                return []
            identifier = str(dataset.get("PatientID", "")).strip(" \0")  # blanks around mean nothing (LO, PS3.5 6.2)
            identifier = "" if is_nobody(identifier) else identifier
            shared = _shared_facts(path, dataset)
            shared["patient"] = _pseudonym(one_form(identifier), pseudonym_key)
            shared["patient_as_written"] = _pseudonym(identifier, pseudonym_key)
            groups = FunctionalGroups(dataset)
            if groups.num_described > shared["num_frames"]:
                said = f"NumberOfFrames is {shared['num_frames']}, but {groups.num_described} frames are described"
                raise InputError(f"{path.name}: {said}: some are gone")
            return [_header(shared, dataset, groups, frame) for frame in range(shared["num_frames"])]
    except InputError:
        raise
    except Exception as error:  # pydicom raises whatever malformed bytes lead to; its text may quote a value
        _refuse_other_syntax(path)
        raise InputError(f"{path.name} is not readable as DICOM ({type(error).__name__} in its header)") from None


def _check_not_an_image(path: Path, dataset: Dataset) -> None:
    """Refuse what is no DICOM at all, and what is cut off before it says whether it is an image, and how large.

    Objects that are no images end wherever they like, but all except a directory say of which class they are.
    """
    meta = getattr(dataset, "file_meta", Dataset())
    stored_as = str(meta.get("MediaStorageSOPClassUID", ""))
    if stored_as == MediaStorageDirectoryStorage:
        return
    _refuse_other_syntax(path, str(meta.get("TransferSyntaxUID", "")))
    raw = dataset.get_item("SOPClassUID") if "SOPClassUID" in dataset else None
    is_cut = isinstance(raw, RawDataElement) and len(raw.value or b"") < raw.length
    sop_class = "" if is_cut else str(dataset.get("SOPClassUID") or "")
    if not sop_class:
        raise InputError(f"{path.name} is not a DICOM file (or is cut off within its header)")
    if any(pydicom.uid.UID(uid).name.endswith("Image Storage") for uid in (sop_class, stored_as)):
        raise InputError(
            f"{path.name} does not say how large its image is (Rows, Columns): it is cut off within its header, or its "
            "TransferSyntaxUID is wrong"
        )


def _refuse_other_syntax(path: Path, stated: str | None = None) -> None:
    """Where elements are not written as the file says, that is why they cannot be read."""
    try:
        if stated is None:
            stated = str(pydicom.filereader.read_file_meta_info(path).get("TransferSyntaxUID", ""))
        other = encoding_contradiction(path, stated)
    except Exception:  # the file meta information is damaged as well
        return
    if other:
        raise InputError(f"{path.name}: {other}")


def _shared_facts(path: Path, dataset: Dataset) -> dict[str, Any]:
    """What all frames of a file have in common.

    Raises:
        InputError: an attribute without which the pixels cannot be understood holds no number.
    """
    fields = Fields(dataset)
    needed = {
        name: fields.get(keyword, whole)
        for name, keyword in (
            ("rows", "Rows"),
            ("columns", "Columns"),
            ("samples", "SamplesPerPixel"),
            ("bits_allocated", "BitsAllocated"),
            ("bits_stored", "BitsStored"),
            ("high_bit", "HighBit"),
            ("is_signed", "PixelRepresentation"),
        )
    }
    if fields.broken or needed["rows"] is None or needed["columns"] is None:
        broken = ", ".join(fields.broken) or "Rows or Columns"
        raise InputError(f"{path.name}: {broken} in its header cannot be read as a whole number")
    # Too small a number shows in the length of the pixels.
    num_frames = fields.get("NumberOfFrames", whole) or 1
    if fields.broken and "PerFrameFunctionalGroupsSequence" in dataset:
        raise InputError(f"{path.name}: NumberOfFrames in its header cannot be read as a whole number")
    if not 1 <= num_frames <= MAX_FRAMES:
        raise InputError(f"{path.name} claims {num_frames} frames")
    if needed["is_signed"] not in (None, 0, 1):
        raise InputError(f"{path.name}: PixelRepresentation is {needed['is_signed']}; 0 (unsigned) or 1 expected")
    bits = needed["bits_allocated"] or 0
    bits_stored = needed["bits_stored"] or bits
    meta = getattr(dataset, "file_meta", Dataset())
    return {
        "path": path,
        "rows": needed["rows"],
        "columns": needed["columns"],
        "samples": 1 if needed["samples"] is None else needed["samples"],
        "bits_allocated": bits,
        "bits_stored": bits_stored,
        "high_bit": bits_stored - 1 if needed["high_bit"] is None else needed["high_bit"],
        "overlay_bits": frozenset(int(dataset[tag].value or 0) for tag in OVERLAY_BIT_TAGS if tag in dataset) - {0},
        "is_signed": bool(needed["is_signed"]),
        "num_frames": num_frames,
        "transfer_syntax": str(meta.get("TransferSyntaxUID", "") or pydicom.uid.ImplicitVRLittleEndian),
        "modality": (fields.get("Modality", word) or "").upper(),
        "photometric": (fields.get("PhotometricInterpretation", word) or "").upper(),
        "lossy": fields.get("LossyImageCompression", word) or "",
        "lossy_ratios": fields.get("LossyImageCompressionRatio", words) or (),
        "lossy_methods": fields.get("LossyImageCompressionMethod", words) or (),
        "is_generated": fields.get("SyntheticData", answer) == "YES",
        "burned_in": fields.get("BurnedInAnnotation", answer) or "",
        "recognizable": fields.get("RecognizableVisualFeatures", answer) or "",
        "manufacturer": fields.get("Manufacturer", text) or "",
        "model_name": fields.get("ManufacturerModelName", text) or "",
        "study_uid": fields.get("StudyInstanceUID", str) or "",
        "series_uid": fields.get("SeriesInstanceUID", str) or "",
        "frame_of_reference_uid": fields.get("FrameOfReferenceUID", str) or "",
        "sop_class_uid": fields.get("SOPClassUID", str) or "",
        "sop_instance_uid": fields.get("SOPInstanceUID", str) or "",
        "broken": tuple(fields.broken),
        "assumed": tuple(k for k in ASSUMED if k not in fields.broken and not _has_value(dataset, k)),
    }


def _header(shared: dict[str, Any], dataset: Dataset, groups: FunctionalGroups, frame: int) -> SliceHeader:
    fields = Fields(dataset, *groups.of(frame))
    orientation = fields.get("ImageOrientationPatient", directions)
    instance = fields.get("InstanceNumber", whole)
    own = {
        "series_number": fields.get("SeriesNumber", whole),
        "acquisition": fields.get("AcquisitionNumber", whole),
        "instance": (instance or 0) if shared["num_frames"] == 1 else frame + 1,
        "kernel": fields.get("ConvolutionKernel", text) or "",
        "kvp": fields.get("KVP", number) or 0.0,
        "image_type": _image_type(fields, shared["num_frames"]),
        "tilt_deg": fields.get("GantryDetectorTilt", number) or 0.0,
        "position_mm": fields.get("ImagePositionPatient", vector),
        "row_direction": orientation and orientation[0],
        "column_direction": orientation and orientation[1],
        "spacing_mm": fields.get("PixelSpacing", spacing),
        "thickness_mm": fields.get("SliceThickness", length),
        "between_mm": abs(fields.get("SpacingBetweenSlices", number) or 0.0) or None,
        "slope": fields.get("RescaleSlope", number),
        "intercept": fields.get("RescaleIntercept", number),
        "rescale_type": (fields.get("RescaleType", word) or "").upper(),
        "padding_stored": fields.get("PixelPaddingValue", number),
        "padding_limit": fields.get("PixelPaddingRangeLimit", number),
    }
    broken = (*shared["broken"], *fields.broken)
    return SliceHeader(**{**shared, **own, "frame": frame, "broken": broken, "comma": tuple(fields.comma)})


def answer(value: Any) -> str:
    """YES or NO, however it is written; what is neither, as it is."""
    said = word(value).upper()
    return ANSWERS.get(said, said)


def _has_value(dataset: Dataset, keyword: str) -> bool:
    return keyword in dataset and dataset[keyword].value not in (None, "")


def _image_type(fields: Fields, num_frames: int) -> tuple[str, ...]:
    """Of a frame; the ImageType of an object of many frames says MIXED where they differ."""
    keywords = ("ImageType", "FrameType") if num_frames == 1 else ("FrameType", "ImageType")
    found: tuple[str, ...] = next((value for keyword in keywords if (value := fields.get(keyword, words))), ())
    return found


def _pseudonym(identifier: str, key: bytes) -> str:
    if not key or not identifier:
        return ""
    return hashlib.blake2b(identifier.encode(), key=key[:64], digest_size=8).hexdigest()
