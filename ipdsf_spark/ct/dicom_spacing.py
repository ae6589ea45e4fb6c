"""Where the slices of a DICOM series lie: their order along the normal, their spacing, gaps and tilt."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.ct.dicom_header import SliceHeader
from ipdsf_spark.ct.rounded_positions import RoundedPositions, is_aligned, rounded_positions
from ipdsf_spark.ct.volume import Problem, ProblemKind, Vector

COINCIDENT_PER_PIXEL: Final = 0.1  # slices nearer than this part of a pixel show the same place
UNEVEN_TOLERANCE: Final = 0.05  # of the spacing
ROUNDING_MM: Final = 0.101  # between two positions that were rounded to a tenth of a millimetre
MAX_ROUNDING: Final = 0.2  # of the spacing: more is no rounding
# Below this spacing a tenth of a millimetre hides a missing slice: one in the middle moves its neighbours half a
# spacing from a grid through both ends, and rounding half a tenth back.
MIN_ROUNDED_MM: Final = 0.31
MAX_DRIFT: Final = 0.5  # of the spacing, from an even grid
# From slice to slice, in thicknesses, where two slices are all there are.
MIN_STEP: Final = 0.5
MAX_GAP: Final = 1.5
TILT_TOLERANCE_DEG: Final = 0.1
ROUNDED_COSINES_DEG: Final = 0.41  # half of a hundredth in both cosines of a direction
TILT_PER_PIXEL: Final = 0.1  # a shift within the plane by less than this part of a pixel is no tilt


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


@dataclass(frozen=True)
class Stack:
    """How slices lie upon each other."""

    spacing_mm: float  # 0 where there is one slice only
    problems: tuple[Problem, ...]
    places_mm: tuple[Vector, ...]  # LPS of each slice's first voxel, without the rounding of a position


def stack_of(headers: Sequence[SliceHeader]) -> Stack:
    """The spacing between slices, and where it does not hold: missing slices, uneven steps, tilt.

    Steps are compared with their median, which a minority of gaps does not move. Where they are whole multiples of it,
    within a tolerance, the spacing is the whole extent by their sum, so that rounded positions do not move it either.
    Steps that differ by more may be those of positions that were written in whole units (`rounded_positions`).
    """
    places = np.array([h.position_mm for h in headers], dtype=np.float64)
    written = tuple(h.position_mm for h in headers if h.position_mm)
    if len(headers) < 2:
        thickness = headers[0].thickness_mm
        known = f"its SliceThickness, {thickness:g} mm," if thickness else "1 mm"
        text = f"one slice only: {known} is taken for its extent along the body"
        return Stack(0.0, (problem_of("single_slice", text, headers),), written)
    positions = places @ normal_of(headers[0])
    if _is_even_but_rounded(positions):
        spacing = float(np.mean(np.diff(positions)))
        return Stack(spacing, (*_said_otherwise(headers, spacing), *_tilt(headers, positions)), written)
    spacing, problems = _steps(headers, positions)
    rounded = rounded_of(headers) if problems else None
    if rounded is None:
        said_else = [] if problems else _said_otherwise(headers, spacing)
        return Stack(spacing, (*problems, *said_else, *_tilt(headers, positions)), written)
    steps = np.unique(np.round(np.diff(positions)[rounded.counts == 1], 3))
    said = " and ".join(f"{step:g}" for step in steps)
    text = (
        f"positions of the slices are written in whole {rounded.unit_mm:g} mm (steps of {said} mm): taken is the "
        f"constant spacing that gives them, {rounded.spacing_mm:.4g} mm"
    )
    remarks = [problem_of("unusual_geometry", text, headers[:1])]
    for k in np.flatnonzero(rounded.counts > 1).tolist():
        between = f"between {positions[k]:.2f} and {positions[k + 1]:.2f} mm"
        text = f"{rounded.counts[k] - 1} slice(s) missing {between}"
        remarks.append(problem_of("missing_slices", text, headers[k : k + 2]))
    remarks += _said_otherwise(headers, rounded.spacing_mm)
    even = positions[0] + rounded.spacing_mm * rounded.index
    moved = places + np.outer(even - positions, normal_of(headers[0]))
    straight = tuple((float(x), float(y), float(z)) for x, y, z in moved)
    # Of oblique slices every coordinate was rounded; of others, those within the plane stay as they are.
    slack = 0.0 if is_aligned(normal_of(headers[0])) else float(np.sqrt(3)) * rounded.unit_mm
    return Stack(rounded.spacing_mm, (*remarks, *_tilt(headers, positions, slack)), straight)


def _said_otherwise(headers: Sequence[SliceHeader], spacing: float) -> list[Problem]:
    """Where even steps contradict the headers: by SpacingBetweenSlices, or as slices are missing all along."""
    first = headers[0]
    said = {"SpacingBetweenSlices": first.between_mm, "SliceThickness": first.thickness_mm}
    apart = {abs(after.instance - before.instance) for before, after in pairwise(headers)}
    times = apart.pop() if len(apart) == 1 else 1
    if first.between_mm and abs(first.between_mm - spacing) <= tolerance_mm(spacing):
        return []  # the distance is said as it is: every second number, and nothing is missing
    is_pair_apart = len(headers) == 2 and spacing > MAX_GAP * max(value or 0.0 for value in said.values())
    for keyword, value in said.items():
        fits = value and abs(times * value - spacing) <= tolerance_mm(spacing)
        # Two slices have no others to say how far apart neighbours lie: they may overlap by half, or leave a gap.
        is_near = is_pair_apart and value and times > 2 and MIN_STEP * value <= spacing / times <= MAX_GAP * value
        if times > 1 and value and (fits or is_near):
            text = (
                f"InstanceNumber grows by {times} from slice to slice, {keyword} is {value:g} mm and slices lie "
                f"{spacing:.4g} mm apart: of each {times} slices one is there"
            )
            return [problem_of("missing_slices", text, headers[:2])]
    between = first.between_mm
    if between and abs(between - spacing) > tolerance_mm(spacing):
        text = f"SpacingBetweenSlices is {between:g} mm, but slices lie {spacing:.4g} mm apart, which is taken"
        return [problem_of("geometry_conflict", text, headers[:1])]
    return []


def rounded_of(headers: Sequence[SliceHeader]) -> RoundedPositions | None:
    """The constant spacing behind slices whose positions were rounded; None where none explains their steps."""
    first = headers[0]
    return rounded_positions(
        np.array([h.position_mm for h in headers], dtype=np.float64),
        normal_of(first),
        said_mm=[s for s in (first.between_mm, first.thickness_mm) if s],
        numbers=[h.instance for h in headers],
    )


def is_even(headers: Sequence[SliceHeader]) -> bool:
    """True for slices of one constant spacing, in the order of their positions."""
    positions = np.array([position_along_normal(headers[0])(h) for h in headers])
    steps = np.diff(positions)
    median = float(np.median(steps))
    if bool((np.abs(steps - median) <= tolerance_mm(median)).all()) or _is_even_but_rounded(positions):
        return True
    rounded = rounded_of(headers)
    return rounded is not None and bool((rounded.counts == 1).all())


def _steps(headers: Sequence[SliceHeader], positions: NDArray[np.float64]) -> tuple[float, list[Problem]]:
    """The spacing [mm] that most steps have, and the steps that have another."""
    steps = np.diff(positions)
    spacing = float(np.median(steps))
    counts = np.maximum(np.rint(steps / spacing), 1.0)
    even = float((positions[-1] - positions[0]) / counts.sum())
    if (np.abs(steps - counts * even) <= tolerance_mm(even) * counts).all() and abs(even - spacing) > 1e-6:
        spacing = even
    spacing = _spacing_of_numbers(headers, steps) or spacing
    problems = []
    odd: dict[str, list[tuple[SliceHeader, SliceHeader]]] = defaultdict(list)
    for k in np.flatnonzero(np.abs(steps - spacing) > tolerance_mm(spacing)).tolist():
        before, after = headers[k], headers[k + 1]
        missing = round(steps[k] / spacing) - 1
        if missing >= 1 and abs(steps[k] - (missing + 1) * spacing) <= 2 * tolerance_mm(spacing) * (missing + 1):
            text = f"{missing} slice(s) missing between {positions[k]:.2f} and {positions[k + 1]:.2f} mm"
            problems.append(problem_of("missing_slices", text, (before, after)))
        else:
            odd[f"{steps[k]:.3f}"].append((before, after))
    for length, pairs in odd.items():
        often = "a step" if len(pairs) == 1 else f"{len(pairs)} steps"
        text = f"{often} of {length} mm among steps of {spacing:.3f} mm"
        problems.append(problem_of("uneven_spacing", text, [h for pair in pairs for h in pair]))
    drift = np.abs(positions - positions[0] - spacing * np.concatenate(([0.0], np.cumsum(counts))))
    if not problems and drift.max() > MAX_DRIFT * spacing:
        text = f"steps vary and add up: slices lie up to {drift.max():.2f} mm beside an even grid of {spacing:.3f} mm"
        problems.append(problem_of("uneven_spacing", text, [headers[int(drift.argmax())]]))
    return spacing, problems


def _spacing_of_numbers(headers: Sequence[SliceHeader], steps: NDArray[np.float64]) -> float | None:
    """The spacing [mm] of which steps are as many as InstanceNumber grows by; None where they are not, or all alike.

    Of a few slices out of a series no step need be the spacing, nor their median.
    """
    apart = np.diff([h.instance for h in headers])
    apart = -apart if apart[0] < 0 else apart
    if apart.min() < 1 or apart.min() == apart.max():
        return None
    apart = apart // np.gcd.reduce(apart)
    spacing = float(steps.sum() / apart.sum())
    return spacing if bool((np.abs(steps - apart * spacing) <= tolerance_mm(spacing)).all()) else None


def _is_even_but_rounded(positions: NDArray[np.float64]) -> bool:
    """True for an even grid whose positions were rounded to a tenth of a millimetre, however fine its spacing is."""
    even = np.linspace(positions[0], positions[-1], len(positions))
    is_near = np.abs(positions - even).max() <= ROUNDING_MM  # the ends are rounded as well
    return bool(is_near and even[1] - even[0] >= MIN_ROUNDED_MM and np.abs(np.diff(positions)).min() > 0)


def tolerance_mm(spacing: float) -> float:
    """By how much a step may differ from the spacing."""
    return max(UNEVEN_TOLERANCE * spacing, min(ROUNDING_MM, MAX_ROUNDING * spacing))


def _tilt(headers: Sequence[SliceHeader], positions: NDArray[np.float64], slack_mm: float = 0.0) -> list[Problem]:
    """Slices that are shifted within their plane, by more than `slack_mm`: by a tilted gantry, or here and there."""
    first = headers[0]
    assert first.spacing_mm is not None
    path = np.array([h.position_mm for h in headers]) - np.asarray(first.position_mm)
    shifts = path - np.outer(positions - positions[0], normal_of(first))
    lengths = np.linalg.norm(shifts, axis=1)
    if lengths.max() < max(TILT_PER_PIXEL * min(first.spacing_mm), slack_mm):
        return []
    tilt = tilt_deg(headers)
    along = (positions - positions[0]) / (positions[-1] - positions[0])
    beside = np.linalg.norm(shifts - np.outer(along, shifts[-1]), axis=1)
    if beside.max() > max(min(first.spacing_mm), TILT_PER_PIXEL * lengths[-1], slack_mm):
        text = f"slices are shifted within their plane by up to {lengths.max():.2f} mm, and not evenly"
        return [problem_of("tilt", text, [headers[int(beside.argmax())]])]
    if tilt <= _tilt_tolerance_deg(first):
        return []
    return [
        problem_of("tilt", f"gantry tilted by {tilt:.1f}°: each slice is shifted against its neighbour", headers[:1])
    ]


def _tilt_tolerance_deg(header: SliceHeader) -> float:
    """More where the direction cosines were rounded to two digits."""
    hundredths = 100 * np.asarray([header.row_direction, header.column_direction])
    is_whole = np.abs(hundredths - np.rint(hundredths)) < 1e-6
    is_rounded = bool(is_whole.all()) and not bool(np.isin(np.abs(np.rint(hundredths)), (0, 100)).all())
    return ROUNDED_COSINES_DEG if is_rounded else TILT_TOLERANCE_DEG


def tilt_deg(headers: Sequence[SliceHeader]) -> float:
    """Angle between the line through the slices' first voxels and the normal of the slices."""
    path = np.asarray(headers[-1].position_mm) - np.asarray(headers[0].position_mm)
    along = float(np.dot(path, normal_of(headers[0])))
    return float(np.degrees(np.arctan2(np.sqrt(max(float(path @ path) - along**2, 0.0)), abs(along))))


def problem_of(kind: ProblemKind, text: str, headers: Sequence[SliceHeader]) -> Problem:
    """A remark with the names of the files it is about."""
    return Problem(kind, text, tuple(dict.fromkeys(h.name for h in headers)))
