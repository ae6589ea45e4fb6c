"""Heights of a tool against a reference: each pair, and the error by class of hours."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ipdsf_spark.lidar.heights.comparison import CLASSES, Pairs
from ipdsf_spark.lidar.layers.scoring import Score
from ipdsf_spark.plots import style

COLORS = ("#34495e", "#27ae60", "#e08e0b", "#8e44ad")


def score_figure(pairs: Pairs, classes: NDArray[np.int64], found: Mapping[str, Score], *, title: str) -> Figure:
    """Pairs as dots, and bias with RMSE as bars.

    Args:
        pairs: on common times.
        classes: (N,) index into `CLASSES`, -1 where not known.
        found: scores by class.
        title: above the picture.
    """
    figure = style.figure(8.4, 3.8)
    dots, bars = figure.subplots(1, 2, gridspec_kw={"width_ratios": (1.2, 1), "wspace": 0.28})
    figure.subplots_adjust(left=0.09, right=0.98, top=0.88, bottom=0.16)
    both = np.isfinite(pairs.height_m) & np.isfinite(pairs.reference_m)
    top = 1.05 * float(np.max([pairs.height_m[both], pairs.reference_m[both]])) if both.any() else 1000.0
    dots.plot([0, top], [0, top], color=style.FAINT_INK, linewidth=0.8)
    for number, name in ((-1, "hour not known"), *enumerate(CLASSES)):
        here = both & (classes == number)
        if here.any():
            color = style.FINAL if number < 0 else COLORS[number]
            dots.scatter(pairs.reference_m[here], pairs.height_m[here], s=5, linewidths=0, color=color, label=name)
    dots.set(xlim=(0, top), ylim=(0, top), aspect="equal")
    dots.set_xlabel("reference [m]", size=8.5)
    dots.set_ylabel("height [m]", size=8.5)
    if both.any():
        dots.legend(loc="upper left", fontsize=7.5, frameon=False, markerscale=2)
    at = np.arange(len(found))
    bars.bar(at - 0.2, [each.rmse_m for each in found.values()], 0.38, color=style.FINAL, label="RMSE")
    bars.bar(at + 0.2, [each.bias_m for each in found.values()], 0.38, color=style.PROVISIONAL, label="bias")
    bars.axhline(0.0, color=style.FAINT_INK, linewidth=0.6)
    bars.set_xticks(at, [f"{name}\n{100 * each.available:.0f} %" for name, each in found.items()])
    bars.set_ylabel("RMSE and bias [m]", size=8.5)
    bars.set_xlabel("hours, and share of the times with a height", size=8.5)
    bars.legend(fontsize=7.5, frameon=False)
    dots.set_title(title, loc="left", size=10, weight="bold", color=style.INK)
    for axes in (dots, bars):
        style.dress(axes, size=8.0)
    return figure
