"""Arrays and plain values as versioned bytes: a head in JSON, then the arrays one after the other."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

MAGIC: Final = b"IPTN"
VERSION: Final = 3
READ: Final = frozenset({2, VERSION})  # 2 had alarms without days and clocks
_HEAD: Final = struct.Struct("<4sBII")  # magic, version, length of the JSON, checksum of all that follows


def pack(plain: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Values and arrays as one string of bytes."""
    described = {name: [array.dtype.str, list(array.shape)] for name, array in arrays.items()}
    text = json.dumps({"plain": plain, "arrays": described}, separators=(",", ":")).encode()
    body = b"".join([text, *(np.ascontiguousarray(array).tobytes() for array in arrays.values())])
    return _HEAD.pack(MAGIC, VERSION, len(text), zlib.crc32(body)) + body


def unpack(raw: bytes) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The inverse of `pack`; the arrays can be written to.

    Raises:
        ValueError: the bytes are of another kind or version, end early or are damaged.
    """
    if len(raw) < _HEAD.size or raw[:4] != MAGIC:
        raise ValueError(f"{len(raw)} bytes that are no state of a network tensor")
    _, version, length, checksum = _HEAD.unpack_from(raw)
    if version not in READ:
        raise ValueError(f"network tensor written by version {version}, this is version {VERSION}")
    body = raw[_HEAD.size :]
    if zlib.crc32(body) != checksum:
        raise ValueError(f"network tensor of {len(raw)} bytes is damaged or ends early: its checksum does not fit")
    head = json.loads(body[:length])
    position, arrays = length, {}
    for name, (kind, shape) in head["arrays"].items():
        count = int(np.prod(shape, dtype=np.int64))
        array = np.frombuffer(body, np.dtype(kind), count, position).reshape(shape).copy()
        arrays[name], position = array, position + array.nbytes
    return head["plain"], arrays
