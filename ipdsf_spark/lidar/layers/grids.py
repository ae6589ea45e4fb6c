"""All that depends on gates, tilt and settings but not on the data: computed once per kind of instrument."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.layers import screening, wavelet
from ipdsf_spark.lidar.layers.settings import LayerSettings
from ipdsf_spark.lidar.layers.wavelet import Windows
from ipdsf_spark.lidar.profiles import Float32, Float64


@dataclass(frozen=True, eq=False)
class Grid:
    """Gates, gate edges and path nodes of one geometry. G gates are carried; the wavelet works on `work`, E edges.

    Attributes:
        fog, rain: gates that are looked at for fog and for rain.
        rain_m: heights of the latter.
        work: gates from the lowest trustworthy height to a window above the highest one searched.
        reference: gates of `work` whose mean beta makes W dimensionless.
        edge_m: (E,) heights of the edges of `work`.
        windows: of the wavelet on `work`.
        noise_w: (E,) noise of W for unit noise at unit range.
        noise_below: (E,) that of the mean below an edge.
        lowest_edge: lowest edge with a value of W; a maximum there may lie below.
        first_edge: lowest edge at which a candidate may lie.
        node_start: (K,) first edge that belongs to each path node.
        num_hidden: the lowest path nodes, which are too low to be seen.
        is_seen: (K,) nodes that have edges.
    """

    fog: slice
    rain: slice
    rain_m: Float64
    work: slice
    reference: slice
    edge_m: Float64
    windows: Windows
    noise_w: Float64
    noise_below: Float64
    lowest_edge: int
    first_edge: int
    node_start: NDArray[np.int64]
    num_hidden: int
    is_seen: NDArray[np.bool_]

    @property
    def is_usable(self) -> bool:
        """Whether any window fits; not with a handful of gates, or gates far too coarse."""
        return self.first_edge < self.edge_m.size - 1 and self.reference.stop > self.reference.start


@lru_cache(maxsize=256)
def grid_of(
    geometry: tuple[float, float, int],
    tilt_deg: int,
    min_height_m: float,
    max_height_m: float,
    settings: LayerSettings,
) -> Grid:
    """The grid of gates (`first_m`, `resolution_m`, number) under a beam tilted by `tilt_deg`."""
    first_m, resolution_m, num_gates = geometry
    slant = float(np.cos(np.radians(tilt_deg)))
    height_m = (first_m + resolution_m * np.arange(num_gates)) * slant
    step_m = resolution_m * slant
    start = int(np.searchsorted(height_m, min_height_m))
    stop = int(np.searchsorted(height_m, max_height_m + max(settings.dilations_m)))
    stop = max(stop, start)
    worked_m = height_m[start:stop]
    edge_m = wavelet.boundaries_m(worked_m, step_m) if worked_m.size else np.array([min_height_m])
    windows = Windows.of(worked_m.size, step_m, settings.dilations_m)
    range_squared = (edge_m / slant) ** 2
    half = np.maximum(windows.half.max(axis=0), 1)
    nodes_m = nodes(max_height_m, settings.moves.node_m)
    bounds_m = np.append(nodes_m - settings.moves.node_m / 2, nodes_m[-1] + settings.moves.node_m / 2)
    first_edge = windows.first_edge + 1
    last_m = float(edge_m[-1])
    starts = np.searchsorted(edge_m, bounds_m[:-1])
    # where gates are coarser than nodes, a node without an edge of its own takes the nearest
    starts = np.where(starts < np.searchsorted(edge_m, bounds_m[1:]), starts, np.maximum(starts - 1, 0))
    return Grid(
        fog=_between(height_m, *screening.FOG_LOOK_M),
        rain=_between(height_m, *screening.RAIN_LOOK_M),
        rain_m=height_m[_between(height_m, *screening.RAIN_LOOK_M)],
        work=slice(start, stop),
        reference=_between(worked_m, *settings.reference_m),
        edge_m=edge_m,
        windows=windows,
        noise_w=np.sqrt(windows.gain) * range_squared,
        noise_below=range_squared / np.sqrt(half),
        lowest_edge=windows.first_edge,
        first_edge=first_edge,
        node_start=np.minimum(starts, edge_m.size - 1),
        num_hidden=int(np.searchsorted(nodes_m, edge_m[first_edge] - settings.moves.node_m / 2))
        if first_edge < edge_m.size
        else nodes_m.size,
        is_seen=nodes_m <= last_m,
    )


@lru_cache(maxsize=64)
def nodes(max_height_m: float, node_m: float) -> Float64:
    """(K,) heights of the path's nodes."""
    return (np.arange(max(2, int(max_height_m // node_m))) + 1.0) * node_m


def node_maxima(values: Float64, grid: Grid) -> Float32:
    """(T, K) the largest value among the edges of every node, so that a narrow maximum between nodes is not missed."""
    found = np.maximum.reduceat(values, grid.node_start, axis=1).astype(np.float32)
    found *= grid.is_seen
    return found


def _between(height_m: Float64, low_m: float, high_m: float) -> slice:
    return slice(int(np.searchsorted(height_m, low_m)), int(np.searchsorted(height_m, high_m)))
