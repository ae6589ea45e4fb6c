"""What a DICOM file is really written in, for the reason where its TransferSyntaxUID says something else.

The data set's first bytes tell byte order, VR and deflation (PS3.5 A.1 to A.5); the first bytes of a pixel stream tell
its compression: the markers of JPEG (ITU-T T.81 B.1.1.3), JPEG-LS (T.87) and JPEG 2000 (T.800 A.2), and the header of
run lengths (PS3.5 G.5).
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Final

from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

ITEM: Final = b"\xfe\xff\x00\xe0"  # begins pixel data that are compressed, and each of their fragments
HEAD: Final = 4096
META: Final = b"\x02\x00"
FRAMES: Final = {0xC0: "JPEG Baseline", 0xC1: "JPEG Extended", 0xC3: "JPEG Lossless", 0xF7: "JPEG-LS"}
# What stands in the name of a syntax whose streams begin so.
FAMILIES: Final = ("JPEG 2000", "JPEG-LS", "JPEG Lossless", "JPEG Extended", "JPEG Baseline", "RLE")
RUN_LENGTH_HEADER: Final = 64
# Compressions that none of the libraries here knows (PS3.6 A), by the beginning of their identifiers.
UNDECODED: Final = {
    "1.2.840.10008.1.2.4.10": "a video",
    "1.2.840.10008.1.2.4.11": "JPEG XL",
    "1.2.840.10008.1.2.4.20": "High-Throughput JPEG 2000",
    "1.2.840.10008.1.2.4.94": "a reference to a server (JPIP)",
    "1.2.840.10008.1.2.4.95": "a reference to a server (JPIP)",
}


def name_of(uid: str) -> str:
    """A transfer syntax by name and identifier."""
    name = UID(uid).name
    return f"{name} ({uid})" if name != uid else uid


def undecoded(uid: str) -> str:
    """Against a compression that cannot be undone here; empty for others."""
    kind = next((kind for begin, kind in UNDECODED.items() if uid.startswith(begin)), "")
    asked = "convert them to JPEG 2000 or to no compression"
    return f"its pixels cannot be decoded: {kind}, {name_of(uid)}, is not read here; {asked}" if kind else ""


def contradiction(uid: str, pixels: bytes) -> str:
    """How the stated syntax and the pixel data disagree, and what would be right; empty where they do not.

    Args:
        uid: stated TransferSyntaxUID.
        pixels: of the element PixelData, from its first byte.
    """
    is_compressed = UID(uid).is_compressed and uid != DeflatedExplicitVRLittleEndian
    is_in_items = pixels.startswith(ITEM)
    if not is_compressed and is_in_items:
        there = stream_kind(_first_fragment(pixels)) or "compressed in a form that is not known here"
        return f"TransferSyntaxUID says {name_of(uid)}, but its pixels are {there}: that of {there} would be right"
    if is_compressed and not is_in_items:
        right = name_of(ExplicitVRLittleEndian)
        return f"TransferSyntaxUID says {name_of(uid)}, but its pixels are not compressed: {right} would be right"
    return ""


def stream_contradiction(uid: str, stream: bytes) -> str:
    """The same for one compressed frame."""
    stated = next((family for family in FAMILIES if family in UID(uid).name), "")
    there = stream_kind(stream)
    if not there or not stated or there == stated or {there, stated} == {"JPEG Baseline", "JPEG Extended"}:
        return ""
    return f"TransferSyntaxUID says {name_of(uid)}, but its pixels are {there}: that of {there} would be right"


def stream_kind(stream: bytes) -> str:
    """The compression of a stream by its first bytes; empty where they are not known."""
    if stream.startswith(b"\xff\x4f\xff\x51") or stream[4:8] == b"jP  ":
        return "JPEG 2000"
    if stream.startswith(b"\xff\xd8"):
        return _frame_of_jpeg(stream)
    segments = int.from_bytes(stream[:4], "little")
    if len(stream) > RUN_LENGTH_HEADER and 1 <= segments <= 15 and stream[4:8] == b"\x40\x00\x00\x00":
        return "RLE"
    return ""


def encoding_contradiction(path: Path, uid: str) -> str:
    """How a file's elements are written, where that is not what its TransferSyntaxUID says; else empty."""
    if not uid:
        return ""
    is_compressed = UID(uid).is_compressed and uid != DeflatedExplicitVRLittleEndian
    stated = ExplicitVRLittleEndian if is_compressed else uid  # elements beside compressed pixels are written so
    there = _encoding_of(_data_set(path))
    if not there or there == stated:
        return ""
    return f"TransferSyntaxUID says {name_of(uid)}, but its elements are written in {name_of(there)}"


def _frame_of_jpeg(stream: bytes) -> str:
    place = 2
    while place + 4 <= len(stream) and stream[place] == 0xFF:
        marker = stream[place + 1]
        if marker in FRAMES:
            return FRAMES[marker]
        place += 2 + int.from_bytes(stream[place + 2 : place + 4], "big")
    return ""


def _first_fragment(pixels: bytes) -> bytes:
    """Of encapsulated pixel data: what follows the table of offsets."""
    length = int.from_bytes(pixels[4:8], "little")
    second = 8 + length
    return pixels[second + 8 : second + 8 + HEAD] if pixels[second : second + 4] == ITEM else b""


def _data_set(path: Path) -> bytes:
    """The first bytes behind preamble and file meta information, which are little endian in every syntax."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    place = 132 if head[128:132] == b"DICM" else 0
    while head[place : place + 2] == META:
        is_long = head[place + 4 : place + 6] in (b"OB", b"UN")
        begin = place + (12 if is_long else 8)
        place = begin + int.from_bytes(head[place + 8 : begin] if is_long else head[place + 6 : begin], "little")
    return head[place:]


def _encoding_of(data: bytes) -> str:
    if len(data) < 8:
        return ""
    if data[:2] == b"\x08\x00" and data[3:4] == b"\x00":
        return str(ExplicitVRLittleEndian if data[4:6].isalpha() and data[4:6].isupper() else ImplicitVRLittleEndian)
    if data[:2] == b"\x00\x08" and data[4:6].isalpha():
        return str(ExplicitVRBigEndian)
    try:
        inflated = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, 8)
    except zlib.error:
        return ""
    return str(DeflatedExplicitVRLittleEndian) if inflated[:2] == b"\x08\x00" else ""
