"""What a site's tracker remembers between batches, and its versioned bytes."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from ipdsf_spark.lidar.averages import average_bytes
from ipdsf_spark.lidar.layers.interval_rows import Rows, row_type
from ipdsf_spark.lidar.profiles import Float32

VERSION: Final = 3
NOTHING_CLOSED: Final = -(2**62)
_HEAD: Final = struct.Struct("<BBHHHqI")


@dataclass(eq=False)
class LayerState:
    """Mutable state of one site. K path nodes.

    Attributes:
        rows: the intervals whose height is not final yet, oldest first; the last ones are open.
        open: interval number to average (as bytes) of the intervals that still take profiles, oldest first.
        cost: (len(open) + 1, K) path costs D before the first open interval and after each.
        closed_index: newest closed interval.
    """

    rows: Rows
    cost: Float32
    open: dict[int, bytes] = field(default_factory=dict)
    closed_index: int = NOTHING_CLOSED

    @classmethod
    def empty(cls, num_nodes: int, num_candidates: int) -> LayerState:
        """Nothing seen yet."""
        return cls(np.empty(0, row_type(num_nodes, num_candidates)), np.zeros((1, num_nodes), np.float32))


def pack_state(state: LayerState) -> bytes:
    """The state as versioned bytes."""
    num_candidates = state.rows.dtype["table"].shape[1]
    averages = b"".join(state.open.values())
    head = _HEAD.pack(
        VERSION,
        num_candidates,
        state.cost.shape[1],
        len(state.rows),
        len(state.open),
        state.closed_index,
        len(averages),
    )
    return b"".join((head, state.cost.tobytes(), state.rows.tobytes(), averages))


def unpack_state(raw: bytes, num_nodes: int, num_candidates: int) -> LayerState:
    """The inverse of `pack_state`.

    Raises:
        ValueError: the bytes were written by another version, or for another height grid, or end early.
    """
    if len(raw) < _HEAD.size or raw[0] != VERSION:
        written = f"version {raw[0]}" if raw else "nobody"
        raise ValueError(f"site state of {len(raw)} bytes written by {written}, this is version {VERSION}")
    _, candidates, nodes, num_rows, num_open, closed, num_bytes = _HEAD.unpack_from(raw)
    if (nodes, candidates) != (num_nodes, num_candidates):
        raise ValueError(
            f"site state has {nodes} height nodes and {candidates} candidates, the settings give {num_nodes} and "
            f"{num_candidates}: start from a new checkpoint or restore the settings"
        )
    kind = row_type(num_nodes, num_candidates)
    cost_at, rows_at = _HEAD.size, _HEAD.size + 4 * (num_open + 1) * nodes
    averages_at = rows_at + num_rows * kind.itemsize
    if len(raw) != averages_at + num_bytes:
        raise ValueError(f"site state has {len(raw)} bytes, its head says {averages_at + num_bytes}")
    cost = np.frombuffer(raw, np.float32, (num_open + 1) * nodes, cost_at).reshape(num_open + 1, nodes)
    rows = np.frombuffer(raw, kind, num_rows, rows_at)
    return LayerState(rows, cost, dict(average_bytes.split(raw[averages_at:])), closed)
