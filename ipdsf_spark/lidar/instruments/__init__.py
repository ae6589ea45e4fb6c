"""Every ceilometer format this project reads, from bytes, detected by content.

    decode(raw) -> Decoded            profiles and named reasons, for any bytes
    recognise(raw) -> str             maker and model, or "unknown"

A reader module offers ``recognise(raw) -> str | None`` (cheap, looks at the first bytes) and ``decode``.
"""

from __future__ import annotations

import zlib
from typing import Final

import numpy as np

from ipdsf_spark.lidar.instruments import blview, checks, foreign, micropulse, netcdf, text
from ipdsf_spark.lidar.profiles import Decoded, Rejected

GZIP_MAGIC: Final = b"\x1f\x8b"
MAX_UNPACKED_BYTES: Final = 256 * 2**20


def recognise(raw: bytes) -> str:
    """Maker and model, e.g. ``"Vaisala CL51"``, or ``"unknown"``."""
    if raw[:2] == GZIP_MAGIC:
        raw, _ = _unpacked(raw)
    if netcdf.is_netcdf(raw):
        return netcdf.recognise(raw) or "unknown"
    if micropulse.is_raw_binary(raw):
        return micropulse.MINI_MPL
    return blview.recognise(raw) or text.recognise(raw) or foreign.text_kind(raw) or "unknown"


def decode(raw: bytes, *, name: str = "", received: np.datetime64 | None = None) -> Decoded:
    """Profiles, and a reason for everything that gave none, for any bytes at all.

    Args:
        raw: a file's bytes as the instrument or logger wrote them, or packed with gzip.
        name: the file's name; only used for the date of stamps that are bare clock times.
        received: time for a file in which nothing carries a stamp.

    Returns:
        Offsets in `rejected` count in the unpacked bytes where the file was packed.
    """
    return checks.checked(_as_stored(raw, name, received))


def _as_stored(raw: bytes, name: str, received: np.datetime64 | None) -> Decoded:
    if raw[:2] == GZIP_MAGIC:
        raw, reason = _unpacked(raw)
        if reason:
            return Decoded("unknown", (), (Rejected(0, len(raw), reason),))
    if netcdf.is_netcdf(raw):
        return netcdf.decode(raw, name=name, received=received)
    if micropulse.is_raw_binary(raw):
        return micropulse.decode_raw_binary(raw)
    if blview.recognise(raw):
        return blview.decode(raw)
    if text.recognise(raw) is None and (kind := foreign.text_kind(raw)):
        return Decoded(kind, (), (Rejected(0, len(raw), foreign.text_reason(kind)),))
    return text.decode(raw, name=name, received=received)


def _unpacked(raw: bytes) -> tuple[bytes, str]:
    """What gzip packed, and a reason if it cannot be had."""
    stream = zlib.decompressobj(wbits=31)
    try:
        unpacked = stream.decompress(raw, MAX_UNPACKED_BYTES)
    except zlib.error as error:
        return raw, f"damaged gzip file: {error}"
    if not stream.eof:
        return raw, "gzip file is cut short" if len(
            unpacked
        ) < MAX_UNPACKED_BYTES else "gzip file unpacks to over 256 MiB"
    return unpacked, ""
