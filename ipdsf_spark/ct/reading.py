"""Any CT on disk as one volume: a DICOM folder or file, NIfTI, NRRD, MetaImage, or a stack of pictures.

What a path is follows from its content: DICOM files have a mark, volume files an ending; everything else is named in
the error. Arrays come out running to head, back and left (`canonical`).
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection
from pathlib import Path
from typing import Final

from ipdsf_spark.ct.dicom import Progress, no_progress, read_dicom
from ipdsf_spark.ct.dicom_header import DICOM_SUFFIXES, RESOURCE_FORK, has_dicom_mark, is_dicom, is_pointer
from ipdsf_spark.ct.folders import entries_of
from ipdsf_spark.ct.named_files import header_of
from ipdsf_spark.ct.pictures import PictureScale, is_picture, read_pictures
from ipdsf_spark.ct.plausibility import padding_problems, size_problems, slice_problems, value_problems
from ipdsf_spark.ct.regular import regular
from ipdsf_spark.ct.volume import SERIOUS, Problem, Volume, canonical
from ipdsf_spark.ct.volume_files import is_volume_file, read_volume_file
from ipdsf_spark.errors import InputError

ARCHIVE_MARKS: Final = (b"PK\x03\x04", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf\x27\x1c", b"Rar!", b"\x28\xb5\x2f\xfd")
PAGE: Final = re.compile(rb"(\xef\xbb\xbf)?\s*<(!DOCTYPE|html|\?xml|head|body|Error)\b", re.IGNORECASE)
PACKED_MARKS: Final = (b"\x1f\x8b", *ARCHIVE_MARKS)


def read_volume(
    path: str | Path,
    *,
    study: str = "",
    series: int | str | None = None,
    accept: Collection[str] = (),
    pictures: PictureScale | None = None,
    pseudonym_key: bytes = b"",
    progress: Progress = no_progress,
) -> Volume:
    """A volume that may be worked with: regular, in HU, or an error that says why not.

    Args:
        path: file or folder.
        study: name of the volume; by default the name of the file or folder.
        series: DICOM SeriesNumber or SeriesInstanceUID, where a folder holds several.
        accept: kinds of serious problems to take: missing or uneven slices are then interpolated, a tilt is undone,
            unreadable and foreign slices are left out.
        pictures: what a stack of pictures cannot say.
        pseudonym_key: turns the patient's identifier into `source.patient`, a keyed hash by which volumes of one
            patient are kept together; without it the identifier is not read.
        progress: told (done, of) while slices are decoded.

    Raises:
        InputError: nothing readable is there, or a serious problem that is not accepted.
    """
    unknown = set(accept) - SERIOUS
    if unknown:
        raise InputError(f"cannot accept {', '.join(sorted(unknown))}; known: {', '.join(sorted(SERIOUS))}")
    volume = _found(Path(path), series, pictures, pseudonym_key, progress)
    refused = [p for p in volume.problems if p.is_serious and p.kind not in accept]
    if refused:
        raise InputError(f"{path}: " + "; ".join(map(str, refused)))
    if any(p.is_serious for p in volume.problems):
        volume = regular(volume)
    return canonical(dataclasses.replace(volume, study=study or study_name(Path(path))))


def survey(
    path: str | Path,
    *,
    study: str = "",
    series: int | str | None = None,
    pictures: PictureScale | None = None,
    pseudonym_key: bytes = b"",
    progress: Progress = no_progress,
) -> Volume:
    """What is there, with everything that is wrong with it in `problems`: to be looked at, not to be worked with.

    Raises:
        InputError: nothing readable is there.
    """
    volume = _found(Path(path), series, pictures, pseudonym_key, progress)
    return canonical(dataclasses.replace(volume, study=study or study_name(Path(path))))


def study_name(path: Path) -> str:
    """The name of a file without its endings, or of a folder."""
    if path.is_dir():
        return path.resolve().name
    return re.sub(r"\.(nii|img|hdr|nrrd|nhdr|mha|mhd|dcm)?(\.gz)?$", "", path.name, flags=re.IGNORECASE)


def _found(
    path: Path, series: int | str | None, pictures: PictureScale | None, pseudonym_key: bytes, progress: Progress
) -> Volume:
    """The volume as its files hold it, with what its values and its folder say against it."""
    if path.is_symlink() and not path.exists():
        raise InputError(f"{path} is a link that leads nowhere")
    if not path.exists():
        raise InputError(f"{path} does not exist")
    entries = sorted(entries_of(path)) if path.is_dir() else [path]
    files = [p for p in entries if p.is_file() and not p.name.startswith(RESOURCE_FORK)]
    dangling = [p.name for p in entries if p.is_symlink() and not p.exists()]
    lost = [Problem("unreadable", f"{len(dangling)} link(s) lead nowhere", tuple(dangling))] if dangling else []
    if not files:
        said = f"; {lost[0]}" if lost else ""
        raise InputError(f"{path} is an empty folder{said}; expected DICOM slices, a NIfTI or NRRD file, or pictures")
    volume = _read(path, files, series, pictures, pseudonym_key, progress)
    is_lossy = any(p.kind == "lossy" for p in volume.problems)
    of_values = value_problems(volume.hu, volume.padding_hu, is_lossy=is_lossy)
    if not any(p.is_serious for p in of_values):  # values that are no HU at all have no padding either
        of_values += padding_problems(volume.hu)
    found = [*size_problems(volume.grid), *slice_problems(volume.hu), *of_values]
    return dataclasses.replace(volume, problems=(*lost, *volume.problems, *found))


def _read(
    path: Path,
    files: list[Path],
    series: int | str | None,
    pictures: PictureScale | None,
    pseudonym_key: bytes,
    progress: Progress,
) -> Volume:
    volumes = [p for p in files if is_volume_file(p) and not has_dicom_mark(p)]
    if any(p.suffix.lower() in DICOM_SUFFIXES or _looks_like_dicom(p) for p in files if p not in volumes):
        return read_dicom(files, series=series, pseudonym_key=pseudonym_key, progress=progress)
    if series is not None:
        raise InputError(f"{path} holds no DICOM, which alone has series: there is no series {series} to take")
    volumes = [p for p in volumes if header_of(p) not in files]
    if len(volumes) == 1:
        _require_content(volumes[0])
        return read_volume_file(volumes[0])
    if volumes:
        raise InputError(f"{path} holds {len(volumes)} volumes ({volumes[0].name}, {volumes[1].name} …): name one")
    stack = [p for p in files if is_picture(p)]
    if stack:
        return read_pictures(stack, pictures, progress)
    packed = next((p for p in files if is_packed(p)), None)
    if packed is not None:
        raise InputError(f"{path}: {packed.name} is a packed archive or file: unpack it, and name what was in it")
    more, expected = " …" if len(files) > 1 else "", "expected DICOM, NIfTI, NRRD, MetaImage or pictures"
    raise InputError(f"{path}: no CT in {files[0].name}{more}; {expected}")


def _require_content(path: Path) -> None:
    if not path.stat().st_size:
        raise InputError(f"{path} is empty: a copy that was broken off?")
    if is_pointer(path):
        raise InputError(f"{path} is a pointer of git-annex or Git LFS, whose content was not fetched")
    with path.open("rb") as file:
        head = file.read(64)
    if head.startswith(ARCHIVE_MARKS):
        raise InputError(f"{path} is a packed archive or file, whatever its name ends in: unpack it")
    if PAGE.match(head):
        raise InputError(f"{path} is a page of the web or XML: what a server sent in place of the volume?")


def is_packed(path: Path) -> bool:
    """True for an archive, or for one file packed by gzip, bzip2 or xz."""
    with path.open("rb") as file:
        head = file.read(262)
    return head.startswith(PACKED_MARKS) or head[257:262] == b"ustar"


def _looks_like_dicom(path: Path) -> bool:
    try:
        return is_dicom(path)
    except OSError:  # may not be opened; whoever reads it says so
        return False
