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


def damaged_below(folder: Path) -> Iterator[tuple[Path, str]]:
    """Files that are not what was written, and in what way; those that go away meanwhile are none of them."""
    for sums in sorted(folder.rglob(f".*{SUFFIX}")):
        path = sums.with_name(sums.name[1 : -len(SUFFIX)])
        try:
            said = damage_of(path.read_bytes(), sums.read_bytes())
        except FileNotFoundError:
            continue
        except OSError as error:
            said = f"cannot be read: {error.strerror or error}"
        if said:
            yield path, said


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
