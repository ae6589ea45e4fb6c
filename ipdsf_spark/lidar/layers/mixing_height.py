"""Mixing-layer height of one site, in stream: provisional at once, final after a fixed lag.

`SiteTracker` merges averages while their intervals may still grow and hands them to a `LayerTracker` when they close;
it is a value that becomes bytes and comes back.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np

from ipdsf_spark.lidar.averages import average_bytes
from ipdsf_spark.lidar.averages.average import MICROSECONDS, Average
from ipdsf_spark.lidar.averages.build import averages_of, averages_of_all
from ipdsf_spark.lidar.layers.layer_tracker import NOTHING, LayerTracker
from ipdsf_spark.lidar.layers.product import Layers, Update
from ipdsf_spark.lidar.layers.settings import LayerSettings
from ipdsf_spark.lidar.profiles import Profiles
from ipdsf_spark.lidar.site import Site

__all__ = ["LayerSettings", "Layers", "SiteTracker", "Update", "retrieve", "summarise"]

VERSION: Final = 4
REMEMBERED: Final = 36  # closed intervals whose first and last profile are known, to tell what is late from what is old
_HEAD: Final = struct.Struct("<BHHI")
_SPAN: Final = np.dtype([("index", "<i8"), ("first_us", "<u4"), ("last_us", "<u4")])


def summarise(profiles: Profiles, settings: LayerSettings) -> bytes:
    """What the tracker needs of some profiles, as mergeable bytes; knows no site."""
    return average_bytes.pack(averages_of(profiles, settings.averaging_s))


def retrieve(blocks: Iterable[Profiles], site: Site, settings: LayerSettings | None = None) -> Layers:
    """Final heights of whole files: the same kernels as the stream, all at once.

    Args:
        blocks: profiles of one instrument in any order.
        site: where it stands.
        settings: parameters of the retrieval.
    """
    settings = settings or LayerSettings()
    tracker = LayerTracker(site, settings)
    closed = averages_of_all(blocks, settings.averaging_s)
    return Layers.concatenate([tracker.step(closed, (), only_final=True), tracker.flush()])


class SiteTracker:
    """The state of one site. Not thread-safe; `to_bytes` and `from_bytes` carry it from batch to batch."""

    def __init__(self, site: Site, settings: LayerSettings, layers: LayerTracker) -> None:
        self.site = site
        self.settings = settings
        self._layers = layers
        self._open: dict[int, bytes] = {}
        self._spans = np.empty(0, _SPAN)

    @classmethod
    def of(cls, site: Site, settings: LayerSettings | None = None) -> SiteTracker:
        """A tracker that has seen nothing."""
        settings = settings or LayerSettings()
        return cls(site, settings, LayerTracker(site, settings))

    @classmethod
    def from_bytes(cls, raw: bytes, site: Site, settings: LayerSettings | None = None) -> SiteTracker:
        """The tracker that `to_bytes` wrote.

        Raises:
            ValueError: the bytes were written by another version or with another height grid.
        """
        settings = settings or LayerSettings()
        if len(raw) < _HEAD.size or raw[0] != VERSION:
            written = f"version {raw[0]}" if raw else "nobody"
            raise ValueError(f"site state of {len(raw)} bytes written by {written}, this is version {VERSION}")
        _, num_spans, num_layers, num_open = _HEAD.unpack_from(raw)
        spans_at = _HEAD.size
        layers_at = spans_at + num_spans * _SPAN.itemsize
        open_at = layers_at + num_layers
        if len(raw) != open_at + num_open:
            raise ValueError(f"site state has {len(raw)} bytes, its head says {open_at + num_open}")
        tracker = cls(site, settings, LayerTracker.from_bytes(raw[layers_at:open_at], site, settings))
        tracker._spans = np.frombuffer(raw, _SPAN, num_spans, spans_at)
        tracker._open = dict(average_bytes.split(raw[open_at:]))
        return tracker

    def to_bytes(self) -> bytes:
        """The state as versioned bytes."""
        layers = self._layers.to_bytes()
        averages = b"".join(self._open[index] for index in sorted(self._open))
        head = _HEAD.pack(VERSION, len(self._spans), len(layers), len(averages))
        return b"".join((head, self._spans.tobytes(), layers, averages))

    def update(self, summaries: Sequence[bytes]) -> Update:
        """Take in what `summarise` made of new profiles.

        Returns:
            A provisional height for every interval that changed and is not closed yet, and final heights for those
            that the lag has passed.
        """
        averages = average_bytes.unpack(b"".join(summaries))
        closed = self._closed_index
        kept = [average for average in averages if average.index > closed]
        num_late = sum(average.num_profiles for average in averages if self._is_late(average))
        return Update(self.absorb(kept, only_final=False), num_late)

    def num_late(self, summaries: Sequence[bytes]) -> int:
        """Profiles of `summaries` whose interval is closed already; `update` leaves them out."""
        averages = average_bytes.unpack(b"".join(summaries))
        return sum(average.num_profiles for average in averages if self._is_late(average))

    def absorb(self, averages: Sequence[Average], *, only_final: bool) -> Layers:
        """Merge averages of open intervals, close the intervals that are complete, and report.

        Args:
            averages: of intervals newer than the newest closed one, in any order.
            only_final: leave provisional heights out.
        """
        changed = self._merge(averages)
        if not changed:
            return Layers.empty(self.settings.num_candidates)
        indices = sorted({*self._open, *changed})
        newest = indices[-1]
        num_closing = sum(index < newest - self.settings.reorder_intervals for index in indices)
        closing = [self._average(index, changed) for index in indices[:num_closing]]
        still_open = [] if only_final else [changed[index] for index in indices[num_closing:] if index in changed]
        layers = self._layers.step(closing, still_open, only_final=only_final)
        self._remember(closing)
        self._open = {
            index: average_bytes.to_bytes(changed[index]) if index in changed else self._open[index]
            for index in indices[num_closing:]
        }
        return layers

    def finish(self) -> Layers:
        """End of the data: whatever is pending becomes final, and the tracker starts anew."""
        layers = self._end()
        self._layers = LayerTracker(self.site, self.settings)
        self._spans = np.empty(0, _SPAN)
        return layers

    @property
    def silent_from(self) -> np.datetime64:
        """When the site counts as silent if nothing more comes: then `flush` has something to tell. NaT if never."""
        state = self._layers.state
        if self._open:
            newest = max(self._open)
        elif len(state.rows):
            newest = state.last_index
        else:
            return np.datetime64("NaT", "us")
        settings = self.settings
        end = (newest + 1) * settings.averaging_s
        return np.datetime64((end + settings.reset_gap_s + settings.reorder_s) * MICROSECONDS, "us")

    def flush(self, now: np.datetime64) -> Layers:
        """What is pending becomes final if the site has been silent for so long that the chain will start anew.

        The heights are those that data after the gap would have made final. Profiles of flushed intervals that come
        after all are late.

        Args:
            now: UTC, on the clock of the data: where a recording is replayed, the newest profile of all sites.
        """
        if not now >= self.silent_from:  # nor if nothing is pending
            return Layers.empty(self.settings.num_candidates)
        return self._end()

    def _end(self) -> Layers:
        closing = [average_bytes.from_bytes(self._open[index]) for index in sorted(self._open)]
        self._open = {}
        layers = self._layers.step(closing, (), only_final=True)
        self._remember(closing)
        return Layers.concatenate([layers, self._layers.flush()])

    @property
    def _closed_index(self) -> int:
        return self._layers.state.last_index

    def _average(self, index: int, changed: dict[int, Average]) -> Average:
        return changed[index] if index in changed else average_bytes.from_bytes(self._open[index])

    def _remember(self, closing: Sequence[Average]) -> None:
        """Keep the first and last profile time of closed intervals."""
        if not closing:
            return
        new = np.zeros(len(closing), _SPAN)
        new["index"] = [average.index for average in closing]
        begin_us = new["index"] * (self.settings.averaging_s * MICROSECONDS)
        new["first_us"] = np.array([average.times[0] for average in closing]) - begin_us
        new["last_us"] = np.array([average.times[-1] for average in closing]) - begin_us
        self._spans = np.concatenate([self._spans, new])[-REMEMBERED:]

    def _is_late(self, average: Any) -> bool:
        """Whether the average's interval is closed and, as far as is remembered, did not have these profiles."""
        if average.index > self._closed_index or self._closed_index == NOTHING:
            return False
        spans = self._spans
        at = int(np.searchsorted(spans["index"], average.index)) if len(spans) else 0
        if at == len(spans) or spans["index"][at] != average.index:
            return True
        span, begin_us = spans[at], average.index * self.settings.averaging_s * MICROSECONDS
        return bool(average.times[0] < begin_us + span["first_us"] or average.times[-1] > begin_us + span["last_us"])

    def _merge(self, averages: Sequence[Average]) -> dict[int, Average]:
        """The open intervals that `averages` change, as they are then."""
        changed: dict[int, Average] = {}
        for average in averages:
            index = average.index
            held = changed.get(index)
            if held is None and index in self._open:
                held = average_bytes.from_bytes(self._open[index])
            merged = average if held is None else held.merge(average)
            if merged is not held:
                changed[index] = merged
        return changed
