"""How HDF5 stores numbers: datatypes, layouts, chunks and their filters (File Format Specification 3.0, IV.A.2)."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.containers.container import (
    MAX_VARIABLE_BYTES,
    Damage,
    NotUnderstood,
    UnreadableFile,
    check_size,
)
from ipdsf_spark.lidar.containers.hdf5_heap import Store

FIXED, FLOAT, TEXT, REFERENCE, ENUM, LIST = 0, 1, 3, 7, 8, 9  # datatype classes
DEFLATE, SHUFFLE, CHECKSUM = 1, 2, 3  # filters
_SMALL_CHUNK_BYTES: Final = 4096  # packed columns and axes repeat from variable to variable and from file to file

_Pipeline = tuple[tuple[int, int], ...]  # filter id, first parameter
_Entry = tuple[int, int, int, tuple[int, ...]]  # address, length, mask of unused filters, first index on every axis
_NODE: Final = struct.Struct("<4sBBH")
_ONE_AXIS: Final = struct.Struct("<QI")  # address of the B-tree and length of a chunk
_ONE_CHUNK: Final = struct.Struct("<4sBBHQQIIQQQ")  # a B-tree leaf of one chunk of one axis
_LARGEST_SHORT_COLUMN: Final = 65_536  # bytes
_LARGEST_UNWRITTEN: Final = 4 * 2**20  # bytes of fill values that a variable may claim without storing anything
_LARGEST_EXPANSE: Final = 16  # bytes that a variable may claim for every byte of the chunks it stores


@dataclass(frozen=True)
class Datatype:
    """What one element is: `dtype` for numbers, else None.

    Attributes:
        kind: datatype class.
        size: bytes of an element in the file.
        dtype: numpy type, or None.
        is_text: a text of variable length.
    """

    kind: int
    size: int
    dtype: np.dtype[Any] | None
    is_text: bool = False

    @property
    def is_readable(self) -> bool:
        """Whether values of this type are numbers or text."""
        return self.dtype is not None or self.is_text or self.kind == TEXT


@lru_cache(maxsize=256)
def datatype(message: bytes) -> Datatype:
    """A datatype message."""
    kind, bits = message[0] & 15, message[1]
    size = struct.unpack_from("<I", message, 4)[0]
    order = ">" if bits & 1 else "<"
    if kind == FIXED and size in (1, 2, 4, 8):
        return Datatype(kind, size, np.dtype(f"{order}{'i' if bits & 8 else 'u'}{size}"))
    if kind == FLOAT and size in (2, 4, 8) and not bits & 0x40:
        return Datatype(kind, size, np.dtype(f"{order}f{size}"))
    if kind == ENUM:
        return Datatype(kind, size, datatype(message[8:]).dtype)
    return Datatype(kind, size, None, is_text=kind == LIST and bits & 15 == 1)


@lru_cache(maxsize=256)
def shape(message: bytes) -> tuple[int, ...]:
    """The dimensions of a dataspace message."""
    version, num_axes = message[0], message[1]
    if version not in (1, 2) or num_axes > 32:
        raise UnreadableFile("HDF5 dataspace is damaged")
    start = 8 if version == 1 else 4
    return struct.unpack_from(f"<{num_axes}Q", message, start)


@lru_cache(maxsize=256)
def pipeline(message: bytes) -> _Pipeline:
    """The filters of a filter pipeline message, in the order they were applied."""
    version, count = message[0], message[1]
    at = 8 if version == 1 else 2
    filters = []
    for _ in range(count):
        code = struct.unpack_from("<H", message, at)[0]
        at += 2
        name_bytes = 0
        if version == 1 or code >= 256:
            name_bytes = struct.unpack_from("<H", message, at)[0]
            at += 2
        _, num_values = struct.unpack_from("<HH", message, at)
        at += 4 + (name_bytes + (-name_bytes % 8) if version == 1 else name_bytes)
        parameter = struct.unpack_from("<I", message, at)[0] if num_values else 0
        at += 4 * num_values + (4 if version == 1 and num_values % 2 else 0)
        if code not in (DEFLATE, SHUFFLE, CHECKSUM):
            raise NotUnderstood(f"packed with HDF5 filter {code}; write it with deflate (nccopy -d 4) instead")
        filters.append((code, parameter))
    return tuple(filters)


class Form(NamedTuple):
    """Everything about a dataset's values but where they lie."""

    shape: tuple[int, ...]
    element: Datatype
    filters: _Pipeline
    fill: bytes


@lru_cache(maxsize=1024)
def form(dataspace: bytes, datatype_message: bytes, filter_message: bytes, fill_message: bytes) -> Form:
    """The form that four header messages (the last two may be empty) describe."""
    filters = pipeline(filter_message) if filter_message else ()
    return Form(shape(dataspace), datatype(datatype_message), filters, fill_value(fill_message))


def fill_value(message: bytes) -> bytes:
    """The stored fill value of a fill value message, empty if it defines none."""
    if not message:
        return b""
    version = message[0]
    at = 2 if version == 3 else 4
    is_defined = bool(message[1] & 0x20) if version == 3 else version == 1 or bool(message[3])
    if not is_defined or len(message) < at + 4:
        return b""
    size = int.from_bytes(message[at : at + 4], "little")
    return message[at + 4 : at + 4 + size]


def read(
    store: Store, name: str, shape: tuple[int, ...], form: Form, layout: bytes, damage: list[Damage] | None
) -> NDArray[Any]:
    """All values of a dataset in native byte order; they may be a view that cannot be written to.

    Raises:
        UnreadableFile: nothing can be read, or something is damaged and `damage` is None.
    """
    _, element, filters, fill = form
    dtype = element.dtype
    if dtype is None:
        raise NotUnderstood(f"{name} holds no numbers")
    column = _short_column(store, shape, dtype, layout, filters)
    if column is not None:
        return column
    num_bytes = math.prod(shape) * dtype.itemsize
    check_size(name, num_bytes, len(store.raw))
    store.spend_bytes(num_bytes)
    version, kind = layout[0], layout[1]
    if version not in (3, 4):
        raise NotUnderstood(f"{name} is stored in HDF5 layout {version}, which no netCDF-4 writer uses")
    if num_bytes == 0:
        return np.empty(shape, dtype.newbyteorder("="))
    if kind == 0:
        return _native(np.frombuffer(layout, dtype, math.prod(shape), 4).reshape(shape))
    if kind == 1:
        address = int.from_bytes(layout[2 : 2 + store.offset_bytes], "little")
        if address == store.nowhere:
            return _unwritten(name, shape, dtype, fill)
        return _native(np.frombuffer(store.bytes_at(address, num_bytes), dtype).reshape(shape))
    if kind != 2 or version == 4:
        raise NotUnderstood(f"{name} is stored with a chunk index of HDF5 1.10; rewrite it with nccopy")
    num_axes = layout[2] - 1
    if num_axes != len(shape) or num_axes < 1:
        raise UnreadableFile(f"{name} has damaged chunks")
    root = int.from_bytes(layout[3 : 3 + store.offset_bytes], "little")
    chunk = struct.unpack_from(f"<{num_axes}I", layout, 3 + store.offset_bytes)
    if not all(chunk) or math.prod(chunk) * dtype.itemsize > MAX_VARIABLE_BYTES:
        raise UnreadableFile(f"{name} has impossible chunks {chunk}")
    if root == store.nowhere:
        return _unwritten(name, shape, dtype, fill)
    return _chunked(store, name, shape, dtype, root, chunk, filters, fill, damage)


def _short_column(
    store: Store, shape: tuple[int, ...], dtype: np.dtype[Any], layout: bytes, filters: _Pipeline
) -> NDArray[Any] | None:
    """A column that lies in one small chunk, as housekeeping does; None for everything else and anything odd.

    A file may have seventy of them: without this way round the general one they cost more than its tables.
    """
    if len(shape) != 1 or layout[:3] != b"\x03\x02\x02" or store.offset_bytes != 8:
        return None
    root, rows = _ONE_AXIS.unpack_from(layout, 3)
    num_bytes = rows * dtype.itemsize
    if rows < shape[0] or num_bytes > _LARGEST_SHORT_COLUMN or root > len(store.raw) - _ONE_CHUNK.size:
        return None
    signature, kind, level, count, _, _, length, mask, first, _, address = _ONE_CHUNK.unpack_from(store.raw, root)
    if (signature, kind, level, count, mask, first) != (b"TREE", 1, 0, 1, 0, 0) or length > _SMALL_CHUNK_BYTES:
        return None
    store.spend(2)
    try:
        data = _unpacked_small(store.raw[address : address + length], filters, num_bytes)
    except (UnreadableFile, zlib.error):
        return None
    return _native(np.frombuffer(data, dtype, shape[0]))


def _rows(
    store: Store,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    entries: list[_Entry],
    filters: _Pipeline,
    num_bytes: int,
) -> NDArray[Any] | None:
    """A table whose rows are chunks, one after another, all sound; None for anything odd."""
    if len(entries) != shape[0] or len(shape) != 2:
        return None
    is_small = num_bytes <= _SMALL_CHUNK_BYTES
    is_shuffled = not is_small and filters[:1] == ((SHUFFLE, dtype.itemsize),) and dtype.itemsize > 1
    unpack, within = _unpacked_small if is_small else _unpacked, filters[1:] if is_shuffled else filters
    table = np.empty(num_bytes * len(entries), np.uint8)
    place = table.data
    try:
        for row, (address, length, mask, corner) in enumerate(entries):
            packed = store.raw[address : address + length]
            if mask or corner != (row, 0) or len(packed) != length:
                return None
            place[row * num_bytes : (row + 1) * num_bytes] = unpack(packed, within, num_bytes)
    except (UnreadableFile, zlib.error, ValueError):
        return None
    if is_shuffled:
        table = _unshuffled(table, dtype.itemsize, shape[0])
    return _native(table.view(dtype).reshape(shape))


def _unshuffled(data: bytes | NDArray[np.uint8], size: int, num_rows: int) -> NDArray[np.uint8]:
    """Elements of `size` bytes from planes of first bytes, second bytes ..., row by row: the inverse of `shuffle`."""
    planes = np.frombuffer(data, np.uint8).reshape(num_rows, size, -1)
    woven = np.empty((num_rows, planes.shape[2], size), np.uint8)
    for index in range(size):  # three times as fast as a transposed copy
        woven[:, :, index] = planes[:, index]
    return woven


def _chunked(
    store: Store,
    name: str,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    root: int,
    chunk: tuple[int, ...],
    filters: _Pipeline,
    fill: bytes,
    damage: list[Damage] | None,
) -> NDArray[Any]:
    num_bytes = math.prod(chunk) * dtype.itemsize
    check_size(name, num_bytes, len(store.raw))
    entries = _chunks(store, root, len(shape))
    claimed = math.prod(shape) * dtype.itemsize
    if claimed > _LARGEST_UNWRITTEN + _LARGEST_EXPANSE * len(entries) * num_bytes:
        raise UnreadableFile(f"{name} claims {claimed} bytes and stores {len(entries)} chunks of {num_bytes}")
    if len(entries) == 1 and chunk[0] >= shape[0] and chunk[1:] == shape[1:] and not any(entries[0][3]):
        block = _block(store, entries[0], filters, num_bytes, dtype, damage, name, chunk[0])
        if block is not None:
            return _native(block.reshape(chunk)[: shape[0]])
    if chunk[0] == 1 and chunk[1:] == shape[1:]:
        table = _rows(store, shape, dtype, entries, filters, num_bytes)
        if table is not None:
            return table
    values = _filled(shape, dtype, fill)
    for entry in entries:
        corner = entry[3]
        if any(start >= length for start, length in zip(corner, shape, strict=True)):
            continue
        block = _block(store, entry, filters, num_bytes, dtype, damage, name, chunk[0])
        target = tuple(
            slice(start, min(start + size, length)) for start, size, length in zip(corner, chunk, shape, strict=True)
        )
        if block is None:
            values[target] = np.nan if dtype.kind == "f" else 0
        else:
            values[target] = block.reshape(chunk)[tuple(slice(0, part.stop - part.start) for part in target)]
    return values


def _chunks(store: Store, root: int, num_axes: int) -> list[_Entry]:
    """The chunks of a version 1 B-tree."""
    pattern = _entry_pattern(num_axes, store.offset_bytes)
    found: list[_Entry] = []
    pending: list[tuple[int, int]] = [(root, -1)]
    while pending:
        node, expected_level = pending.pop()
        signature, kind, level, count = _NODE.unpack_from(store.raw, node)
        if signature != b"TREE" or kind != 1 or expected_level not in (-1, level):
            raise UnreadableFile("HDF5 chunk index is damaged")
        store.spend(1 + count)
        block = store.bytes_at(node + 8 + 2 * store.offset_bytes, count * pattern.size)
        for length, mask, *corner, address in pattern.iter_unpack(block):
            if level:
                pending.append((address, level - 1))
            else:
                found.append((address, length, mask, tuple(corner[:-1])))
    return found


@lru_cache(maxsize=16)
def _entry_pattern(num_axes: int, offset_bytes: int) -> struct.Struct:
    return struct.Struct(f"<II{num_axes + 1}Q{'Q' if offset_bytes == 8 else 'I'}")


def _block(
    store: Store,
    entry: _Entry,
    filters: _Pipeline,
    num_bytes: int,
    dtype: np.dtype[Any],
    damage: list[Damage] | None,
    name: str,
    num_rows: int,
) -> NDArray[Any] | None:
    """One chunk as a flat array, or None if it is damaged."""
    address, length, mask, corner = entry
    packed = store.raw[address : address + length]
    try:
        if len(packed) < length:
            raise UnreadableFile("the file ends inside it")
        if mask:
            filters = tuple(used for index, used in enumerate(filters) if not mask >> index & 1)
        is_small = length <= _SMALL_CHUNK_BYTES and num_bytes <= _LARGEST_SHORT_COLUMN
        unpack = _unpacked_small if is_small else _unpacked
        return np.frombuffer(unpack(packed, filters, num_bytes), dtype)
    except (UnreadableFile, zlib.error, ValueError) as error:
        reason = f"{name}, row {corner[0]}: damaged chunk, {error}"
        if damage is None:
            raise UnreadableFile(reason) from error
        damage.append(Damage(min(address, len(store.raw)), len(packed), corner[0], num_rows, reason))
        return None


def _unpacked(packed: bytes, filters: _Pipeline, num_bytes: int) -> bytes | memoryview:
    data: Any = packed
    for code, parameter in reversed(filters):
        if code == DEFLATE:
            stream = zlib.decompressobj()
            data = stream.decompress(data, num_bytes + 4)
            if not stream.eof:
                raise UnreadableFile("its packed data do not end where they should")
        elif code == CHECKSUM:
            data = _checked(data)
        elif parameter > 1:
            rest = len(data) % parameter  # a checksum that was added first is left as it stands
            whole = data[: len(data) - rest]
            if len(whole):
                woven = _unshuffled(whole, parameter, 1).reshape(-1).data
                data = b"".join((woven, data[len(whole) :])) if rest else woven
    if len(data) != num_bytes:
        raise UnreadableFile(f"it unpacks to {len(data)} bytes, expected {num_bytes}")
    result: bytes | memoryview = data
    return result


@lru_cache(maxsize=512)
def _unpacked_small(packed: bytes, filters: _Pipeline, num_bytes: int) -> bytes:
    return bytes(_unpacked(packed, filters, num_bytes))


def _checked(data: bytes) -> bytes:
    """The data before their Fletcher-32 checksum, which is checked."""
    body = data[:-4]
    words = np.frombuffer(body[: len(body) // 2 * 2], ">u2").astype(np.uint64)
    if len(body) % 2:
        words = np.append(words, np.uint64(body[-1] << 8))
    # Closed form of the running sums modulo 65535: the second is the first weighted by how long each word counts.
    low = int(words.sum()) % 65535
    high = int((words * (np.arange(len(words), 0, -1, dtype=np.uint64) % np.uint64(65535))).sum()) % 65535
    given_low, given_high = struct.unpack("<HH", data[-4:])
    if (low - given_low) % 65535 or (high - given_high) % 65535:
        raise UnreadableFile("its checksum is wrong")
    return body


def _unwritten(name: str, shape: tuple[int, ...], dtype: np.dtype[Any], fill: bytes) -> NDArray[Any]:
    if math.prod(shape) * dtype.itemsize > _LARGEST_UNWRITTEN:
        raise UnreadableFile(f"{name} claims shape {shape} and stores nothing")
    return _filled(shape, dtype, fill)


def _filled(shape: Sequence[int], dtype: np.dtype[Any], fill: bytes) -> NDArray[Any]:
    native = dtype.newbyteorder("=")
    value = np.frombuffer(fill, dtype)[0] if len(fill) == dtype.itemsize else np.zeros((), native)
    return np.full(shape, value, native)


def _native(values: NDArray[Any]) -> NDArray[Any]:
    dtype = values.dtype
    return values if dtype.isnative else values.astype(dtype.newbyteorder("="))
