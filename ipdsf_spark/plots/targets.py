"""Time–height curtain of the classes of gates below the backscatter that they were told from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from matplotlib.colors import BoundaryNorm, ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ipdsf_spark.lidar.profiles import Profiles
from ipdsf_spark.lidar.targets.classes import Target
from ipdsf_spark.lidar.targets.series import Series
from ipdsf_spark.plots import style
from ipdsf_spark.plots.raster import MAX_COLUMNS, MAX_ROWS, raster

COLORS: Final = {
    Target.CLEAR: "#f7fbff",
    Target.LIQUID: "#1f4e9c",
    Target.ICE: "#5fc9e0",
    Target.DRIZZLE_OR_RAIN: "#2e9e5b",
    Target.FOG: "#7a3f98",
    Target.AEROSOL: "#f0b429",
    Target.ATTENUATED: "#c9c9c9",
    Target.CLIPPED: "#8a8a8a",
    Target.UNDETERMINED: "#e8dede",
}
LOG10_BETA: Final = (-7.5, -4.0)
GAP_STEPS: Final = 3.0  # of the usual distance of profiles: a longer one is a gap
STEPS_M: Final = (50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0)  # of the height axis
MOST_TICKS: Final = 8
TEXT: Final = 9.0


def targets_figure(
    blocks: Sequence[Profiles], series: Series, *, site: str, top_m: float, calibration: float | None = None
) -> Figure:
    """Backscatter above, classes and cloud bases below.

    Args:
        blocks: the profiles, in any blocks.
        series: their classes; at least one profile.
        site: its name, for the title.
        top_m: highest height shown.
        calibration: the site's factor to m-1 sr-1.

    Raises:
        ValueError: there is nothing to draw.
    """
    if not len(series):
        raise ValueError("no profile has a class: nothing to draw")
    drawn = style.figure(11.0, 7.4)
    grid = drawn.add_gridspec(
        2, 2, width_ratios=[60, 1], hspace=0.09, wspace=0.025, left=0.055, right=0.935, top=0.945, bottom=0.12
    )
    above, below = drawn.add_subplot(grid[0, 0]), drawn.add_subplot(grid[1, 0])
    below.sharex(above)
    image = _backscatter(above, blocks, top_m, calibration)
    bar = drawn.colorbar(image, cax=drawn.add_subplot(grid[0, 1]), extend="both")
    bar.set_label("attenuated backscatter, log$_{10}$ [m$^{-1}$ sr$^{-1}$]", size=0.85 * TEXT, color=style.INK)
    bar.ax.tick_params(labelsize=0.85 * TEXT)
    draw_classes(below, series, top_m)
    for axes in (above, below):
        style.dress(axes, size=TEXT, grid=False)
        axes.set_ylim(0.0, top_m)
        ticks = np.arange(0.0, top_m + 1.0, next((step for step in STEPS_M if top_m <= MOST_TICKS * step), top_m))
        axes.set_yticks(ticks, [f"{tick / 1000:g}" for tick in ticks])
        axes.set_ylabel("height above the instrument [km]", size=TEXT, color=style.INK)
    above.tick_params(axis="x", labelbottom=False)
    style.time_axis(below, size=TEXT)
    above.set_title(site, loc="left", size=1.15 * TEXT, weight="bold", color=style.INK)
    days = sorted({str(stamp.astype("datetime64[D]")) for stamp in (series.time[0], series.time[-1])})
    above.set_title(f"{series.instrument}   {' to '.join(days)} UTC", loc="right", size=TEXT, color=style.FAINT_INK)
    style.legend_below(drawn, class_handles(series), handle_length=1.2, column_spacing=1.1)
    return drawn


def _backscatter(axes: Any, blocks: Sequence[Profiles], top_m: float, calibration: float | None) -> Any:
    cells = raster(blocks, top_m, calibration=calibration)
    with np.errstate(invalid="ignore", divide="ignore"):
        log10 = np.log10(np.where(cells.beta > 0.0, cells.beta, 1e-12))
    log10[np.isnan(cells.beta)] = np.nan
    axes.set_facecolor(style.NO_VALUE)
    norm = Normalize(*LOG10_BETA)
    return axes.pcolormesh(
        cells.time_edges, cells.height_edges_m, log10, cmap=style.BACKSCATTER_MAP, norm=norm, rasterized=True
    )


def draw_classes(axes: Any, series: Series, top_m: float) -> None:
    """Classes as colours, own and instrument's cloud bases as marks, on axes with time along x."""
    gates = int(np.clip(np.searchsorted(series.edges_m, top_m), 1, series.classes.shape[1]))
    by_gate, by_time = gates // MAX_ROWS + 1, len(series) // MAX_COLUMNS + 1
    shown = series.classes[::by_time, :gates:by_gate]
    edges_m = np.append(series.edges_m[:gates:by_gate], series.edges_m[gates])
    time = series.time[::by_time]
    step = np.timedelta64(60_000_000, "us")
    if len(time) > 1:
        step = np.median(np.diff(time).astype(np.int64)).astype(np.int64).astype("timedelta64[us]")
    colors = ListedColormap([COLORS[target] for target in Target])
    norm = BoundaryNorm(np.arange(len(Target) + 1) - 0.5, len(Target))
    axes.set_facecolor("white")
    cuts = np.flatnonzero(np.diff(time) > GAP_STEPS * step) + 1
    for part in np.split(np.arange(len(time)), cuts):
        edges = np.append(time[part], time[part[-1]] + step) - step // 2
        axes.pcolormesh(edges, edges_m, shown[part].T, cmap=colors, norm=norm, rasterized=True)
    axes.plot(series.time, series.base_m, linestyle="", marker=".", markersize=1.8, color=style.INK)
    is_said = np.isfinite(series.maker_base_m)
    axes.plot(
        series.time[is_said], series.maker_base_m[is_said], linestyle="", marker="_", markersize=4.0, color=style.TRUTH
    )


def class_handles(series: Series) -> list[Any]:
    """Keys of a legend: the classes and cloud bases that are there."""
    handles: list[Any] = [
        Patch(facecolor=COLORS[target], edgecolor=style.FAINT_INK, linewidth=0.4, label=_words(target))
        for target in Target
        if (series.classes == target).any()
    ]
    if np.isfinite(series.base_m).any():
        handles.append(Line2D([], [], color=style.INK, marker=".", linestyle="", label="own base"))
    if np.isfinite(series.maker_base_m).any():
        handles.append(Line2D([], [], color=style.TRUTH, marker="_", linestyle="", label="instrument's base"))
    return handles


def _words(target: Target) -> str:
    return target.name.lower().replace("_", " ")
