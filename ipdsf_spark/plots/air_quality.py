"""Hourly PM2.5 of a site with its uncertainty, above strips of the US and the European index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ipdsf_spark.lidar.aerosol.flags import REASONS
from ipdsf_spark.lidar.aerosol.flags import names as names_of
from ipdsf_spark.lidar.air_quality.operator import AirRow
from ipdsf_spark.lidar.air_quality.us_index import CATEGORIES
from ipdsf_spark.lidar.profiles import Time
from ipdsf_spark.plots import style

# Colours of the EPA (Technical Assistance Document 2024, Table 2) and of the European index.
US_COLORS: Final = dict(
    zip(CATEGORIES, ("#00e400", "#ffff00", "#ff7e00", "#ff0000", "#8f3f97", "#7e0023"), strict=True)
)
EUROPEAN_COLORS: Final = ("#50f0e6", "#50ccaa", "#f0e641", "#ff5050", "#960032", "#7d2181")
UNKNOWN: Final = "#e8e8e8"
DARK: Final = frozenset([*CATEGORIES[4:], 5, 6])  # colours on which ink cannot be read
MOST_NUMBERS: Final = 40
MOST_ABOVE: Final = 4.0  # times the median: the highest that decides the scale
HOUR: Final = np.timedelta64(1, "h")
HALF_HOUR: Final = np.timedelta64(30, "m")
MOST_BAND: Final = 2.2  # times the highest mean that decides the scale: as far as the band's top is shown
CAVEAT: Final = "indicative, estimated from lidar; band ±1 σ; UTC"


def air_figure(rows: Sequence[AirRow], *, title: str) -> Figure:
    """Hourly means with ±1 σ, and the indices as coloured strips; grey where there is none.

    Args:
        rows: of one site, in time order.
        title: above the picture.

    Raises:
        ValueError: there is no row.
    """
    if not rows:
        raise ValueError("no hour to draw")
    figure = style.figure(9.0, 3.6)
    mass, strips = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": (4, 1), "hspace": 0.08})
    figure.subplots_adjust(left=0.08, right=0.965, top=0.88, bottom=0.13)
    draw_mass(mass, rows)
    draw_indices(strips, rows)
    mass.set_title(title, loc="left", size=10, weight="bold", color=style.INK)
    mass.set_title(CAVEAT, loc="right", size=8.5, color=style.FAINT_INK)
    style.dress(mass, size=8.0)
    style.dress(strips, size=8.0)
    style.time_axis(strips, size=8.0)
    strips.set_xlim(rows[0].time, rows[-1].time + HOUR)
    return figure


def draw_mass(mass: Axes, rows: Sequence[AirRow]) -> None:
    """Hourly means of PM2.5 with ±1 σ, and the NowCast."""
    time = np.array([row.time for row in rows])
    value = np.array([np.nan if row.pm2p5 is None else row.pm2p5 for row in rows])
    sigma = np.array([row.uncertainty for row in rows])
    edges = np.column_stack([time, time + HOUR]).ravel()
    low, high = (np.repeat(np.maximum(value + sign * sigma, 0.0), 2) for sign in (-1, 1))
    mass.fill_between(edges, low, high, color=style.FINAL, alpha=0.18, linewidth=0)
    mass.plot(edges, np.repeat(value, 2), color=style.FINAL, linewidth=1.2)
    cast = np.array([np.nan if row.nowcast is None else row.nowcast for row in rows])
    mass.plot(time + HOUR, cast, color=style.GOAL, linewidth=0.9, linestyle=(0, (3, 2)), label="NowCast")
    mass.set_ylabel("PM2.5 [µg m⁻³]", size=8.5, color=style.INK)
    if np.isfinite(value).any():
        highest = min(float(np.nanmax(value)), MOST_ABOVE * float(np.nanmedian(value)))
        top = max(1.25 * highest, min(1.05 * float(np.nanmax(high)), MOST_BAND * highest)) + 1.0
        mass.set_ylim(0.0, top)
        for line in np.flatnonzero(value > top):  # named, and not the scale of the rest
            mass.text(time[line] + HALF_HOUR, 0.97 * top, f"▲\n{value[line]:.0f}", ha="center", va="top", size=7)
    else:
        style.say_nothing_is_there(mass, "no hour has a mean", names_of(_any_of(rows) & REASONS))
    if np.isfinite(cast).any():
        mass.legend(loc="upper right", fontsize=8, frameon=False)  # a ground of its own would hide hours of the band


def _any_of(rows: Sequence[AirRow]) -> int:
    return int(np.bitwise_or.reduce([int(row.flags) for row in rows], initial=0))


def draw_indices(strips: Axes, rows: Sequence[AirRow]) -> None:
    """A strip of the US index above one of the European; the number of each hour where there is room for it."""
    time = np.array([row.time for row in rows])
    _strip(strips, time, [US_COLORS[row.us.category] if row.us else UNKNOWN for row in rows], 1.0)
    _strip(strips, time, [EUROPEAN_COLORS[row.european.level - 1] if row.european else UNKNOWN for row in rows], 0.0)
    strips.set_ylim(0.0, 2.0)
    strips.set_yticks([0.5, 1.5], ["European", "US AQI"])
    if len(rows) > MOST_NUMBERS:
        return
    for row in rows:
        said = ((row.us.value, row.us.category in DARK, 1.5) if row.us else None,
                (row.european.level, row.european.level in DARK, 0.5) if row.european else None)  # fmt: skip
        for each in said:
            if each is not None:
                value, is_dark, at = each
                middle: Any = row.time + HALF_HOUR  # matplotlib's types know no times
                strips.text(middle, at, str(value), ha="center", va="center_baseline", size=6.5,
                            color=style.PAPER if is_dark else style.INK)  # fmt: skip


def _strip(axes: Axes, time: Time, colors: list[str], bottom: float) -> None:
    axes.bar(time, 0.9, bottom=bottom + 0.05, width=HOUR, align="edge", color=colors, linewidth=0)
