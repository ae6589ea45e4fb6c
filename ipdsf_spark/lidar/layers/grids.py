"""All that depends on gates, tilt and settings but not on the data: computed once per kind of instrument."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.layers import screening, wavelet
from ipdsf_spark.lidar.layers.chain import nodes_up_to
from ipdsf_spark.lidar.layers.settings import LayerSettings
from ipdsf_spark.lidar.layers.standing import Places, largest
from ipdsf_spark.lidar.layers.wavelet import Windows
from ipdsf_spark.lidar.profiles import Float64

FURTHEST_RIPPLE_M: Final = 1500.0  # an instrument's ripple grows with range² up to here
FURTHEST_STEP_M: Final = 2500.0  # and its steps up to here
LOWEST_M: Final = 80.0  # from the lowest trustworthy height: what the ground gives gathers here ...
ABOVE_M: Final = (200.0, 400.0)  # ... and not here, when the layer has become shallow
LEAST_REFERENCE_M: Final = 100.0  # of the reference, above the lowest trustworthy height however high that is
CLEAR_OF_CLOUD_M: Final = 100.0  # below a cloud's base its own signal begins


@dataclass(frozen=True, eq=False)
class Grid:
    """Gates, gate edges and height nodes of one geometry. The wavelet works on the gates `work`; E edges, K nodes.

    Attributes:
        gate_m: heights of all carried gates.
        slant: height over range.
        columns: where fog and rain are looked for.
        work: gates from the lowest trustworthy height to a window above the highest one searched.
        reference: gates of `work` whose mean beta makes W dimensionless.
        step_m: gate length.
        edge_m: (E,) heights of the edges of `work`.
        windows: of the wavelet on `work`.
        noise_w: (E,) noise of W for unit noise at unit range.
        noise_below: (E,) that of the mean below an edge.
        ripple_shape: (E,) ripple over that at 1 km.
        places: edges at which the standing part of W is remembered.
        largest_standing: (E,) what electronics leave at most in W, over the ripple at 1 km.
        first_edge: lowest edge at which a candidate may lie.
        floor_m: height of that.
        nodes_m: (K,) heights of the nodes.
        node_start: (K,) first edge that belongs to each node.
        num_hidden: the lowest nodes, which are too low to be seen.
        is_seen: (K,) nodes that have edges.
        lowest, above: gates of `work` where what the ground gives gathers in a shallow layer, and where not.
        clear_m: below a cloud that is as high as this they are clear.
    """

    gate_m: Float64
    slant: float
    columns: screening.Columns
    work: slice
    reference: slice
    step_m: float
    edge_m: Float64
    windows: Windows
    noise_w: Float64
    noise_below: Float64
    ripple_shape: Float64
    places: Places
    largest_standing: Float64
    first_edge: int
    floor_m: float
    nodes_m: Float64
    node_start: NDArray[np.int64]
    num_hidden: int
    is_seen: NDArray[np.bool_]
    lowest: slice
    above: slice
    clear_m: float

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
    height_m = (first_m + resolution_m * np.arange(num_gates, dtype=np.float64)) * slant
    step_m = resolution_m * slant
    start = int(np.searchsorted(height_m, min_height_m))
    stop = int(np.searchsorted(height_m, max_height_m + max(settings.dilations_m)))
    stop = max(stop, start)
    worked_m = height_m[start:stop]
    edge_m = wavelet.boundaries_m(worked_m, step_m) if worked_m.size else np.array([min_height_m])
    windows = Windows.of(worked_m.size, step_m, settings.dilations_m)
    range_squared = (edge_m / slant) ** 2
    half = np.maximum(windows.half[: windows.below_row + 1].max(axis=0), 1)
    nodes_m = nodes_up_to(max_height_m)
    middle_m = (nodes_m[1:] + nodes_m[:-1]) / 2
    bounds_m = np.concatenate([[0.0], middle_m, [2 * nodes_m[-1] - middle_m[-1]]])
    first_edge = windows.first_edge + 1
    starts = np.searchsorted(edge_m, bounds_m[:-1])
    # where gates are coarser than nodes, a node without an edge of its own takes the nearest
    starts = np.where(starts < np.searchsorted(edge_m, bounds_m[1:]), starts, np.maximum(starts - 1, 0))
    floor_m = float(edge_m[min(first_edge, edge_m.size - 1)])
    num_hidden = int(np.searchsorted(bounds_m[1:], floor_m)) if first_edge < edge_m.size else nodes_m.size
    is_seen = (nodes_m <= float(edge_m[-1])) & (np.arange(nodes_m.size) >= num_hidden)
    return Grid(
        gate_m=height_m,
        slant=slant,
        columns=screening.Columns.of(height_m),
        work=slice(start, stop),
        reference=_between(
            worked_m, settings.reference_m[0], max(settings.reference_m[1], min_height_m + LEAST_REFERENCE_M)
        ),
        step_m=step_m,
        edge_m=edge_m,
        windows=windows,
        noise_w=np.sqrt(windows.gain) * range_squared,
        noise_below=range_squared / np.sqrt(half),
        ripple_shape=(np.minimum(edge_m, FURTHEST_RIPPLE_M) / 1000.0) ** 2,
        places=Places.of(edge_m.size, step_m),
        largest_standing=largest(edge_m, FURTHEST_STEP_M),
        first_edge=first_edge,
        floor_m=floor_m,
        nodes_m=nodes_m,
        node_start=np.minimum(starts, edge_m.size - 1),
        num_hidden=min(num_hidden, 255),
        is_seen=is_seen,
        lowest=_between(worked_m, min_height_m, min_height_m + LOWEST_M),
        above=_between(worked_m, min_height_m + ABOVE_M[0], min_height_m + ABOVE_M[1]),
        clear_m=min_height_m + ABOVE_M[1] + CLEAR_OF_CLOUD_M,
    )


def _between(height_m: Float64, low_m: float, high_m: float) -> slice:
    return slice(int(np.searchsorted(height_m, low_m)), int(np.searchsorted(height_m, high_m)))
