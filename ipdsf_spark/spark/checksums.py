"""Files that Hadoop's local file system wrote with checksums beside them, held against these; without Hadoop.

`.NAME.crc` holds "crc" and a zero byte; how many bytes each checksum is of, and the CRC-32 of each such part, as 32-bit
numbers, the highest byte first (Hadoop, ChecksumFileSystem).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

MAGIC: Final = b"crc\0"
SUFFIX: Final = ".crc"
UNFINISHED: Final = ".tmp"  # Spark writes under a hidden name that ends so, and renames what is whole


def damaged_below(folder: Path) -> Iterator[tuple[Path, str]]:
    """Files that are not what was written, and in what way.

    Those that go away meanwhile are none of them, nor those that a running job is writing or a killed one never ended:
    nobody reads them.
    """
    for sums in sorted(folder.rglob(f".*{SUFFIX}")):
        path = sums.with_name(sums.name[1 : -len(SUFFIX)])
        if path.name.startswith(".") and path.name.endswith(UNFINISHED):
            continue
        if _seen(path, sums) and (said := _seen(path, sums)):  # one that is replaced looks damaged for a moment
            yield path, said


def _seen(path: Path, sums: Path) -> str:
    try:
        return damage_of(path.read_bytes(), sums.read_bytes())
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"


def damage_of(content: bytes, sums: bytes) -> str:
    """What is wrong with a file; empty if it is what its checksums say."""
    if len(sums) < 8 or sums[:4] != MAGIC or len(sums) % 4:
        return "has a damaged checksum file"
    (part,) = struct.unpack_from(">i", sums, 4)
    expected = struct.unpack_from(f">{len(sums) // 4 - 2}I", sums, 8)
    if part <= 0:
        return "has a damaged checksum file"
    num_parts = -(-len(content) // part)
    if num_parts != len(expected):
        told = "cut" if num_parts < len(expected) else "longer than what was written"
        return f"is {told}: {len(content)} bytes, {len(expected)} checksums of {part} bytes each"
    for number, checksum in enumerate(expected):
        if zlib.crc32(content[number * part : (number + 1) * part]) != checksum:
            return f"is not what was written, from byte {number * part} of {len(content)} on"
    return ""
