"""A forecast as a fan: heights of the last day, gaps filled with their interval, and what is foretold from there."""

from __future__ import annotations

from typing import Final, Protocol

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ipdsf_spark.lidar.profiles import Float64, Time
from ipdsf_spark.plots import style

FILLED: Final = style.PROVISIONAL
LEAST_TOP_M: Final = 800.0


class FanOfHeights(Protocol):
    """What is drawn; `forecast.foretold.Fan`."""

    @property
    def time(self) -> Time:
        """(T,) up to the forecast."""

    @property
    def seen_m(self) -> Float64:
        """(T,) heights, NaN where none."""

    @property
    def filled_m(self) -> Float64:
        """(T, 3) quantiles where none was seen, else NaN."""

    @property
    def ahead(self) -> Time:
        """(L,) times of the leads, the first that of the forecast."""

    @property
    def ahead_m(self) -> Float64:
        """(L, 3) quantiles."""

    @property
    def usual_m(self) -> Float64:
        """(L,) climatology, NaN where unknown."""

    @property
    def later(self) -> Time:
        """(N,) times after the forecast."""

    @property
    def later_m(self) -> Float64:
        """(N,) heights that came, NaN where none."""


def forecast_fan(fan: FanOfHeights, *, title: str) -> Figure:
    """The picture.

    Args:
        fan: what is drawn.
        title: above it.
    """
    figure = style.figure(9.0, 4.0)
    axes = figure.add_axes((0.08, 0.15, 0.9, 0.73))
    axes.plot(fan.time, fan.seen_m, ".", color=style.FINAL, markersize=3.0, label="seen")
    low, middle, high = fan.filled_m.T
    if np.isfinite(middle).any():
        axes.fill_between(fan.time, low, high, color=FILLED, alpha=0.2, linewidth=0, step="mid")
        axes.plot(fan.time, middle, "-", color=FILLED, linewidth=1.2, label="filled, 80 % interval")
    axes.axvline(fan.ahead[0], color=style.FAINT_INK, linewidth=0.8)
    axes.fill_between(fan.ahead, fan.ahead_m[:, 0], fan.ahead_m[:, 2], color=style.GOAL, alpha=0.18, linewidth=0)
    axes.plot(fan.ahead, fan.ahead_m[:, 1], "o-", color=style.GOAL, linewidth=1.4, markersize=3.5,
              label="foretold, 80 % interval")  # fmt: skip
    if np.isfinite(fan.usual_m).all():
        axes.plot(fan.ahead, fan.usual_m, "--", color=style.FAINT_INK, linewidth=0.9, label="usual at this hour")
    if len(fan.later) and np.isfinite(fan.later_m).any():
        axes.plot(fan.later, fan.later_m, ".", color=style.INK, markersize=3.0, label="what came")
    last = fan.later[-1] if len(fan.later) else fan.ahead[-1]
    axes.set_xlim(fan.time[0], max(last, fan.ahead[-1]) + np.timedelta64(10, "m"))
    axes.set_ylim(0.0, 1.12 * max(LEAST_TOP_M, _highest(fan.seen_m, fan.filled_m, fan.ahead_m, fan.later_m)))
    axes.set_ylabel("mixing height above the instrument [m]", size=8.5, color=style.INK)
    axes.legend(loc="upper left", fontsize=8, frameon=False, ncols=5, bbox_to_anchor=(0.0, 1.0))
    axes.set_title(title, loc="left", size=10, weight="bold", color=style.INK)
    made = np.datetime_as_string(fan.ahead[0], unit="m").replace("T", " ")
    axes.set_title(f"forecast made at {made} UTC", loc="right", size=8.5, color=style.FAINT_INK)
    style.dress(axes, size=8.0)
    style.time_axis(axes, size=8.0)
    axes.set_xlabel("UTC", size=8.5, color=style.INK)
    return figure


def _highest(*parts: NDArray[np.float64]) -> float:
    known = [float(np.nanmax(part)) for part in parts if np.isfinite(part).any()]
    return max(known, default=0.0)
