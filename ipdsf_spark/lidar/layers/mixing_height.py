"""Mixing-layer heights of whole files: the same kernels as the stream, all at once."""

from __future__ import annotations

from collections.abc import Iterable

from ipdsf_spark.lidar.averages.build import averages_of_all
from ipdsf_spark.lidar.layers.layer_tracker import LayerTracker
from ipdsf_spark.lidar.layers.product import Layers
from ipdsf_spark.lidar.layers.settings import LayerSettings
from ipdsf_spark.lidar.profiles import Profiles
from ipdsf_spark.lidar.site import Site

__all__ = ["LayerSettings", "Layers", "retrieve"]


def retrieve(blocks: Iterable[Profiles], site: Site, settings: LayerSettings | None = None) -> Layers:
    """Final heights of whole files.

    Args:
        blocks: profiles of one instrument in any order.
        site: where it stands.
        settings: parameters of the retrieval.
    """
    settings = settings or LayerSettings()
    tracker = LayerTracker(site, settings)
    closed = averages_of_all(blocks, settings.averaging_s)
    return Layers.concatenate([tracker.step(closed, (), only_final=True), tracker.flush()])
