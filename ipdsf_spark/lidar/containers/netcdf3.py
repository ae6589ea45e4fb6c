"""netCDF classic files (CDF-1, CDF-2, CDF-5) read from memory and written (NetCDF Users Guide, appendix "File Format").

Records are stored one after another, so a file cut short still holds whole rows: those are given, and the missing
ones named.
"""

from __future__ import annotations

import math
import struct
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.containers.container import (
    MAX_VARIABLE_BYTES,
    Attribute,
    Damage,
    Dataset,
    UnreadableFile,
    Variable,
)

MAGIC: Final = (b"CDF\x01", b"CDF\x02", b"CDF\x05")

# Name, dimension names, values, attributes of a variable to be written.
Written = tuple[str, tuple[str, ...], NDArray[Any], Mapping[str, str | float]]

_TYPES: Final = {
    1: "i1",
    2: "S1",
    3: ">i2",
    4: ">i4",
    5: ">f4",
    6: ">f8",
    7: "u1",
    8: ">u2",
    9: ">u4",
    10: ">i8",
    11: ">u8",
}
_CODES: Final = {"i1": 1, "i2": 3, "i4": 4, "f4": 5, "f8": 6}
_DIMENSION, _VARIABLE, _ATTRIBUTE = 10, 11, 12
_MAX_ITEMS: Final = 4096  # dimensions, variables or attributes of one list; real files have some fifty
_STREAMING: Final = 0xFFFF_FFFF


def open_bytes(raw: bytes) -> Dataset:
    """The file behind `raw`; values are views of it until they are read.

    Raises:
        UnreadableFile: the header is damaged or cut.
    """
    try:
        return _open(raw)
    except (struct.error, IndexError) as error:
        raise UnreadableFile("netCDF classic header is cut or damaged") from error


def _open(raw: bytes) -> Dataset:
    if raw[:4] not in MAGIC:
        raise UnreadableFile("not a netCDF classic file")
    structure = _structure(raw)
    num_records, record_bytes = _Header(raw).count(), structure.record_bytes
    damage: tuple[Damage, ...] = ()
    if not record_bytes:
        num_records = 0
    else:
        fit = max(0, (len(raw) - structure.end_of_first_row) // record_bytes + 1)
        if num_records in (_STREAMING, 2**64 - 1):
            num_records = fit
        elif fit < num_records:
            start = min(structure.begin_of_records + fit * record_bytes, len(raw))
            reason = f"file ends after {fit} of the {num_records} rows its header promises"
            damage = (Damage(start, len(raw) - start, fit, num_records - fit, reason),)
            num_records = fit
    variables = {one.name: _Classic(raw, one, num_records, record_bytes) for one in structure.variables}
    return Dataset(variables, structure.attributes, num_bytes=len(raw), damage=damage)


@dataclass(frozen=True)
class _Described:
    """What the header says of a variable."""

    name: str
    dimensions: tuple[str, ...]
    lengths: tuple[int, ...]
    attributes: Mapping[str, Attribute]
    dtype: np.dtype[Any]
    begin: int
    is_record: bool
    row_bytes: int
    memo: dict[Any, Any] = field(default_factory=dict)

    @cached_property
    def native(self) -> np.dtype[Any]:
        """The type of the numbers in the byte order of this machine."""
        return self.dtype.newbyteorder("=")

    @cached_property
    def strides_within_row(self) -> tuple[int, ...]:
        """Bytes from number to number along every axis but the first."""
        axes = range(1, len(self.lengths))
        return tuple(self.dtype.itemsize * math.prod(self.lengths[axis + 1 :]) for axis in axes)


@dataclass(frozen=True)
class _Structure:
    """What the header says but for the number of records; `num_bytes` is the header's length."""

    attributes: Mapping[str, Attribute]
    variables: tuple[_Described, ...]
    record_bytes: int
    num_bytes: int
    begin_of_records: int
    end_of_first_row: int


# The files an instrument writes in a day have the same header but for the number of records: it is parsed once. A few
# lengths are tried; what is remembered is bounded, because anybody's bytes come through here.
_REMEMBERED: Final = 32
_LONGEST_REMEMBERED: Final = 32_768
_remembered: OrderedDict[tuple[bytes, bytes], _Structure] = OrderedDict()


def _structure(raw: bytes) -> _Structure:
    kind = raw[:4]
    for length in {structure.num_bytes for structure in _remembered.values()}:
        found = _remembered.get((kind, raw[8:length]))
        if found is not None:
            return found
    header = _Header(raw)
    header.count()
    dimensions = [(header.name(), header.count()) for _ in header.items(_DIMENSION)]
    attributes = header.attributes()
    variables = tuple(
        {one.name: one for one in (header.variable(dimensions) for _ in header.items(_VARIABLE))}.values()
    )
    records = [one for one in variables if one.is_record]
    padded = sum(one.row_bytes + (-one.row_bytes % 4) for one in records)
    structure = _Structure(
        attributes,
        variables,
        records[0].row_bytes if len(records) == 1 else padded,  # a lone record variable is not padded
        header.at,
        min((one.begin for one in records), default=0),
        max((one.begin + one.row_bytes for one in records), default=0),
    )
    if raw[3] != 5 and header.at <= _LONGEST_REMEMBERED:
        _remembered[kind, raw[8 : header.at]] = structure
        while len(_remembered) > _REMEMBERED:
            _remembered.popitem(last=False)
    return structure


class _Header:
    """A cursor over the header."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.at = 4
        self.is_64 = raw[3] == 5
        self.offset_format = ">I" if raw[3] == 1 else ">Q"

    def word(self) -> int:
        value: int = struct.unpack_from(">I", self.raw, self.at)[0]
        self.at += 4
        return value

    def count(self) -> int:
        if not self.is_64:
            return self.word()
        value: int = struct.unpack_from(">Q", self.raw, self.at)[0]
        self.at += 8
        return value

    def name(self) -> str:
        length = self.count()
        start = self.at
        self.at = start + length + (-length % 4)
        if self.at > len(self.raw):
            raise UnreadableFile("netCDF classic header is cut or damaged")
        return self.raw[start : start + length].decode("utf-8", "replace")

    def items(self, expected: int) -> range:
        tag, num_items = self.word(), self.count()
        if (tag != expected and (tag or num_items)) or num_items > _MAX_ITEMS:
            raise UnreadableFile("netCDF classic header is damaged")
        return range(num_items)

    def attributes(self) -> dict[str, Attribute]:
        found: dict[str, Attribute] = {}
        for _ in self.items(_ATTRIBUTE):
            name, code, num_values = self.name(), self.word(), self.count()
            dtype = np.dtype(_type(code))
            length = num_values * dtype.itemsize
            value = self.raw[self.at : self.at + length]
            if len(value) < length:
                raise UnreadableFile("netCDF classic header is cut or damaged")
            self.at += length + (-length % 4)
            found[name] = value.rstrip(b"\x00").decode("utf-8", "replace") if code == 2 else np.frombuffer(value, dtype)
        return found

    def variable(self, dimensions: Sequence[tuple[str, int]]) -> _Described:
        name = self.name()
        num_axes = self.count()
        if num_axes > 32:
            raise UnreadableFile("netCDF classic header is damaged")
        axes = [self.count() for _ in range(num_axes)]
        if any(axis >= len(dimensions) for axis in axes):
            raise UnreadableFile(f"variable {name!r} names a dimension that is not there")
        attributes = self.attributes()
        dtype = np.dtype(_type(self.word()))
        self.count()  # the stored size wraps at 4 GB, so it is computed instead
        begin: int = struct.unpack_from(self.offset_format, self.raw, self.at)[0]
        self.at += struct.calcsize(self.offset_format)
        names = tuple(dimensions[axis][0] for axis in axes)
        lengths = tuple(dimensions[axis][1] for axis in axes)
        is_record = lengths[:1] == (0,)
        row_bytes = math.prod(lengths[is_record:]) * dtype.itemsize
        return _Described(name, names, lengths, attributes, dtype, begin, is_record, row_bytes)


def _type(code: int) -> str:
    if code not in _TYPES:
        raise UnreadableFile(f"netCDF classic header names an unknown type {code}")
    return _TYPES[code]


class _Classic(Variable):
    def __init__(self, raw: bytes, described: _Described, num_records: int, record_bytes: int) -> None:
        self.name = described.name
        self.shape = (num_records, *described.lengths[1:]) if described.is_record else described.lengths
        self._raw = raw
        self._described = described
        self._record_bytes = record_bytes

    @property
    def dimensions(self) -> tuple[str, ...]:
        return self._described.dimensions

    @property
    def attributes(self) -> Mapping[str, Attribute]:
        return self._described.attributes

    @property
    def memo(self) -> dict[Any, Any] | None:
        return self._described.memo

    def read(self, damage: list[Damage] | None = None, *, max_rows: int | None = None) -> NDArray[Any]:
        shape = self.shape if max_rows is None or not self.shape else (min(max_rows, self.shape[0]), *self.shape[1:])
        dtype, begin = self._described.dtype, self._described.begin
        num_bytes = math.prod(shape) * dtype.itemsize
        native = self._described.native
        if num_bytes == 0:
            return np.empty(shape, native)
        if num_bytes > MAX_VARIABLE_BYTES:
            raise UnreadableFile(f"{self.name} claims {num_bytes} bytes, more than a file may hold")
        strides = None
        last = begin + num_bytes
        if self._described.is_record:
            strides = (self._record_bytes, *self._described.strides_within_row)
            last = begin + (shape[0] - 1) * self._record_bytes + self._described.row_bytes
        if last > len(self._raw):
            raise UnreadableFile(f"file ends inside {self.name}")
        view: NDArray[Any] = np.ndarray(shape, dtype, self._raw, begin, strides)
        return view.astype(native)


def to_bytes(
    dimensions: Mapping[str, int],
    attributes: Mapping[str, str | float | int],
    variables: Sequence[Written],
    *,
    record: str,
) -> bytes:
    """A CDF-1 file.

    Args:
        dimensions: lengths by name; `record` is written as the unlimited one.
        attributes: global attributes; whole numbers are written as int, others as float.
        variables: name, dimension names, values, attributes; values of i1, i2, i4, f4 or f8.
        record: name of the unlimited dimension.
    """
    order = list(dimensions)
    head = [b"CDF\x01", struct.pack(">III", dimensions[record], _DIMENSION, len(order))]
    head += [_name(name) + struct.pack(">I", 0 if name == record else dimensions[name]) for name in order]
    head.append(_attributes(attributes))
    head.append(struct.pack(">II", _VARIABLE, len(variables)))
    parts, sizes, begins = [], [], []
    for name, axes, values, own in variables:
        is_record = axes[:1] == (record,)
        code = _CODES[values.dtype.str[1:]]
        row_bytes = math.prod(values.shape[is_record:]) * values.dtype.itemsize
        sizes.append(row_bytes + (-row_bytes % 4))
        parts.append(
            _name(name)
            + struct.pack(">I", len(axes))
            + b"".join(struct.pack(">I", order.index(axis)) for axis in axes)
            + _attributes(own)
            + struct.pack(">II", code, sizes[-1])
        )
    at = sum(map(len, head)) + sum(len(part) + 4 for part in parts)
    fixed: list[bytes] = []
    for is_record_pass in (False, True):
        for index, (_, axes, values, _) in enumerate(variables):
            if (axes[:1] == (record,)) != is_record_pass:
                continue
            begins.append((index, at))
            at += sizes[index]
            if not is_record_pass:
                fixed.append(_padded(values.astype(values.dtype.newbyteorder(">")).tobytes()))
    by_index = dict(begins)
    described = [part + struct.pack(">I", by_index[index]) for index, part in enumerate(parts)]
    rows = [values.astype(values.dtype.newbyteorder(">")) for _, axes, values, _ in variables if axes[:1] == (record,)]
    records = [_padded(row[time : time + 1].tobytes()) for time in range(dimensions[record]) for row in rows]
    return b"".join([*head, *described, *fixed, *records])


def _padded(value: bytes) -> bytes:
    return value + b"\x00" * (-len(value) % 4)


def _name(name: str) -> bytes:
    encoded = name.encode()
    return struct.pack(">I", len(encoded)) + _padded(encoded)


def _attributes(attributes: Mapping[str, str | float | int]) -> bytes:
    if not attributes:
        return struct.pack(">II", 0, 0)
    parts = [struct.pack(">II", _ATTRIBUTE, len(attributes))]
    for name, value in attributes.items():
        if isinstance(value, str):
            encoded = value.encode()
            parts.append(_name(name) + struct.pack(">II", 2, len(encoded)) + _padded(encoded))
        elif isinstance(value, int):
            parts.append(_name(name) + struct.pack(">IIi", 4, 1, value))
        else:
            parts.append(_name(name) + struct.pack(">IId", 6, 1, value))
    return b"".join(parts)
