"""All that is known of a site's day in one picture: heights on the backscatter, the class of every gate, air quality.

The panels share their time axis, so that what happens at one moment stands in one line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ipdsf_spark.lidar.air_quality.operator import AirRow
from ipdsf_spark.lidar.edges.lines import EdgeLine
from ipdsf_spark.lidar.layers.ceiling import Ceiling
from ipdsf_spark.lidar.layers.mixing_height import Layers
from ipdsf_spark.lidar.site import Site
from ipdsf_spark.lidar.targets.series import Series
from ipdsf_spark.plots import style
from ipdsf_spark.plots.air_quality import CAVEAT, draw_indices, draw_mass
from ipdsf_spark.plots.curtain import Truth, colour_bar, draw_backscatter, draw_sky_of_site, height_axis, title
from ipdsf_spark.plots.curtain_legend import handles_of
from ipdsf_spark.plots.curtain_marks import LARGE, draw_heights
from ipdsf_spark.plots.curtain_strip import draw_strip
from ipdsf_spark.plots.raster import Raster
from ipdsf_spark.plots.sun import draw_sun, has_place
from ipdsf_spark.plots.targets import class_handles, draw_classes

EDGE_LEAST: Final = 12  # intervals of an edge that is drawn: shorter ones are a thicket
EDGE_DASHES: Final[dict[int, Any]] = {-1: "-", 1: (0, (3, 1.5))}
PANEL: Final = {"curtain": 3.6, "strip": 0.3, "key": 0.44, "classes": 2.3, "class key": 0.6, "mass": 1.25, "index": 0.5}
LEFT_IN, RIGHT_IN, TOP_IN, BOTTOM_IN = 0.68, 0.85, 0.36, 0.46
GAP_IN: Final = 0.06


@dataclass(frozen=True, eq=False)
class SiteDay:
    """What is drawn of one site; all but the backscatter may be missing.

    Attributes:
        site: where it stands.
        instrument: maker and model.
        cells: backscatter, as high as the picture shall be.
        layers: heights.
        ceiling: shape of the prior that the heights were found with.
        truth: known heights.
        targets: the class of every gate.
        edges: of the time-height image.
        air: hours, in time order.
    """

    site: Site
    instrument: str
    cells: Raster
    layers: Layers
    ceiling: Ceiling | None = None
    truth: Truth | None = None
    targets: Series | None = None
    edges: Sequence[EdgeLine] = ()
    air: Sequence[AirRow] = ()


def site_day(day: SiteDay) -> Figure:
    """The picture."""
    top_m = float(day.cells.height_edges_m[-1])
    names = [name for name in PANEL if _is_there(name, day)]
    height_in = TOP_IN + BOTTOM_IN + sum(PANEL[name] + GAP_IN for name in names) - GAP_IN
    figure = style.figure(LARGE.width_in, height_in)
    panels = _panels(figure, names, height_in)
    first = panels["curtain"]
    image = draw_backscatter(first, day.cells)
    if day.truth is not None:
        first.plot(day.truth.time, day.truth.height_m, color=style.TRUTH, linewidth=1.2, linestyle=(0, (4, 1.5)))
    if len(day.layers):
        draw_heights(first, day.layers, LARGE)
        draw_strip(panels["strip"], day.layers, LARGE)
    has_prior = draw_sky_of_site(first, day.site, day.ceiling if len(day.layers) else None, LARGE)
    limits = day.cells.time_edges[[0, -2]]
    title(first, day.site.id, day.instrument, limits, LARGE, day.site)
    bar = figure.add_axes((1 - (RIGHT_IN - 0.12) / LARGE.width_in, first.get_position().y0, 0.012,
                           first.get_position().height))  # fmt: skip
    colour_bar(figure, bar, image, LARGE)
    height_axis(first, top_m, LARGE)
    if "key" in panels:
        truth = day.truth.label if day.truth else ""
        _key(panels["key"], handles_of(day.layers, (), truth=truth, has_prior=has_prior))
    if day.targets is not None and "classes" in panels:
        _classes(panels, day.targets, day.edges, top_m)
    if "mass" in panels:
        draw_mass(panels["mass"], day.air)
        draw_indices(panels["index"], day.air)
        panels["mass"].set_title(f"air near the ground: {CAVEAT}", loc="left", size=8, color=style.FAINT_INK, pad=3)
        style.dress(panels["mass"], size=8.0)
        style.dress(panels["index"], size=8.0)
    _share_time(panels, first.get_xlim(), day.site)
    return figure


def _is_there(name: str, day: SiteDay) -> bool:
    if name in ("classes", "class key"):
        return day.targets is not None and bool(len(day.targets))
    if name in ("mass", "index"):
        return bool(len(day.air))
    return name == "curtain" or bool(len(day.layers))


def _panels(figure: Figure, names: Sequence[str], height_in: float) -> dict[str, Any]:
    """Axes from top to bottom."""
    found: dict[str, Any] = {}
    width = 1 - (LEFT_IN + RIGHT_IN) / LARGE.width_in
    top = height_in - TOP_IN
    for name in names:
        box = (LEFT_IN / LARGE.width_in, (top - PANEL[name]) / height_in, width, PANEL[name] / height_in)
        found[name] = figure.add_axes(box)
        top -= PANEL[name] + GAP_IN
        if name.endswith("key"):
            found[name].set_axis_off()
    return found


def _classes(panels: dict[str, Any], series: Series, edges: Sequence[EdgeLine], top_m: float) -> None:
    axes = panels["classes"]
    draw_classes(axes, series, top_m)
    handles = class_handles(series)
    for sign, word in ((-1, "edge: signal falls with height"), (1, "edge: signal rises")):
        drawn = [line for line in edges if line.sign == sign and len(line.time) >= EDGE_LEAST]
        for line in drawn:
            axes.plot(line.time, line.height_m, color=style.INK, linewidth=0.7, linestyle=EDGE_DASHES[sign])
        if drawn:
            handles.append(Line2D([], [], color=style.INK, linewidth=0.8, linestyle=EDGE_DASHES[sign], label=word))
    style.dress(axes, size=LARGE.text, grid=False)
    height_axis(axes, top_m, LARGE)
    _key(panels["class key"], handles)


def _key(axes: Any, handles: list[Any]) -> None:
    """A legend in a panel of its own."""
    style.wrapped_legend(axes, axes.figure, handles, {"loc": "upper left", "bbox_to_anchor": (-0.012, 1.0)})


def _share_time(panels: dict[str, Any], limits: tuple[float, float], site: Site) -> None:
    """One time axis, labelled where it is lowest; the sun in every panel."""
    timed = [axes for name, axes in panels.items() if not name.endswith("key")]
    first_us, last_us = (round(at * 86_400e6) for at in limits)
    edges = np.array([first_us, last_us], "datetime64[us]")
    for number, (name, axes) in enumerate((n, a) for n, a in panels.items() if not n.endswith("key")):
        axes.set_xlim(limits)
        style.time_axis(axes, size=LARGE.text, num_ticks=LARGE.ticks)
        axes.tick_params(axis="x", width=0.6, length=3, colors=style.INK, labelbottom=number == len(timed) - 1)
        if name == "classes" and has_place(site):
            draw_sun(axes, edges, site, text=LARGE.text, with_times=False)
        if name == "strip":
            axes.tick_params(axis="x", length=0)
    timed[-1].annotate(
        "UTC", (0.0, 0.0), xytext=(-22, -7), xycoords="axes fraction", textcoords="offset points", ha="right", va="top",
        size=LARGE.text, color=style.FAINT_INK,
    )  # fmt: skip
