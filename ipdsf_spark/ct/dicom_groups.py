"""Which DICOM images of a folder form one volume, and what must be said about the others.

File names and slice numbers prove nothing: slices belong together when series, size, spacing, orientation and
acquisition agree, and they follow each other along the normal of their planes.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from ipdsf_spark.ct.dicom_header import SliceHeader, is_of_series
from ipdsf_spark.ct.dicom_remarks import remarks_of_headers
from ipdsf_spark.ct.dicom_spacing import (
    coincide,
    is_even,
    normal_of,
    position_along_normal,
    problem_of,
    tolerance_mm,
)
from ipdsf_spark.ct.volume import Problem
from ipdsf_spark.errors import InputError

DIRECTION_TOLERANCE: Final = 1e-3
SPACING_TOLERANCE: Final = 1e-3  # relative: half a pixel over 512
SAME_KV: Final = 1.0
MIN_STACK: Final = 3  # slices of one orientation that make a stack
MAX_CROSSING: Final = 2  # overviews: from the front and from the side
CROSSES_BELOW: Final = 0.5  # scalar product of two normals
MAX_NAMED: Final = 6  # series in one remark


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
        problems.append(problem_of("scout", f"{len(scouts)} overview image(s) set aside", scouts))
    slices = [h for h in headers if not h.is_scout]
    if not slices:
        raise InputError(f"only overview images (scouts) here: {_names(scouts)}")
    if series is None:
        slices, found = _without_crossing(slices)
        problems += found
    slices, found = _one_series(slices, series)
    problems += found
    if series is not None:
        slices, found = _without_crossing(slices)
        problems += found
    slices, found = _one_kind(slices)
    problems += found
    where = position_along_normal(slices[0])
    slices, again = _each_once(sorted(slices, key=where))
    slices, found = _one_acquisition(slices)
    problems += found
    kept = {_instance_of(h) for h in slices}
    slices = sorted([*slices, *(h for h in again if _instance_of(h) in kept)], key=where)
    return Group(tuple(slices), (*problems, *remarks_of_headers(slices)))


def _without_crossing(slices: Sequence[SliceHeader]) -> tuple[list[SliceHeader], list[Problem]]:
    """Without the one or two images that lie across a stack: overviews that no LOCALIZER in ImageType names."""
    placed = [h for h in slices if _is_placed(h)]
    kinds = _split(placed, lambda h: tuple(np.rint(normal_of(h))))
    if len(kinds) < 2 or len(kinds[0]) < MIN_STACK:
        return list(slices), []
    along = normal_of(kinds[0][0])
    crossing = {
        id(h)
        for kind in kinds[1:]
        for h in kind
        if len(kind) <= MAX_CROSSING and abs(float(along @ normal_of(h))) < CROSSES_BELOW
    }
    if not crossing:
        return list(slices), []
    scouts = [h for h in slices if id(h) in crossing]
    text = f"{len(scouts)} image(s) that lie across the others set aside as overview"
    return [h for h in slices if id(h) not in crossing], [problem_of("scout", text, scouts)]


def _one_series(slices: Sequence[SliceHeader], wanted: int | str | None) -> tuple[list[SliceHeader], list[Problem]]:
    """The series that was asked for; else the only CT, whatever other images lie beside it."""
    parts = sorted(_split(slices, lambda h: h.series_uid), key=lambda part: min(h.rank for h in part))
    if wanted is None and _is_torn(parts):
        text = f"SeriesInstanceUID is another in each of the {len(slices)} slices, which are one series in all else"
        return list(slices), [problem_of("alternating_header", text, slices[:1])]
    if wanted is not None:
        chosen = [part for part in parts if is_of_series(part[0], wanted)]
        if not chosen:
            known = sorted({part[0].series_number for part in parts if part[0].series_number is not None})
            raise InputError(f"no series number {wanted} here; there are {known}")
        if len(chosen) > 1:
            raise InputError(f"{len(chosen)} series have the number {wanted}: name one by its SeriesInstanceUID")
        return chosen[0], []
    best = min(h.rank for h in parts[0])
    others = [part for part in parts[1:] if min(h.rank for h in part) > best]
    if any(_is_placed(h) for h in parts[0]):  # pages of text that call themselves CT slices lie nowhere
        others += [part for part in parts[1:] if part not in others and not any(_is_placed(h) for h in part)]
    problems = []
    if others:
        what = ", ".join(sorted({part[0].modality or "unknown" for part in others}))
        aside = [h for part in others for h in part]
        problems.append(problem_of("set_aside", f"{len(others)} series of other images ({what}) set aside", aside))
    rivals = [part for part in parts[1:] if part not in others]
    if rivals:
        parts = [parts[0], *rivals]
        text = f"{len(parts)} series in one place, numbers {_numbered(parts)}. Not taken"
        problems.append(problem_of("several_series", text, [h for part in rivals for h in part]))
    strangers = [h for h in parts[0] if h.rank == 2 > best]
    if strangers:
        what = ", ".join(sorted({h.modality for h in strangers}))
        text = f"{len(strangers)} image(s) of other modalities ({what}) under the series' identifier set aside"
        problems.append(problem_of("set_aside", text, strangers))
    captures = [h for h in parts[0] if h.rank == 1 > best]
    if captures:
        problems.append(problem_of("set_aside", f"{len(captures)} captured screen(s) set aside", captures))
    return [h for h in parts[0] if h.rank == best], problems


def _numbered(parts: Sequence[Sequence[SliceHeader]]) -> str:
    """The numbers and sizes of several series, and how one of them is named."""
    are_own = len({part[0].series_number for part in parts}) == len(parts)
    firsts = [f", from {name}" for name in _told_apart([min(part, key=lambda h: h.name) for part in parts])]
    named = [
        f"{part[0].series_number} ({len(part)} images{'' if are_own else first})"
        for part, first in zip(parts[:MAX_NAMED], firsts, strict=False)
    ]
    more = " …" if len(parts) > MAX_NAMED else ""
    how = "name one with its series number" if are_own else "numbers repeat: name one by its SeriesInstanceUID"
    return f"{', '.join(named)}{more}; {how}"


def _told_apart(headers: Sequence[SliceHeader]) -> list[str]:
    """Names of files with as many of their folders as tell them apart: media count slices anew in every folder."""
    for num_folders in range(max(len(h.path.parts) for h in headers)):
        names = ["/".join((*h.path.parent.parts[-num_folders:], h.name)) if num_folders else h.name for h in headers]
        if len(set(names)) == len(names):
            break
    return names


def _each_once(slices: Sequence[SliceHeader]) -> tuple[list[SliceHeader], list[SliceHeader]]:
    """Slices, and those that are one of them once more by SOPInstanceUID and by place, whatever else was changed.

    Of an instance that left an archive twice, one copy often has other headers; whether its pixels are the same, `load`
    sees.
    """

    def said(h: SliceHeader) -> tuple[str, ...]:
        return str(h.path.parent), str(h.acquisition), h.kernel, str(h.kvp), *h.image_type

    # Of two copies the one whose headers are those of most slices: the others must not alternate with them.
    counts = Counter(map(said, slices))
    first: dict[Hashable, SliceHeader] = {}
    again = []
    for header in sorted(slices, key=lambda h: (-counts[said(h)], said(h))):
        before = first.setdefault(_instance_of(header), header)
        if before is not header and header.sop_instance_uid and coincide(before, header):
            again.append(header)
    copies = {id(h) for h in again}
    return [h for h in slices if id(h) not in copies], again


def _instance_of(header: SliceHeader) -> Hashable:
    return header.sop_instance_uid, header.frame


def _one_kind(slices: Sequence[SliceHeader]) -> tuple[list[SliceHeader], list[Problem]]:
    """The largest set with one size, spacing and orientation; slices that do not say where they are cannot join."""
    placed = [h for h in slices if _is_placed(h)]
    lost = [h for h in slices if not _is_placed(h)]
    reasons = {
        keyword
        for h in lost
        for keyword in [k for k, value in _geometry(h) if value is None] or ["ImageOrientationPatient"]
    }
    if not placed:
        said, names = ", ".join(sorted(reasons)), _names(slices)
        if all(h.is_capture for h in slices):
            names += "; by SOPClassUID or ImageType they are captured screens or pages of text"
        raise InputError(f"no slice says where it lies ({said} absent or no value of its kind): {names}")
    problems = []
    if lost:
        text = f"no position, orientation or pixel spacing in the header ({', '.join(sorted(reasons))})"
        problems.append(problem_of("unreadable", text, lost))
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
        problems.append(problem_of("mixed_acquisitions", text, others))
    return parts[0], problems


def _one_acquisition(slices: Sequence[SliceHeader]) -> tuple[list[SliceHeader], list[Problem]]:
    """The largest set whose slices do not interleave with those of another acquisition (slices sorted by position).

    Parts of a scan that follow each other (step and shoot) have numbers of their own and still are one volume; two
    passes over the same place are not.
    """
    where = position_along_normal(slices[0])
    energy = _energies(slices)
    parts = _split(slices, lambda h: (h.acquisition, h.kernel.upper(), energy[h.kvp], h.image_type))
    if len(parts) == 1:
        parts = _runs(slices, where) if _num_coincident(slices) else _numbered_passes(slices, where)
    ranges = sorted((where(part[0]), where(part[-1])) for part in parts)
    if all(before[1] < after[0] for before, after in pairwise(ranges)):
        return list(slices), []
    if _is_one_pass(slices, where):
        counts = {
            "AcquisitionNumber": len({h.acquisition for h in slices}),
            "ImageType": len({h.image_type for h in slices}),
            "ConvolutionKernel": len({h.kernel.upper() for h in slices}),
            "KVP": len(set(energy.values())),
        }
        differing = " and ".join(keyword for keyword, count in counts.items() if count > 1)
        text = f"one pass of {len(slices)} slices whose headers alternate in {differing}"
        return list(slices), [problem_of("alternating_header", text, sorted(parts[1], key=where))]
    others = sorted((h for part in parts[1:] for h in part), key=where)
    text = f"{len(parts)} acquisitions over the same place; the largest, {len(parts[0])} slices, is taken, not"
    return parts[0], [problem_of("mixed_acquisitions", text, others)]


def _is_one_pass(slices: Sequence[SliceHeader], where: Callable[[SliceHeader], float]) -> bool:
    """True for slices of one kernel that follow each other evenly, in position and in number, whatever else differs.

    Where none has a number they must lie as far from each other as they are thick: each half alone would have gaps.
    """
    slices = _without_copies(slices)
    energies = set(_energies(slices).values())
    if len({h.kernel.upper() for h in slices} - {""}) > 1 or len(energies - {0.0}) > 1:
        return False
    if _num_coincident(slices):
        return False
    steps = np.diff([where(h) for h in slices])
    numbers = np.diff([h.instance for h in slices])
    if (numbers == 0).all():
        thickness = slices[0].thickness_mm or 0.0
        return is_even(slices) and abs(float(np.mean(steps)) - thickness) <= tolerance_mm(thickness)
    return is_even(slices) and (bool((numbers > 0).all()) or bool((numbers < 0).all()))


def _energies(slices: Sequence[SliceHeader]) -> dict[float, float]:
    """Each KVP with the one that stands for it: those that differ by less than a setting of the tube are one."""
    stands: dict[float, float] = {}
    for kvp in sorted({h.kvp for h in slices}):
        last = max(stands.values(), default=-SAME_KV)
        stands[kvp] = last if kvp - last < SAME_KV else kvp
    return stands


def _without_copies(slices: Sequence[SliceHeader]) -> list[SliceHeader]:
    """Slices in the order of their positions without those that repeat their neighbour's number and all its names."""

    def name(h: SliceHeader) -> Hashable:
        return h.instance, h.acquisition, h.kernel, h.kvp, h.image_type

    again = {id(h) for before, h in pairwise(slices) if name(before) == name(h) and coincide(before, h)}
    return [h for h in slices if id(h) not in again]


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


def _numbered_passes(slices: Sequence[SliceHeader], where: Callable[[SliceHeader], float]) -> list[list[SliceHeader]]:
    """Two passes whose slices lie between each other's, told by numbers that run through the place twice, evenly."""
    if len({h.instance for h in slices}) < len(slices):
        return [list(slices)]
    runs = _runs(slices, where)
    is_each_whole = all(len(run) >= MIN_STACK and is_even(run) for run in runs)
    return runs if is_each_whole else [list(slices)]


def _num_coincident(slices: Sequence[SliceHeader]) -> int:
    return sum(coincide(a, b) for a, b in pairwise(slices))


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


def _is_placed(header: SliceHeader) -> bool:
    """True for a slice that says where it lies."""
    return all(value is not None for _, value in _geometry(header)) and _is_orthonormal(header)


def _is_torn(parts: Sequence[Sequence[SliceHeader]]) -> bool:
    """True where an anonymiser gave each slice of one series an identifier of its own."""
    slices = [part[0] for part in parts]
    first = slices[0]
    if len(parts) < MIN_STACK or any(len(part) > 1 or not _is_placed(part[0]) for part in parts):
        return False
    if any((h.rank, h.series_number) != (first.rank, first.series_number) for h in slices):
        return False
    return all(_is_same_kind(first, h) for h in slices) and not _num_coincident(
        sorted(slices, key=position_along_normal(first))
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


def _names(headers: Sequence[SliceHeader]) -> str:
    return ", ".join(h.name for h in headers[:5])
