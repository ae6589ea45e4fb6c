"""What is remembered of a site's mixing layer from batch to batch, as versioned bytes."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.layers.evidence import ROW, Evidence, Rows
from ipdsf_spark.lidar.layers.standing import Standing

VERSION: Final = 6
NOTHING: Final = -(2**62)
_HEAD: Final = struct.Struct("<BBHHHBq")
_HEAD_OF_4: Final = struct.Struct("<BBHHHq")
_NOT_GATHERED: Final = np.array(np.nan, "<f2").tobytes()


def migrated(raw: bytes) -> bytes:
    """A state of an older version as one of this version.

    Version 4 knew neither final intervals nor standing parts, version 5 not what gathers above the ground.
    """
    if len(raw) >= _HEAD_OF_4.size and raw[0] == 4:
        *counts, last_index = _HEAD_OF_4.unpack_from(raw)[1:]
        raw = b"".join([_HEAD.pack(5, *counts, 0, last_index), raw[_HEAD_OF_4.size :], Standing.empty().to_bytes()])
    if len(raw) < _HEAD.size or raw[0] != 5:
        return raw
    flags, nodes, num_rows, num_open, num_told, last_index = _HEAD.unpack_from(raw)[1:]
    size = ROW.itemsize - len(_NOT_GATHERED)
    at = _HEAD.size
    parts = [_HEAD.pack(VERSION, flags, nodes, num_rows, num_open, num_told, last_index)]

    def take(length: int, num: int = 1, more: bytes = b"") -> None:
        nonlocal at
        parts.extend(raw[at + line * length : at + (line + 1) * length] + more for line in range(num))
        at += num * length

    take(((flags & 1) + (flags >> 1 & 1)) * 4 * nodes + 2 * nodes)
    take(size, num_told + num_rows, _NOT_GATHERED)
    take(2 * nodes * num_rows)
    for _ in range(num_open):
        take(size, 1, _NOT_GATHERED)
        take(nodes)
    return b"".join([*parts, raw[at:]])


@dataclass(eq=False)
class TrackerState:
    """What is remembered of a site.

    Attributes:
        last_index: newest closed interval, `NOTHING` if none.
        told: (m,) records of the newest final intervals, as many as the next ones lean on.
        base: (2, K) what is known of the interval before the first pending one, from that and before; None at a start.
        tip: (2, K) the same of the newest closed interval.
        residual: (K,) memory of the residual layer's edge.
        rows: (n,) records of the intervals that are closed and not yet final, one behind the other.
        stored: (n, 2, K) their likelihood.
        standing: part of the signal's falls that never goes away.
        open: evidence of open intervals, by index.
    """

    last_index: int
    told: Rows
    base: NDArray[np.float16] | None
    tip: NDArray[np.float16] | None
    residual: NDArray[np.float16]
    rows: Rows
    stored: NDArray[np.uint8]
    standing: Standing = field(default_factory=Standing.empty)
    open: dict[int, Evidence] = field(default_factory=dict)

    @classmethod
    def empty(cls, num_nodes: int, last_index: int = NOTHING, standing: Standing | None = None) -> TrackerState:
        """Nothing seen, or nothing pending."""
        return cls(
            last_index,
            np.empty(0, ROW),
            None,
            None,
            np.zeros(num_nodes, np.float16),
            np.empty(0, ROW),
            np.empty((0, 2, num_nodes), np.uint8),
            standing or Standing.empty(),
        )

    def to_bytes(self) -> bytes:
        """The state as versioned bytes."""
        known = [part for part in (self.base, self.tip) if part is not None]
        flags = (self.base is not None) | ((self.tip is not None) << 1)
        head = _HEAD.pack(
            VERSION, flags, self.residual.size, len(self.rows), len(self.open), len(self.told), self.last_index
        )
        open_ = [part for _, part in sorted(self.open.items())]
        return b"".join(
            [
                head,
                *(part.tobytes() for part in known),
                self.residual.tobytes(),
                self.told.tobytes(),
                self.rows.tobytes(),
                self.stored.tobytes(),
                *(part.rows.tobytes() + part.edges.tobytes() for part in open_),
                self.standing.to_bytes(),
            ]
        )

    @classmethod
    def from_bytes(cls, raw: bytes, num_nodes: int) -> TrackerState:
        """The state that `to_bytes` wrote.

        Raises:
            ValueError: the bytes were written by another version, or for another height grid, or end early.
        """
        if len(raw) < _HEAD.size or raw[0] != VERSION:
            written = f"version {raw[0]}" if raw else "nobody"
            raise ValueError(f"site state of {len(raw)} bytes written by {written}, this is version {VERSION}")
        _, flags, nodes, num_rows, num_open, num_told, last_index = _HEAD.unpack_from(raw)
        if nodes != num_nodes:
            raise ValueError(
                f"site state has {nodes} height nodes, the site's max_height_m gives {num_nodes}: "
                "start from a new checkpoint or restore the setting"
            )
        num_known = (flags & 1) + (flags >> 1 & 1)
        size = _HEAD.size + num_known * 4 * nodes + 2 * nodes + num_rows * (ROW.itemsize + 2 * nodes)
        size += num_open * (ROW.itemsize + nodes) + num_told * ROW.itemsize
        standing, behind = Standing.from_bytes(raw[size:])
        if behind:
            raise ValueError(f"site state has {len(raw)} bytes, its head says {len(raw) - len(behind)}")
        at = _HEAD.size

        def taken(kind: Any, *shape: int) -> NDArray[Any]:
            nonlocal at
            count = math.prod(shape)
            values = np.frombuffer(raw, kind, count, at).reshape(shape)
            at += values.nbytes
            return values

        base = taken(np.float16, 2, nodes) if flags & 1 else None
        tip = taken(np.float16, 2, nodes) if flags & 2 else None
        residual = taken(np.float16, nodes)
        told = taken(ROW, num_told)
        rows, stored = taken(ROW, num_rows), taken(np.uint8, num_rows, 2, nodes)
        open_: dict[int, Evidence] = {}
        for _ in range(num_open):
            part = Evidence(taken(ROW, 1), taken(np.uint8, 1, nodes))
            open_[int(part.rows["index"][0])] = part
        return cls(last_index, told, base, tip, residual, rows, stored, standing, open_)
