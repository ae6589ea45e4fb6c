"""Boundary layer heights as an operator of the stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ipdsf_spark.lidar.layers.mixing_height import Layers, SiteTracker
from ipdsf_spark.lidar.layers.settings import LayerSettings
from ipdsf_spark.lidar.operators import News, Operator, Parameters, Row
from ipdsf_spark.lidar.products.records import product_of
from ipdsf_spark.lidar.site import Site

KIND = "layers"
VERSION = 1


def operator(parameters: Parameters) -> Operator:
    """The operator with these parameters."""
    return Operator("layers", VERSION, _Heights(parameters.layers))


@dataclass(frozen=True)
class _Heights:
    settings: LayerSettings

    def __call__(self, site: Site, news: News, state: bytes) -> tuple[Sequence[Row], bytes]:
        tracker = (
            SiteTracker.from_bytes(state, site, self.settings)
            if state and not news.has_new_source
            else SiteTracker.of(site, self.settings)
        )
        found = [tracker.absorb([*news.closed, *news.open], only_final=False)]
        if news.is_silent:
            found.append(tracker.flush(np.datetime64(2**62, "us")))
        rows = [_row(layers, line) for layers in found for line in range(len(layers))]
        return rows, tracker.to_bytes()


def _row(layers: Layers, line: int) -> Row:
    values = product_of("", layers, line)
    values.pop("site")
    values.pop("time")
    return Row(KIND, int(layers.time[line].astype(np.int64)), values)
