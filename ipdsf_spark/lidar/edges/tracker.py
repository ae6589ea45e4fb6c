"""Edges of one site as a pure step: averages in, rows and a small state out.

A closed interval becomes a column of the image; `reach` columns later its maxima are decided and linked, `lag` columns
after that its row is final. Missing intervals are blank columns, so that time passes; after a long gap, or when the
site falls silent, what is pending becomes final and everything starts anew. Columns are taken one by one, so that a day
fed at once, interval by interval or continued from bytes gives the same rows.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.averages.average import Average
from ipdsf_spark.lidar.edges.detector import CannyDetector, EdgeDetector
from ipdsf_spark.lidar.edges.image import (
    Cells,
    Columns,
    blank,
    columns_of,
    in_half_precision,
    narrowed,
    widened,
    without_exponents,
)
from ipdsf_spark.lidar.edges.settings import EdgeSettings
from ipdsf_spark.lidar.edges.thinning import thinned
from ipdsf_spark.lidar.edges.tracks import BEFORE, Edge, Linker, Tracks, track_type
from ipdsf_spark.lidar.site import Site

VERSION: Final = 2
NOTHING: Final = -(2**62)
_HEAD: Final = struct.Struct("<BBHHHHq")
_PENDING: Final = np.dtype([("index", "<i8"), ("num", "<u2"), ("quality", "<u2"), ("cloud", "<u2")])


def migrated(version: int, raw: bytes) -> bytes:
    """A state of version 1, which kept the image in single precision, as one of this version.

    Raises:
        ValueError: it is of neither, or ends early.
    """
    if version != 1 or len(raw) < _HEAD.size or raw[0] != 1:
        raise ValueError(f"edges of version {version} with {len(raw)} bytes are not known")
    _, undecided, num_cells, num_columns, *counts, last_index = _HEAD.unpack_from(raw)
    kind = without_exponents(num_cells)
    at = _HEAD.size + num_columns * kind.itemsize
    if len(raw) < at:
        raise ValueError(f"edges of {len(raw)} bytes end inside their image")
    ring = blank(0, num_columns, Cells(0.0, num_cells))
    known = np.frombuffer(raw, kind, num_columns, _HEAD.size)
    for name in kind.names or ():
        ring[name] = known[name]
    head = _HEAD.pack(VERSION, undecided, num_cells, num_columns, *counts, last_index)
    return b"".join([head, narrowed(in_half_precision(ring)).tobytes(), raw[at:]])


@dataclass(frozen=True)
class EdgeRow:
    """The edges of one interval.

    Attributes:
        index: interval number since 1970.
        num_profiles: profiles averaged.
        quality: bits of `Quality`: what hid edges.
        cloud_quarters: lowest cloud base [m / 4], `NO_HEIGHT` where none.
        is_provisional: a final row will replace this one.
        edges: lowest first.
    """

    index: int
    num_profiles: int
    quality: int
    cloud_quarters: int
    is_provisional: bool
    edges: tuple[Edge, ...]


class EdgeTracker:
    """The state of one site's edges. Not thread-safe; `to_bytes` and `from_bytes` carry it from batch to batch."""

    def __init__(self, site: Site, settings: EdgeSettings, detector: EdgeDetector | None = None) -> None:
        self.site = site
        self.settings = settings
        self.detector = detector or CannyDetector(settings)
        self.cells = Cells.of(site, settings)
        self.linker = Linker(settings, settings.lag(self.detector.reach))
        self.last_index = NOTHING
        self._forget()

    def _forget(self) -> None:
        self._ring: Columns = np.empty(0, self.cells.kind)
        self._num_undecided = 0
        self._pending: NDArray[np.void] = np.empty(0, _PENDING)  # decided, not final
        self._tracks: Tracks = self.linker.empty()

    def step(self, closed: Sequence[Average]) -> list[EdgeRow]:
        """Take in intervals that are complete, in time order; those that are not newer than the last one are left out.

        Returns:
            For each interval the row that became final, if one did, then its own, which is provisional.
        """
        rows: list[EdgeRow] = []
        for column in columns_of(closed, self.site, self.cells, self.settings):
            index = int(column["index"])
            if index <= self.last_index:
                continue
            missing = index - self.last_index - 1 if len(self._ring) else 0
            if missing > self.settings.longest_gap:
                rows += self.flush()
                missing = 0
            for part in (*blank(self.last_index + 1, missing, self.cells), column):
                rows += self._push(part)
            rows.append(self._newest())
        return rows

    def flush(self) -> list[EdgeRow]:
        """No more comes: what is pending becomes final."""
        rows: list[EdgeRow] = []
        while self._num_undecided:
            rows += self._decide()
        last = self._tracks
        for at in range(len(self._pending)):
            rows += self._final(last, at - len(self._pending), self._pending[at])
        self._forget()
        return rows

    def _push(self, column: np.void) -> list[EdgeRow]:
        """One more column of the ring; the row that became final, if one did."""
        added = np.empty(1, self.cells.kind)
        added[0] = column
        self._ring = np.concatenate([self._ring[-2 * self.detector.reach :], added])
        self._num_undecided += 1
        self.last_index = int(column["index"])
        return self._decide() if self._num_undecided > self.detector.reach else []

    def _decide(self) -> list[EdgeRow]:
        """Maxima of the oldest column that is not decided yet; the row that becomes final by this, if any."""
        at = len(self._ring) - self._num_undecided
        column = self._ring[at]
        peaks = thinned(self.detector.response(self._ring, at, self.cells), self.cells, self.settings)
        self._tracks = self.linker.push(self._tracks, peaks, int(column["index"]))
        self._num_undecided -= 1
        added = np.zeros(1, _PENDING)
        for name in _PENDING.names or ():
            added[name] = column[name]
        self._pending = np.concatenate([self._pending, added])
        if len(self._pending) <= self.linker.lag:
            return []
        oldest, self._pending = self._pending[0], self._pending[1:]
        return self._final(self._tracks, BEFORE, oldest)

    def _final(self, tracks: Tracks, at: int, meta: np.void) -> list[EdgeRow]:
        if not meta["num"]:
            return []
        return [_row(meta, self.linker.edges_at(tracks, at), is_provisional=False)]

    def _newest(self) -> EdgeRow:
        """The newest interval, of which only one side is known."""
        at = len(self._ring) - 1
        column = self._ring[at]
        index = int(column["index"])
        peaks = thinned(self.detector.response(self._ring, at, self.cells), self.cells, self.settings)
        edges = self.linker.provisional(self._tracks, peaks, index, self._num_undecided - 1)
        return _row(column, edges, is_provisional=True)

    def to_bytes(self) -> bytes:
        """The state as versioned bytes."""
        head = _HEAD.pack(
            VERSION,
            self._num_undecided,
            self.cells.num,
            len(self._ring),
            len(self._pending),
            len(self._tracks),
            self.last_index,
        )
        return b"".join([head, narrowed(self._ring).tobytes(), self._pending.tobytes(), self._tracks.tobytes()])

    @classmethod
    def from_bytes(
        cls, raw: bytes, site: Site, settings: EdgeSettings, detector: EdgeDetector | None = None
    ) -> EdgeTracker:
        """The tracker that `to_bytes` wrote.

        Raises:
            ValueError: the bytes were written by another version or for another image, or end early.
        """
        tracker = cls(site, settings, detector)
        if len(raw) < _HEAD.size or raw[0] != VERSION:
            written = f"version {raw[0]}" if raw else "nobody"
            raise ValueError(f"edges of {len(raw)} bytes written by {written}, this is version {VERSION}")
        _, undecided, num_cells, *counts, tracker.last_index = _HEAD.unpack_from(raw)
        kinds = (tracker.cells.kind_in_state, _PENDING, track_type(tracker.linker.depth))
        size = _HEAD.size + sum(count * kind.itemsize for count, kind in zip(counts, kinds, strict=True))
        if num_cells != tracker.cells.num or len(raw) != size:
            raise ValueError(
                f"edges of {len(raw)} bytes and {num_cells} cells, not {size} bytes and {tracker.cells.num} cells"
            )
        at, parts = _HEAD.size, []
        for count, kind in zip(counts, kinds, strict=True):
            parts.append(np.frombuffer(raw, kind, count, at).copy())
            at += parts[-1].nbytes
        ring, tracker._pending, tracker._tracks = parts
        tracker._ring = widened(ring)
        tracker._num_undecided = undecided
        return tracker


def _row(meta: np.void, edges: tuple[Edge, ...], *, is_provisional: bool) -> EdgeRow:
    return EdgeRow(
        int(meta["index"]), int(meta["num"]), int(meta["quality"]), int(meta["cloud"]), is_provisional, edges
    )
