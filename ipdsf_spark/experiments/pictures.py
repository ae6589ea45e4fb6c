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


def _throughput(result: Result) -> list[tuple[Figure, str]]:
    from ipdsf_spark.experiments.throughput import ANALYSIS, TRANSFER, ThroughputRow

    rows: list[ThroughputRow] = result.tables[0].as_rows(ThroughputRow)
    partitions = sorted({row.partitions for row in rows})
    figure = style.figure(3.4 * len(partitions) + 0.6, 3.6)
    for axes, count in zip(_several(figure, len(partitions)), partitions, strict=True):
        for number, partitioning in enumerate(dict.fromkeys(row.partitioning for row in rows)):
            own = [r for r in rows if (r.work, r.partitions, r.partitioning) == (TRANSFER, count, partitioning)]
            _line(axes, [r.consumers for r in own], [r.files_per_s for r in own], number, partitioning)
        analysed = [row for row in rows if row.work == ANALYSIS and row.partitions == count]
        if analysed:
            _line(axes, [r.consumers for r in analysed], [r.files_per_s for r in analysed], 2, "with analysis")
        axes.axvline(count, color=style.GOAL, linewidth=1.0, linestyle=(0, (3, 2)), label="consumers = partitions")
        _dress(axes, f"files per second, {count} partitions", (), "consumers")
        _doubling(axes, [row.consumers for row in rows if row.partitions == count])
        axes.set_ylim(bottom=0)
    figure.tight_layout()
    caption = (
        "Consumer performance on topics with different numbers of partitions; beyond the dashed line some are idle."
    )
    return [(figure, caption)]


def _hosts(result: Result) -> list[tuple[Figure, str]]:
    from ipdsf_spark.experiments.hosts import HostsRow

    rows: list[HostsRow] = result.tables[0].as_rows(HostsRow)
    setups = list(dict.fromkeys(row.brokers for row in rows))
    partitions = sorted({row.partitions for row in rows})
    figure = style.figure(3.2 * len(setups) + 0.6, 3.6)
    panels = _several(figure, len(setups), sharey=True)
    for axes, setup in zip(panels, setups, strict=True):
        for number, count in enumerate(partitions):
            own = [row for row in rows if row.brokers == setup and row.partitions == count]
            across = [row.consumers for row in own]
            _line(axes, across, [row.first_files_per_s for row in own], number, f"host 1, {count} partitions")
            _line(axes, across, [row.second_files_per_s for row in own], number, f"host 2, {count} partitions", "--")
        _dress(axes, f"files per second, {setup}", (), "consumers on each host")
        _doubling(axes, [row.consumers for row in rows])
    # Set once all are drawn: the panels share their scale.
    panels[0].set_ylim(0, 1.08 * max(max(row.first_files_per_s, row.second_files_per_s) for row in rows))
    figure.tight_layout()
    return [(figure, "Throughput of the consumers on each of two hosts; with one broker it runs on host 1.")]


def _sites(result: Result) -> list[tuple[Figure, str]]:
    from ipdsf_spark.experiments.sites import DrainRow, SitesRow

    networks: list[SitesRow] = result.tables[0].as_rows(SitesRow)
    drained: list[DrainRow] = result.tables[1].as_rows(DrainRow)
    figure = style.figure(9.0, 3.4)
    live, backlog = figure.subplots(1, 2)
    for number, name in enumerate(("p50_s", "p90_s", "p99_s")):
        across = [row.sites for row in networks]
        _line(live, across, [getattr(row, name) for row in networks], number, name.removesuffix("_s"))
    _dress(live, "send to product [s], a file a minute", (), "sites")
    _logarithmic(live.xaxis, live.set_xscale)
    live.set_ylim(bottom=0)
    sides = [row.side for row in drained]
    _bars(backlog, sides, [row.files_per_s for row in drained], 0, 1, label="draining a backlog")
    _dress(backlog, "files per second", sides, "")
    figure.tight_layout()
    return [(figure, "Latency against the number of sites, and what each side does with a backlog.")]


def _training(result: Result) -> list[tuple[Figure, str]]:
    from ipdsf_spark.experiments.presented import PresentedTime
    from ipdsf_spark.experiments.training import CurveRow, TrainingRow
    from ipdsf_spark.plots.training_curves import PARTS, step_time_figure

    rows: list[TrainingRow] = result.table("training").as_rows(TrainingRow)
    points: list[CurveRow] = result.table("curves").as_rows(CurveRow)
    presented: list[PresentedTime] = result.table("presented-times").as_rows(PresentedTime)
    curves = {"loss_g": "generator loss", "loss_d": "discriminator loss", "accuracy_d": "discriminator accuracy"}
    figure = style.figure(10.0, 3.2)
    for axes, (name, title) in zip(_several(figure, len(curves)), curves.items(), strict=True):
        for number, label in enumerate(dict.fromkeys(point.training for point in points)):
            own = [point for point in points if (point.training, point.curve) == (label, name)]
            axes.plot([p.seconds for p in own], [p.value for p in own], color=COLOURS[number], label=label, lw=1.3)
        style.dress(axes, size=SIZE)
        axes.set_title(title, loc="left", fontsize=9, weight="bold", color=style.INK)
        axes.set_xlabel("seconds of training", size=SIZE, color=style.INK)
        axes.legend(fontsize=7, frameon=False)
    figure.tight_layout()
    columns = dict(zip(PARTS, ("data_ms", "compute_ms", "allreduce_ms", "rest_ms"), strict=True))
    parts = {row.training: {part: getattr(row, column) for part, column in columns.items()} for row in rows}
    ratios = style.figure(9.0, 3.2)
    ours, theirs = ratios.subplots(1, 2)
    _bars(ours, [row.training for row in rows], [row.speed_up for row in rows], 0, 1, label="cubes per second")
    _dress(ours, "times faster than without, here", [_folded(row.training) for row in rows], "")
    what = [_folded(time.what) for time in presented]
    _bars(theirs, what, [time.speed_up for time in presented], 0, 1, label="its hours, 4 GPUs")
    theirs.axhline(4.0, color=style.GOAL, linewidth=1.0, linestyle=(0, (3, 2)), label="its words")
    _dress(theirs, "times faster, the presentation", what, "")
    ratios.tight_layout()
    return [
        (figure, "Losses and accuracy against the time of training, smoothed."),
        (_reached(result), "Time until smoothed curves first reach a value, in the form of the presentation's charts."),
        (ratios, "How many times faster than the training without Horovod; here, and by the presentation's own hours."),
        (step_time_figure(parts), "What the time of a step goes to; allreduce is exchange and waiting for each other."),
    ]


def _reached(result: Result) -> Figure:
    """Time to a middling value of each curve, a colour per training."""
    from ipdsf_spark.experiments.training import ReachRow

    rows: list[ReachRow] = result.table("reach").as_rows(ReachRow)
    curves = list(dict.fromkeys(row.curve for row in rows))[1::3]  # of the three values of each
    trainings = list(dict.fromkeys(row.training for row in rows))
    figure = style.figure(9.0, 3.2)
    axes = figure.subplots()
    for number, label in enumerate(trainings):
        found = {row.curve: row.seconds for row in rows if row.training == label}
        _bars(axes, curves, [found.get(curve, math.nan) for curve in curves], number, len(trainings), label=label)
    _dress(axes, "seconds of training until", curves, "")
    figure.tight_layout()
    return figure


def _several(figure: Figure, number: int, *, sharey: bool = False) -> list[Any]:
    """Panels side by side, as a list."""
    return list(figure.subplots(1, number, squeeze=False, sharey=sharey)[0])


def _line(
    axes: Any, across: Sequence[float], values: Sequence[float], number: int, label: str, dashes: str = "-"
) -> None:
    axes.plot(across, values, f"o{dashes}", color=COLOURS[number % len(COLOURS)], label=label, ms=4, linewidth=1.4)


def _doubling(axes: Any, consumers: Sequence[int]) -> None:
    """Numbers of consumers double from run to run."""
    ticks = sorted(set(consumers))
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.xaxis.set_minor_formatter(NullFormatter())


def _folded(label: str) -> str:
    return label.replace(", ", ",\n").replace(" without", "\nwithout").replace(" loss", "\nloss")


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
    if ticks:
        axes.set_xticks(range(len(ticks)), [str(tick) for tick in ticks])
    axes.set_xlabel(label, size=SIZE, color=style.INK)
    axes.legend(fontsize=7, frameon=False)


def _logarithmic(axis: Any, scale: Callable[[str], object]) -> None:
    """A logarithmic axis with plain numbers."""
    scale("log")
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(lambda value, _: f"{value:,g}")
    axis.set_minor_formatter(NullFormatter())


FIGURES: Final[dict[str, Callable[[Result], list[tuple[Figure, str]]]]] = {
    "latency": _latency,
    "throughput": _throughput,
    "hosts": _hosts,
    "sites": _sites,
    "training": _training,
}
