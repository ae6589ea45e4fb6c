"""Pictures of results, in the form of the presentation's charts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from ipdsf_spark.experiments.result import Result
from ipdsf_spark.plots import save, style

COLOURS: Final = (style.FINAL, style.PROVISIONAL, "#5d6d7e", "#8e44ad")
SIZE: Final = 8.0


@dataclass(frozen=True)
class Picture:
    """A picture of the page."""

    file: str
    caption: str


def draw(result: Result, out: Path) -> list[Picture]:
    """Draw what there is of a result; an experiment that was not measured has no picture."""
    if not result.tables or not result.tables[0].rows:
        return []
    pictures = []
    for number, (figure, caption) in enumerate(FIGURES[result.experiment](result)):
        name = f"{result.experiment}.png" if number == 0 else f"{result.experiment}-{number + 1}.png"
        save(figure, out / name)
        pictures.append(Picture(name, caption))
    return pictures


def _latency(result: Result) -> list[tuple[Figure, str]]:
    from ipdsf_spark.experiments.latency import LatencyRow

    rows: list[LatencyRow] = result.tables[0].as_rows(LatencyRow)
    sides = list(dict.fromkeys(row.side for row in rows))
    counts = sorted({row.consumers for row in rows})
    figure = style.figure(9.0, 3.4)
    total, single = figure.subplots(1, 2)
    floor = rows[0].files / float(result.settings["files_per_s"])
    for number, side in enumerate(sides):
        own = {row.consumers: row for row in rows if row.side == side}
        heights = [own[count].total_s if count in own else math.nan for count in counts]
        _bars(total, counts, heights, number, len(sides), label=side)
        for name, shade in (("p50_s", 1.0), ("p90_s", 0.65), ("p99_s", 0.35)):
            values = [getattr(own[count], name) if count in own else math.nan for count in counts]
            label = f"{side}, {name.removesuffix('_s')}"
            single.plot(
                range(len(counts)), values, "o-", color=COLOURS[number], alpha=shade, label=label, ms=4, linewidth=1.4
            )
    total.axhline(floor, color=style.GOAL, linewidth=1.0, linestyle=(0, (3, 2)), label=f"sending alone, {floor:g} s")
    _dress(total, f"time to process {rows[0].files:,} files [s]", counts, "consumers")
    _dress(single, "send to product [s]", counts, "consumers")
    _logarithmic(single.yaxis, single.set_yscale)
    total.set_ylim(0, 1.3 * max([floor, *(row.total_s for row in rows if math.isfinite(row.total_s))]))
    figure.tight_layout()
    return [(figure, "Time to process all files, and of single files, against the number of consumers on one node.")]


def _bars(axes: Any, groups: Sequence[object], heights: Sequence[float], number: int, of: int, *, label: str) -> None:
    """One colour of grouped bars, each with its value."""
    width = 0.8 / of
    places = [place - 0.4 + width * (number + 0.5) for place in range(len(groups))]
    axes.bar(places, [0.0 if math.isnan(h) else h for h in heights], 0.94 * width, color=COLOURS[number], label=label)
    for place, height in zip(places, heights, strict=True):
        text = "not done" if math.isnan(height) else f"{height:,.0f}" if height >= 100 else f"{height:.3g}"
        level = 0.0 if math.isnan(height) else height
        axes.annotate(
            text, (place, level), (0, 2), textcoords="offset points", ha="center", fontsize=6.5, color=style.INK
        )


def _dress(axes: Any, title: str, ticks: Sequence[object], label: str) -> None:
    style.dress(axes, size=SIZE)
    axes.set_title(title, loc="left", fontsize=9, weight="bold", color=style.INK)
    axes.set_xticks(range(len(ticks)), [str(tick) for tick in ticks])
    axes.set_xlabel(label, size=SIZE, color=style.INK)
    axes.legend(fontsize=7, frameon=False)


def _logarithmic(axis: Any, scale: Callable[[str], object]) -> None:
    """A logarithmic axis with plain numbers."""
    scale("log")
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(lambda value, _: f"{value:,g}")
    axis.set_minor_formatter(NullFormatter())


FIGURES: Final[dict[str, Callable[[Result], list[tuple[Figure, str]]]]] = {"latency": _latency}
