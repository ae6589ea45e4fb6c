"""What a site's tracker remembers between batches, and its versioned bytes."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar import averaging
from ipdsf_spark.lidar.averaging import Average
from ipdsf_spark.lidar.edges import Edges
from ipdsf_spark.lidar.profiles import Float64

VERSION: Final = 1
NOTHING_CLOSED: Final = -(2**62)
_HEAD: Final = struct.Struct("<BHBHI")
_ROW: Final = struct.Struct("<qHffi")


@dataclass(eq=False)
class LayerState:
    """Mutable state of one site.

    Attributes:
        cost: (K,) path costs D at the newest closed interval.
        trail: back-pointers (K,) int8 of the closed intervals that are not final yet, oldest first.
        trail_rows: what those intervals said, without node costs.
        pending: averages of the intervals that still take profiles.
        closed_index: newest closed interval.
    """

    cost: Float64
    num_candidates: int
    trail: list[NDArray[np.int8]] = field(default_factory=list)
    trail_rows: list[Edges] = field(default_factory=list)
    pending: dict[int, Average] = field(default_factory=dict)
    closed_index: int = NOTHING_CLOSED

    @classmethod
    def empty(cls, num_nodes: int, num_candidates: int) -> LayerState:
        """Nothing seen yet."""
        return cls(cost=np.zeros(num_nodes), num_candidates=num_candidates)

    @property
    def trail_index(self) -> list[int]:
        """Interval numbers of the trail."""
        return [int(row.index[0]) for row in self.trail_rows]

    def append(self, index: int, pointers: NDArray[np.int8], row: Edges) -> None:
        """One more closed interval."""
        self.trail.append(pointers)
        self.trail_rows.append(_as_stored(row))
        self.closed_index = index

    def take(self, count: int) -> Edges:
        """Remove the oldest `count` intervals and return what they said."""
        rows = Edges.concatenate(self.trail_rows[:count])
        del self.trail[:count]
        del self.trail_rows[:count]
        return rows


def _as_stored(row: Edges) -> Edges:
    """The row in the precision it is stored in, so that going through bytes changes nothing."""
    return replace(
        row,
        node_cost=np.empty((1, 0)),
        candidates_m=_single(row.candidates_m),
        strength=_single(row.strength),
        sigma_m=_single(row.sigma_m),
        cloud_base_m=_single(row.cloud_base_m),
        ceiling_m=_single(row.ceiling_m),
    )


def _single(values: Float64) -> Float64:
    return values.astype(np.float32).astype(np.float64)


def pack_state(state: LayerState) -> bytes:
    """The state as versioned bytes."""
    num_nodes = state.cost.size
    pending = averaging.pack(state.pending[index] for index in sorted(state.pending))
    parts = [
        _HEAD.pack(VERSION, num_nodes, state.num_candidates, len(state.trail), len(pending)),
        struct.pack("<q", state.closed_index),
        state.cost.astype(np.float32).tobytes(),
    ]
    for pointers, row in zip(state.trail, state.trail_rows, strict=True):
        parts.append(
            _ROW.pack(
                int(row.index[0]),
                int(row.quality[0]),
                float(row.cloud_base_m[0]),
                float(row.ceiling_m[0]),
                int(row.num_profiles[0]),
            )
        )
        parts.extend(values.astype(np.float32).tobytes() for values in (row.candidates_m, row.strength, row.sigma_m))
        parts.append(pointers.tobytes())
    parts.append(pending)
    return b"".join(parts)


def unpack_state(raw: bytes, num_nodes: int, num_candidates: int) -> LayerState:
    """The inverse of `pack_state`.

    Raises:
        ValueError: the bytes were written by another version, or for another height grid.
    """
    version, nodes, candidates, num_trail, num_pending_bytes = _HEAD.unpack_from(raw)
    if version != VERSION:
        raise ValueError(f"site state written by version {version}, this is version {VERSION}")
    if (nodes, candidates) != (num_nodes, num_candidates):
        raise ValueError(
            f"site state has {nodes} height nodes and {candidates} candidates, the settings give {num_nodes} and "
            f"{num_candidates}: start from a new checkpoint or restore the settings"
        )
    position = _HEAD.size
    (closed,) = struct.unpack_from("<q", raw, position)
    position += 8
    cost = np.frombuffer(raw, np.float32, nodes, position).astype(np.float64)
    position += 4 * nodes
    trail, rows = [], []
    nothing = np.empty((1, 0))
    for _ in range(num_trail):
        index, quality, cloud, ceiling, num_profiles = _ROW.unpack_from(raw, position)
        position += _ROW.size
        table = np.frombuffer(raw, np.float32, 3 * candidates, position).astype(np.float64).reshape(3, 1, candidates)
        position += 12 * candidates
        trail.append(np.frombuffer(raw, np.int8, nodes, position))
        position += nodes
        rows.append(
            Edges(
                np.array([index]),
                nothing,
                table[0],
                table[1],
                table[2],
                np.array([quality], np.uint16),
                np.array([cloud]),
                np.array([ceiling]),
                np.array([num_profiles], np.int32),
            )
        )
    pending = averaging.unpack(raw[position : position + num_pending_bytes])
    return LayerState(cost, candidates, trail, rows, {average.index: average for average in pending}, closed)
