"""Tracked heights against known heights: the course of the error over the day, and how often it is how large."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ipdsf_spark.lidar.profiles import Float64, Time
from ipdsf_spark.plots import style

# A final height often equals the provisional one: the dot lies inside the ring, and both are seen.
_FINAL_DOT: dict[str, float] = {"s": 4.0, "linewidths": 0.0}
_PROVISIONAL_RING: dict[str, float] = {"s": 16.0, "linewidths": 0.7}
SMALLEST_REACH_M = 100.0  # of the axes: a perfect day is a flat line, not magnified noise


def error_figure(
    time: Time,
    known_m: Float64,
    final_m: Float64,
    provisional_m: Float64 | None = None,
    *,
    site: str,
) -> Figure:
    """Errors of one site.

    Args:
        time: (N,) product times, UTC.
        known_m: (N,) known heights.
        final_m: (N,) final heights, NaN where none.
        provisional_m: (N,) heights as first issued, NaN where none.
        site: its name, for the title.
    """
    figure = style.figure(9.0, 3.0)
    course, share = figure.subplots(
        1, 2, gridspec_kw={"width_ratios": [2.2, 1], "wspace": 0.22, "left": 0.08, "right": 0.985}
    )
    figure.subplots_adjust(top=0.86, bottom=0.19)
    course.axhline(0.0, color=style.FAINT_INK, linewidth=0.8)
    series = [("final", final_m, style.FINAL, _FINAL_DOT)]
    if provisional_m is not None:
        series.insert(0, ("provisional", provisional_m, style.PROVISIONAL, _PROVISIONAL_RING))
    reach_m = SMALLEST_REACH_M
    for name, height_m, colour, sign in series:
        error_m = height_m - known_m
        reach_m = max(reach_m, float(np.nanpercentile(np.append(np.abs(error_m), 0.0), 99.0)) * 1.2)
        label = _label(name, error_m)
        course.scatter(
            time, error_m, edgecolors=colour, label=label, facecolors=colour if name == "final" else "none", **sign
        )
        _share(share, error_m, colour, width=1.2 if name == "final" else 2.6)
    style.dress(course, size=8.0)
    style.time_axis(course, size=8.0, num_ticks=8)
    course.set_ylim(-reach_m, reach_m)
    if len(time) > 1:
        course.set_xlim(time.min(), time.max())
    course.set_xlabel("UTC", size=8.5, color=style.INK)
    course.set_ylabel("tracked − known height [m]", size=8.5, color=style.INK)
    course.set_title(site, loc="left", size=10, weight="bold", color=style.INK)
    style.dress(share, size=8.0)
    share.set_xlim(0.0, reach_m)
    share.set_ylim(0.0, 101.0)
    share.set_xlabel("|error| at most [m]", size=8.5, color=style.INK)
    share.set_ylabel("of the heights [%]", size=8.5, color=style.INK)
    course.legend(
        loc="lower right",
        bbox_to_anchor=(1.01, 0.985),
        ncols=2,
        frameon=False,
        fontsize=8.0,
        labelcolor=style.INK,
        handletextpad=0.1,
        columnspacing=1.0,
        markerscale=1.6,
    )
    return figure


def _label(name: str, error_m: Float64) -> str:
    known_m = error_m[np.isfinite(error_m)]
    if not len(known_m):
        return f"{name}: none"
    return f"{name}: RMSE {np.sqrt(np.mean(known_m**2)):.0f} m, bias {np.mean(known_m):+.0f} m"


def _share(axes: Any, error_m: Float64, colour: str, *, width: float) -> None:
    size_m = np.sort(np.abs(error_m[np.isfinite(error_m)]))
    if len(size_m):
        percent = 100.0 * np.arange(len(size_m) + 1) / len(size_m)
        axes.step(np.append(0.0, size_m), percent, where="post", color=colour, linewidth=width)
