"""Where the header of a NRRD or MetaImage file says that its voxels lie: behind it, in one file, or one a slice.

Names may hold blanks; several files are listed one a line, or counted by a pattern (`slice%03d.raw 1 120 1`).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

NRRD_END: Final = re.compile(rb"\n\r?\n")  # the blank line behind a header of NRRD
META_LOCAL: Final = re.compile(rb"^ElementDataFile *= *LOCAL *\r?\n", re.MULTILINE)
NAMED: Final = re.compile(rb"^(?:data ?file *:|ElementDataFile *=) *([^\r\n]*)", re.MULTILINE | re.IGNORECASE)
PATTERN: Final = re.compile(r"(.*%\d*d.*?) +(-?\d+) +(-?\d+) +(-?[1-9]\d*)(?: +\d+)?")
LIST: Final = re.compile(r"LIST( +\d+)?")
MOST_FILES: Final = 16_384


def voxel_files(head: bytes) -> list[str]:
    """Names of the files of the voxels, as they stand in the header; empty where they lie behind it.

    Args:
        head: the text of a header, and for a detached one all of it.
    """
    found = NAMED.search(head)
    said = found[1].decode("utf-8", "surrogateescape").strip() if found else ""
    if not found or said.upper() == "LOCAL":
        return []
    if LIST.fullmatch(said.upper()):
        lines = head[found.end() :].decode("utf-8", "surrogateescape").splitlines()
        return [line.strip() for line in lines if line.strip()][:MOST_FILES]
    if counted := PATTERN.fullmatch(said):
        form, first, last, step = counted[1], *map(int, counted.groups()[1:])
        numbers = range(first, last + (1 if step > 0 else -1), step)
        return [form % number for number in numbers[:MOST_FILES]]
    return [said]


def place_of_voxels(head: bytes) -> int | None:
    """Where the voxels begin that lie behind a header; None where no header ends."""
    end = NRRD_END.search(head) if head.startswith(b"NRRD") else META_LOCAL.search(head)
    return end.end() if end else None


def missing_file(path: Path, head: bytes) -> str:
    """The first file of voxels that a header names and that is absent; empty where all are there."""
    return next((name for name in voxel_files(head) if not (path.parent / name).exists()), "")
