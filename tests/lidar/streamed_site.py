"""One site as the stream holds it: the intervals that still take profiles, and the tracker of those that do not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ipdsf_spark.lidar.averages.build import averages_of
from ipdsf_spark.lidar.averages.intervals import Added, Intervals
from ipdsf_spark.lidar.layers.layer_tracker import LayerTracker
from ipdsf_spark.lidar.layers.product import Layers
from ipdsf_spark.lidar.layers.settings import LayerSettings
from ipdsf_spark.lidar.profiles import Profiles
from ipdsf_spark.lidar.site import Site


@dataclass
class StreamedSite:
    """Both carried through bytes after every batch, as between two micro-batches."""

    site: Site
    settings: LayerSettings = field(default_factory=LayerSettings)
    raw: tuple[bytes, bytes] = (b"", b"")
    added: Added = field(default_factory=Added)  # of the last file

    def _held(self) -> tuple[Intervals, LayerTracker]:
        settings = self.settings
        intervals = Intervals(
            interval_s=settings.averaging_s,
            reorder=settings.reorder_intervals,
            takeover_s=settings.reset_gap_s + settings.reorder_s,
        )
        if not self.raw[1]:
            return intervals, LayerTracker(self.site, settings)
        return intervals.load(self.raw[0]), LayerTracker.from_bytes(self.raw[1], self.site, settings)

    def take(self, files: Sequence[Profiles]) -> Layers:
        """What a batch of files makes known."""
        intervals, tracker = self._held()
        closed, changed = [], {}
        for file in files:
            self.added = intervals.add(averages_of(file, self.settings.averaging_s))
            changed |= {average.index: average for average in self.added.open}
            closed += self.added.closed
        for average in closed:
            changed.pop(average.index, None)
        layers = tracker.step(closed, [changed[index] for index in sorted(changed)])
        self.raw = intervals.to_bytes(), tracker.to_bytes()
        return layers

    def fall_silent(self) -> Layers:
        """Everything that is pending becomes final."""
        intervals, tracker = self._held()
        parts = [tracker.step(intervals.close_all(), (), only_final=True), tracker.flush()]
        self.raw = intervals.to_bytes(), tracker.to_bytes()
        return Layers.concatenate(parts)
