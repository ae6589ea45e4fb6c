"""One look for all pictures: colours that survive colour blindness and a grey printer, thin lines, small type.

Figures are built with matplotlib's objects, not with pyplot: nothing global is touched, and a worker process that makes
thousands of pictures keeps none of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from matplotlib import dates
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

INK: Final = "#1b1f24"
FAINT_INK: Final = "#6b737c"
GRID: Final = "#d9dde1"
PAPER: Final = "#ffffff"
NO_VALUE: Final = "#eceef0"

BACKSCATTER_MAP: Final = "viridis"
HEIGHT: Final = "#ffffff"  # the tracked layer, on the dark of the colour map, with an outline of ink
TRUTH: Final = "#ff4d2e"
CLOUD: Final = "#f5b7e0"
NOCTURNAL: Final = "#8fe0ff"  # the mixing height of a stable layer, inside the white line's outline
RESIDUAL: Final = "#ffd98a"

FINAL: Final = "#21618c"
PROVISIONAL: Final = "#e08e0b"
GOAL: Final = "#c0392b"

DPI: Final = 150


def figure(width_in: float, height_in: float) -> Figure:
    """An empty figure that can be saved anywhere, also in a process without a screen."""
    empty = Figure(figsize=(width_in, height_in), dpi=DPI, facecolor=PAPER)
    FigureCanvasAgg(empty)
    return empty


def dress(axes: Any, *, size: float, grid: bool = True) -> None:
    """Thin spines, small labels, a grid behind the data."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(FAINT_INK)
        axes.spines[side].set_linewidth(0.6)
    axes.tick_params(labelsize=size, colors=INK, width=0.6, length=3, which="major")
    axes.tick_params(width=0.4, length=2, which="minor")
    if grid:
        axes.grid(color=GRID, linewidth=0.5)
        axes.set_axisbelow(True)


def time_axis(axes: Any, *, size: float, num_ticks: int = 9) -> None:
    """Hours in UTC, the date only where it changes."""
    build: Any = dates  # matplotlib's dates carry no types
    locator = build.AutoDateLocator(minticks=3, maxticks=num_ticks)
    formatter = build.ConciseDateFormatter(
        locator,
        formats=["%Y", "%b", "%d %b", "%H:%M", "%H:%M", "%H:%M:%S"],
        zero_formats=["", "%Y", "%d %b", "%H:%M\n%d %b", "%H:%M", "%H:%M"],
        offset_formats=["", "", "", "", "", ""],
        show_offset=False,
    )
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(formatter)
    axes.tick_params(axis="x", labelsize=size)


def say_nothing_is_there(axes: Any, what: str, reasons: Iterable[str]) -> None:
    """In the middle of axes that have nothing to show: what is missing, and why; no scale of nothing."""
    told = ", ".join(dict.fromkeys(reason.replace("_", " ") for reason in reasons))
    text = f"{what}: {told}" if told else what
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", size=9, color=FAINT_INK, wrap=True)
    axes.set_ylim(0.0, 1.0)
    axes.set_yticks([])


def legend_below(
    drawn: Figure, handles: Sequence[Any], *, handle_length: float = 1.4, column_spacing: float = 1.3
) -> None:
    """What the colours mean, in one line below the axes, or in as many as the width of the picture asks for."""
    place = {"loc": "lower left", "bbox_to_anchor": (0.05, 0.005)}
    wrapped_legend(drawn, drawn, handles, place, handle_length=handle_length, column_spacing=column_spacing)


def wrapped_legend(
    holder: Any,
    drawn: Figure,
    handles: Sequence[Any],
    place: Mapping[str, Any],
    *,
    handle_length: float = 1.4,
    column_spacing: float = 1.3,
) -> None:
    """A legend without a frame, in as few lines as fit the picture.

    Args:
        holder: figure or axes that the legend belongs to.
        drawn: the figure.
        handles: of the legend.
        place: where, as matplotlib's `loc` and `bbox_to_anchor`.
        handle_length: of a key [font sizes].
        column_spacing: between keys [font sizes].
    """
    for num_lines in range(1, len(handles) + 1):
        legend = holder.legend(
            handles=list(handles),
            ncols=-(-len(handles) // num_lines),
            frameon=False,
            fontsize=8.0,
            handlelength=handle_length,
            columnspacing=column_spacing,
            handletextpad=0.5,
            labelcolor=INK,
            borderpad=0.1,
            labelspacing=0.4,
            **place,
        )
        if legend.get_window_extent().x1 <= drawn.bbox.x1:
            return
        legend.remove()


def save(drawn: Figure, path: str | Path) -> Path:
    """Write a figure, whole or not at all; the format follows the suffix.

    Args:
        drawn: any of this room's figures.
        path: its folder is made.

    Raises:
        OSError: it cannot be written; names the path, which a full disk does not.
    """
    path = Path(path)
    path = path if path.suffix else path.with_name(f"{path.name}.png")  # as matplotlib does
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.stem}.part{path.suffix}")
    # No software name or date inside: the same picture is the same file.
    metadata: dict[str, Any] = {"Software": None} if path.suffix == ".png" else {}
    try:
        drawn.savefig(part, dpi=DPI, facecolor=drawn.get_facecolor(), metadata=metadata)
        part.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    finally:
        part.unlink(missing_ok=True)
    return path
