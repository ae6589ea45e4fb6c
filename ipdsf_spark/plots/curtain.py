"""Time–height curtain: attenuated backscatter with the tracked mixing height, its uncertainty and its weather."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MultipleLocator

from ipdsf_spark.lidar.edges.lines import EdgeLine
from ipdsf_spark.lidar.layers.ceiling import Ceiling
from ipdsf_spark.lidar.layers.mixing_height import Layers
from ipdsf_spark.lidar.profiles import Float64, Profiles, Time
from ipdsf_spark.lidar.site import Site
from ipdsf_spark.plots import style
from ipdsf_spark.plots.curtain_legend import handles_of
from ipdsf_spark.plots.curtain_marks import COMPACT, LARGE, Size, draw_edges, draw_heights
from ipdsf_spark.plots.curtain_strip import draw_strip
from ipdsf_spark.plots.raster import Raster, raster
from ipdsf_spark.plots.sun import coordinates, draw_sun, has_place, prior_of

DECADES: Final = 2.0  # of backscatter that the colours span
ABOVE_LAYER: Final = 0.75  # decades from the near-surface aerosol to the brightest colour: cloud and rain saturate
BRIGHTEST: Final = (-6.0, -5.0)  # limits of log10 of the brightest colour, m-1 sr-1
NEAR_M: Final = (100.0, 600.0)


@dataclass(frozen=True, eq=False)
class Truth:
    """Known heights, e.g. of a simulated day or another method.

    Attributes:
        time: (N,) UTC.
        height_m: (N,) above the instrument.
        label: what it is.
    """

    time: Time
    height_m: Float64
    label: str = "known height"


def curtain(
    profiles: Profiles | Sequence[Profiles],
    layers: Layers | None = None,
    *,
    site: str,
    place: Site | None = None,
    ceiling: Ceiling | None = None,
    truth: Truth | None = None,
    edges: Sequence[EdgeLine] = (),
    top_m: float | None = None,
    calibration: float | None = None,
    compact: bool = False,
) -> Figure:
    """The picture of one site.

    Args:
        profiles: of one instrument, in any blocks.
        layers: heights to draw over it.
        site: its name, for the title.
        place: where it stands: its sunrise, sunset and coordinates are shown, and its heights are searched up to
            `max_height_m`, which is the top of the picture.
        ceiling: shape of the prior that the heights were found with; drawn where `place` is known.
        truth: known heights to compare with.
        edges: edges of the image to draw over it.
        top_m: highest height shown; None = the highest that is searched at `place`, or what the heights need.
        calibration: the site's factor to m-1 sr-1.
        compact: for a dashboard of many sites: no legend, small.

    Raises:
        ValueError: no profile has a time.
    """
    blocks = [profiles] if isinstance(profiles, Profiles) else list(profiles)
    size = COMPACT if compact else LARGE
    layers = layers if layers is not None and len(layers) else None
    top_m = top_m or (min(place.max_height_m, _reach_m(blocks)) if place else _top_m(layers, truth, edges))
    figure = style.figure(size.width_in, size.height_in)
    grid = figure.add_gridspec(
        2 if layers else 1,
        2,
        height_ratios=[20, 1.5] if layers else [1],
        width_ratios=[60, 1],
        hspace=0.05,
        wspace=0.025,
        left=0.085 if compact else 0.055,
        right=0.895 if compact else 0.935,
        top=0.9 if compact else 0.93,
        bottom=0.16 if compact else 0.17 if layers or edges else 0.12,
    )
    axes = figure.add_subplot(grid[0, 0])
    image = draw_backscatter(axes, raster(blocks, top_m, calibration=calibration))
    if truth is not None:
        axes.plot(truth.time, truth.height_m, color=style.TRUTH, linewidth=0.8 * size.line, linestyle=(0, (4, 1.5)))
    draw_edges(axes, edges, size)
    strip = None
    if layers:
        draw_heights(axes, layers, size)
        strip = figure.add_subplot(grid[1, 0], sharex=axes)
        draw_strip(strip, layers, size)
    has_prior = draw_sky_of_site(axes, place, ceiling if layers else None, size)
    colour_bar(figure, figure.add_subplot(grid[0, 1]), image, size)
    _frame(axes, strip, top_m, size)
    title(axes, site, blocks[0].instrument, _limits(blocks), size, place)
    if (layers or edges) and not compact:
        handles = handles_of(layers, edges, truth=truth.label if truth else "", has_prior=has_prior)
        style.legend_below(figure, handles)
    return figure


def _top_m(layers: Layers | None, truth: Truth | None, edges: Sequence[EdgeLine]) -> float:
    highest = max((float(line.height_m.max()) for line in edges), default=0.0)
    if layers is not None:
        highest = max(highest, np.nanmax(np.append(layers.mixing_height_m, 0.0)))
    if truth is not None:
        highest = max(highest, np.nanmax(np.append(truth.height_m, 0.0)))
    return float(np.clip(np.ceil(highest * 1.3 / 500.0) * 500.0, 2000.0, 5000.0))


def _reach_m(blocks: Sequence[Profiles]) -> float:
    """How high the profiles go, at least a gate."""
    return max((float(block.range_m[-1]) for block in blocks if block.range_m.size), default=1.0)


def draw_sky_of_site(axes: Any, place: Site | None, ceiling: Ceiling | None, size: Size) -> bool:
    """Sunrise, sunset and the prior over a curtain whose limits are set; whether the prior is among them."""
    if place is None or not has_place(place):
        return False
    first, last = axes.get_xlim()
    edges = np.array([np.datetime64(round(at * 86_400e6), "us") for at in (first, last)])
    draw_sun(axes, edges, place, text=size.text, with_times=size is LARGE)
    if ceiling is None:
        return False
    time, reach_m = prior_of(edges, place, ceiling)
    ink = [withStroke(linewidth=1.7, foreground=style.INK)]
    axes.plot(time, reach_m, color="white", linewidth=0.9, linestyle=":", path_effects=ink, scalex=False)
    return True


def draw_backscatter(axes: Any, cells: Raster) -> Any:
    """Colours of the curtain; returns what a colour bar needs."""
    log10 = log10_of(cells)
    high = brightest(log10, cells.height_edges_m, is_absolute=cells.is_absolute)
    axes.set_facecolor(style.NO_VALUE)
    image = axes.pcolormesh(
        cells.time_edges,
        cells.height_edges_m,
        log10,
        cmap=style.BACKSCATTER_MAP,
        norm=Normalize(high - DECADES, high),
        rasterized=True,
    )
    image.is_absolute = cells.is_absolute
    axes.set_xlim(cells.time_edges[0], cells.time_edges[-1])
    return image


def log10_of(cells: Raster) -> Float64:
    """(R, C) logarithm of the backscatter; NaN where nothing was measured."""
    with np.errstate(invalid="ignore", divide="ignore"):
        log10: Float64 = np.log10(np.where(cells.beta > 0, cells.beta, 1e-12))
    log10[np.isnan(cells.beta)] = np.nan
    return log10


def brightest(log10: Float64, edge_m: Float64, *, is_absolute: bool) -> float:
    """log10 of the brightest colour, in steps of a quarter so that neighbouring sites and days look alike."""
    near = (edge_m[:-1] >= NEAR_M[0]) & (edge_m[1:] <= NEAR_M[1])
    seen = log10[near] if near.any() else log10
    seen = seen[np.isfinite(seen) & (seen > -11.0)]
    if not len(seen):
        return BRIGHTEST[1]
    high = np.ceil((np.median(seen) + ABOVE_LAYER) * 4.0) / 4.0
    return float(np.clip(high, *BRIGHTEST) if is_absolute else high)


def colour_bar(figure: Figure, axes: Any, image: Any, size: Size) -> None:
    """What the colours mean, with the unit as far as it is known."""
    bar = figure.colorbar(image, cax=axes, extend="both")
    unit = r"m$^{-1}$ sr$^{-1}$" if image.is_absolute else "arbitrary unit"
    bar.locator = MultipleLocator(0.5)
    bar.update_ticks()
    quantity = "attenuated backscatter, log" if size is LARGE else "log"
    bar.set_label(rf"{quantity}$_{{10}}$ [{unit}]", size=0.85 * size.text, color=style.INK)
    bar.ax.tick_params(labelsize=0.85 * size.text, width=0.5, length=2, colors=style.INK)
    bar.outline.set_linewidth(0.4)


def height_axis(axes: Any, top_m: float, size: Size) -> None:
    """Kilometres above the instrument, up to `top_m`."""
    style.dress(axes, size=size.text, grid=False)
    axes.set_ylim(0.0, top_m)
    step_m = 500.0 if top_m <= 4000 and size is LARGE else 1000.0
    ticks = np.arange(0.0, top_m + 1.0, step_m)
    axes.set_yticks(ticks, [f"{tick / 1000:g}" for tick in ticks])
    axes.set_ylabel("height above the instrument [km]", size=size.text, color=style.INK)


def _frame(axes: Any, strip: Any, top_m: float, size: Size) -> None:
    height_axis(axes, top_m, size)
    lowest = strip if strip is not None else axes
    style.time_axis(lowest, size=size.text, num_ticks=size.ticks)
    lowest.tick_params(axis="x", width=0.6, length=3, colors=style.INK)
    if strip is not None:
        axes.tick_params(axis="x", labelbottom=False, length=0)
    if size is LARGE:
        lowest.annotate(
            "UTC",
            (0.0, 0.0),
            xytext=(-22, -7),
            xycoords="axes fraction",
            textcoords="offset points",
            ha="right",
            va="top",
            size=size.text,
            color=style.FAINT_INK,
        )


def _limits(blocks: Sequence[Profiles]) -> Time:
    """(2,) first and last time."""
    stamps = np.concatenate([block.time[~np.isnat(block.time)] for block in blocks])
    return np.array([stamps.min(), stamps.max()])


def title(axes: Any, site: str, instrument: str, limits: Time, size: Size, place: Site | None) -> None:
    """Site and place on the left, instrument and days on the right."""
    first, last = (str(stamp.astype("datetime64[D]")) for stamp in limits)
    days = first if first == last else f"{first} to {last}"
    left = axes.set_title(site, loc="left", size=1.15 * size.text, weight="bold", color=style.INK, pad=4)
    axes.set_title(f"{instrument}   {days}", loc="right", size=0.95 * size.text, color=style.FAINT_INK, pad=4)
    if place is not None and has_place(place) and size is LARGE:
        axes.annotate(
            coordinates(place),
            (1.0, 0.0),
            xycoords=left,
            xytext=(9, 0),
            textcoords="offset points",
            va="bottom",
            size=0.95 * size.text,
            color=style.FAINT_INK,
        )
