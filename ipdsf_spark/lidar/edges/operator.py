"""Edges as an operator of the stream: one row per interval with the edges that cross it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ipdsf_spark.lidar.averages.average import MICROSECONDS
from ipdsf_spark.lidar.edges.records import record_of
from ipdsf_spark.lidar.edges.settings import EdgeSettings
from ipdsf_spark.lidar.edges.tracker import VERSION, EdgeRow, EdgeTracker, migrated
from ipdsf_spark.lidar.operators import News, Operator, Parameters, Row
from ipdsf_spark.lidar.site import Site

KIND: Final = "edges"


def operator(parameters: Parameters) -> Operator:
    """The operator for intervals of this length."""
    layers = parameters.layers
    settings = EdgeSettings(
        averaging_s=parameters.interval_s,
        lag_s=layers.lag_s,
        reset_gap_s=max(layers.reset_gap_s, parameters.interval_s),
    )
    return Operator(KIND, VERSION, _Edges(settings), migrate=migrated)


@dataclass(frozen=True)
class _Edges:
    settings: EdgeSettings

    def __call__(self, site: Site, news: News, state: bytes) -> tuple[Sequence[Row], bytes]:
        found: list[EdgeRow] = []
        tracker = EdgeTracker.from_bytes(state, site, self.settings) if state else EdgeTracker(site, self.settings)
        if news.has_new_source:
            found += tracker.flush()  # another instrument's image goes on nothing of the former one's
        found += tracker.step(news.closed)
        if news.is_silent:
            found += tracker.flush()
        return [_row(row, self.settings.averaging_s) for row in found], tracker.to_bytes()


def _row(row: EdgeRow, averaging_s: int) -> Row:
    values = record_of("", row, averaging_s)
    del values["site"], values["time"]
    middle_us = (row.index * averaging_s + averaging_s // 2) * MICROSECONDS
    return Row(KIND, middle_us, values)
