"""Voxels behind the last one that a header announces: then rows, columns or slices are counted wrongly.

With one column too few every row is read from a place further on than it begins, so that the volume is sheared, and
nothing else tells of it. Bytes of zero only fill up, and a few of any value, a line's end or an odd word, are no row.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from ipdsf_spark.ct.volume import Problem

PIECE: Final = 2**20
FEW: Final = 16  # bytes; eight voxels are no row or column of a CT
META_LOCAL: Final = re.compile(rb"^ElementDataFile *= *LOCAL *\r?\n", re.MULTILINE)
META_DETACHED: Final = re.compile(rb"^ElementDataFile *= *(\S+) *\r?$", re.MULTILINE)
NRRD_RAW: Final = re.compile(rb"^encoding: *raw *\r?$", re.MULTILINE)
NRRD_DETACHED: Final = re.compile(rb"^data ?file: *(\S+) *\r?$", re.MULTILINE)
# Voxels that do not begin at once, are packed, or are written as text.
ELSEWHERE: Final = re.compile(
    rb"^(HeaderSize *= *[-1-9]|CompressedData *= *True|BinaryData *= *False|(byte|line) ?skip: *[-1-9])",
    re.MULTILINE | re.IGNORECASE,
)


def surplus_problems(name: str, end: int, place: int) -> list[Problem]:
    """Against a file whose last byte that is not zero ends at `end`, where its voxels should end at `place`."""
    if end <= place + FEW:
        return []
    text = f"holds values {end - place} bytes beyond the last voxel that its header announces: another number of voxels"
    return [Problem("unreadable", text, (name,))]


def end_of_values(path: Path, place: int) -> int:
    """Where the last byte that is not zero ends, of those from `place` on; `place` where there is none."""
    end = place
    with path.open("rb") as file:
        file.seek(place)
        while piece := file.read(PIECE):
            if filled := piece.rstrip(b"\0"):
                end = file.tell() - len(piece) + len(filled)
    return end


def raw_voxels(path: Path, head: bytes) -> tuple[Path, int] | None:
    """The file of NRRD's or MetaImage's unpacked voxels and where they begin in it; None where that is not so simple.

    Args:
        path: of the header.
        head: its first bytes.
    """
    is_nrrd = head.startswith(b"NRRD")
    if is_nrrd:
        head, blank, _ = head.partition(b"\n\n")
    if ELSEWHERE.search(head) or (is_nrrd and not NRRD_RAW.search(head)):
        return None
    found = (NRRD_DETACHED if is_nrrd else META_DETACHED).search(head)
    if found and found[1] != b"LOCAL":
        there = path.parent / found[1].decode("latin-1")
        return (there, 0) if there.is_file() else None
    if is_nrrd:
        return (path, len(head) + len(blank)) if blank else None
    local = META_LOCAL.search(head)
    return (path, local.end()) if local else None
