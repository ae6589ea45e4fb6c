"""Averages as versioned bytes, so that a stream can build them in one task, merge them in another and remember them.

Two precisions: *full* keeps the sums as they are; *short* keeps at most 16 bits of each, scaled by the largest of its
32 neighbours, and no finer than a `FINENESS`-th of the noise from gate to gate there, so that most high bytes are alike
and compress away. `rounded` is what short bytes give back.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.averages.average import Average, Sum
from ipdsf_spark.lidar.profiles import Float32

VERSION: Final = 5
_IN_PAIRS: Final = 4  # version in which the two bytes of a short sum stood together; states of then are read
_HEAD: Final = struct.Struct("<IBBqIHHHIIIIIIIIBBHBddddf3f")
_HEALTH: Final = struct.Struct("<Bdi")
_CALIBRATED, _MISSING, _BLOCK_MISSING, _CROSS, _SHORT = 1, 2, 4, 8, 16
GROUP: Final = 32  # values that share a scale
BITS: Final = 15
LARGEST: Final = 2**BITS - 1
LEAST: Final = -100  # exponent of a group's scale: two to the opposite, and to 15 more, are floats of four bytes
FINENESS: Final = 16.0  # steps in a standard deviation of the noise: rounding adds a three-thousandth to its variance
# From the median size of the second differences of white noise to a step.
_TO_STEP: Final = np.float32(1.0 / (0.6745 * 6.0**0.5 * FINENESS))
_ONE: Final = np.float32(1.0)


def pack(averages: Iterable[Average], *, short: bool = False) -> bytes:
    """Several averages as one string of bytes."""
    return b"".join(to_bytes(average, short=short) for average in averages)


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
        if version not in (_IN_PAIRS, VERSION):
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


def rounded(average: Average) -> tuple[Average, bytes]:
    """The average as short bytes keep it, and these bytes."""
    exponent, short = _short(_sums(average))
    total, block_total, block_square, *cross = _long(short, exponent, [sums.size for sums in _sums(average)])
    kept = replace(
        average,
        total=total,
        block_total=block_total,
        block_square=block_square,
        block_cross=cross[0] if cross else None,
    )
    return kept, _written(average, (exponent.tobytes(), _in_planes(short)), is_short=True)


def _sums(average: Average) -> list[Float32]:
    cross = [] if average.block_cross is None else [average.block_cross]
    return [average.total, average.block_total, average.block_square, *cross]


def to_bytes(average: Average, *, short: bool = False) -> bytes:
    """One average as versioned bytes."""
    if short:
        return rounded(average)[1]
    return _written(average, [_full(each) for each in _sums(average)], is_short=False)


def _written(average: Average, sums: Sequence[bytes], *, is_short: bool) -> bytes:
    """Head, `sums` and the rest."""
    instrument, identity = average.instrument.encode()[:255], average.identity.encode()[:255]
    alarms = "\n".join(average.alarms).encode()[:65_535]
    flags = (
        _CALIBRATED * average.is_calibrated
        | _MISSING * (average.missing is not None)
        | _BLOCK_MISSING * (average.block_missing is not None)
        | _CROSS * (average.block_cross is not None)
        | _SHORT * is_short
    )
    health = [(name.encode()[:255], *values) for name, values in sorted(average.health.items())][:255]
    lists = (
        average.cloud_base_m,
        average.higher_base_m,
        average.vertical_visibility_m,
        average.maker_layer_m,
        average.clipped_from_m,
    )
    body = b"".join(
        (
            average.times.tobytes(),
            *sums,
            b"" if average.missing is None else average.missing.tobytes(),
            b"" if average.block_missing is None else average.block_missing.tobytes(),
            *(heights.tobytes() for heights in lists),
            *(_HEALTH.pack(len(name), total, num) + name for name, total, num in health),
            instrument,
            identity,
            alarms,
        )
    )
    head = _HEAD.pack(
        _HEAD.size + len(body),
        VERSION,
        flags,
        average.index,
        len(average.times),
        average.total.size,
        average.block_total.size,
        average.block_gates,
        *(heights.size for heights in lists),
        average.num_noise,
        average.num_fog,
        average.num_precipitation,
        len(instrument),
        len(identity),
        len(alarms),
        len(health),
        average.first_m,
        average.resolution_m,
        average.variance,
        average.tilt_sum_deg,
        average.wavelength_nm,
        *average.position,
    )
    return head + body


def from_bytes(raw: bytes) -> Average:
    """The average that `to_bytes` wrote, read-only.

    Raises:
        ValueError: the bytes end early.
    """
    (_, version, flags, index, num_times, num_fine, num_blocks, block_gates, *counts) = _HEAD.unpack_from(raw)
    lengths, (num_noise, num_fog, num_rain), rest = counts[:5], counts[5:8], counts[8:]
    instrument_size, identity_size, alarms_size, num_health = rest[:4]
    first_m, resolution_m, variance, tilt, wavelength, latitude, longitude, altitude = rest[4:]
    read = _Reader(raw, _HEAD.size, is_short=bool(flags & _SHORT), in_pairs=version == _IN_PAIRS)
    times = read.array(np.int64, num_times)
    sizes = [num_fine, num_blocks, num_blocks, *([num_blocks] if flags & _CROSS else [])]
    total, block_total, block_square, *cross = read.sums(sizes)
    block_cross = cross[0] if cross else None
    missing = read.array(np.uint16, num_fine) if flags & _MISSING else None
    block_missing = read.array(np.uint16, num_blocks) if flags & _BLOCK_MISSING else None
    bases, higher, visibility, maker, clipped = (read.array(np.float32, length) for length in lengths)
    health = read.health(num_health)
    instrument, identity = read.text(instrument_size), read.text(identity_size)
    alarms = read.text(alarms_size)
    return Average(
        index=index,
        times=times,
        first_m=first_m,
        resolution_m=resolution_m,
        total=total,
        missing=missing,
        block_gates=block_gates,
        block_total=block_total,
        block_square=block_square,
        block_cross=block_cross,
        block_missing=block_missing,
        variance=variance,
        num_noise=num_noise,
        num_fog=num_fog,
        num_precipitation=num_rain,
        cloud_base_m=bases,
        higher_base_m=higher,
        vertical_visibility_m=visibility,
        maker_layer_m=maker,
        clipped_from_m=clipped,
        health=health,
        alarms=tuple(alarms.split("\n")) if alarms else (),
        tilt_sum_deg=tilt,
        is_calibrated=bool(flags & _CALIBRATED),
        instrument=instrument,
        identity=identity,
        wavelength_nm=wavelength,
        position=(latitude, longitude, altitude),
    )


class _Reader:
    """Reads one thing after the other."""

    def __init__(self, raw: bytes, position: int, *, is_short: bool, in_pairs: bool) -> None:
        self.raw, self.position, self.is_short, self.in_pairs = raw, position, is_short, in_pairs

    def array(self, kind: Any, num: int) -> NDArray[Any]:
        found = np.frombuffer(self.raw, kind, num, self.position) if num else np.empty(0, kind)
        self.position += found.nbytes
        return found

    def sums(self, sizes: Sequence[int]) -> list[Float32]:
        if not self.is_short:
            return [self.array(np.float32, num) for num in sizes]
        groups = [-(-num // GROUP) for num in sizes]
        exponent = self.array(np.int16, sum(groups))
        if self.in_pairs:
            short = self.array(np.int16, sum(groups) * GROUP)
        else:
            short = np.ascontiguousarray(self.array(np.uint8, 2 * sum(groups) * GROUP).reshape(2, -1).T).view(np.int16)
        return _long(short.reshape(-1, GROUP), exponent, sizes)

    def health(self, num: int) -> dict[str, Sum]:
        raw, at = self.raw, self.position
        found = {}
        for _ in range(num):
            length, total, count = _HEALTH.unpack_from(raw, at)
            at += _HEALTH.size + length
            found[raw[at - length : at].decode("utf-8", "replace")] = Sum(total, count)
        self.position = at
        return found

    def text(self, size: int) -> str:
        start = self.position
        self.position += size
        return self.raw[start : start + size].decode("utf-8", "replace")


def _full(values: Float32) -> bytes:
    return values.astype(np.float32, copy=False).tobytes()


def _short(arrays: Sequence[Float32]) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """Exponents and 16-bit values of all arrays, each filled up to whole groups."""
    groups = [-(-values.size // GROUP) for values in arrays]
    padded = np.zeros(sum(groups) * GROUP, np.float32)
    start = 0
    for values, num in zip(arrays, groups, strict=True):
        padded[start : start + values.size] = values
        start += num * GROUP
    table = padded.reshape(-1, GROUP)
    # The scale is a power of two, so it divides and multiplies without rounding.
    _, exponent = np.frexp(np.abs(table).max(axis=1))
    np.maximum(exponent, LEAST, out=exponent)
    scaled = table * _power(BITS - exponent)
    coarser = _coarser(scaled)
    scaled *= _power(-coarser)
    short = np.minimum(np.rint(scaled, out=scaled), np.float32(LARGEST)).astype(np.int16)
    return (exponent + coarser).astype(np.int16), short


def _coarser(scaled: Float32) -> NDArray[np.int32]:
    """By which power of two the steps of each group may be larger than one.

    Neighbours differ by noise, and by the layers' edges, which are few: the median of second differences is the noise.
    """
    flat = scaled.reshape(-1)
    bends = np.zeros_like(flat)  # across the bounds of groups, too: two of 32, which a median bears
    steps = flat[1:] - flat[:-1]
    np.subtract(steps[1:], steps[:-1], out=bends[1:-1])
    sizes = np.abs(bends, out=bends).reshape(scaled.shape)
    sizes.partition(GROUP // 2 - 1, axis=1)
    _, coarser = np.frexp(np.maximum(sizes[:, GROUP // 2 - 1] * _TO_STEP, np.float32(1.0)))
    coarser -= 1
    return coarser


def _power(exponent: NDArray[np.int32]) -> Float32:
    """(N, 1) two to these."""
    return np.ldexp(_ONE, exponent)[:, None]


def _in_planes(short: NDArray[np.int16]) -> bytes:
    """All low bytes, then all high ones."""
    return short.view(np.uint8).reshape(-1, 2).T.tobytes()


def _long(short: NDArray[np.int16], exponent: NDArray[np.int16], sizes: Sequence[int]) -> list[Float32]:
    """The inverse of `_short`."""
    values = (short.astype(np.float32) * _power(exponent.astype(np.int32) - BITS)).reshape(-1)
    found, start = [], 0
    for size in sizes:
        found.append(values[start : start + size])
        start += -(-size // GROUP) * GROUP
    return found
