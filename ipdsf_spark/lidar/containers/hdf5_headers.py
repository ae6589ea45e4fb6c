"""Object headers of HDF5 files: what says how a variable is stored, and remembering it from file to file.

The files of one firmware have the same headers at the same places, so they are compared with what is known, not parsed.
What is remembered is bounded, because anybody's bytes come through here.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from functools import lru_cache
from typing import Any, Final, NamedTuple

from ipdsf_spark.lidar.containers import hdf5_storage as storage
from ipdsf_spark.lidar.containers.container import UnreadableFile
from ipdsf_spark.lidar.containers.hdf5_heap import Store

# Header messages
DATASPACE, LINK_INFO, DATATYPE, FILL, LINK, LAYOUT = 0x01, 0x02, 0x03, 0x05, 0x06, 0x08
FILTERS, ATTRIBUTE, CONTINUATION, SYMBOL_TABLE, ATTRIBUTE_INFO = 0x0B, 0x0C, 0x10, 0x11, 0x15
SHARED: Final = 2  # flag of a message that stands elsewhere
REMEMBERED_BYTES: Final = 4096  # of a stretch of a header or an attribute that is remembered from file to file
_STORAGE: Final = frozenset({DATASPACE, DATATYPE, FILL, LAYOUT, FILTERS})
_REQUIRED: Final = frozenset({DATASPACE, DATATYPE, LAYOUT})
_MAX_CONTINUATIONS: Final = 256
_LONGEST_HEADER: Final = 1 << 20
_REMEMBERED_HEADERS: Final = 1024
_USUAL_OFFSET_BYTES: Final = 8
_OLD_HEAD: Final = 8  # bytes before a message's body in headers of version 1

Message = tuple[int, int, bytes]  # type, flags, body


class _Stretch(NamedTuple):
    """What one stretch of an object header holds."""

    messages: tuple[Message, ...]
    continued: tuple[tuple[int, int], ...]  # addresses and lengths of where the header goes on
    storage: dict[int, bytes]  # the messages that say how values are stored
    layout_at: int  # where in the stretch the layout message's body begins; -1 if it is elsewhere


class Place(NamedTuple):
    """A stretch of an object header, and where its bytes lie."""

    start: int
    block: bytes
    stretch: _Stretch


class Header(NamedTuple):
    """What the header of a variable says of its values, and the stretches in which it says so.

    `memo` keeps what follows from the bytes of these stretches, layout aside, for as long as they are remembered.
    """

    form: storage.Form
    layout: bytes
    places: list[Place]
    memo: dict[Any, Any]


_remembered_headers: OrderedDict[tuple[int, bytes], Header] = OrderedDict()


def described(store: Store, at: int) -> Header:
    """The header of the variable at `at`.

    Raises:
        UnreadableFile: it is damaged, or that of a group.
    """
    start, size, head = _first_stretch(store, at)
    raw = store.raw
    key = (head, raw[start : start + size])
    known = _remembered_headers.get(key) if store.offset_bytes == _USUAL_OFFSET_BYTES else None
    if known is not None:
        layout = known.layout
        for place in known.places[1:]:
            block = raw[place.start : place.start + len(place.block)]
            if block != place.block:
                moved = _moved_layout(block, place, len(layout))
                if moved is None:
                    break
                layout = moved
        else:
            store.spend(len(known.places))
            return known if layout is known.layout else Header(known.form, layout, known.places, known.memo)
    places = _stretches(store, at)
    found: dict[int, bytes] = {}
    for place in places:
        found.update(place.stretch.storage)
    if not found.keys() >= _REQUIRED or not all(found.values()):
        raise UnreadableFile("it is a group, has a type of its own, or messages are missing")
    form = storage.form(found[DATASPACE], found[DATATYPE], found.get(FILTERS, b""), found.get(FILL, b""))
    header = Header(form, found[LAYOUT], places, {})
    if store.offset_bytes == _USUAL_OFFSET_BYTES and sum(len(place.block) for place in places) <= REMEMBERED_BYTES:
        _remembered_headers[key] = header
        while len(_remembered_headers) > _REMEMBERED_HEADERS:
            _remembered_headers.popitem(last=False)
    return header


def _moved_layout(block: bytes, place: Place, num_bytes: int) -> bytes | None:
    """The layout message of a stretch that differs from `place` in nothing else; packed data move from file to file."""
    at = place.stretch.layout_at
    end = at + num_bytes
    if at < 0 or len(block) != len(place.block) or block[:at] != place.block[:at] or block[end:] != place.block[end:]:
        return None
    return block[at:end]


def _first_stretch(store: Store, at: int) -> tuple[int, int, int]:
    """Where the first stretch of an object header begins, its length, and the length of a message's head."""
    raw = store.raw
    if raw[at : at + 4] == b"OHDR":
        flags = raw[at + 5]
        start = at + 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
        size_bytes = 1 << (flags & 3)
        size = int.from_bytes(raw[start : start + size_bytes], "little")
        return start + size_bytes, size, 6 if flags & 4 else 4
    if raw[at : at + 1] == b"\x01":
        return at + 16, store.number(at + 8, 4), _OLD_HEAD
    raise UnreadableFile("HDF5 object header is not where it should be")


def _stretches(store: Store, at: int) -> list[Place]:
    """The stretches of an object header, and where they lie."""
    raw = store.raw
    start, size, head = _first_stretch(store, at)
    is_new = head != _OLD_HEAD
    found: list[Place] = []
    pending = [(start, size)]
    for start, size in pending:
        block = raw[start : start + size] if size >= 0 else b""
        if len(block) != size or size > _LONGEST_HEADER:
            raise UnreadableFile("HDF5 object header is damaged")
        parse = _stretch if size <= REMEMBERED_BYTES else _stretch.__wrapped__
        stretch = parse(block, head, is_new, store.offset_bytes)
        found.append(Place(start, block, stretch))
        for there, much in stretch.continued:
            if not is_new:
                pending.append((there, much))
            elif raw[there : there + 4] == b"OCHK":
                pending.append((there + 4, much - 8))
            else:
                raise UnreadableFile("HDF5 object header does not go on where it says")
        if len(pending) > _MAX_CONTINUATIONS:
            raise UnreadableFile("HDF5 object header runs in a ring")
    store.spend(len(pending))
    return found


def messages(store: Store, at: int) -> list[Message]:
    """All messages of the object header at `at`."""
    return [message for place in _stretches(store, at) for message in place.stretch.messages]


@lru_cache(maxsize=2048)
def _stretch(block: bytes, head: int, is_new: bool, offset_bytes: int) -> _Stretch:
    """One stretch of an object header, remembered: those of one firmware are the same in file after file."""
    found, continued, storage_messages, layout_at = [], [], {}, -1
    start, end = 0, len(block)
    while start + head <= end:
        if is_new:
            kind, length, flags = block[start], block[start + 1] | block[start + 2] << 8, block[start + 3]
        else:
            kind, length, flags = struct.unpack_from("<HHB", block, start)
        body = block[start + head : start + head + length]
        start += head + length
        if start > end:
            raise UnreadableFile("HDF5 object header is damaged")
        if kind == CONTINUATION:
            there, much = body[:offset_bytes], body[offset_bytes : 2 * offset_bytes]
            continued.append((int.from_bytes(there, "little"), int.from_bytes(much, "little")))
        elif kind:
            found.append((kind, flags, body))
            if kind in _STORAGE:
                storage_messages[kind] = b"" if flags & SHARED else body
                layout_at = start - length if kind == LAYOUT else layout_at
    return _Stretch(tuple(found), tuple(continued), storage_messages, layout_at)
