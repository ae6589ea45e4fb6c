"""Recorded profiles through the tracker in the order of time, as the stream would have seen them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.averages.build import averages_of_all
from ipdsf_spark.lidar.layers.layer_tracker import LayerTracker
from ipdsf_spark.lidar.layers.product import Layers
from ipdsf_spark.lidar.layers.settings import LayerSettings
from ipdsf_spark.lidar.profiles import Profiles
from ipdsf_spark.lidar.site import Site


@dataclass(frozen=True, eq=False)
class Replay:
    """What a reader of the stream has seen.

    Attributes:
        issued: the provisional height of every interval, as first issued.
        latest: one row per product time as it stands at the end: final where the lag has passed, else provisional.
    """

    issued: Layers
    latest: Layers


def replay(blocks: Iterable[Profiles], site: Site, settings: LayerSettings | None = None) -> Replay:
    """Feed the tracker interval by interval.

    Args:
        blocks: profiles of one instrument in any order.
        site: where it stands.
        settings: parameters of the retrieval.
    """
    settings = settings or LayerSettings()
    tracker = LayerTracker(site, settings)
    averages = averages_of_all(blocks, settings.averaging_s)
    # The newest interval is told of before it is closed, by the next one.
    parts = [tracker.step([], averages[:1])]
    parts += [tracker.step([former], [newest]) for former, newest in pairwise(averages)]
    everything = Layers.concatenate(parts)
    _, first = np.unique(everything.time, return_index=True)
    return Replay(issued=_taken(everything, first), latest=upserted(everything))


def upserted(layers: Layers) -> Layers:
    """One row per product time, in time order; a later row replaces an earlier one, as consumers of the stream do."""
    if not len(layers):
        return layers
    newest_first = layers.time[::-1]
    _, position = np.unique(newest_first, return_index=True)
    return _taken(layers, len(layers) - 1 - position)


def _taken(layers: Layers, rows: NDArray[np.int64]) -> Layers:
    return Layers(*(getattr(layers, name)[rows] for name in Layers.__dataclass_fields__))
