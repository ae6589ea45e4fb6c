"""A DICOM series as one volume: gathered, sorted along its normal, decoded to HU.

* gather: headers of every file; notes what is no image, what cannot be read
* group_slices: one acquisition, sorted; notes scouts, several series, mixed acquisitions
* load: pixels to HU, copies dropped; notes unreadable slices and duplicates, then gaps and tilt
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.ct.dicom_directory import DIRECTORY, images_not_here, is_directory
from ipdsf_spark.ct.dicom_groups import group_slices
from ipdsf_spark.ct.dicom_header import (
    DICOM_SUFFIXES,
    RESOURCE_FORK,
    SliceHeader,
    is_dicom,
    is_pointer,
    read_headers,
)
from ipdsf_spark.ct.dicom_pixels import PixelReader
from ipdsf_spark.ct.dicom_spacing import coincide, normal_of, stack_of
from ipdsf_spark.ct.volume import Grid, Hu, Problem, Source, Vector, Volume, joined, padding_in
from ipdsf_spark.errors import InputError

Progress = Callable[[int, int], None]  # (done, of)
UNFINISHED: Final = (".part", ".partial", ".crdownload", ".download", ".filepart")
PACKED: Final = (".gz", ".bz2", ".xz", ".zst", ".z")
MAX_JUMP_HU: Final = 400  # of the median from slice to slice


def no_progress(done: int, of: int) -> None:
    """For callers who do not watch."""


def read_dicom(
    files: Sequence[Path],
    *,
    series: int | str | None = None,
    pseudonym_key: bytes = b"",
    progress: Progress = no_progress,
) -> Volume:
    """The largest volume among DICOM files, with all that is wrong with them in `problems`; nothing is interpolated.

    Args:
        files: in any order; files that are not DICOM are noted.
        series: SeriesNumber or SeriesInstanceUID to take where there are several.
        pseudonym_key: see `read_headers`; without it patients are told apart by a key that is forgotten at once.
        progress: told how many files are decoded.

    Raises:
        InputError: there is no readable slice at all.
    """
    headers, problems = gather(files, pseudonym_key=pseudonym_key or secrets.token_bytes())
    group = group_slices(headers, series=series)
    problems += images_not_here(files, headers, group.headers[0].series_uid)
    hu, kept, found = load(group.headers, progress)
    stack = stack_of(kept)
    first = kept[0]
    assert first.spacing_mm and first.row_direction and first.column_direction and first.position_mm
    normal = normal_of(first)
    return Volume(
        hu=hu,
        grid=Grid(
            shape=(hu.shape[0], hu.shape[1], hu.shape[2]),
            spacing_mm=(stack.spacing_mm or first.thickness_mm or 1.0, *first.spacing_mm),
            origin_mm=first.position_mm,
            direction=(
                (float(normal[0]), float(normal[1]), float(normal[2])),
                first.column_direction,
                first.row_direction,
            ),
        ),
        padding_hu=padding_in(hu, first.padding_hu),
        problems=(*problems, *group.problems, *found, *stack.problems),
        source=_source(kept, stack.places_mm, names_patient=bool(pseudonym_key)),
    )


def _source(kept: Sequence[SliceHeader], places_mm: tuple[Vector, ...], *, names_patient: bool) -> Source:
    """What a derived image must know of its slices."""
    first = kept[0]
    lossy = [h for h in kept if h.is_lossy]
    is_known = all(h.lossy for h in kept)
    return Source(
        kind="dicom",
        num_files=len({h.path for h in kept}),
        patient=first.patient if names_patient else "",
        patient_as_written=first.patient_as_written if names_patient else "",
        study_uid=first.study_uid,
        series_uid=first.series_uid,
        frame_of_reference_uid=first.frame_of_reference_uid,
        sop_class_uid=first.sop_class_uid,
        sop_instance_uids=tuple(h.sop_instance_uid for h in kept),
        manufacturer=first.manufacturer,
        model_name=first.model_name,
        burned_in=_of_all([h.burned_in for h in kept]),
        recognizable=_of_all([h.recognizable for h in kept]),
        lossy="01" if lossy else "00" if is_known else "",
        lossy_ratios=lossy[0].lossy_ratios if lossy else (),
        lossy_methods=lossy[0].lossy_methods if lossy else (),
        slice_positions_mm=places_mm,
    )


def _of_all(said: Sequence[str]) -> str:
    """YES if one slice says so, NO if all do, else nothing."""
    return "YES" if "YES" in said else "NO" if set(said) == {"NO"} else ""


def gather(files: Sequence[Path], *, pseudonym_key: bytes = b"") -> tuple[list[SliceHeader], list[Problem]]:
    """The headers of all images among `files`, and which files are none.

    Raises:
        InputError: not one image is readable; says why for each of the first.
    """
    headers: list[SliceHeader] = []
    strange: list[str] = []
    foreign: list[Path] = []
    damaged: list[Problem] = []
    warned: list[Problem] = []
    for path in files:
        said: list[str] = []
        try:
            if is_dicom(path):
                found = read_headers(path, pseudonym_key=pseudonym_key, warned=said)
                headers += found
                strange += [] if found else [path.name]
            elif is_pointer(path):
                text = "is a pointer of git-annex or Git LFS, whose content was not fetched"
                damaged.append(Problem("unreadable", text, (path.name,)))
            elif path.name.startswith(RESOURCE_FORK):
                strange.append(path.name)
            elif path.suffix.lower() in DICOM_SUFFIXES:
                damaged.append(Problem("unreadable", "is named like DICOM but is not", (path.name,)))
            elif path.suffix.lower() in UNFINISHED and path.stat().st_size:
                damaged.append(
                    Problem("unreadable", "is the beginning of a file whose copying was broken off", (path.name,))
                )
            elif path.suffix.lower() in PACKED and Path(path.stem).suffix.lower() in ("", *DICOM_SUFFIXES):
                damaged.append(Problem("unreadable", "is packed: unpack it", (path.name,)))
            else:
                foreign.append(path)
        except (InputError, OSError) as error:
            text = str(error) if isinstance(error, InputError) else f"cannot be opened: {error.strerror}"
            damaged.append(Problem("unreadable", text, (path.name,)))
        warned += [Problem("library_warning", f"pydicom warns: {text}", (path.name,)) for text in said]
    if not headers:
        reasons = "; ".join(str(p) for p in damaged[:3]) or "no DICOM image among them"
        if any(map(is_directory, files)):
            reasons += f"; a {DIRECTORY} only lists the files of a medium: name the folder in which they lie"
        raise InputError(f"{len(files)} file(s), none a readable DICOM image: {reasons}")
    lost = _lost_slices(foreign, headers)
    for text, paths in lost.items():
        names = tuple(path.name for path in paths)
        damaged.append(Problem("unreadable", f"{len(names)} file(s) named like the slices {text}", names))
    told = {path for paths in lost.values() for path in paths}
    strange += [path.name for path in foreign if path not in told]
    noted = [Problem("not_an_image", f"{len(strange)} file(s) hold no DICOM image", tuple(strange))] if strange else []
    return headers, [*joined(damaged), *noted, *joined(warned)]


def _lost_slices(foreign: Sequence[Path], headers: Sequence[SliceHeader]) -> dict[str, list[Path]]:
    """Files that are no DICOM and whose names are like those of the slices but for their numbers, by what they are.

    Media have empty files of their own beside the slices (LOCKFILE). Other content only counts beside a slice: archives
    of files keep folders of their own, in which all names are numbers.
    """
    forms = {_form(h.path) for h in headers}
    beside = {(h.path.parent, _form(h.path)) for h in headers}
    found: dict[str, list[Path]] = {}
    for path in foreign:
        if _form(path) in forms and not path.stat().st_size:
            found.setdefault("are empty", []).append(path)
        elif (path.parent, _form(path)) in beside:
            found.setdefault("are no DICOM: something else in the place of a slice", []).append(path)
    return found


def _form(path: Path) -> str:
    """A name without what counts files: digits, and letters of hexadecimal numbers."""
    return re.sub(r"(?=[0-9a-f]*[0-9])[0-9a-f]+", "0", path.name, flags=re.IGNORECASE)


def load(
    headers: Sequence[SliceHeader], progress: Progress = no_progress
) -> tuple[Hu, list[SliceHeader], list[Problem]]:
    """hu[z, y, x] of slices sorted by position, without those that cannot be decoded and without copies.

    Raises:
        InputError: no slice can be decoded.
    """
    hu: NDArray[Any] = np.empty((0, 0, 0), np.int16)
    kept: list[SliceHeader] = []
    problems: list[Problem] = []
    copies: list[str] = []
    rivals: list[str] = []
    noted: list[Problem] = []
    reader = PixelReader()
    for done, header in enumerate(headers, start=1):
        try:
            values, remarks = reader.read_hu(header)
        except (InputError, OSError) as error:
            problems.append(Problem("unreadable", str(error), (header.name,)))
            continue
        finally:
            progress(done, len(headers))
        noted += [Problem(kind, text, (header.name,)) for kind, text in remarks]
        if kept and coincide(kept[-1], header):
            is_copy = np.array_equal(hu[len(kept) - 1], values)
            (copies if is_copy else rivals).append(header.name)
            continue
        if not kept:  # a header alone does not get memory for its volume
            hu = np.empty((len(headers), *values.shape), values.dtype)
        elif values.dtype == np.float32:
            hu = hu.astype(np.float32, copy=False)
        hu[len(kept)] = values
        kept.append(header)
    if not kept:
        raise InputError("; ".join(list(dict.fromkeys(p.text for p in problems))[:3]))
    if copies:
        problems.append(Problem("duplicates", f"{len(copies)} copies of other slices left out", tuple(copies)))
    if rivals:
        text = f"{len(rivals)} slice(s) at the place of another but with other values left out"
        problems.append(Problem("mixed_acquisitions", text, tuple(rivals)))
    hu = hu[: len(kept)]
    return hu, kept, [*problems, *joined(noted), *_jumps(hu, kept)]


def _jumps(hu: Hu, kept: Sequence[SliceHeader]) -> list[Problem]:
    """Slices whose rescale is another than that of a neighbour, and whose values jump with it."""
    jumping = []
    for k in range(1, len(kept)):
        scales = [(h.slope, h.intercept) for h in (kept[k - 1], kept[k])]
        if scales[0] != scales[1] and abs(float(np.median(hu[k])) - float(np.median(hu[k - 1]))) > MAX_JUMP_HU:
            jumping += [kept[k - 1].name, kept[k].name]
    if not jumping:
        return []
    text = f"values jump by more than {MAX_JUMP_HU} HU where RescaleSlope or RescaleIntercept changes"
    return [Problem("not_hu", text, tuple(dict.fromkeys(jumping)))]
