"""What is drawn over a curtain: the tracked heights with their uncertainty, other layers, bounds, edges.

White is the mixing height, and every other line differs from it in its dashes, not in its colour alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from ipdsf_spark.lidar.edges.lines import EdgeLine
from ipdsf_spark.lidar.layers.mixing_height import Layers
from ipdsf_spark.lidar.profiles import Float64, Time
from ipdsf_spark.plots import style

EDGE_COLOURS: Final = {-1: "#ff9f68", 1: "#8fd8ff"}  # backscatter decreases with height, increases
EDGE_GAP: Final = np.timedelta64(30, "m")  # a longer pause is not bridged by a line
DASHES: Final = (0, (5, 1.6))  # of the residual layer


@dataclass(frozen=True)
class Size:
    """What differs between the large picture and the one for a dashboard."""

    width_in: float
    height_in: float
    text: float
    line: float
    dot: float
    ticks: int


LARGE: Final = Size(11.0, 5.2, 9.0, 1.6, 3.0, 10)
COMPACT: Final = Size(5.2, 2.7, 7.0, 1.2, 1.5, 6)


def outline(size: Size) -> list[Any]:
    """Ink around a line, so that it shows on every colour."""
    return [withStroke(linewidth=size.line + 1.4, foreground=style.INK)]


def draw_heights(axes: Any, layers: Layers, size: Size) -> None:
    """Cloud bases, candidates, uncertainty, the tracked height, and what else is known of the layers."""
    candidates = layers.candidates_m
    times = np.broadcast_to(layers.time[:, None], candidates.shape)
    shown = np.isfinite(candidates)
    axes.scatter(times[shown], candidates[shown], s=size.dot, color="white", alpha=0.45, linewidths=0)
    has_cloud = np.isfinite(layers.cloud_base_m)
    axes.scatter(
        layers.time[has_cloud],
        layers.cloud_base_m[has_cloud],
        s=4 * size.dot,
        marker="_",
        color=style.CLOUD,
        linewidths=size.line,
    )
    for is_provisional in (False, True):
        keep = layers.provisional == is_provisional
        time, height_m = unbroken(layers, np.where(keep, layers.mixing_height_m, np.nan))
        sigma_m = unbroken(layers, layers.uncertainty_m)[1]
        axes.fill_between(time, height_m - sigma_m, height_m + sigma_m, color="white", alpha=0.3, linewidth=0)
        axes.plot(
            time,
            height_m,
            color=style.PROVISIONAL if is_provisional else style.HEIGHT,
            linewidth=size.line,
            solid_capstyle="round",
            path_effects=outline(size),
            marker="o" if is_provisional else None,
            markersize=2.0 * size.line,
        )
    alone = _alone(layers)
    axes.scatter(layers.time[alone], layers.mixing_height_m[alone], s=6 * size.dot, color="white", edgecolor=style.INK)
    _other_layers(axes, layers, size)


def _other_layers(axes: Any, layers: Layers, size: Size) -> None:
    """The stable layer of the night, the residual layer above it, and bounds where no top is seen."""
    more: dict[str, Any] = {"path_effects": outline(size), "dash_capstyle": "butt"}
    time, nocturnal_m = unbroken(layers, np.where(layers.provisional, np.nan, layers.nocturnal_height_m))
    axes.plot(time, nocturnal_m, color=style.NOCTURNAL, linewidth=0.75 * size.line)
    time, residual_m = unbroken(layers, layers.residual_height_m)
    axes.plot(time, residual_m, color=style.RESIDUAL, linewidth=0.8 * size.line, linestyle=DASHES, **more)
    bound = np.isfinite(layers.below_m)
    axes.scatter(
        layers.time[bound],
        layers.below_m[bound],
        s=5 * size.dot,
        marker="v",
        color="white",
        edgecolor=style.INK,
        linewidths=0.4,
    )


def draw_edges(axes: Any, edges: Sequence[EdgeLine], size: Size) -> None:
    """Falls of the signal with height as full lines, rises as broken ones."""
    for line in edges:
        broken = np.flatnonzero(np.diff(line.time) > EDGE_GAP) + 1
        axes.plot(
            np.insert(line.time, broken, line.time[broken - 1]),
            np.insert(line.height_m, broken, np.nan),
            color=EDGE_COLOURS[line.sign],
            linewidth=0.8 * size.line,
            linestyle="-" if line.sign < 0 else (0, (3, 1.2)),
            path_effects=outline(size),
        )


def interval_of(layers: Layers) -> np.timedelta64:
    """Time between products; five minutes if there is only one."""
    steps = np.diff(layers.time)
    steps = steps[steps > np.timedelta64(0, "us")]
    return np.timedelta64(int(np.min(steps).astype(np.int64)), "us") if len(steps) else np.timedelta64(300, "s")


def unbroken(layers: Layers, values: Float64) -> tuple[Time, Float64]:
    """Times and values of all rows, with a NaN wherever a product time is missing."""
    time = layers.time
    gaps = np.flatnonzero(np.diff(time) > 1.5 * interval_of(layers)) + 1
    return np.insert(time, gaps, time[gaps - 1] if len(gaps) else time[:0]), np.insert(values, gaps, np.nan)


def _alone(layers: Layers) -> NDArray[np.bool_]:
    """(N,) heights without a neighbour, which a line would not show."""
    there = np.isfinite(layers.mixing_height_m)
    near = np.diff(layers.time) <= 1.5 * interval_of(layers)
    before = np.concatenate([[False], there[:-1] & near])
    after = np.concatenate([there[1:] & near, [False]])
    return np.asarray(there & ~before & ~after)
