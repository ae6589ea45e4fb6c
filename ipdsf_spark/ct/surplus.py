"""Voxels behind the last one that a header announces: then rows, columns or slices are counted wrongly.

With one column too few every row is read from a place further on than it begins, so that the volume is sheared, and
nothing else tells of it. Bytes of zero only fill up, and a few of any value, a line's end or an odd word, are no row.
Packed voxels are unpacked once more to be counted, a piece at a time: readers stop at the last one they expect.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ipdsf_spark.ct.detached import place_of_voxels, voxel_files
from ipdsf_spark.ct.volume import Problem
from ipdsf_spark.errors import InputError

PIECE: Final = 2**20
PACKED_PIECE: Final = 2**16  # which may hold a thousand times as much
FEW: Final = 16  # bytes; eight voxels are no row or column of a CT
ZLIB_OR_GZIP: Final = 32 + zlib.MAX_WBITS
GZIP_MARK: Final = b"\x1f\x8b"
META_PACKED: Final = re.compile(rb"^CompressedData *= *True", re.MULTILINE | re.IGNORECASE)
NRRD_RAW: Final = re.compile(rb"^encoding: *raw *\r?$", re.MULTILINE | re.IGNORECASE)
NRRD_PACKED: Final = re.compile(rb"^encoding: *(gz|gzip) *\r?$", re.MULTILINE | re.IGNORECASE)
SKIPPED: Final = re.compile(rb"^(?:HeaderSize *=|byte ?skip:) *(-?\d+)", re.MULTILINE)
# Voxels that are written as text, or begin behind so many lines.
ELSEWHERE: Final = re.compile(rb"^(BinaryData *= *False|line ?skip: *[-1-9])", re.MULTILINE | re.IGNORECASE)


def surplus_problems(name: str, end: int, place: int) -> list[Problem]:
    """Against a file whose last byte that is not zero ends at `end`, where its voxels should end at `place`."""
    if end <= place + FEW:
        return []
    text = f"holds values {end - place} bytes beyond the last voxel that its header announces: another number of voxels"
    return [Problem("unreadable", text, (name,))]


def surplus_of_header(path: Path, head: bytes, num_bytes: int) -> Iterator[Problem]:
    """Against the files of the voxels of a NRRD or MetaImage header.

    Args:
        path: of the header, under a name beside which its files lie.
        head: its text.
        num_bytes: that the voxels should take, unpacked.

    Raises:
        InputError: packed voxels are damaged or cut short.
    """
    is_nrrd = head.startswith(b"NRRD")
    is_packed = bool((NRRD_PACKED if is_nrrd else META_PACKED).search(head))
    skipped = int(found[1]) if (found := SKIPPED.search(head)) else 0
    if ELSEWHERE.search(head) or skipped < 0 or (is_nrrd and not is_packed and not NRRD_RAW.search(head)):
        return  # what is counted from the end has no surplus
    names = voxel_files(head)
    begin = skipped if names else place_of_voxels(head)
    if begin is None or num_bytes % max(1, len(names)):
        return
    each = num_bytes // max(1, len(names))
    for file in [path.parent / name for name in names] or [path]:
        if not file.is_file():
            continue
        if not is_packed:
            yield from surplus_problems(file.name, end_of_values(file, begin + each), begin + each)
        else:  # NRRD counts the bytes that are skipped behind the packing, MetaImage before it
            packed_at, place = (0 if names else begin, each + skipped) if is_nrrd else (begin, each)
            yield from surplus_problems(file.name, end_of_packed(file, packed_at, place), place)


def end_of_values(path: Path, place: int) -> int:
    """Where the last byte that is not zero ends, of those from `place` on; `place` where there is none."""
    end = place
    with path.open("rb") as file:
        file.seek(place)
        while piece := file.read(PIECE):
            if filled := piece.rstrip(b"\0"):
                end = file.tell() - len(piece) + len(filled)
    return end


def end_of_packed(path: Path, begin: int, least: int = 0) -> int:
    """Where the last byte that is not zero ends in what was packed by zlib or gzip.

    Args:
        path: of the file.
        begin: of the packed bytes in it.
        least: bytes that were packed.

    Raises:
        InputError: what was packed is another than what comes out, its end is missing, or it is less.
    """
    length = end = 0
    with path.open("rb") as file:
        file.seek(begin)
        piece, is_next = file.read(PACKED_PIECE), True
        kind = "gzip" if piece.startswith(GZIP_MARK) else "zlib"
        while is_next:  # of one member after the other; what follows the last is nobody's
            member = zlib.decompressobj(ZLIB_OR_GZIP)
            while piece and not member.eof:
                try:
                    unpacked = member.decompress(piece)
                except zlib.error:
                    text = f"{path.name} is damaged: its {kind} checksum does not fit what it holds"
                    raise InputError(text) from None
                filled = len(unpacked.rstrip(b"\0"))
                end, length = length + filled if filled else end, length + len(unpacked)
                piece = member.unused_data if member.eof else file.read(PACKED_PIECE)
            if not member.eof:
                raise InputError(f"{path.name} is cut short: its {kind} stream has no end")
            piece = piece or file.read(PACKED_PIECE)
            is_next = piece.startswith(GZIP_MARK)
    if length < least:
        raise InputError(f"{path.name} is cut short: {length} of {least} bytes of voxels were packed into it")
    return end
