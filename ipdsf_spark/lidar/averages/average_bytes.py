"""Averages as versioned bytes, so that a stream can build them in one task and merge them in another."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np

from ipdsf_spark.lidar.averages.averaging import Average

VERSION: Final = 2
_HEAD: Final = struct.Struct("<IBBqHHHBHHHddfd")
_CALIBRATED: Final = 1
_HAS_MISSING: Final = 2


def pack(averages: Iterable[Average]) -> bytes:
    """Several averages as one string of bytes."""
    return b"".join(to_bytes(average) for average in averages)


def split(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """The interval number and the bytes of every average in what `pack` wrote, without reading them.

    Raises:
        ValueError: the bytes were written by another version, or end early.
    """
    position = 0
    while position < len(raw):
        if len(raw) - position < _HEAD.size:
            raise ValueError(f"average ends after {len(raw) - position} bytes, its head alone has {_HEAD.size}")
        size, version, _, index = struct.unpack_from("<IBBq", raw, position)
        if version != VERSION:
            raise ValueError(f"average written by version {version}, this is version {VERSION}")
        if size < _HEAD.size or position + size > len(raw):
            raise ValueError(f"average should have {size} bytes, {len(raw) - position} are left")
        yield index, raw[position : position + size]
        position += size


def unpack(raw: bytes) -> list[Average]:
    """The inverse of `pack`.

    Raises:
        ValueError: the bytes were written by another version, or end early.
    """
    return [from_bytes(part) for _, part in split(raw)]


def to_bytes(average: Average) -> bytes:
    """One average as versioned bytes."""
    name = average.instrument.encode()[:255]
    flags = (_CALIBRATED if average.is_calibrated else 0) | (0 if average.missing is None else _HAS_MISSING)
    body = b"".join(
        (
            average.times.tobytes(),
            average.total.tobytes(),
            b"" if average.missing is None else average.missing.tobytes(),
            average.cloud_base_m.tobytes(),
            name,
        )
    )
    head = _HEAD.pack(
        _HEAD.size + len(body),
        VERSION,
        flags,
        average.index,
        len(average.times),
        average.total.size,
        average.cloud_base_m.size,
        len(name),
        average.num_noise,
        average.num_fog,
        average.num_precipitation,
        average.first_m,
        average.resolution_m,
        average.tilt_sum_deg,
        average.variance,
    )
    return head + body


def from_bytes(raw: bytes) -> Average:
    """The average that `to_bytes` wrote, read-only."""
    _, _, flags, index, num_times, num_gates, num_bases, name_length, *rest = _HEAD.unpack_from(raw)
    num_noise, num_fog, num_precipitation, first_m, resolution_m, tilt_sum_deg, variance = rest
    position = _HEAD.size
    times = np.frombuffer(raw, np.int64, num_times, position)
    position += 8 * num_times
    total = np.frombuffer(raw, np.float32, num_gates, position)
    position += 4 * num_gates
    missing = None
    if flags & _HAS_MISSING:
        missing = np.frombuffer(raw, np.uint16, num_gates, position)
        position += 2 * num_gates
    bases = np.frombuffer(raw, np.float32, num_bases, position)
    position += 4 * num_bases
    return Average(
        index=index,
        times=times,
        first_m=first_m,
        resolution_m=resolution_m,
        total=total,
        missing=missing,
        variance=variance,
        num_noise=num_noise,
        num_fog=num_fog,
        num_precipitation=num_precipitation,
        cloud_base_m=bases,
        tilt_sum_deg=tilt_sum_deg,
        is_calibrated=bool(flags & _CALIBRATED),
        instrument=raw[position : position + name_length].decode(),
    )
