"""The legend of a curtain: one line with what is in the picture and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke

from ipdsf_spark.lidar.edges.lines import EdgeLine
from ipdsf_spark.lidar.layers.mixing_height import Layers
from ipdsf_spark.plots import style
from ipdsf_spark.plots.curtain_marks import DASHES, EDGE_COLOURS
from ipdsf_spark.plots.curtain_strip import SKY, STATE, sky_of, state_colours

EDGE_NAMES: Final = {-1: "edge: decrease with height", 1: "edge: increase with height"}


def handles_of(
    layers: Layers | None, edges: Sequence[EdgeLine], *, truth: str = "", has_prior: bool = False
) -> list[Any]:
    """Keys of the legend.

    Args:
        layers: heights that were drawn.
        edges: edges that were drawn.
        truth: what the known heights are called; empty if there are none.
        has_prior: whether the prior was drawn.
    """
    ink = [withStroke(linewidth=3.0, foreground=style.INK)]

    def line(colour: str, **more: Any) -> Line2D:
        return Line2D([], [], color=colour, **more)

    handles: list[Any] = [
        line(EDGE_COLOURS[sign], linewidth=1.3, linestyle="-" if sign < 0 else "--", path_effects=ink, label=name)
        for sign, name in EDGE_NAMES.items()
        if any(edge.sign == sign for edge in edges)
    ]
    if layers is None:
        layers = Layers.empty()
    has_height = np.isfinite(layers.mixing_height_m)
    if (has_height & ~layers.provisional).any():
        handles.append(line(style.HEIGHT, linewidth=1.6, path_effects=ink, label="mixing height"))
    if (np.isfinite(layers.nocturnal_height_m) & ~layers.provisional).any():
        handles.append(line(style.NOCTURNAL, linewidth=1.4, path_effects=ink, label="nocturnal layer"))
    if np.isfinite(layers.residual_height_m).any():
        handles.append(line(style.RESIDUAL, linewidth=1.4, linestyle=DASHES, path_effects=ink, label="residual layer"))
    if (has_height & layers.provisional).any():
        handles.append(
            line(style.PROVISIONAL, linewidth=1.6, marker="o", markersize=3, path_effects=ink, label="provisional")
        )
    if has_height.any():
        handles.append(Patch(facecolor="#b9c0c7", label="± 1 σ"))
    if np.isfinite(layers.below_m).any():
        handles.append(
            line("white", marker="v", markersize=4, markeredgecolor=style.INK, linestyle="", label="lies below")
        )
    if truth:
        handles.append(line(style.TRUTH, linewidth=1.3, linestyle=(0, (4, 1.5)), label=truth))
    if has_prior:
        handles.append(line(style.FAINT_INK, linewidth=1.2, linestyle=(0, (1, 1.2)), label="prior of the sun"))
    if np.isfinite(layers.candidates_m).any():
        handles.append(line("#8a949e", marker="o", markersize=2.5, linestyle="", label="other layer tops"))
    if np.isfinite(layers.cloud_base_m).any():
        handles.append(line("#c77fb0", marker="_", markersize=7, markeredgewidth=1.8, linestyle="", label="cloud base"))
    seen = {entry for flags in sky_of(layers) for entry in flags}
    handles += [Patch(facecolor=entry[2], label=entry[1]) for entry in SKY if entry in seen]
    colours = set(state_colours(layers))
    handles += [
        Patch(facecolor=colour, edgecolor=style.GRID, label=name)
        for name, colour in STATE
        if colour in colours and name in ("final", "ambiguous", "no height")
    ]
    return handles
