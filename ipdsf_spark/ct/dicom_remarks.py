"""What must be said about the slices of one volume, from their headers alone."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from ipdsf_spark.ct.dicom_header import ASSUMED, HU_TYPES, SliceHeader
from ipdsf_spark.ct.dicom_spacing import normal_of, problem_of, tilt_deg
from ipdsf_spark.ct.volume import Problem, ProblemKind

MIN_SLOPE: Final = 1e-3  # HU per stored step: 16 bits of it are less than a tissue
MIN_SPAN_HU: Final = 1000  # from air to soft tissue
MIN_TILT_DEG: Final = 0.5  # steps in which gantries are tilted
STRAIGHT: Final = 0.99999  # of a normal along the body: no slice that was tilted has it
HOUNSFIELD: Final = re.compile(r"HOUN[DS]+F[IE]+LD")  # also misspelt: workstations write Houndsfield
# Fourth values of ImageType of multi-energy and perfusion CT (PS3.3 C.8.15.3, C.8.16.2): in which HU are not what is
# stored, and in which only RescaleType says whether they are.
PERFUSION: Final = frozenset({"CBF", "CBV", "MTT", "RCBF", "RCBV", "TMAX", "TTP", "T_MAX"})  # flows, volumes, times
NEVER_HU: Final = frozenset({"EFF_ATOMIC_NUM", "ELECTRON_DENSITY", "MAT_FRACTIONAL"}) | PERFUSION
OF_MATERIALS: Final = frozenset({"MAT_SPECIFIC", "MAT_REMOVED", "MAT_MODIFIED", "MAT_VALUE_BASED"})


def remarks_of_headers(slices: Sequence[SliceHeader]) -> list[Problem]:
    """Units, compression, origin, burned-in text, and attributes that contradict each other."""
    found = _patients(slices)
    checks: tuple[tuple[ProblemKind, str, Callable[[SliceHeader], bool]], ...] = (
        (
            "not_ct",
            "PhotometricInterpretation is PALETTE COLOR, so its values are colours and no HU",
            lambda h: h.photometric.startswith("PALETTE"),
        ),
        (
            "no_rescale",
            "no RescaleSlope and RescaleIntercept, so its values are no HU",
            lambda h: h.slope is None and h.intercept is None,
        ),
        (
            "no_rescale",
            "no RescaleIntercept, so its values are no HU",
            lambda h: h.slope is not None and h.intercept is None,
        ),
        (
            "no_rescale",
            "no RescaleSlope, so its values are no HU",
            lambda h: h.slope is None and h.intercept is not None,
        ),
        (
            "no_rescale",
            f"RescaleSlope is not above {MIN_SLOPE:g}: no rescale",
            lambda h: h.slope is not None and h.slope <= MIN_SLOPE,
        ),
        (
            "not_hu",
            f"BitsStored and RescaleSlope let values span less than {MIN_SPAN_HU} HU: grey levels of a display",
            lambda h: (
                h.slope is not None
                and h.slope > MIN_SLOPE
                and (2.0 ** min(h.bits_stored, 32) - 1) * h.slope < MIN_SPAN_HU
            ),
        ),
        ("lossy", "compressed with loss", lambda h: h.is_lossy),
        ("generated", "made by software, not acquired", lambda h: h.is_generated),
        ("burned_in", "BurnedInAnnotation: text in the pixels may name a person", lambda h: h.burned_in == "YES"),
        (
            "burned_in",
            "RecognizableVisualFeatures: the person may be recognised from the images",
            lambda h: h.recognizable == "YES",
        ),
        ("burned_in", "captured screens: text in the pixels may name a person", lambda h: h.is_capture),
    )
    for modality in sorted({h.modality for h in slices} - {"CT", ""}):
        text = f"Modality is {modality}: not a CT image, so its values are no HU"
        found.append(problem_of("not_ct", text, [h for h in slices if h.modality == modality]))
    for kind, text, applies in checks:
        concerned = [h for h in slices if applies(h)]
        if concerned:
            found.append(problem_of(kind, text, concerned))
    for unit in sorted({h.rescale_type for h in slices} - {"HU"}):
        concerned = [h for h in slices if h.rescale_type == unit]
        if HOUNSFIELD.match(unit):
            if not unit.startswith("HOUNSFIELD"):
                found.append(problem_of("header_field", f"RescaleType is {unit}, taken for HU", concerned))
        elif unit not in HU_TYPES:
            found.append(problem_of("no_rescale", f"RescaleType is {unit}, so its values are no HU", concerned))
        elif unit in ("HU_MOD", "US"):
            text = f"RescaleType is {unit}: " + ("HU changed by software" if unit == "HU_MOD" else "unit not specified")
            found.append(problem_of("header_field", text, concerned))
    found += _materials(slices)
    for keyword in sorted({keyword for h in slices for keyword in h.assumed}):
        concerned = [h for h in slices if keyword in h.assumed]
        found.append(problem_of("header_field", f"{keyword} is absent: {ASSUMED[keyword]} assumed", concerned))
    for keyword in sorted({keyword for h in slices for keyword in h.broken}):
        concerned = [h for h in slices if keyword in h.broken]
        found.append(
            problem_of("header_field", f"{keyword} holds no value of its kind and counts as absent", concerned)
        )
    for keyword in sorted({keyword for h in slices for keyword in h.comma}):
        concerned = [h for h in slices if keyword in h.comma]
        found.append(problem_of("header_field", f"{keyword} is written with a decimal comma", concerned))
    return [*found, *_contradictions(slices)]


def _materials(slices: Sequence[SliceHeader]) -> list[Problem]:
    """Maps that multi-energy scanners compute and store as CT images."""
    found = []
    for name in sorted({word for h in slices for word in _words(h)} & (NEVER_HU | OF_MATERIALS)):
        concerned = [h for h in slices if name in _words(h)]
        silent = [h for h in concerned if name in NEVER_HU or not _says_hu(h.rescale_type)]
        if silent:
            text = f"ImageType says {name}, a map of a material or of a number, and no RescaleType says HU"
            text = f"ImageType says {name}: its values are no HU" if name in NEVER_HU else text
            found.append(problem_of("no_rescale", text, silent))
        else:
            text = f"ImageType says {name}: HU computed for a material, not those of the body"
            found.append(problem_of("header_field", text, concerned))
    return found


def _words(header: SliceHeader) -> set[str]:
    """Of ImageType: some makers put a name of their own before the standard's, in one value."""
    return {word for value in header.image_type for word in value.upper().split()}


def _says_hu(unit: str) -> bool:
    return unit in HU_TYPES[1:] or HOUNSFIELD.match(unit) is not None


def _patients(slices: Sequence[SliceHeader]) -> list[Problem]:
    """Slices of one volume whose PatientID differs: whom it shows cannot be said."""
    patients = Counter(h.patient for h in slices if h.patient)
    if len(patients) < 2:
        return []
    (usual, count), *_ = patients.most_common()
    others = [h for h in slices if h.patient not in ("", usual)]
    text = f"PatientID is {len(patients)} different ones in one series; {count} slices have the most frequent, not"
    return [problem_of("several_patients", text, others)]


def _contradictions(slices: Sequence[SliceHeader]) -> list[Problem]:
    """Attributes that do not agree among the slices, or with where the slices lie."""
    found = []
    scales = Counter((h.slope, h.intercept) for h in slices)
    if len(scales) > 1:
        (usual, count), *_ = scales.most_common()
        text = f"RescaleSlope and RescaleIntercept change among the slices; {count} have {usual[0]} and {usual[1]}, not"
        found.append(problem_of("header_field", text, [h for h in slices if (h.slope, h.intercept) != usual]))
    kernels = Counter(h.kernel for h in slices if h.kernel)
    if len(kernels) > 1:
        (usual_kernel, count), *_ = kernels.most_common()
        text = f"ConvolutionKernel changes along the volume, and noise and edges with it; {count} slices have "
        others = [h for h in slices if h.kernel not in ("", usual_kernel)]
        found.append(problem_of("header_field", f"{text}{usual_kernel}, not", others))
    frames = Counter(h.frame_of_reference_uid for h in slices if h.frame_of_reference_uid)
    if len(frames) > 1:
        text = f"FrameOfReferenceUID is {len(frames)} different ones in one series: whether positions agree is not said"
        usual_frame = frames.most_common()[0][0]
        others = [h for h in slices if h.frame_of_reference_uid not in ("", usual_frame)]
        found.append(problem_of("geometry_conflict", text, others))
    tilted = [h for h in slices if abs(h.tilt_deg) >= MIN_TILT_DEG]
    if tilted and len(slices) > 1 and tilt_deg(slices) < MIN_TILT_DEG and abs(normal_of(slices[0])[2]) > STRAIGHT:
        text = f"GantryDetectorTilt is {tilted[0].tilt_deg:g}° but the slices stand straight above each other"
        found.append(problem_of("geometry_conflict", text, tilted))
    return found
