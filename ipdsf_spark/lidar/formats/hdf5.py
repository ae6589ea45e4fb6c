"""netCDF-4 files read from memory: the part of HDF5 that netCDF-4 writers use (File Format Specification 3.0).

Opening costs what is asked for: links are read when a group is opened, a variable's header when it is read.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.formats import hdf5_storage as storage
from ipdsf_spark.lidar.formats.container import Attribute, Damage, Dataset, UnreadableFile, Variable
from ipdsf_spark.lidar.formats.hdf5_heap import FractalHeap, Store, old_group, tree_records

MAGIC: Final = b"\x89HDF\r\n\x1a\n"
# Header messages
DATASPACE, LINK_INFO, DATATYPE, FILL, LINK, LAYOUT = 0x01, 0x02, 0x03, 0x05, 0x06, 0x08
FILTERS, ATTRIBUTE, CONTINUATION, SYMBOL_TABLE, ATTRIBUTE_INFO = 0x0B, 0x0C, 0x10, 0x11, 0x15
_SHARED: Final = 2
_MAX_CONTINUATIONS: Final = 256

Result = TypeVar("Result")
_Message = tuple[int, int, int, int]  # type, flags, start, size


def open_bytes(raw: bytes) -> Dataset:
    """The file behind `raw`.

    Raises:
        UnreadableFile: superblock or root group are damaged.
    """
    return _guarded(lambda: _group(*_root(raw)))


def _guarded(action: Callable[[], Result]) -> Result:
    try:
        return action()
    except (struct.error, IndexError, OverflowError, RecursionError) as error:
        raise UnreadableFile("HDF5 structure is cut or damaged") from error


def _root(raw: bytes) -> tuple[Store, int]:
    version = raw[8]
    if version in (0, 1):
        store = Store(raw, raw[13], raw[14])
        entry = 24 + 4 * version + 4 * store.offset_bytes
        return store, store.offset(entry + store.offset_bytes)
    if version in (2, 3):
        store = Store(raw, raw[9], raw[10])
        return store, store.offset(12 + 3 * store.offset_bytes)
    raise UnreadableFile(f"HDF5 superblock version {version} is unknown")


def _group(store: Store, at: int, above: Mapping[int, str] | None = None) -> Dataset:
    messages = list(_messages(store, at))
    links: dict[str, int] = {}
    for kind, flags, start, size in messages:
        if kind == LINK and not flags & _SHARED:
            _add_link(links, store.bytes_at(start, size), store)
        elif kind == LINK_INFO:
            _dense_links(links, store, start)
        elif kind == SYMBOL_TABLE:
            links.update(old_group(store, store.offset(start), store.offset(start + store.offset_bytes)))
    names = {**(above or {}), **{address: name for name, address in links.items()}}
    return Dataset(
        variables=_Lazy(links, lambda name: _Hdf5Variable(store, name, links[name], names)),
        attributes=_Attributes(store, messages),
        groups=_Lazy(links, lambda name: _guarded(lambda: _group(store, links[name], names))),
        num_bytes=len(store.raw),
    )


class _Lazy(Mapping[str, Any]):
    """Objects made when they are asked for."""

    def __init__(self, links: Mapping[str, int], make: Callable[[str], Any]) -> None:
        self._links = links
        self._make = make
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._links:
            raise KeyError(name)
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    def __contains__(self, name: object) -> bool:
        return name in self._links

    def __iter__(self) -> Iterator[str]:
        return iter(self._links)

    def __len__(self) -> int:
        return len(self._links)


def _messages(store: Store, at: int) -> Iterator[_Message]:
    """The messages of an object header of either version."""
    raw = store.raw
    store.spend()
    if raw[at : at + 4] == b"OHDR":
        flags = raw[at + 5]
        start = at + 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
        size_bytes = 1 << (flags & 3)
        size = store.number(start, size_bytes)
        start += size_bytes
        head, kind_bytes = (6 if flags & 4 else 4), 1
    elif raw[at : at + 1] == b"\x01":
        start, size = at + 16, store.number(at + 8, 4)
        head, kind_bytes = 8, 2
    else:
        raise UnreadableFile("HDF5 object header is not where it should be")
    stretches = [(start, start + size)]
    for start, end in stretches:
        if end > len(raw) or len(stretches) > _MAX_CONTINUATIONS:
            raise UnreadableFile("HDF5 object header is damaged")
        while start + head <= end:
            if kind_bytes == 1:
                kind, length, flags = raw[start], raw[start + 1] | raw[start + 2] << 8, raw[start + 3]
            else:
                kind, length, flags = struct.unpack_from("<HHB", raw, start)
            body = start + head
            start = body + length
            if start > end:
                raise UnreadableFile("HDF5 object header is damaged")
            if kind == CONTINUATION:
                store.spend()
                there, much = store.offset(body), store.length(body + store.offset_bytes)
                if kind_bytes == 1:
                    store.expect(there, b"OCHK")
                    stretches.append((there + 4, there + much - 4))
                else:
                    stretches.append((there, there + much))
            elif kind:
                yield kind, flags, body, length


def _dense_links(links: dict[str, int], store: Store, at: int) -> None:
    start = at + (10 if store.raw[at + 1] & 1 else 2)
    heap, tree = store.offset(start), store.offset(start + store.offset_bytes)
    if heap == (1 << 8 * store.offset_bytes) - 1:
        return
    objects = FractalHeap(store, heap)
    for record in tree_records(store, tree):
        _add_link(links, objects.object(record[4:]), store)


def _add_link(links: dict[str, int], message: bytes, store: Store) -> None:
    flags = message[1]
    at = 2
    kind = 0
    if flags & 8:
        kind, at = message[at], at + 1
    at += (8 if flags & 4 else 0) + (1 if flags & 16 else 0)
    size_bytes = 1 << (flags & 3)
    length = int.from_bytes(message[at : at + size_bytes], "little")
    at += size_bytes
    name = message[at : at + length]
    if kind == 0 and len(message) >= at + length + store.offset_bytes:  # soft and external links lead nowhere here
        address = int.from_bytes(message[at + length : at + length + store.offset_bytes], "little")
        links[name.decode("utf-8", "replace")] = address


class _Attributes(Mapping[str, Attribute]):
    """Attributes of an object, read when first asked for; those of unreadable types are left out."""

    def __init__(self, store: Store, messages: list[_Message]) -> None:
        self._store = store
        self._messages = messages
        self._found: dict[str, Attribute] | None = None

    def _all(self) -> dict[str, Attribute]:
        if self._found is None:
            self._found = {}
            for name, element, shape, value in _guarded(lambda: list(attributes(self._store, self._messages))):
                attribute = _guarded(lambda e=element, s=shape, v=value: _value(self._store, e, s, v))  # type: ignore[misc]
                if attribute is not None:
                    self._found[name] = attribute
        return self._found

    def __getitem__(self, name: str) -> Attribute:
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())


def attributes(
    store: Store, messages: list[_Message]
) -> Iterator[tuple[str, storage.Datatype, tuple[int, ...], bytes]]:
    """Name, type, shape and stored bytes of every attribute."""
    for kind, flags, start, size in messages:
        if kind == ATTRIBUTE and not flags & _SHARED:
            found = _attribute(store.bytes_at(start, size))
            if found is not None:
                yield found
        elif kind == ATTRIBUTE_INFO:
            at = start + (4 if store.raw[start + 1] & 1 else 2)
            heap, tree = store.offset(at), store.offset(at + store.offset_bytes)
            if heap == (1 << 8 * store.offset_bytes) - 1:
                continue
            objects = FractalHeap(store, heap)
            for record in tree_records(store, tree):
                found = None if record[8] & _SHARED else _attribute(objects.object(record[:8]))
                if found is not None:
                    yield found


def _attribute(message: bytes) -> tuple[str, storage.Datatype, tuple[int, ...], bytes] | None:
    version = message[0]
    name_bytes, type_bytes, space_bytes = struct.unpack_from("<HHH", message, 2)
    if version not in (1, 2, 3) or (version > 1 and message[1] & 1):  # bit 0: the type is stored elsewhere
        return None
    step = 8 if version == 1 else 1
    at = 9 if version == 3 else 8
    name = message[at : at + name_bytes].rstrip(b"\0").decode("utf-8", "replace")
    at += name_bytes + (-name_bytes % step)
    element = storage.datatype(message[at : at + type_bytes])
    at += type_bytes + (-type_bytes % step)
    space = message[at : at + space_bytes]
    at += space_bytes + (-space_bytes % step)
    return name, element, storage.shape(space), message[at:]


def _value(store: Store, element: storage.Datatype, shape: tuple[int, ...], stored: bytes) -> Attribute | None:
    if element.kind == storage.TEXT:
        return stored[: element.size].split(b"\0")[0].decode("utf-8", "replace")
    if element.is_text:
        length, collection, index = _reference(store, stored)
        if length == 0:
            return ""
        return store.global_object(collection, index)[:length].split(b"\0")[0].decode("utf-8", "replace")
    if element.dtype is None:
        return None
    count = len(stored) // element.size if shape else 1
    return np.frombuffer(stored, element.dtype, min(count, int(np.prod(shape, dtype=float))))


def _reference(store: Store, stored: bytes) -> tuple[int, int, int]:
    """Length, collection address and index of a variable-length element."""
    end = 4 + store.offset_bytes
    index: int = struct.unpack_from("<I", stored, end)[0]
    return int.from_bytes(stored[:4], "little"), int.from_bytes(stored[4:end], "little"), index


class _Hdf5Variable(Variable):
    def __init__(self, store: Store, name: str, at: int, names: Mapping[int, str]) -> None:
        self.name = name
        self._store = store
        self._names = names
        _guarded(lambda: self._take(list(_messages(store, at))))

    def _take(self, messages: list[_Message]) -> None:
        store = self._store
        found = {}
        for kind, flags, start, size in messages:
            if kind in (DATASPACE, DATATYPE, FILL, LAYOUT, FILTERS):
                if flags & _SHARED:
                    raise UnreadableFile(f"{self.name} has a type of its own, which no ceilometer file has")
                found[kind] = store.bytes_at(start, size)
        if not {DATASPACE, DATATYPE, LAYOUT} <= found.keys():
            raise UnreadableFile(f"{self.name} is a group or has a damaged header")
        self.shape = storage.shape(found[DATASPACE])
        self._element = storage.datatype(found[DATATYPE])
        self._layout = found[LAYOUT]
        self._filters = found.get(FILTERS, b"")
        self._fill = found.get(FILL, b"")
        self._attributes = _Attributes(store, messages)
        self._messages = messages

    @property
    def attributes(self) -> Mapping[str, Attribute]:
        return self._attributes

    @property
    def dimensions(self) -> tuple[str, ...]:
        return _guarded(self._dimension_names)

    def _dimension_names(self) -> tuple[str, ...]:
        unnamed = tuple(f"axis {axis}" for axis in range(len(self.shape)))
        for name, _, _, value in attributes(self._store, self._messages):
            if name != "DIMENSION_LIST":
                continue
            names = []
            step = 8 + self._store.offset_bytes
            for axis in range(len(self.shape)):
                _, collection, index = _reference(self._store, value[axis * step : (axis + 1) * step])
                target = self._store.global_object(collection, index)[: self._store.offset_bytes]
                names.append(self._names.get(int.from_bytes(target, "little"), unnamed[axis]))
            return tuple(names)
        return (self.name,) if len(self.shape) == 1 else unnamed

    def read(self, damage: list[Damage] | None = None, *, max_rows: int | None = None) -> NDArray[Any]:
        shape = self.shape if max_rows is None or not self.shape else (min(max_rows, self.shape[0]), *self.shape[1:])
        fill = _fill_value(self._fill)
        filters = storage.pipeline(self._filters) if self._filters else ()
        return _guarded(
            lambda: storage.read(self._store, self.name, shape, self._element, self._layout, filters, fill, damage)
        )


def _fill_value(message: bytes) -> bytes:
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
