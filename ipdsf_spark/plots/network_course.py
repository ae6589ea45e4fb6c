"""A network through time: strengths of its components, their profiles over height, and who was under alarm when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ipdsf_spark.lidar.products.plain import instant
from ipdsf_spark.lidar.profiles import Time
from ipdsf_spark.plots import style

# Okabe and Ito 2008: told apart with every kind of colour vision; dashes tell the second half from the first
COLOURS: Final = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
DASHES: Final[tuple[Any, ...]] = ("-", (0, (4, 1.5)))
KEYS_A_ROW: Final = 6
ROW_SHARE: Final = 0.09  # of the height of the axes, for a row of keys


def network_course(
    slices: Sequence[Mapping[str, Any]],
    components: Mapping[str, Any],
    alarms: Sequence[Mapping[str, Any]] = (),
    *,
    title: str,
) -> Figure:
    """The picture.

    Args:
        slices: records of kind `network`, in time order.
        components: a record of kind `network_components`.
        alarms: records of kind `network_alarm` of all sites, in time order.
        title: above it.

    Raises:
        ValueError: the network had not warmed up in any slice.
    """
    warm = [record for record in slices if record["is_warm"] is True or record["is_warm"] == 1]
    if not warm:
        raise ValueError("the network has not warmed up: there is no component to draw")
    spans = alarm_spans(alarms, instant(warm[-1]["time"]))
    figure = style.figure(11.0, 4.6 + 0.22 * len(spans))
    grid = figure.add_gridspec(
        2, 2, width_ratios=(3.2, 1), height_ratios=(10, 0.4 + 0.6 * len(spans)), wspace=0.2, hspace=0.12, left=0.075,
        right=0.985, top=0.91, bottom=0.14,
    )  # fmt: skip
    course, shapes, under = (figure.add_subplot(grid[place]) for place in ((0, 0), (slice(None), 1), (1, 0)))
    time = np.array([instant(record["time"]) for record in warm])
    strengths = np.array([[np.nan if s is None else s for s in record["strengths"]] for record in warm], np.float64)
    heights_m = np.array(components["heights_m"], np.float64)
    for number, profile in enumerate(components["profiles_log10"]):
        look = {"color": COLOURS[number % len(COLOURS)], "linestyle": DASHES[number // len(COLOURS) % len(DASHES)]}
        course.plot(time, strengths[:, number], linewidth=1.3, label=f"component {number + 1}", **look)
        shapes.plot(np.array(profile, np.float64), heights_m / 1000.0, linewidth=1.3, **look)
    low, high = course.get_ylim()
    rows = -(-len(course.get_lines()) // KEYS_A_ROW)
    course.set_ylim(low, high + ROW_SHARE * rows * (high - low))  # room for the keys, so that they lie on no line
    course.set_ylabel("strength", size=8.5, color=style.INK)
    course.set_title(title, loc="left", size=10, weight="bold", color=style.INK)
    course.tick_params(labelbottom=False)
    shapes.set_title("profile of each component", loc="left", size=8.5, color=style.FAINT_INK)
    shapes.set_xlabel("change of log$_{10}$ backscatter at strength 1", size=8.5, color=style.INK)
    shapes.set_ylabel("height above the instrument [km]", size=8.5, color=style.INK)
    shapes.set_ylim(0.0)
    shapes.xaxis.set_major_locator(MaxNLocator(4))  # more would touch
    _alarms(under, spans)
    for axes in (course, shapes, under):
        style.dress(axes, size=8.0)
    under.sharex(course)
    style.time_axis(under, size=8.0)
    under.set_xlabel(f"UTC, {_days(time[0], time[-1])}", size=8.5, color=style.INK)
    course.set_xlim(time[0], time[-1])
    style.wrapped_legend(course, figure, course.get_lines(), {"loc": "upper left"})
    return figure


def _days(first: np.datetime64, last: np.datetime64) -> str:
    days = sorted({str(each.astype("datetime64[D]")) for each in (first, last)})
    return " to ".join(days)


def alarm_spans(alarms: Sequence[Mapping[str, Any]], until: np.datetime64) -> dict[str, list[Time]]:
    """Begin and end of every alarm by site; those that stand end at `until`.

    Args:
        alarms: records of kind `network_alarm` in time order.
        until: end of what is known, UTC.
    """
    spans: dict[str, list[Time]] = {}
    begun: dict[str, np.datetime64] = {}
    for record in alarms:
        site, at = record["site"], instant(record["time"])
        if record["is_standing"]:
            begun.setdefault(site, at)
        elif site in begun:
            spans.setdefault(site, []).append(np.array([begun.pop(site), at]))
    for site, at in begun.items():
        spans.setdefault(site, []).append(np.array([at, until]))
    return spans


def _alarms(axes: Any, spans: Mapping[str, Sequence[Time]]) -> None:
    for line, (_, those) in enumerate(sorted(spans.items())):
        for first, last in those:
            axes.barh(line, last - first, left=first, height=0.6, color=style.GOAL, linewidth=0)
    axes.set_yticks(range(len(spans)), [f"alarm {site}" for site in sorted(spans)] or [])
    axes.set_ylim(-0.6, max(len(spans), 1) - 0.4)
    if not spans:
        axes.text(0.01, 0.5, "no alarm", transform=axes.transAxes, va="center", size=8, color=style.FAINT_INK)
