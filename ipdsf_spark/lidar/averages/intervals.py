"""The intervals of one site that still take profiles, and what became of every profile.

Parts (a file's averages) go in, in the order they were sent; closed intervals come out, each once, in time order, and
those that changed and may still grow. An interval is closed when it follows upon a closed one and no further profile
fits between its profiles and its ends, or when more than `reorder` newer ones have begun.

A profile is used, a duplicate (it was used before), late (its interval is closed and did not have it) or foreign
(another instrument under the same id): used + duplicate + late + foreign = all that went in. What has been used is
remembered as stretches of time without a gap, so that a file of last month is told from one that never came.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.averages import average_bytes
from ipdsf_spark.lidar.averages.average import MICROSECONDS, Average

VERSION: Final = 1
NOTHING_CLOSED: Final = -(2**62)
MAX_STRETCHES: Final = 48  # remembered; the two with the shortest gap between them become one
LARGEST_GAP: Final = 1.5  # typical distances of profiles that still make one stretch: into a longer gap a third fits
GAP: Final = 1.8  # typical distances between two profiles into which a third fits
_HEAD: Final = struct.Struct("<BqHHBB")


@dataclass(frozen=True)
class Added:
    """What became of some parts.

    Attributes:
        closed: intervals that are complete now, each exactly once, in time order.
        open: intervals that changed and may change again, in time order.
        num_used, num_duplicate, num_late, num_foreign: profiles; they add up to those of the parts.
        has_new_source: another instrument took over after the former one had fallen silent.
        num_former: closed intervals, the first ones, that are of instruments whose place was taken.
        foreign_source: the last of the foreign ones.
    """

    closed: tuple[Average, ...] = ()
    open: tuple[Average, ...] = ()
    num_used: int = 0
    num_duplicate: int = 0
    num_late: int = 0
    num_foreign: int = 0
    has_new_source: bool = False
    num_former: int = 0
    foreign_source: tuple[str, str] = ("", "")


class Intervals:
    """Open intervals of one site. Not thread-safe; `to_bytes` and `from_bytes` carry them from batch to batch.

    Args:
        interval_s: length of an interval [s].
        reorder: newer intervals that must have begun before an incomplete one is closed.
        takeover_s: silence of an instrument after which another may take its place [s].
    """

    def __init__(self, *, interval_s: int, reorder: int, takeover_s: int) -> None:
        self.interval_s, self.reorder, self.takeover_s = interval_s, reorder, takeover_s
        self.open: dict[int, Average] = {}
        self._raw: dict[int, bytes] = {}  # of the open ones, as they are stored
        self.closed_index = NOTHING_CLOSED
        self.source = ("", "")
        self._stretches: NDArray[np.int64] = np.empty((0, 2), np.int64)

    @property
    def newest_us(self) -> int:
        """Time of the newest profile used [µs since 1970]; `NOTHING_CLOSED` of none."""
        ends = [int(average.times[-1]) for average in self.open.values()]
        if self._stretches.size:
            ends.append(int(self._stretches[-1, 1]))
        return max(ends, default=NOTHING_CLOSED)

    def add(self, parts: Sequence[Average]) -> Added:
        """Take in a file's averages."""
        used = duplicate = late = foreign = former = 0
        closed: list[Average] = []
        changed: set[int] = set()
        is_new = False
        foreign_source = ("", "")
        for part in parts:
            if self.source == (part.instrument, "") and part.identity:
                self._identify(part.identity)
            if part.source != self.source:
                if self.source != ("", "") and part.times[0] < self.newest_us + self.takeover_s * MICROSECONDS:
                    foreign, foreign_source = foreign + part.num_profiles, part.source
                    continue
                is_new = is_new or self.source != ("", "")
                closed += self.close_all()
                former = len(closed) if is_new else 0
                self.source = part.source
            if part.index <= self.closed_index:
                known = self._num_known(part.times)
                duplicate, late = duplicate + known, late + part.num_profiles - known
                continue
            held = self.open.get(part.index)
            merged = part if held is None else held.merge(part)
            if merged is held:
                gained = 0
            else:
                gained = merged.num_profiles - (0 if held is None else held.num_profiles)
                # Rounded after every file, whatever the batches: so the same files give the same heights.
                self.open[part.index], self._raw[part.index] = average_bytes.rounded(merged)
                changed.add(part.index)
            again = 0 if held is None else held.num_shared(part)
            again = min(again, part.num_profiles - gained)
            used, duplicate = used + gained, duplicate + again
            late += part.num_profiles - gained - again
        closed += self._close_complete()
        closed_now = {average.index for average in closed}
        return Added(
            closed=tuple(closed),
            open=tuple(self.open[index] for index in sorted(changed - closed_now) if index in self.open),
            num_used=used,
            num_duplicate=duplicate,
            num_late=late,
            num_foreign=foreign,
            has_new_source=is_new,
            num_former=former,
            foreign_source=foreign_source,
        )

    def _identify(self, identity: str) -> None:
        """Name the instrument of a state that was written when instruments were told by their model alone."""
        self.source = (self.source[0], identity)
        for index, average in self.open.items():
            self.open[index], self._raw[index] = average_bytes.rounded(replace(average, identity=identity))

    def close_all(self) -> list[Average]:
        """Whatever is open is closed: the site has fallen silent, or another instrument begins."""
        return [self._close(index) for index in sorted(self.open)]

    def _close_complete(self) -> list[Average]:
        """Close what is old enough, and what is complete and follows upon a closed one.

        A complete interval behind a gap waits: files come out of order, and what fills the gap may be on its way.
        """
        if not self.open:
            return []
        newest = max(self.open)
        closed = []
        for index in sorted(self.open):
            is_next = index == self.closed_index + 1
            if index >= newest - self.reorder and not (is_next and self._is_complete(self.open[index])):
                break
            closed.append(self._close(index))
        return closed

    def _is_complete(self, average: Average) -> bool:
        times = average.times
        if len(times) < 3:
            return False
        steps = np.diff(times)
        step = _typical(steps)
        begin = average.index * self.interval_s * MICROSECONDS
        end = begin + self.interval_s * MICROSECONDS
        has_gap = bool(steps.max() > GAP * step)
        return not has_gap and bool(times[0] - step < begin) and bool(times[-1] + step >= end)

    def _close(self, index: int) -> Average:
        average = self.open.pop(index)
        del self._raw[index]
        self.closed_index = max(self.closed_index, index)
        self._remember(average.times)
        return average

    def _remember(self, times: NDArray[np.int64]) -> None:
        steps = np.diff(times)
        step = _typical(steps) if steps.size else float(self.interval_s * MICROSECONDS)
        cuts = np.flatnonzero(steps > LARGEST_GAP * step)
        fresh = np.stack([times[np.append(0, cuts + 1)], times[np.append(cuts, len(times) - 1)]], axis=1)
        stretches = self._stretches
        if stretches.size and 0 < fresh[0, 0] - stretches[-1, 1] <= LARGEST_GAP * step:
            joined = np.array([[stretches[-1, 0], fresh[0, 1]]])
            stretches, fresh = stretches[:-1], np.concatenate([joined, fresh[1:]])
        stretches = np.concatenate([stretches, fresh])
        while len(stretches) > MAX_STRETCHES:
            at = int(np.argmin(stretches[1:, 0] - stretches[:-1, 1]))
            stretches[at, 1] = stretches[at + 1, 1]
            stretches = np.delete(stretches, at + 1, axis=0)
        self._stretches = stretches

    def _num_known(self, times: NDArray[np.int64]) -> int:
        """How many of `times` lie in a remembered stretch."""
        if not self._stretches.size:
            return 0
        at = np.searchsorted(self._stretches[:, 0], times, side="right") - 1
        return int(np.count_nonzero((at >= 0) & (times <= self._stretches[np.maximum(at, 0), 1])))

    def to_bytes(self) -> bytes:
        """The open intervals and the memory of closed ones as versioned bytes."""
        instrument, identity = (text.encode()[:255] for text in self.source)
        averages = b"".join(self._raw[index] for index in sorted(self._raw))
        head = _HEAD.pack(
            VERSION, self.closed_index, len(self.open), len(self._stretches), len(instrument), len(identity)
        )
        return b"".join((head, instrument, identity, self._stretches.tobytes(), averages))

    def load(self, raw: bytes) -> Intervals:
        """Become what `to_bytes` wrote.

        Raises:
            ValueError: the bytes were written by another version, or end early.
        """
        if len(raw) < _HEAD.size or raw[0] != VERSION:
            written = f"version {raw[0]}" if raw else "nobody"
            raise ValueError(f"intervals of {len(raw)} bytes written by {written}, this is version {VERSION}")
        _, self.closed_index, num_open, num_stretches, instrument, identity = _HEAD.unpack_from(raw)
        at = _HEAD.size
        self.source = (raw[at : at + instrument].decode(), raw[at + instrument : at + instrument + identity].decode())
        at += instrument + identity
        self._stretches = np.frombuffer(raw, np.int64, 2 * num_stretches, at).reshape(num_stretches, 2).copy()
        at += self._stretches.nbytes
        self._raw = dict(average_bytes.split(raw[at:]))
        self.open = {index: average_bytes.from_bytes(part) for index, part in self._raw.items()}
        if len(self.open) != num_open:
            raise ValueError(f"intervals should have {num_open} open averages, {len(self.open)} are there")
        return self


def _typical(steps: NDArray[np.int64]) -> float:
    """The median distance; of two in the middle the smaller, for the larger may hide a profile."""
    return float(np.sort(steps)[(len(steps) - 1) // 2])
