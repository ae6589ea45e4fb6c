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

from ipdsf_spark.ct.dicom_header import SliceHeader
from ipdsf_spark.ct.volume import Problem, ProblemKind
from ipdsf_spark.errors import InputError

COINCIDENT_PER_PIXEL: Final = 0.1  # slices nearer than this part of a pixel show the same place
UNEVEN_TOLERANCE: Final = 0.05  # of the spacing
TILT_TOLERANCE_DEG: Final = 0.1
DIRECTION_TOLERANCE: Final = 1e-3


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

    The spacing is the median step, so that a minority of gaps does not move it.
    """
    if len(headers) < 2:
        return 0.0, [_problem("single_slice", "one slice only: its thickness along the body is not known", headers)]
    positions = np.array([position_along_normal(headers[0])(h) for h in headers])
    steps = np.diff(positions)
    spacing = float(np.median(steps))
    problems = []
    for k in np.flatnonzero(np.abs(steps - spacing) > UNEVEN_TOLERANCE * spacing):
        before, after = headers[k], headers[k + 1]
        missing = round(steps[k] / spacing) - 1
        if missing >= 1 and abs(steps[k] - (missing + 1) * spacing) <= 2 * UNEVEN_TOLERANCE * (missing + 1) * spacing:
            text = f"{missing} slice(s) missing between {positions[k]:.2f} and {positions[k + 1]:.2f} mm"
            problems.append(_problem("missing_slices", text, (before, after)))
        else:
            text = f"a step of {steps[k]:.3f} mm among steps of {spacing:.3f} mm"
            problems.append(_problem("uneven_spacing", text, (before, after)))
    tilt = tilt_deg(headers)
    if tilt > TILT_TOLERANCE_DEG:
        problems.append(
            _problem("tilt", f"gantry tilted by {tilt:.1f}°: each slice is shifted against its neighbour", headers[:1])
        )
    return spacing, problems


def tilt_deg(headers: Sequence[SliceHeader]) -> float:
    """Angle between the line through the slices' first voxels and the normal of the slices."""
    path = np.asarray(headers[-1].position_mm) - np.asarray(headers[0].position_mm)
    along = float(np.dot(path, normal_of(headers[0])))
    return float(np.degrees(np.arctan2(np.sqrt(max(float(path @ path) - along**2, 0.0)), abs(along))))


def _one_series(slices: Sequence[SliceHeader], wanted: int | str | None) -> tuple[list[SliceHeader], list[Problem]]:
    parts = _split(slices, lambda h: h.series_uid)
    if wanted is not None:
        chosen = [part for part in parts if str(wanted) in (str(part[0].series_number), part[0].series_uid)]
        if not chosen:
            known = sorted({part[0].series_number for part in parts if part[0].series_number is not None})
            raise InputError(f"no series number {wanted} here; there are {known}")
        return chosen[0], []
    if len(parts) == 1:
        return parts[0], []
    numbers = ", ".join(f"{part[0].series_number} ({len(part)} images)" for part in parts)
    text = f"{len(parts)} series in one place, numbers {numbers}; name one with its series number. Not taken"
    return parts[0], [_problem("several_series", text, [h for part in parts[1:] for h in part])]


def _one_kind(slices: Sequence[SliceHeader]) -> tuple[list[SliceHeader], list[Problem]]:
    """The largest set with one size, spacing and orientation; slices that do not say where they are cannot join."""
    placed = [h for h in slices if h.position_mm and h.row_direction and h.spacing_mm and h.column_direction]
    placed = [h for h in placed if min(h.spacing_mm or (0.0,)) > 0 and _is_orthonormal(h)]
    problems = []
    if len(placed) < len(slices):
        lost = [h for h in slices if h not in placed]
        problems.append(_problem("unreadable", "no position, orientation or pixel spacing in the header", lost))
    if not placed:
        raise InputError(f"no slice says where it lies (ImagePositionPatient and the like): {_names(slices)}")
    parts = _split(placed, _kind)
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
    others = sorted((h for part in parts[1:] for h in part), key=where)
    text = f"{len(parts)} acquisitions over the same place; the largest, {len(parts[0])} slices, is taken, not"
    return parts[0], [_problem("mixed_acquisitions", text, others)]


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
        ("no_rescale", "no RescaleSlope and RescaleIntercept, so its values are no HU", lambda h: h.intercept is None),
        ("lossy", "compressed with loss", lambda h: h.is_lossy),
        ("generated", "made by software, not acquired", lambda h: h.is_generated),
    )
    for kind, text, applies in checks:
        concerned = [h for h in slices if applies(h)]
        if concerned:
            found.append(_problem(kind, text, concerned))
    return found


def _kind(header: SliceHeader) -> Hashable:
    assert header.spacing_mm and header.row_direction and header.column_direction
    directions = (*header.row_direction, *header.column_direction)
    return (
        header.rows,
        header.columns,
        tuple(round(s, 4) for s in header.spacing_mm),
        tuple(round(d / DIRECTION_TOLERANCE / 5) for d in directions),
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
