"""Which images the directory of a medium (DICOMDIR, PS3.3 F) lists, to notice those that were not copied with it.

Files may have been renamed and moved since, so images are known by their identifiers. Records of patients and studies
are passed over.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pydicom
from pydicom.dataset import Dataset

from ipdsf_spark.ct.dicom_fields import Fields, quiet_pydicom, text, whole, words
from ipdsf_spark.ct.dicom_header import SliceHeader
from ipdsf_spark.ct.volume import Problem

DIRECTORY: Final = "DICOMDIR"


def is_directory(path: Path) -> bool:
    """Told by its name, which the standard prescribes."""
    return path.stem.upper() == DIRECTORY


def images_not_here(files: Sequence[Path], headers: Sequence[SliceHeader], series_uid: str) -> list[Problem]:
    """Images of a series that a directory among `files` lists and that are not among `headers`.

    Of a damaged directory it is remarked that it tells nothing.
    """
    known = {h.sop_instance_uid for h in headers}
    problems = []
    for path in filter(is_directory, files):
        try:
            listed = images_of(path, series_uid)
        except Exception as error:  # pydicom raises whatever malformed bytes lead to
            said = f"cannot be read ({type(error).__name__}): whether images that it lists are missing is not known"
            problems.append(Problem("header_field", said, (path.name,)))
            continue
        lost = {uid: name for uid, name in listed.items() if uid not in known}
        if lost:
            said = f"{path.name} lists {len(lost)} image(s) of this series that are not here"
            problems.append(Problem("unreadable", said, tuple(lost.values())))
    return problems


def images_of(path: Path, series_uid: str) -> dict[str, str]:
    """The name under which each image of a series was on the medium, by SOPInstanceUID; empty where nothing is said."""
    with quiet_pydicom():
        directory = pydicom.dcmread(path, specific_tags=["DirectoryRecordSequence"])
        records = {item.seq_item_tell: item for item in directory.get("DirectoryRecordSequence", [])}
        found: dict[str, str] = {}
        for record in records.values():
            if _is(record, "SERIES") and record.get("SeriesInstanceUID") == series_uid:
                found |= {uid: _name(item) for item in _below(record, records) if (uid := _uid(item))}
    return found


def _below(record: Dataset, records: dict[int | None, Dataset]) -> Iterator[Dataset]:
    """The images of a series, each of which names the place of the next."""
    place, seen = Fields(record).get("OffsetOfReferencedLowerLevelDirectoryEntity", whole), set()
    while place in records and place not in seen:
        seen.add(place)
        if _is(records[place], "IMAGE"):
            yield records[place]
        place = Fields(records[place]).get("OffsetOfTheNextDirectoryRecord", whole)


def _is(record: Dataset, kind: str) -> bool:
    return bool(record.get("DirectoryRecordType") == kind)


def _uid(record: Dataset) -> str:
    return str(Fields(record).get("ReferencedSOPInstanceUIDInFile", text) or "")


def _name(record: Dataset) -> str:
    return "/".join(Fields(record).get("ReferencedFileID", words) or ("unnamed",))
