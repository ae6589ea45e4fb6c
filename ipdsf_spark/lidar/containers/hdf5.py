"""netCDF-4 files read from memory: the part of HDF5 that netCDF-4 writers use (File Format Specification 3.0).

Opening costs what is asked for: links are read when a group is opened, a variable's header when it is read.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, lru_cache
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.containers import hdf5_headers as headers
from ipdsf_spark.lidar.containers import hdf5_storage as storage
from ipdsf_spark.lidar.containers.container import Attribute, Damage, Dataset, NotUnderstood, UnreadableFile, Variable
from ipdsf_spark.lidar.containers.hdf5_heap import FractalHeap, Store, old_group

MAGIC: Final = b"\x89HDF\r\n\x1a\n"
_REMEMBERED_LINKS: Final = 512
_REMEMBERED_HEAPS: Final = 64
# The library writes so before the name of a variable that is called like a dimension and has other axes.
_NO_COORDINATE: Final = "_nc4_non_coord_"
# What Python raises where a damaged structure points outside its bytes.
_DAMAGED: Final = (struct.error, IndexError, OverflowError, RecursionError, ValueError)

Result = TypeVar("Result")
_Stored = tuple[str, storage.Datatype, tuple[int, ...], bytes]  # an attribute's name, type, shape and bytes


def open_bytes(raw: bytes) -> Dataset:
    """The file behind `raw`.

    Raises:
        UnreadableFile: superblock or root group are damaged.
    """
    return _guarded(lambda: _group(*_root(raw)))


def _guarded(action: Callable[[], Result]) -> Result:
    try:
        return action()
    except _DAMAGED as error:
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
    raise NotUnderstood(f"HDF5 superblock version {version} is unknown")


def _group(store: Store, at: int, above: Mapping[int, str] | None = None) -> Dataset:
    messages = headers.messages(store, at)
    links: dict[str, int] = {}
    for kind, flags, body in messages:
        if kind == headers.LINK and not flags & headers.SHARED:
            links.update(_links((body,), store.offset_bytes))
        elif kind == headers.LINK_INFO:
            heap, tree = _dense(store, body, 10 if body[1] & 1 else 2)
            if heap is not None:
                messages_of_links = heap.objects(tree, 4)
                is_small = len(messages_of_links) <= _REMEMBERED_LINKS
                links.update((_links if is_small else _links.__wrapped__)(messages_of_links, store.offset_bytes))
        elif kind == headers.SYMBOL_TABLE:
            tree_at, heap_at = _addresses(store, body, 0)
            links.update(old_group(store, tree_at, heap_at))
    names = {**(above or {}), **{address: name for name, address in links.items()}}
    others = [name for name in links if name.startswith(_NO_COORDINATE)]
    shown = {**links, **{name.removeprefix(_NO_COORDINATE): links[name] for name in others}} if others else links
    return Dataset(
        variables=_Variables(store, shown, names),
        attributes=_Attributes(store, messages),
        groups=_Groups(store, links, names),
        num_bytes=len(store.raw),
    )


class _Members(Mapping[str, Any]):
    """What a group links to, opened when it is asked for."""

    def __init__(self, store: Store, links: Mapping[str, int], names: Mapping[int, str]) -> None:
        self._store = store
        self._links = links
        self._names = names
        self._opened: dict[str, Any] = {}

    def _open(self, name: str) -> Any:
        raise NotImplementedError

    def __getitem__(self, name: str) -> Any:
        found = self._opened.get(name)
        if found is None:
            found = self._opened[name] = self._open(name)
        return found

    def __contains__(self, name: object) -> bool:
        return name in self._links

    def __iter__(self) -> Iterator[str]:
        return iter(self._links)

    def __len__(self) -> int:
        return len(self._links)


class _Variables(_Members):
    def _open(self, name: str) -> Variable:
        return _Hdf5Variable(self._store, name, self._links[name], self._names)


class _Groups(_Members):
    def _open(self, name: str) -> Dataset:
        return _guarded(lambda: _group(self._store, self._links[name], self._names))


def _addresses(store: Store, body: bytes, at: int) -> tuple[int, int]:
    """Two addresses (or an address and a length, which are of one size) that follow one another."""
    middle = at + store.offset_bytes
    return int.from_bytes(body[at:middle], "little"), int.from_bytes(
        body[middle : middle + store.offset_bytes], "little"
    )


def _dense(store: Store, body: bytes, at: int) -> tuple[FractalHeap | None, int]:
    """The heap that holds links or attributes and the address of its B-tree; None where there is none."""
    heap, tree = _addresses(store, body, at)
    return (None, 0) if heap == store.nowhere else (FractalHeap(store, heap), tree)


@lru_cache(maxsize=256)
def _links(messages: tuple[bytes, ...], offset_bytes: int) -> dict[str, int]:
    """Names and object addresses of link messages; soft and external links lead nowhere here."""
    links: dict[str, int] = {}
    for message in messages:
        flags = message[1]
        at = 2
        kind = 0
        if flags & 8:
            kind, at = message[at], at + 1
        at += (8 if flags & 4 else 0) + (1 if flags & 16 else 0)
        size_bytes = 1 << (flags & 3)
        end = at + size_bytes + int.from_bytes(message[at : at + size_bytes], "little")
        if kind == 0 and len(message) >= end + offset_bytes:
            name = message[at + size_bytes : end].decode("utf-8", "replace")
            links[name] = int.from_bytes(message[end : end + offset_bytes], "little")
    return links


class _Attributes(Mapping[str, Attribute]):
    """Attributes of an object, decoded when asked for; those of unreadable types are left out."""

    def __init__(self, store: Store, messages: list[headers.Message]) -> None:
        self._store = store
        self._messages = messages

    @cached_property
    def _stored(self) -> dict[str, _Stored]:
        return _guarded(lambda: {stored[0]: stored for stored in attributes(self._store, self._messages)})

    def __getitem__(self, name: str) -> Attribute:
        _, element, shape, value = self._stored[name]
        decoded = _guarded(lambda: _value(self._store, element, shape, value))
        if decoded is None:
            raise KeyError(name)
        return decoded

    def is_inside(self, name: str) -> bool:
        """Whether a value stands in the header itself, or is not there at all; text of variable length does not."""
        stored = self._stored.get(name)
        return stored is None or stored[1].kind == storage.TEXT or not stored[1].is_text

    def __iter__(self) -> Iterator[str]:
        return (name for name, (_, element, _, _) in self._stored.items() if element.is_readable)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def attributes(store: Store, messages: list[headers.Message]) -> Iterator[_Stored]:
    """Name, type, shape and stored bytes of every attribute."""
    for kind, flags, body in messages:
        if kind == headers.ATTRIBUTE and not flags & headers.SHARED:
            found = _remembered_attribute(body) if len(body) <= headers.REMEMBERED_BYTES else _attribute(body)
            if found is not None:
                yield found
        elif kind == headers.ATTRIBUTE_INFO:
            heap, tree = _dense(store, body, _heap_at(body))
            for message in heap.objects(tree, 0) if heap is not None else ():
                found = (
                    _remembered_attribute(message) if len(message) <= headers.REMEMBERED_BYTES else _attribute(message)
                )
                if found is not None:
                    yield found


def _attribute(message: bytes) -> _Stored | None:
    """Name, type, shape and bytes of an attribute; None if its type stands elsewhere or it is damaged."""
    try:
        return _sound_attribute(message)
    except (UnreadableFile, *_DAMAGED):
        return None


def _sound_attribute(message: bytes) -> _Stored | None:
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


_remembered_attribute = lru_cache(maxsize=2048)(_attribute)


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


def _heap_at(body: bytes) -> int:
    """Where in a message about attributes the address of their heap stands."""
    return 4 if body[1] & 1 else 2


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
        try:
            self._header = headers.described(store, at)
        except NotUnderstood as error:
            raise NotUnderstood(f"{name} is {error}", min(at, len(store.raw))) from error
        except (UnreadableFile, *_DAMAGED) as error:
            raise UnreadableFile(f"{name} has a damaged header: {error}", min(at, len(store.raw))) from error
        self.shape = self._header.form.shape

    @cached_property
    def _messages(self) -> list[headers.Message]:
        return [message for place in self._header.places for message in place.stretch.messages]

    @cached_property
    def _attributes(self) -> _Attributes:
        return _Attributes(self._store, self._messages)

    @property
    def attributes(self) -> Mapping[str, Attribute]:
        return self._attributes

    @property
    def memo(self) -> dict[Any, Any] | None:
        memo = self._header.memo
        outside = memo.get("outside")
        if outside is None:
            outside = memo["outside"] = self._heaps_of_attributes()
        return self._memo_of_heaps if outside else memo

    def _heaps_of_attributes(self) -> tuple[bytes, ...]:
        """The messages that say in which heaps attributes stand."""
        bodies = [body for kind, _, body in self._messages if kind == headers.ATTRIBUTE_INFO]
        nowhere = self._store.nowhere
        return tuple(
            body for body in bodies if len(body) < 2 or _addresses(self._store, body, _heap_at(body))[0] != nowhere
        )

    @cached_property
    def _memo_of_heaps(self) -> dict[Any, Any] | None:
        memo = self._header.memo
        try:
            heaps = [_dense(self._store, body, _heap_at(body)) for body in memo["outside"]]
            stored = tuple(heap.objects(tree, 0) for heap, tree in heaps if heap is not None)
        except (UnreadableFile, *_DAMAGED):
            return None
        # Attributes in a heap stand outside the header and may differ where it does not.
        if len(memo) > _REMEMBERED_HEAPS:
            memo.clear()
        found: dict[Any, Any] = memo.setdefault(stored, {})
        return found

    def text(self, key: str) -> str:
        memo = self.memo
        found: str | None = None if memo is None else memo.get(("text", key))
        if found is None:
            found = str(self.attributes.get(key, ""))
            if memo is not None and self._attributes.is_inside(key):
                memo["text", key] = found
        return found

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
                length, collection, index = _reference(self._store, value[axis * step : (axis + 1) * step])
                if length == 0:  # an axis without a scale
                    names.append(unnamed[axis])
                    continue
                target = self._store.global_object(collection, index)[: self._store.offset_bytes]
                names.append(self._names.get(int.from_bytes(target, "little"), unnamed[axis]))
            return tuple(names)
        return (self.name,) if len(self.shape) == 1 else unnamed

    def read(self, damage: list[Damage] | None = None, *, max_rows: int | None = None) -> NDArray[Any]:
        shape = self.shape
        if max_rows is not None and shape:
            shape = (min(max_rows, shape[0]), *shape[1:])
        try:
            header = self._header
            return storage.read(self._store, self.name, shape, header.form, header.layout, damage)
        except _DAMAGED as error:
            raise UnreadableFile(f"{self.name} is stored in a damaged way: {error}") from error
