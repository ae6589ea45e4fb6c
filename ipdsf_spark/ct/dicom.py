"""A DICOM series as one volume: gathered, sorted along its normal, decoded to HU, and made regular if asked to.

* gather: headers of every file; notes what is no image, what cannot be read
* group_slices: one acquisition, sorted; notes scouts, several series, mixed acquisitions
* load: pixels to HU, copies dropped; notes unreadable slices and duplicates, then gaps and tilt
* regular: gaps filled and tilt undone, only where the caller accepts it
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ipdsf_spark.ct.dicom_groups import coincide, group_slices, normal_of, spacing_problems
from ipdsf_spark.ct.dicom_header import (
    DICOM_SUFFIXES,
    RESOURCE_FORK,
    SliceHeader,
    is_dicom,
    is_pointer,
    read_headers,
)
from ipdsf_spark.ct.dicom_pixels import PixelReader
from ipdsf_spark.ct.volume import AIR_HU, Grid, Hu, Problem, Source, Volume, hu_array, joined, padding_in
from ipdsf_spark.errors import InputError

Progress = Callable[[int, int], None]  # (done, of)


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
        pseudonym_key: see `read_headers`.
        progress: told how many files are decoded.

    Raises:
        InputError: there is no readable slice at all.
    """
    headers, problems = gather(files, pseudonym_key=pseudonym_key)
    group = group_slices(headers, series=series)
    hu, kept, found = load(group.headers, progress)
    spacing, uneven = spacing_problems(kept)
    first = kept[0]
    assert first.spacing_mm and first.row_direction and first.column_direction and first.position_mm
    normal = normal_of(first)
    return Volume(
        hu=hu,
        grid=Grid(
            shape=(hu.shape[0], hu.shape[1], hu.shape[2]),
            spacing_mm=(spacing or 1.0, *first.spacing_mm),
            origin_mm=first.position_mm,
            direction=(
                (float(normal[0]), float(normal[1]), float(normal[2])),
                first.column_direction,
                first.row_direction,
            ),
        ),
        padding_hu=padding_in(hu, first.padding_hu),
        problems=(*problems, *group.problems, *found, *uneven),
        source=_source(kept),
    )


def _source(kept: Sequence[SliceHeader]) -> Source:
    """What a derived image must know of its slices."""
    first = kept[0]
    lossy = [h for h in kept if h.is_lossy]
    is_known = all(h.lossy for h in kept)
    return Source(
        kind="dicom",
        num_files=len({h.path for h in kept}),
        patient=first.patient,
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
        slice_positions_mm=tuple(h.position_mm for h in kept if h.position_mm),
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
            elif path.suffix.lower() in DICOM_SUFFIXES and not path.name.startswith(RESOURCE_FORK):
                damaged.append(Problem("unreadable", "is named like DICOM but is not", (path.name,)))
            else:
                strange.append(path.name)
        except (InputError, OSError) as error:
            text = str(error) if isinstance(error, InputError) else f"cannot be opened: {error.strerror}"
            damaged.append(Problem("unreadable", text, (path.name,)))
        warned += [Problem("library_warning", f"pydicom warns: {text}", (path.name,)) for text in said]
    if not headers:
        reasons = "; ".join(str(p) for p in damaged[:3]) or "no DICOM image among them"
        raise InputError(f"{len(files)} file(s), none a readable DICOM image: {reasons}")
    empty = _empty_slices(files, strange, headers)
    if empty:
        damaged.append(Problem("unreadable", f"{len(empty)} file(s) named like the slices are empty", tuple(empty)))
        strange = [name for name in strange if name not in empty]
    noted = [Problem("not_an_image", f"{len(strange)} file(s) hold no image", tuple(strange))] if strange else []
    return headers, [*joined(damaged), *noted, *joined(warned)]


def _empty_slices(files: Sequence[Path], strange: Sequence[str], headers: Sequence[SliceHeader]) -> list[str]:
    """Files of no length whose names end like those of the slices: a copy that was broken off."""
    suffixes = {h.path.suffix for h in headers}
    empty = [p.name for p in files if p.name in set(strange) and not p.stat().st_size]
    return [name for name in empty if Path(name).suffix in suffixes and not name.startswith(".")]


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
        raise InputError("; ".join(p.text for p in problems[:3]))
    if copies:
        problems.append(Problem("duplicates", f"{len(copies)} copies of other slices left out", tuple(copies)))
    if rivals:
        text = f"{len(rivals)} slice(s) at the place of another but with other values left out"
        problems.append(Problem("mixed_acquisitions", text, tuple(rivals)))
    return hu[: len(kept)], kept, [*problems, *joined(noted)]


def regular(volume: Volume) -> Volume:
    """`volume` with evenly spaced slices that stand above each other.

    Missing or uneven slices are interpolated linearly between their neighbours; a tilt is undone by shifting each slice
    within its plane, also linearly; what comes in from outside is padding or air.
    """
    positions = np.asarray(volume.source.slice_positions_mm)
    if len(positions) != volume.grid.shape[0] or len(positions) < 2:
        return volume
    along_z, along_y, along_x = np.asarray(volume.grid.direction)
    offsets = positions - positions[0]
    spacing_z, spacing_y, spacing_x = volume.grid.spacing_mm
    shifts = np.stack([offsets @ along_y / spacing_y, offsets @ along_x / spacing_x], axis=1)
    hu = volume.hu
    if np.abs(shifts).max() > 0.01:
        outside = volume.padding_hu if volume.padding_hu is not None else AIR_HU
        hu = _in_plane(hu, shifts, outside)
    hu = _even(hu, offsets @ along_z / spacing_z)
    grid = dataclasses.replace(volume.grid, shape=(hu.shape[0], hu.shape[1], hu.shape[2]))
    return dataclasses.replace(volume, hu=hu, grid=grid)


def _in_plane(hu: Hu, shifts: NDArray[np.float64], outside: float) -> Hu:
    shifted = np.empty(hu.shape, np.float32)
    for k, shift in enumerate(shifts):
        ndimage.shift(hu[k].astype(np.float32), shift, shifted[k], order=1, mode="constant", cval=outside)
    return hu_array(np.rint(shifted) if hu.dtype == np.int16 else shifted)


def _even(hu: Hu, index: NDArray[np.float64]) -> Hu:
    """Slices at 0, 1, 2 … from slices at `index`, linearly; a slice that is there is taken as it is."""
    wanted = np.arange(round(float(index[-1])) + 1)
    after = np.clip(np.searchsorted(index, wanted), 1, len(index) - 1)
    weight = np.clip((wanted - index[after - 1]) / (index[after] - index[after - 1]), 0.0, 1.0)
    weight[np.abs(weight) < 0.01], weight[np.abs(weight - 1) < 0.01] = 0.0, 1.0
    even: NDArray[Any] = np.empty((len(wanted), *hu.shape[1:]), hu.dtype)
    for k, (upper, share) in enumerate(zip(after, weight, strict=True)):
        if share in (0.0, 1.0):
            even[k] = hu[upper] if share == 1.0 else hu[upper - 1]
        else:
            blend = (1 - share) * hu[upper - 1] + share * hu[upper]
            even[k] = np.rint(blend) if hu.dtype == np.int16 else blend
    return even
