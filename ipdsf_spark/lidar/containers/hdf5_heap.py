"""Where HDF5 keeps names and small things: B-trees of links, fractal heaps, local and global heaps.

HDF5 File Format Specification 3.0, sections III.A.1, III.A.2, III.C, III.D, III.E, III.G. Only what netCDF-4 writers
use is read; the rest is refused by name. Every structure visited is paid from a budget, so that a ring of addresses in
a damaged file ends.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Final, NamedTuple

from ipdsf_spark.lidar.containers.container import NotUnderstood, UnreadableFile

STRUCTURES_PER_FILE: Final = 200_000  # a day of E-PROFILE has some 30,000, one chunk a variable and time
BYTES_PER_FILE: Final = 600 * 2**20  # unpacked; a day of CL61 at 5 s needs 460 MB
_REMEMBERED_BYTES: Final = 32_768  # of a heap whose objects are remembered from file to file
_MANAGED, _TINY = 0, 2  # kinds of fractal heap objects


class Store:
    """The bytes of a file with its address and length sizes.

    Attributes:
        raw: all bytes.
        offset_bytes, length_bytes: sizes of stored addresses and lengths.
        nowhere: the address that means none.
    """

    def __init__(self, raw: bytes, offset_bytes: int, length_bytes: int) -> None:
        if offset_bytes not in (4, 8) or length_bytes != offset_bytes:
            raise UnreadableFile("HDF5 superblock is damaged")
        self.raw = raw
        self.offset_bytes = offset_bytes
        self.length_bytes = length_bytes
        self.nowhere = (1 << 8 * offset_bytes) - 1
        self._left = STRUCTURES_PER_FILE
        self._bytes_left = BYTES_PER_FILE
        self._collections: dict[int, dict[int, bytes]] = {}

    def spend(self, count: int = 1) -> None:
        """Pay for `count` structures.

        Raises:
            UnreadableFile: the file wants more than any real one.
        """
        self._left -= count
        if self._left < 0:
            raise UnreadableFile(f"HDF5 structures run in a ring, or are more than {STRUCTURES_PER_FILE}")

    def spend_bytes(self, count: int) -> None:
        """Pay for `count` bytes of unpacked values.

        Raises:
            UnreadableFile: the file wants more than any real one.
        """
        self._bytes_left -= count
        if self._bytes_left < 0:
            raise UnreadableFile(f"unpacks to more than {BYTES_PER_FILE} bytes; split it into files of a day")

    def number(self, at: int, num_bytes: int) -> int:
        """A little-endian whole number."""
        return int.from_bytes(self.bytes_at(at, num_bytes), "little")

    def bytes_at(self, at: int, num_bytes: int) -> bytes:
        """A stretch of the file.

        Raises:
            UnreadableFile: it reaches over the end.
        """
        found = self.raw[at : at + num_bytes] if at >= 0 <= num_bytes else b""
        if len(found) != num_bytes:
            raise UnreadableFile("HDF5 structure points outside the file")
        return found

    def offset(self, at: int) -> int:
        """An address."""
        return self.number(at, self.offset_bytes)

    def length(self, at: int) -> int:
        """A length."""
        return self.number(at, self.length_bytes)

    def expect(self, at: int, signature: bytes) -> None:
        """Pay for one structure and check how it begins.

        Raises:
            UnreadableFile: it begins otherwise.
        """
        self.spend()
        if self.raw[at : at + len(signature)] != signature:
            raise UnreadableFile(f"HDF5 structure {signature.decode()} is not where it should be")

    def global_object(self, collection: int, index: int) -> bytes:
        """An object of a global heap collection: variable-length texts and lists of references."""
        if collection not in self._collections:
            self._collections[collection] = self._collection(collection)
        if index not in self._collections[collection]:
            raise UnreadableFile("HDF5 global heap lacks an object")
        return self._collections[collection][index]

    def _collection(self, at: int) -> dict[int, bytes]:
        self.expect(at, b"GCOL")
        self.spend(100)
        block = self.bytes_at(at, self.length(at + 8))
        collected = _collected if len(block) <= _REMEMBERED_BYTES else _collected.__wrapped__
        return collected(block, self.length_bytes)


@lru_cache(maxsize=64)
def _collected(block: bytes, length_bytes: int) -> dict[int, bytes]:
    """The objects of a global heap collection; remembered, for files of one firmware share theirs."""
    found: dict[int, bytes] = {}
    at = 8 + length_bytes
    while at + 8 + length_bytes <= len(block):
        index = int.from_bytes(block[at : at + 2], "little")
        size = int.from_bytes(block[at + 8 : at + 8 + length_bytes], "little")
        if index == 0:
            break
        at += 8 + length_bytes
        found[index] = block[at : at + size]
        at += size + (-size % 8)
    return found


def tree_records(store: Store, at: int) -> tuple[int, tuple[bytes, ...]]:
    """The records of a version 2 B-tree: their size, and the stretches in which they lie one after another."""
    store.expect(at, b"BTHD")
    node_bytes, record_bytes, depth = struct.unpack_from("<IHH", store.raw, at + 6)
    root, num_records = store.offset(at + 16), store.number(at + 16 + store.offset_bytes, 2)
    if record_bytes == 0 or node_bytes < 32 or depth > 8:
        raise UnreadableFile("HDF5 B-tree header is damaged")
    if depth == 0:
        return record_bytes, (_leaf(store, root, num_records, record_bytes, node_bytes),) if num_records else ()
    most = (node_bytes - 10) // record_bytes
    count_bytes = _encoded_bytes(most)
    # From the leaves up: how many records a node of each depth can hold below it, and the room that number takes.
    total_bytes, most_below = [0], [most]
    for level in range(1, depth):
        pointer = store.offset_bytes + count_bytes + (total_bytes[level - 1] if level > 1 else 0)
        fan = (node_bytes - 10 - pointer) // (record_bytes + pointer)
        most_below.append(min((fan + 1) * most_below[-1] + fan, 1 << 62))
        total_bytes.append(_encoded_bytes(most_below[-1]))
    found: list[bytes] = []

    def visit(node: int, count: int, level: int) -> None:
        found.append(_leaf(store, node, count, record_bytes, node_bytes, b"BTLF" if level == 0 else b"BTIN"))
        if level == 0:
            return
        step = store.offset_bytes + count_bytes + (total_bytes[level - 1] if level > 1 else 0)
        pointer = node + 6 + count * record_bytes
        for _ in range(count + 1):
            visit(store.offset(pointer), store.number(pointer + store.offset_bytes, count_bytes), level - 1)
            pointer += step

    if num_records:
        visit(root, num_records, depth)
    return record_bytes, tuple(found)


def _leaf(store: Store, node: int, count: int, record_bytes: int, node_bytes: int, signature: bytes = b"BTLF") -> bytes:
    """The records of one node."""
    if count * record_bytes > node_bytes:
        raise UnreadableFile("HDF5 B-tree node is damaged")
    store.expect(node, signature)
    store.spend(count)
    return store.bytes_at(node + 6, count * record_bytes)


def _encoded_bytes(limit: int) -> int:
    return max(limit.bit_length() - 1, 0) // 8 + 1


class _HeapHeader(NamedTuple):
    """What the header of a fractal heap says; all numbers but `rows` and `width` in bytes."""

    width: int
    start: int
    largest_direct: int
    offset_bytes: int
    size_bytes: int
    address: int
    rows: int


@lru_cache(maxsize=256)
def _heap_header(header: bytes, offset_bytes: int, length_bytes: int) -> _HeapHeader:
    """Remembered, for files of one firmware have the same heaps at the same places."""
    store = Store(header, offset_bytes, length_bytes)
    if store.number(7, 2):
        raise NotUnderstood("HDF5 heap is packed, which no known writer of netCDF does")
    largest_object = store.number(10, 4)
    table = 14 + 10 * length_bytes + 2 * offset_bytes
    width, start, largest_direct = (
        store.number(table, 2),
        store.length(table + 2),
        store.length(table + 2 + length_bytes),
    )
    heap_bits = store.number(table + 2 + 2 * length_bytes, 2)
    root = table + 6 + 2 * length_bytes
    address, rows = store.offset(root), store.number(root + offset_bytes, 2)
    if not (width and start and largest_direct and largest_object) or heap_bits > 64 or rows > 64:
        raise UnreadableFile("HDF5 heap header is damaged")
    size_bytes = min((largest_direct.bit_length() + 6) // 8, _encoded_bytes(largest_object))
    return _HeapHeader(width, start, largest_direct, (heap_bits + 7) // 8, size_bytes, address, rows)


class FractalHeap:
    """Objects found by their heap id."""

    def __init__(self, store: Store, at: int) -> None:
        store.expect(at, b"FRHP")
        self._store = store
        header = store.raw[at : at + 22 + 12 * store.length_bytes + 3 * store.offset_bytes]
        heap = _heap_header(header, store.offset_bytes, store.length_bytes)
        self._width, self._start, self._largest_direct = heap.width, heap.start, heap.largest_direct
        self._offset_bytes, self._size_bytes = heap.offset_bytes, heap.size_bytes
        self._blocks: list[tuple[int, bytes]] = []  # heap offset and bytes of every direct block
        if heap.rows == 0:
            self._blocks.append((0, store.raw[heap.address : heap.address + self._start]))
        else:
            self._collect(heap.address, heap.rows, 0)

    def objects(self, tree: int, id_at: int) -> tuple[bytes, ...]:
        """The objects that a B-tree lists, whose records hold the heap id at `id_at`.

        Raises:
            UnreadableFile: an id points nowhere, or to a kind of object no known writer uses.
        """
        record_bytes, records = tree_records(self._store, tree)
        is_small = sum(len(block) for _, block in self._blocks) <= _REMEMBERED_BYTES
        find = _objects if is_small else _objects.__wrapped__
        return find(tuple(self._blocks), records, record_bytes, id_at, self._offset_bytes, self._size_bytes)

    def _collect(self, address: int, rows: int, first: int) -> None:
        store = self._store
        store.expect(address, b"FHIB")
        pointer = address + 5 + store.offset_bytes + self._offset_bytes
        for row in range(rows):
            size = self._start << max(row - 1, 0)
            for _ in range(self._width):
                store.spend()
                child = store.offset(pointer)
                pointer += store.offset_bytes
                if child != store.nowhere:
                    if size <= self._largest_direct:
                        self._blocks.append((first, store.raw[child : child + size]))
                    else:
                        inner_rows = (size // (self._start * self._width)).bit_length()
                        self._collect(child, inner_rows, first)
                first += size


@lru_cache(maxsize=128)
def _objects(
    blocks: tuple[tuple[int, bytes], ...],
    records: tuple[bytes, ...],
    record_bytes: int,
    id_at: int,
    offset_bytes: int,
    size_bytes: int,
) -> tuple[bytes, ...]:
    """The heap objects that B-tree records name; remembered, for files of one firmware share names and places."""
    found = []
    for stretch in records:
        for at in range(id_at, len(stretch), record_bytes):
            heap_id = stretch[at : at + record_bytes - id_at]
            kind = heap_id[0] >> 4 & 3
            if kind == _TINY:
                found.append(heap_id[1 : 2 + (heap_id[0] & 15)])
                continue
            if kind != _MANAGED:
                raise UnreadableFile("HDF5 heap object is too large for a name")
            offset = int.from_bytes(heap_id[1 : 1 + offset_bytes], "little")
            size = int.from_bytes(heap_id[1 + offset_bytes : 1 + offset_bytes + size_bytes], "little")
            for first, block in blocks:
                if first <= offset and offset + size <= first + len(block):
                    found.append(block[offset - first : offset - first + size])
                    break
            else:
                raise UnreadableFile("HDF5 heap id points outside the heap")
    return tuple(found)


def old_group(store: Store, tree: int, heap: int) -> dict[str, int]:
    """Names and object addresses of a group in the style before HDF5 1.8."""
    store.expect(heap, b"HEAP")
    names = store.offset(heap + 8 + 2 * store.length_bytes)
    found: dict[str, int] = {}
    entry_bytes = 2 * store.offset_bytes + 24

    def visit(node: int) -> None:
        store.spend()
        if store.raw[node : node + 4] == b"SNOD":
            for index in range(store.number(node + 6, 2)):
                store.spend()
                entry = node + 8 + index * entry_bytes
                start = names + store.offset(entry)
                end = store.raw.find(b"\0", start, start + 1024)
                if end > start:
                    found[store.raw[start:end].decode("utf-8", "replace")] = store.offset(entry + store.offset_bytes)
            return
        store.expect(node, b"TREE")
        first = node + 8 + 2 * store.offset_bytes + store.length_bytes
        for index in range(store.number(node + 6, 2)):
            visit(store.offset(first + index * (store.offset_bytes + store.length_bytes)))

    visit(tree)
    return found
