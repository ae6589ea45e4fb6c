"""Boundary layer heights as an operator of the stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ipdsf_spark.lidar.layers.layer_tracker import LayerTracker
from ipdsf_spark.lidar.layers.product import Layers
from ipdsf_spark.lidar.layers.settings import LayerSettings
from ipdsf_spark.lidar.operators import News, Operator, Parameters, Row
from ipdsf_spark.lidar.products.records import product_of
from ipdsf_spark.lidar.site import Site

KIND = "layers"
VERSION = 2


def operator(parameters: Parameters) -> Operator:
    """The operator with these parameters."""
    return Operator("layers", VERSION, _Heights(parameters.layers))


@dataclass(frozen=True)
class _Heights:
    settings: LayerSettings

    def __call__(self, site: Site, news: News, state: bytes) -> tuple[Sequence[Row], bytes]:
        found = []
        if news.has_new_source and state:
            found.append(LayerTracker.from_bytes(state, site, self.settings).flush())
            state = b""
        tracker = LayerTracker.from_bytes(state, site, self.settings) if state else LayerTracker(site, self.settings)
        found.append(tracker.step(news.closed, news.open))
        if news.is_silent:
            found.append(tracker.flush())
        rows = [_row(layers, line) for layers in found for line in range(len(layers))]
        return rows, tracker.to_bytes()


def _row(layers: Layers, line: int) -> Row:
    values = product_of("", layers, line)
    values.pop("site")
    values.pop("time")
    return Row(KIND, int(layers.time[line].astype(np.int64)), values)
