"""Time–height curtain: attenuated backscatter with the tracked mixing height, its uncertainty and its weather."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MultipleLocator
from numpy.typing import NDArray

from ipdsf_spark.lidar.edges.lines import EdgeLine
from ipdsf_spark.lidar.layers.mixing_height import Layers
from ipdsf_spark.lidar.products.quality import Quality
from ipdsf_spark.lidar.profiles import Float64, Profiles, Time
from ipdsf_spark.plots import style
from ipdsf_spark.plots.raster import raster

DECADES: Final = 2.0  # of backscatter that the colours span
ABOVE_LAYER: Final = 0.75  # decades from the near-surface aerosol to the brightest colour: cloud and rain saturate
BRIGHTEST: Final = (-6.0, -5.0)  # limits of log10 of the brightest colour, m-1 sr-1
NEAR_M: Final = (100.0, 600.0)
SKY: Final = (
    (Quality.PRECIPITATION, "rain or snow", "#3b6ea8"),
    (Quality.FOG, "fog", "#b08968"),
    (Quality.CLOUD_CAPPED, "cloud", "#9aa3ad"),
)
EDGE_COLOURS: Final = {-1: "#ff9f68", 1: "#8fd8ff"}  # backscatter decreases with height, increases
EDGE_NAMES: Final = {-1: "edge: decrease with height", 1: "edge: increase with height"}
EDGE_GAP: Final = np.timedelta64(30, "m")  # a longer pause is not bridged by a line
STATE: Final = (
    ("final", style.FINAL),
    ("ambiguous", "#8fb8d8"),
    ("provisional", style.PROVISIONAL),
    ("no height", style.NO_VALUE),
)


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


@dataclass(frozen=True)
class _Size:
    """What differs between the large picture and the one for a dashboard."""

    width_in: float
    height_in: float
    text: float
    line: float
    dot: float
    ticks: int


LARGE: Final = _Size(11.0, 5.2, 9.0, 1.6, 3.0, 10)
COMPACT: Final = _Size(5.2, 2.7, 7.0, 1.2, 1.5, 6)


def curtain(
    profiles: Profiles | Sequence[Profiles],
    layers: Layers | None = None,
    *,
    site: str,
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
        truth: known heights to compare with.
        edges: edges of the image to draw over it.
        top_m: highest height shown; None = what the heights need.
        calibration: the site's factor to m-1 sr-1.
        compact: for a dashboard of many sites: no legend, small.

    Raises:
        ValueError: no profile has a time.
    """
    blocks = [profiles] if isinstance(profiles, Profiles) else list(profiles)
    size = COMPACT if compact else LARGE
    layers = layers if layers is not None and len(layers) else None
    top_m = top_m or _top_m(layers, truth, edges)
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
    image = _backscatter(axes, blocks, top_m, calibration)
    if truth is not None:
        axes.plot(truth.time, truth.height_m, color=style.TRUTH, linewidth=0.8 * size.line, linestyle=(0, (4, 1.5)))
    _edges(axes, edges, size)
    strip = None
    if layers:
        _heights(axes, layers, size)
        strip = figure.add_subplot(grid[1, 0], sharex=axes)
        _strip(strip, layers, size)
    _colour_bar(figure, figure.add_subplot(grid[0, 1]), image, size)
    _frame(axes, strip, blocks, top_m, size)
    _title(axes, blocks, site, size)
    if (layers or edges) and not compact:
        _legend(figure, layers, truth, edges)
    return figure


def _top_m(layers: Layers | None, truth: Truth | None, edges: Sequence[EdgeLine]) -> float:
    highest = max((float(line.height_m.max()) for line in edges), default=0.0)
    if layers is not None:
        highest = max(highest, np.nanmax(np.append(layers.mixing_height_m, 0.0)))
    if truth is not None:
        highest = max(highest, np.nanmax(np.append(truth.height_m, 0.0)))
    return float(np.clip(np.ceil(highest * 1.3 / 500.0) * 500.0, 2000.0, 5000.0))


def _backscatter(axes: Any, blocks: Sequence[Profiles], top_m: float, calibration: float | None) -> Any:
    cells = raster(blocks, top_m, calibration=calibration)
    with np.errstate(invalid="ignore", divide="ignore"):
        log10 = np.log10(np.where(cells.beta > 0, cells.beta, 1e-12))
    log10[np.isnan(cells.beta)] = np.nan
    high = _brightest(log10, cells.height_edges_m, is_absolute=cells.is_absolute)
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


def _brightest(log10: Float64, edge_m: Float64, *, is_absolute: bool) -> float:
    """log10 of the brightest colour, in steps of a quarter so that neighbouring sites and days look alike."""
    near = (edge_m[:-1] >= NEAR_M[0]) & (edge_m[1:] <= NEAR_M[1])
    seen = log10[near] if near.any() else log10
    seen = seen[np.isfinite(seen) & (seen > -11.0)]
    if not len(seen):
        return BRIGHTEST[1]
    high = np.ceil((np.median(seen) + ABOVE_LAYER) * 4.0) / 4.0
    return float(np.clip(high, *BRIGHTEST) if is_absolute else high)


def _heights(axes: Any, layers: Layers, size: _Size) -> None:
    """Cloud bases, candidates, uncertainty and the tracked height."""
    outline = [withStroke(linewidth=size.line + 1.4, foreground=style.INK)]
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
        time, height_m, sigma_m = _unbroken(layers, layers.provisional == is_provisional)
        axes.fill_between(time, height_m - sigma_m, height_m + sigma_m, color="white", alpha=0.3, linewidth=0)
        axes.plot(
            time,
            height_m,
            color=style.PROVISIONAL if is_provisional else style.HEIGHT,
            linewidth=size.line,
            solid_capstyle="round",
            path_effects=outline,
            marker="o" if is_provisional else None,
            markersize=2.0 * size.line,
        )
    alone = _alone(layers)
    axes.scatter(layers.time[alone], layers.mixing_height_m[alone], s=6 * size.dot, color="white", edgecolor=style.INK)


def _edges(axes: Any, edges: Sequence[EdgeLine], size: _Size) -> None:
    """Falls of the signal with height as full lines, rises as broken ones."""
    outline = [withStroke(linewidth=size.line + 1.0, foreground=style.INK)]
    for line in edges:
        broken = np.flatnonzero(np.diff(line.time) > EDGE_GAP) + 1
        axes.plot(
            np.insert(line.time, broken, line.time[broken - 1]),
            np.insert(line.height_m, broken, np.nan),
            color=EDGE_COLOURS[line.sign],
            linewidth=0.8 * size.line,
            linestyle="-" if line.sign < 0 else (0, (3, 1.2)),
            path_effects=outline,
        )


def _interval(layers: Layers) -> np.timedelta64:
    """Time between products; five minutes if there is only one."""
    steps = np.diff(layers.time)
    steps = steps[steps > np.timedelta64(0, "us")]
    return np.timedelta64(int(np.min(steps).astype(np.int64)), "us") if len(steps) else np.timedelta64(300, "s")


def _unbroken(layers: Layers, keep: NDArray[np.bool_]) -> tuple[Time, Float64, Float64]:
    """Times, heights and uncertainties of the kept rows, with a NaN wherever a product time is missing."""
    time, height_m = layers.time, np.where(keep, layers.mixing_height_m, np.nan)
    gaps = np.flatnonzero(np.diff(time) > 1.5 * _interval(layers)) + 1
    return (
        np.insert(time, gaps, time[gaps - 1] if len(gaps) else time[:0]),
        np.insert(height_m, gaps, np.nan),
        np.insert(layers.uncertainty_m, gaps, np.nan),
    )


def _alone(layers: Layers) -> NDArray[np.bool_]:
    """(N,) heights without a neighbour, which a line would not show."""
    there = np.isfinite(layers.mixing_height_m)
    near = np.diff(layers.time) <= 1.5 * _interval(layers)
    before = np.concatenate([[False], there[:-1] & near])
    after = np.concatenate([there[1:] & near, [False]])
    return np.asarray(there & ~before & ~after)


def _strip(axes: Any, layers: Layers, size: _Size) -> None:
    """Under the curtain: the sky above, the state of the height below."""
    width = _interval(layers).item()
    spans = [(start.item(), width) for start in layers.time - _interval(layers) // 2]
    axes.broken_barh(spans, (0, 0.86), facecolors=_state_colours(layers), linewidth=0)
    for number, flags in enumerate(_sky(layers)):
        for part, (_, _, colour) in enumerate(flags):
            share = 0.86 / len(flags)
            axes.broken_barh([spans[number]], (1 + part * share, share), facecolors=colour, linewidth=0)
    axes.set_ylim(-0.1, 2.0)
    axes.set_yticks([0.43, 1.43], ["height", "sky"] if size is LARGE else ["", ""])
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0, labelsize=0.8 * size.text, colors=style.FAINT_INK)


def _sky(layers: Layers) -> list[list[tuple[Quality, str, str]]]:
    """What hid the layer in every interval; fog and rain may come together, and both hide a cloud."""
    found = [[entry for entry in SKY if bits & entry[0]] for bits in layers.quality.tolist()]
    return [[entry for entry in flags if entry[0] != Quality.CLOUD_CAPPED] or flags for flags in found]


def _state_colours(layers: Layers) -> list[str]:
    colour = dict(STATE)
    return [
        colour["no height"]
        if np.isnan(height)
        else colour["provisional"]
        if provisional
        else colour["ambiguous" if bits & Quality.AMBIGUOUS else "final"]
        for height, provisional, bits in zip(layers.mixing_height_m, layers.provisional, layers.quality, strict=True)
    ]


def _colour_bar(figure: Figure, axes: Any, image: Any, size: _Size) -> None:
    bar = figure.colorbar(image, cax=axes, extend="both")
    unit = r"m$^{-1}$ sr$^{-1}$" if image.is_absolute else "arbitrary unit"
    bar.locator = MultipleLocator(0.5)
    bar.update_ticks()
    quantity = "attenuated backscatter, log" if size is LARGE else "log"
    bar.set_label(rf"{quantity}$_{{10}}$ [{unit}]", size=0.85 * size.text, color=style.INK)
    bar.ax.tick_params(labelsize=0.85 * size.text, width=0.5, length=2, colors=style.INK)
    bar.outline.set_linewidth(0.4)


def _frame(axes: Any, strip: Any, blocks: Sequence[Profiles], top_m: float, size: _Size) -> None:
    style.dress(axes, size=size.text, grid=False)
    axes.set_ylim(0.0, top_m)
    step_m = 500.0 if top_m <= 4000 and size is LARGE else 1000.0
    ticks = np.arange(0.0, top_m + 1.0, step_m)
    axes.set_yticks(ticks, [f"{tick / 1000:g}" for tick in ticks])
    axes.set_ylabel("height above ground [km]", size=size.text, color=style.INK)
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


def _title(axes: Any, blocks: Sequence[Profiles], site: str, size: _Size) -> None:
    stamps = np.concatenate([block.time[~np.isnat(block.time)] for block in blocks])
    first, last = (str(stamp.astype("datetime64[D]")) for stamp in (stamps.min(), stamps.max()))
    days = first if first == last else f"{first} to {last}"
    axes.set_title(f"{site}", loc="left", size=1.15 * size.text, weight="bold", color=style.INK, pad=4)
    axes.set_title(f"{blocks[0].instrument}   {days}", loc="right", size=0.95 * size.text, color=style.FAINT_INK, pad=4)


def _legend(figure: Figure, layers: Layers | None, truth: Truth | None, edges: Sequence[EdgeLine]) -> None:
    """One line under the picture, with what is in it and nothing else."""
    outline = [withStroke(linewidth=3.0, foreground=style.INK)]

    def line(colour: str, **more: Any) -> Line2D:
        return Line2D([], [], color=colour, **more)

    handles: list[Any] = [
        line(EDGE_COLOURS[sign], linewidth=1.3, linestyle="-" if sign < 0 else "--", path_effects=outline, label=name)
        for sign, name in EDGE_NAMES.items()
        if any(edge.sign == sign for edge in edges)
    ]
    if layers is None:
        layers = Layers.empty()
    has_height = np.isfinite(layers.mixing_height_m)
    if (has_height & ~layers.provisional).any():
        handles.append(line(style.HEIGHT, linewidth=1.6, path_effects=outline, label="mixing height"))
    if (has_height & layers.provisional).any():
        handles.append(
            line(style.PROVISIONAL, linewidth=1.6, marker="o", markersize=3, path_effects=outline, label="provisional")
        )
    if has_height.any():
        handles.append(Patch(facecolor="#b9c0c7", label="± 1 σ"))
    if truth is not None:
        handles.append(line(style.TRUTH, linewidth=1.3, linestyle=(0, (4, 1.5)), label=truth.label))
    if np.isfinite(layers.candidates_m).any():
        handles.append(line("#8a949e", marker="o", markersize=2.5, linestyle="", label="other layer tops"))
    if np.isfinite(layers.cloud_base_m).any():
        handles.append(line("#c77fb0", marker="_", markersize=7, markeredgewidth=1.8, linestyle="", label="cloud base"))
    seen = {entry for flags in _sky(layers) for entry in flags}
    handles += [Patch(facecolor=entry[2], label=entry[1]) for entry in SKY if entry in seen]
    colours = set(_state_colours(layers))
    handles += [
        Patch(facecolor=colour, edgecolor=style.GRID, label=name)
        for name, colour in STATE
        if colour in colours and name in ("ambiguous", "no height")
    ]
    style.legend_below(figure, handles)
