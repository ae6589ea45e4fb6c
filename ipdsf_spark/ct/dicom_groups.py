"""Which DICOM images of a folder form one volume, and what must be said about the others.

File names and slice numbers prove nothing: slices belong together when series, size, spacing, orientation and
acquisition agree, and they follow each other along the normal of their planes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.ct.dicom_header import HU_TYPES, SliceHeader
from ipdsf_spark.ct.volume import Problem, ProblemKind
from ipdsf_spark.errors import InputError

COINCIDENT_PER_PIXEL: Final = 0.1  # slices nearer than this part of a pixel show the same place
UNEVEN_TOLERANCE: Final = 0.05  # of the spacing
ROUNDING_MM: Final = 0.101  # between two positions that were rounded to a tenth of a millimetre
MAX_ROUNDING: Final = 0.2  # of the spacing: more is no rounding
MAX_DRIFT: Final = 0.5  # of the spacing, from an even grid
TILT_TOLERANCE_DEG: Final = 0.1
TILT_PER_PIXEL: Final = 0.1  # a shift within the plane by less than this part of a pixel is no tilt
MIN_SLOPE: Final = 1e-3  # HU per stored step: 16 bits of it are less than a tissue
DIRECTION_TOLERANCE: Final = 1e-3
SPACING_TOLERANCE: Final = 1e-3  # relative: half a pixel over 512


@dataclass(frozen=True)
class Group:
    """Slices of one acquisition in the order of their positions, and what was left out."""

    headers: tuple[SliceHeader, ...]
    problems: tuple[Problem, ...]


def group_slices(headers: Sequence[SliceHeader], *, series: int | str | None = None) -> Group:
    """The largest consistent acquisition among `headers`, sorted along its normal.

    Args:
        headers: every image found.
        series: SeriesNumber or SeriesInstanceUID to take where there are several.

    Raises:
        InputError: no slice is left, or the asked series is not there.
    """
    problems: list[Problem] = []
    scouts = [h for h in headers if h.is_scout]
    if scouts:
        problems.append(_problem("scout", f"{len(scouts)} overview image(s) set aside", scouts))
    slices = [h for h in headers if not h.is_scout]
    if not slices:
        raise InputError(f"only overview images (scouts) here: {_names(scouts)}")
    slices, found = _one_series(slices, series)
    problems += found
    slices, found = _one_kind(slices)
    problems += found
    slices = sorted(slices, key=position_along_normal(slices[0]))
    slices, found = _one_acquisition(slices)
    problems += found
    return Group(tuple(slices), (*problems, *_remarks(slices)))


def position_along_normal(reference: SliceHeader) -> Callable[[SliceHeader], float]:
    """Gives the position of a slice [mm] along the normal of `reference`, growing to head, back or left."""
    normal = normal_of(reference)

    def position(header: SliceHeader) -> float:
        return float(np.dot(np.asarray(header.position_mm), normal))

    return position


def normal_of(header: SliceHeader) -> NDArray[np.float64]:
    """Unit normal of a slice in LPS, turned so that its largest component is positive."""
    normal = np.cross(np.asarray(header.row_direction), np.asarray(header.column_direction))
    normal = np.asarray(normal / np.linalg.norm(normal), dtype=np.float64)
    return normal if normal[np.argmax(np.abs(normal))] > 0 else -normal


def coincide(first: SliceHeader, second: SliceHeader) -> bool:
    """True when two slices show the same place."""
    position = position_along_normal(first)
    assert first.spacing_mm is not None
    return abs(position(first) - position(second)) < COINCIDENT_PER_PIXEL * min(first.spacing_mm)


def spacing_problems(headers: Sequence[SliceHeader]) -> tuple[float, list[Problem]]:
    """The spacing between slices [mm], and where it does not hold: missing slices, uneven steps, tilt.

    Steps are compared with their median, which a minority of gaps does not move. Where they are whole multiples of it,
    within a tolerance, the spacing is the whole extent by their sum, so that rounded positions do not move it either.
    """
    if len(headers) < 2:
        return 0.0, [_problem("single_slice", "one slice only: its thickness along the body is not known", headers)]
    positions = np.array([position_along_normal(headers[0])(h) for h in headers])
    steps = np.diff(positions)
    spacing = float(np.median(steps))
    counts = np.maximum(np.rint(steps / spacing), 1.0)
    even = float((positions[-1] - positions[0]) / counts.sum())
    if (np.abs(steps - counts * even) <= _tolerance_mm(even) * counts).all() and abs(even - spacing) > 1e-6:
        spacing = even
    problems = []
    for k in np.flatnonzero(np.abs(steps - spacing) > _tolerance_mm(spacing)):
        before, after = headers[k], headers[k + 1]
        missing = round(steps[k] / spacing) - 1
        if missing >= 1 and abs(steps[k] - (missing + 1) * spacing) <= 2 * _tolerance_mm(spacing) * (missing + 1):
            text = f"{missing} slice(s) missing between {positions[k]:.2f} and {positions[k + 1]:.2f} mm"
            problems.append(_problem("missing_slices", text, (before, after)))
        else:
            text = f"a step of {steps[k]:.3f} mm among steps of {spacing:.3f} mm"
            problems.append(_problem("uneven_spacing", text, (before, after)))
    drift = np.abs(positions - positions[0] - spacing * np.concatenate(([0.0], np.cumsum(counts))))
    if not problems and drift.max() > MAX_DRIFT * spacing:
        text = f"steps vary and add up: slices lie up to {drift.max():.2f} mm beside an even grid of {spacing:.3f} mm"
        problems.append(_problem("uneven_spacing", text, [headers[int(drift.argmax())]]))
    return spacing, [*problems, *_tilt(headers, positions)]


def _tolerance_mm(spacing: float) -> float:
    """By how much a step may differ from the spacing."""
    return max(UNEVEN_TOLERANCE * spacing, min(ROUNDING_MM, MAX_ROUNDING * spacing))


def _tilt(headers: Sequence[SliceHeader], positions: NDArray[np.float64]) -> list[Problem]:
    """Slices that are shifted within their plane: by a tilted gantry, or here and there."""
    first = headers[0]
    assert first.spacing_mm is not None
    path = np.array([h.position_mm for h in headers]) - np.asarray(first.position_mm)
    shifts = path - np.outer(positions - positions[0], normal_of(first))
    lengths = np.linalg.norm(shifts, axis=1)
    if lengths.max() < TILT_PER_PIXEL * min(first.spacing_mm):
        return []
    tilt = tilt_deg(headers)
    along = (positions - positions[0]) / (positions[-1] - positions[0])
    beside = np.linalg.norm(shifts - np.outer(along, shifts[-1]), axis=1)
    if beside.max() > max(min(first.spacing_mm), TILT_PER_PIXEL * lengths[-1]):
        text = f"slices are shifted within their plane by up to {lengths.max():.2f} mm, and not evenly"
        return [_problem("tilt", text, [headers[int(beside.argmax())]])]
    if tilt <= TILT_TOLERANCE_DEG:
        return []
    return [_problem("tilt", f"gantry tilted by {tilt:.1f}°: each slice is shifted against its neighbour", headers[:1])]


def tilt_deg(headers: Sequence[SliceHeader]) -> float:
    """Angle between the line through the slices' first voxels and the normal of the slices."""
    path = np.asarray(headers[-1].position_mm) - np.asarray(headers[0].position_mm)
    along = float(np.dot(path, normal_of(headers[0])))
    return float(np.degrees(np.arctan2(np.sqrt(max(float(path @ path) - along**2, 0.0)), abs(along))))


def _one_series(slices: Sequence[SliceHeader], wanted: int | str | None) -> tuple[list[SliceHeader], list[Problem]]:
    """The series that was asked for; else the only CT, whatever other images lie beside it."""
    parts = sorted(_split(slices, lambda h: h.series_uid), key=lambda part: min(h.rank for h in part))
    if wanted is not None:
        chosen = [part for part in parts if str(wanted) in (str(part[0].series_number), part[0].series_uid)]
        if not chosen:
            known = sorted({part[0].series_number for part in parts if part[0].series_number is not None})
            raise InputError(f"no series number {wanted} here; there are {known}")
        if len(chosen) > 1:
            raise InputError(f"{len(chosen)} series have the number {wanted}: name one by its SeriesInstanceUID")
        return chosen[0], []
    best = min(h.rank for h in parts[0])
    others = [part for part in parts[1:] if min(h.rank for h in part) > best]
    problems = []
    if others:
        what = ", ".join(sorted({part[0].modality or "unknown" for part in others}))
        aside = [h for part in others for h in part]
        problems.append(_problem("set_aside", f"{len(others)} series of other images ({what}) set aside", aside))
    rivals = [part for part in parts[1:] if min(h.rank for h in part) == best]
    if rivals:
        parts = [parts[0], *rivals]
        numbers = ", ".join(f"{part[0].series_number} ({len(part)} images)" for part in parts)
        text = f"{len(parts)} series in one place, numbers {numbers}; name one with its series number. Not taken"
        problems.append(_problem("several_series", text, [h for part in rivals for h in part]))
    captures = [h for h in parts[0] if h.rank > best]
    if captures:
        problems.append(_problem("set_aside", f"{len(captures)} captured screen(s) set aside", captures))
    return [h for h in parts[0] if h.rank == best], problems


def _one_kind(slices: Sequence[SliceHeader]) -> tuple[list[SliceHeader], list[Problem]]:
    """The largest set with one size, spacing and orientation; slices that do not say where they are cannot join."""
    placed, lost, reasons = [], [], set()
    for header in slices:
        missing = [keyword for keyword, value in _geometry(header) if value is None]
        if missing or not _is_orthonormal(header):
            lost.append(header)
            reasons.update(missing or ["ImageOrientationPatient"])
        else:
            placed.append(header)
    if not placed:
        raise InputError(f"no slice says where it lies (ImagePositionPatient and the like): {_names(slices)}")
    problems = []
    if lost:
        text = f"no position, orientation or pixel spacing in the header ({', '.join(sorted(reasons))})"
        problems.append(_problem("unreadable", text, lost))
    parts: list[list[SliceHeader]] = []
    for header in placed:
        same = next((part for part in parts if _is_same_kind(part[0], header)), None)
        if same is None:
            parts.append([header])
        else:
            same.append(header)
    parts.sort(key=len, reverse=True)
    if len(parts) > 1:
        others = [h for part in parts[1:] for h in part]
        text = f"{len(others)} image(s) of another size, spacing or orientation left out"
        problems.append(_problem("mixed_acquisitions", text, others))
    return parts[0], problems


def _one_acquisition(slices: Sequence[SliceHeader]) -> tuple[list[SliceHeader], list[Problem]]:
    """The largest set whose slices do not interleave with those of another acquisition (slices sorted by position).

    Parts of a scan that follow each other (step and shoot) have numbers of their own and still are one volume; two
    passes over the same place are not.
    """
    where = position_along_normal(slices[0])
    parts = _split(slices, lambda h: (h.acquisition, h.kernel, h.image_type))
    if len(parts) == 1 and _num_coincident(slices) > 0:
        parts = _runs(slices, where)
    ranges = sorted((where(part[0]), where(part[-1])) for part in parts)
    if all(before[1] < after[0] for before, after in pairwise(ranges)):
        return list(slices), []
    if _is_one_pass(slices, where):
        counts = {
            "AcquisitionNumber": len({h.acquisition for h in slices}),
            "ImageType": len({h.image_type for h in slices}),
            "ConvolutionKernel": len({h.kernel for h in slices}),
        }
        differing = " and ".join(keyword for keyword, count in counts.items() if count > 1)
        text = f"one pass of {len(slices)} slices whose headers alternate in {differing}"
        return list(slices), [_problem("alternating_header", text, sorted(parts[1], key=where))]
    others = sorted((h for part in parts[1:] for h in part), key=where)
    text = f"{len(parts)} acquisitions over the same place; the largest, {len(parts[0])} slices, is taken, not"
    return parts[0], [_problem("mixed_acquisitions", text, others)]


def _is_one_pass(slices: Sequence[SliceHeader], where: Callable[[SliceHeader], float]) -> bool:
    """True for slices of one kernel that follow each other evenly, in position and in number, whatever else differs."""
    if len({h.kernel for h in slices} - {""}) > 1 or _num_coincident(slices):
        return False
    steps = np.diff([where(h) for h in slices])
    numbers = np.diff([h.instance for h in slices])
    is_even = bool((np.abs(steps - np.median(steps)) <= _tolerance_mm(float(np.median(steps)))).all())
    return is_even and (bool((numbers > 0).all()) or bool((numbers < 0).all()))


def _runs(slices: Sequence[SliceHeader], where: Callable[[SliceHeader], float]) -> list[list[SliceHeader]]:
    """Two passes that only their instance numbers tell apart: each pass moves in one direction.

    Equal slices at one place are copies, which `load` drops after comparing pixels, so they form no pass of their own.
    """
    in_order = sorted(slices, key=lambda h: (h.instance, h.name))
    runs: list[list[SliceHeader]] = []
    for header in in_order:
        run = runs[-1] if runs else []
        step = where(header) - where(run[-1]) if run else 0.0
        first_step = where(run[1]) - where(run[0]) if len(run) > 1 else step
        if not run or (not coincide(header, run[-1]) and step * first_step < 0):
            runs.append([header])
        else:
            run.append(header)
    runs = [sorted(run, key=where) for run in runs]
    is_each_a_pass = len(runs) > 1 and all(len(run) > 1 and _num_coincident(run) == 0 for run in runs)
    return sorted(runs, key=len, reverse=True) if is_each_a_pass else [list(slices)]


def _num_coincident(slices: Sequence[SliceHeader]) -> int:
    return sum(coincide(a, b) for a, b in pairwise(slices))


def _remarks(slices: Sequence[SliceHeader]) -> list[Problem]:
    found = []
    checks: tuple[tuple[ProblemKind, str, Callable[[SliceHeader], bool]], ...] = (
        ("not_ct", "not a CT image, so its values are no HU", lambda h: h.modality not in ("CT", "")),
        (
            "no_rescale",
            "no RescaleSlope and RescaleIntercept, so its values are no HU",
            lambda h: h.intercept is None,
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
        ("lossy", "compressed with loss", lambda h: h.is_lossy),
        ("generated", "made by software, not acquired", lambda h: h.is_generated),
        ("burned_in", "BurnedInAnnotation: text in the pixels may name a person", lambda h: h.burned_in == "YES"),
        (
            "burned_in",
            "RecognizableVisualFeatures: the person may be recognised from the images",
            lambda h: h.recognizable == "YES",
        ),
    )
    for kind, text, applies in checks:
        concerned = [h for h in slices if applies(h)]
        if concerned:
            found.append(_problem(kind, text, concerned))
    for unit in sorted({h.rescale_type for h in slices} - {"HU"}):
        concerned = [h for h in slices if h.rescale_type == unit]
        if unit not in HU_TYPES and not unit.startswith("HOUNSFIELD"):
            found.append(_problem("no_rescale", f"RescaleType is {unit}, so its values are no HU", concerned))
        elif unit in ("HU_MOD", "US"):
            text = f"RescaleType is {unit}: " + ("HU changed by software" if unit == "HU_MOD" else "unit not specified")
            found.append(_problem("header_field", text, concerned))
    for keyword in sorted({keyword for h in slices for keyword in h.broken}):
        concerned = [h for h in slices if keyword in h.broken]
        found.append(_problem("header_field", f"{keyword} holds no value of its kind and counts as absent", concerned))
    return found


def _geometry(header: SliceHeader) -> tuple[tuple[str, object], ...]:
    return (
        ("ImagePositionPatient", header.position_mm),
        ("ImageOrientationPatient", header.row_direction),
        ("PixelSpacing", header.spacing_mm),
    )


def _is_same_kind(one: SliceHeader, two: SliceHeader) -> bool:
    """True for slices of one size, whose spacing and orientation differ by rounding at most."""
    if (one.rows, one.columns) != (two.rows, two.columns):
        return False
    spacing = np.asarray(one.spacing_mm), np.asarray(two.spacing_mm)
    directions = [np.asarray([h.row_direction, h.column_direction]) for h in (one, two)]
    return bool(
        (np.abs(spacing[0] - spacing[1]) <= SPACING_TOLERANCE * spacing[0]).all()
        and (np.abs(directions[0] - directions[1]) <= 5 * DIRECTION_TOLERANCE).all()
    )


def _is_orthonormal(header: SliceHeader) -> bool:
    row, column = np.asarray(header.row_direction), np.asarray(header.column_direction)
    products = np.array([row @ row - 1, column @ column - 1, row @ column])
    return bool(np.all(np.abs(products) < 10 * DIRECTION_TOLERANCE))  # NaN is not smaller than anything


def _split(slices: Sequence[SliceHeader], key: Callable[[SliceHeader], Hashable]) -> list[list[SliceHeader]]:
    """Parts with equal keys, the largest first; of equal ones the part that comes first."""
    parts: dict[Hashable, list[SliceHeader]] = defaultdict(list)
    for header in slices:
        parts[key(header)].append(header)
    return sorted(parts.values(), key=len, reverse=True)


def _problem(kind: ProblemKind, text: str, headers: Sequence[SliceHeader]) -> Problem:
    return Problem(kind, text, tuple(dict.fromkeys(h.name for h in headers)))


def _names(headers: Sequence[SliceHeader]) -> str:
    return ", ".join(h.name for h in headers[:5])
