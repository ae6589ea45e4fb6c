"""Hourly PM2.5 of a site with its uncertainty, above strips of the US and the European index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

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
HOUR: Final = np.timedelta64(1, "h")


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
    figure.subplots_adjust(left=0.08, right=0.985, top=0.88, bottom=0.13)
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
        mass.set_ylim(0.0, 1.25 * float(np.nanmax(value)) + 1.0)
    if np.isfinite(cast).any():
        mass.legend(loc="upper right", fontsize=8, frameon=False)
    mass.set_title(title, loc="left", size=10, weight="bold", color=style.INK)
    mass.set_title("indicative, estimated from lidar; band ±1 σ", loc="right", size=8.5, color=style.FAINT_INK)
    _strip(strips, time, [US_COLORS[row.us.category] if row.us else UNKNOWN for row in rows], 1.0)
    _strip(strips, time, [EUROPEAN_COLORS[row.european.level - 1] if row.european else UNKNOWN for row in rows], 0.0)
    strips.set_ylim(0.0, 2.0)
    strips.set_yticks([0.5, 1.5], ["European", "US AQI"])
    style.dress(mass, size=8.0)
    style.dress(strips, size=8.0)
    style.time_axis(strips, size=8.0)
    strips.set_xlim(time[0], time[-1] + HOUR)
    return figure


def _strip(axes: Axes, time: Time, colors: list[str], bottom: float) -> None:
    axes.bar(time, 0.9, bottom=bottom + 0.05, width=HOUR, align="edge", color=colors, linewidth=0)
