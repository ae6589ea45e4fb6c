"""What of a changed file is new.

A text file that has grown is sent as what was appended; a file of any other kind (netCDF, compressed) as a whole again.
Whether it has *grown* or was *replaced* is decided from the bytes that were there before: still the same, it has grown.

Where an appended part ends: after the last finished record, so that no part ends inside a message while its writer is
at work. Messages of ceilometers are framed by control characters (SOH or STX ... ETX or EOT); with stamps before each
record, the stamp belongs to the unfinished one, with stamps after, to the one before. Text without frames ends at a
line. An unfinished rest is kept until it is finished or nothing has come for a while; receivers join what was cut.
A table needs its column names: they are repeated at the head of each part, and counted (`preamble`).
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from ipdsf_spark.edge.entry import APPENDED, WHOLE, Source

LOOKED_AT: Final = 65_536  # bytes of the head that decide what a file is
LONGEST_PREAMBLE: Final = 4_096
BLOCK: Final = 65_536
CONTAINERS: Final = (b"CDF", b"\x89HDF", b"\x1f\x8b", b"PK\x03\x04", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")
OPENS: Final = b"\x01\x02"
ENDS: Final = b"\x03\x04"
_DATA_LINE: Final = re.compile(rb"""^[\s"'\-+]*\d""")


@dataclass(frozen=True)
class Piece:
    """Bytes of a file that become a record."""

    start: int
    stop: int
    kind: str = WHOLE
    preamble: int = 0


@dataclass(frozen=True)
class Habit:
    """How a file is written, as its head tells.

    Attributes:
        is_text: it can be continued.
        is_framed: its records are messages between control characters.
        stamps_follow: a record comes before its stamp.
        preamble: bytes of column names at its head.
    """

    is_text: bool
    is_framed: bool = False
    stamps_follow: bool = False
    preamble: int = 0


def habit_of(head: bytes) -> Habit:
    """How a file is written, from its first bytes."""
    if head.startswith(CONTAINERS) or b"\0" in head:
        return Habit(is_text=False)
    is_framed = any(byte in head for byte in OPENS + ENDS)
    stamps_follow = is_framed and head.lstrip()[:1] in (b"\x01", b"\x02")
    return Habit(True, is_framed, stamps_follow, 0 if is_framed else _preamble(head))


def _preamble(head: bytes) -> int:
    """Bytes before the first line that begins with a number; 0 if there is none within reason."""
    position = 0
    for line in head[:LONGEST_PREAMBLE].splitlines(keepends=True):
        if _DATA_LINE.match(line):
            return position
        position += len(line)
    return 0


def finished(new: bytes, habit: Habit) -> int:
    """How many of these bytes belong to finished records."""
    region = new[: max(new.rfind(b"\n"), new.rfind(b"\r")) + 1]
    end = max(region.rfind(bytes([byte])) for byte in ENDS)
    opened = max(region.rfind(bytes([byte])) for byte in OPENS)
    if not habit.is_framed or end > opened or (end < 0 and opened < 0):
        return len(region)
    if end < 0:
        return 0
    if habit.stamps_follow:
        openers = [place for byte in OPENS if (place := region.find(bytes([byte]), end)) >= 0]
        return min(openers)
    line_end = re.compile(rb"\r\n?|\n").search(region, end)
    return line_end.end() if line_end else 0


def pieces_of(file: BinaryIO, start: int, size: int, habit: Habit, *, limit: int, is_quiet: bool) -> Iterator[Piece]:
    """A text file from `start` on, in records of at most `limit` bytes.

    Args:
        file: open for reading.
        start: what was taken before.
        size: of the file.
        habit: how it is written.
        limit: of a record.
        is_quiet: nothing has come for so long that the unfinished rest goes as well.
    """
    position = start
    while position < size:
        preamble = habit.preamble if position else 0
        room = max(1, limit - preamble)
        file.seek(position)
        new = file.read(min(room, size - position))
        if not new:
            return  # cut short while we read
        is_rest = position + len(new) >= size
        length = len(new) if is_rest and is_quiet else finished(new, habit) or (0 if is_rest else len(new))
        if not length:
            return
        yield Piece(position, position + length, APPENDED if position else WHOLE, preamble)
        position += length


def begins_with(file: BinaryIO, source: Source) -> bool:
    """Whether the bytes that were taken in are still the beginning of the file."""
    return os.fstat(file.fileno()).st_size >= source.taken and digest_of(file, source.taken) == source.prefix


def digest_of(file: BinaryIO, stop: int) -> str:
    """SHA-256 of the first bytes of a file."""
    file.seek(0)
    digest = hashlib.sha256()
    while stop > 0 and (block := file.read(min(BLOCK, stop))):
        digest.update(block)
        stop -= len(block)
    return digest.hexdigest()


def is_grown_version(file: BinaryIO, copy: Path | None, source: Source, size: int) -> bool:
    """Whether a container is the one taken in before, with more in it, and not another file under its name.

    A writer that appends to netCDF or HDF5 leaves what it wrote and changes counts and indices: most blocks stay. If
    there is no copy to compare with, a file that became larger in its place has grown.
    """
    if size < source.taken:
        return False
    if copy is None or not copy.is_file():
        return os.fstat(file.fileno()).st_ino == source.inode
    same = total = 0
    file.seek(0)
    with copy.open("rb") as old:
        while block := old.read(4_096):
            total += 1
            same += file.read(4_096)[: len(block)] == block
    return 2 * same >= total
