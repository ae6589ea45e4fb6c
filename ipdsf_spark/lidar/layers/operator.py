"""Boundary layer heights as an operator of the stream: those of every interval, and those of the hour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from ipdsf_spark.lidar.layers.hourly import KIND as HOURLY_KIND
from ipdsf_spark.lidar.layers.hourly import Hourly
from ipdsf_spark.lidar.layers.layer_tracker import LayerTracker
from ipdsf_spark.lidar.layers.product import Layers
from ipdsf_spark.lidar.layers.settings import LayerSettings
from ipdsf_spark.lidar.layers.together import Steps, together
from ipdsf_spark.lidar.layers.tracker_state import migrated
from ipdsf_spark.lidar.operators import Case, News, Operator, Parameters, Result, Row
from ipdsf_spark.lidar.products.records import values_of
from ipdsf_spark.lidar.site import Site

KIND = "layers"
VERSION = 5
MICROSECONDS = 1_000_000


def operator(parameters: Parameters) -> Operator:
    """The operator with these parameters."""
    heights = _Heights(parameters.layers)
    migrate = partial(_migrated, parameters.layers)
    return Operator("layers", VERSION, heights, migrate=migrate, step_many=heights.many)


def _migrated(settings: LayerSettings, version: int, raw: bytes) -> bytes:
    """State of version 2 had no hours, that of version 3 no standing parts, that of version 4 nothing that gathers.

    Raises:
        ValueError: it is of another version.
    """
    if version not in {2, 3, 4}:
        raise ValueError(f"state of heights of version {version} is not known")
    if not raw:
        return b""
    hourly, tracker = (
        (Hourly(settings.averaging_s), raw) if version == 2 else Hourly.from_bytes(raw, settings.averaging_s)
    )
    return hourly.to_bytes() + migrated(tracker)


@dataclass(frozen=True)
class _Heights:
    settings: LayerSettings

    def __call__(self, site: Site, news: News, state: bytes) -> Result:
        return self.many([(site, news, state)])[0]

    def many(self, cases: Sequence[Case]) -> list[Result]:
        """The same for many sites, whose mathematics is done together."""
        return together([self._steps(*case) for case in cases])

    def _steps(self, site: Site, news: News, state: bytes) -> Steps[Result]:
        found: list[Layers] = []
        hourly = Hourly(self.settings.averaging_s)
        if state:
            hourly, state = Hourly.from_bytes(state, self.settings.averaging_s)
        if news.has_new_source and state:
            found.append((yield from LayerTracker.from_bytes(state, site, self.settings).flushing()))
            state = b""
        tracker = LayerTracker.from_bytes(state, site, self.settings) if state else LayerTracker(site, self.settings)
        found.append((yield from tracker.steps(news.closed, news.open)))
        if news.is_silent:
            found.append((yield from tracker.flushing()))
        rows = [_row(layers, line) for layers in found for line in range(len(layers))]
        hours = [hour for layers in found for hour in hourly.step(layers)]
        if news.is_silent:
            hours += hourly.told()
        rows += [Row(HOURLY_KIND, hour.start_s * MICROSECONDS, hour.values) for hour in hours]
        return rows, hourly.to_bytes() + tracker.to_bytes()


def _row(layers: Layers, line: int) -> Row:
    return Row(KIND, int(layers.time[line].astype(np.int64)), values_of(layers, line))
