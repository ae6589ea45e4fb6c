"""The factor of an instrument by day: what each day said, the filtered value with its uncertainty, alarms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from matplotlib.figure import Figure

from ipdsf_spark.lidar.operators import Row
from ipdsf_spark.plots import style

HALF_DAY: Final = np.timedelta64(12, "h")
YOUNG: Final = "young"  # says nothing of why
MOST_NAMED: Final = np.timedelta64(7, "D")  # days that are named one by one
MEAN: Final = "mean of 90 days ±5 %"
BAND: Final = 0.05  # around the mean of 90 days


def calibration_figure(rows: Sequence[Row], *, title: str) -> Figure:
    """Days as points with their standard deviation, the filtered factor as a line with ±1 σ.

    Args:
        rows: final rows of one site, in time order.
        title: above the picture.

    Raises:
        ValueError: there is no row.
    """
    if not rows:
        raise ValueError("no day to draw")
    drawn = style.figure(9.0, 3.6)
    axes = drawn.add_subplot()
    drawn.subplots_adjust(left=0.09, right=0.965, top=0.88, bottom=0.13)
    time = np.array([row.time_us for row in rows]).astype("datetime64[us]") + HALF_DAY
    own, own_sigma = _column(rows, "day_factor"), _column(rows, "day_sigma")
    factor, sigma, mean = _column(rows, "factor"), _column(rows, "sigma"), _column(rows, "mean_90_days")
    power = _power_of(np.concatenate([own, factor]))
    own, factor, mean = (each / 10.0**power for each in (own, factor, mean))
    axes.fill_between(time, mean * (1.0 - BAND), mean * (1.0 + BAND), color=style.GRID, linewidth=0, label=MEAN)
    axes.fill_between(time, factor * (1.0 - sigma), factor * (1.0 + sigma), color=style.FINAL, alpha=0.2, linewidth=0)
    axes.errorbar(
        time, own, own * own_sigma, fmt="o", markersize=3, linewidth=0.7, color=style.FAINT_INK, label="of the day"
    )
    axes.plot(time, factor, color=style.FINAL, linewidth=1.4, marker=".", label="filtered, ±1 σ")
    is_alarm = np.array([bool(row.values["alarm"]) for row in rows])
    axes.plot(time[is_alarm], factor[is_alarm], "v", color=style.GOAL, markersize=6, label="alarm")
    scale = f"10$^{{{power}}}$ " if power else ""
    axes.set_ylabel(f"factor to m$^{{-1}}$ sr$^{{-1}}$ [{scale}per unit of the file]", size=8.5, color=style.INK)
    axes.set_title(title, loc="left", size=10, weight="bold", color=style.INK)
    axes.set_title("from liquid clouds and clear nights", loc="right", size=8.5, color=style.FAINT_INK)
    axes.set_xlim(time[0] - HALF_DAY, time[-1] + HALF_DAY)
    has_factor = bool(np.isfinite(own).any() or np.isfinite(factor).any())
    if not has_factor:
        reasons = [name for row in rows for name in row.values["quality"] if name != YOUNG]
        style.say_nothing_is_there(axes, "no day gave a factor", reasons)
    handles, labels = axes.get_legend_handles_labels()
    unseen = {name for name, is_seen in (("alarm", is_alarm.any()), (MEAN, np.isfinite(mean).any())) if not is_seen}
    shown = [(each, text) for each, text in zip(handles, labels, strict=True) if text not in unseen]
    if has_factor:
        axes.legend(*zip(*shown, strict=True), loc="best", fontsize=8, frameon=False)
    style.dress(axes, size=8.0)
    if time[-1] - time[0] < MOST_NAMED:  # a day has one factor: hours would say nothing
        axes.set_xticks(time, [f"{day.astype('datetime64[D]').item():%d %b %Y}" for day in time])
    else:
        style.time_axis(axes, size=8.0)
    return drawn


def _power_of(values: Any) -> int:
    """The power of ten to draw by: 0 for factors near 1, that of raw counts is 10^-12."""
    known = np.abs(values[np.isfinite(values) & (values != 0.0)])
    power = int(np.floor(np.log10(np.median(known)))) if known.size else 0
    return power if abs(power) > 2 else 0


def _column(rows: Sequence[Row], name: str) -> Any:
    return np.array([np.nan if row.values[name] is None else row.values[name] for row in rows], np.float64)
