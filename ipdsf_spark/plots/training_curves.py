"""How a training went: losses and accuracy against time, and what the time of a step went to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ipdsf_spark.plots import style

COLOURS: Final = (style.FINAL, style.PROVISIONAL)
PARTS: Final = {
    "data": "#9aa5b1",
    "forward and backward": style.FINAL,
    "allreduce": style.PROVISIONAL,
    "rest": style.NO_VALUE,
}


@dataclass(frozen=True)
class Curve:
    """One training's course of one quantity: every step, and smoothed."""

    label: str
    seconds: NDArray[np.float64]
    values: NDArray[np.float64]
    smoothed: NDArray[np.float64]


def curves_figure(panels: Mapping[str, Sequence[Curve]]) -> Figure:
    """One panel per quantity, one line per training, against minutes of training.

    Args:
        panels: title to curves.
    """
    figure = style.figure(3.6 * len(panels), 3.0)
    for axes, (title, curves) in zip(np.atleast_1d(figure.subplots(1, len(panels))), panels.items(), strict=True):
        style.dress(axes, size=7)
        for colour, curve in zip(COLOURS, curves, strict=False):
            axes.plot(curve.seconds / 60, curve.values, color=colour, linewidth=0.4, alpha=0.2)
            axes.plot(curve.seconds / 60, curve.smoothed, color=colour, linewidth=1.4, label=curve.label)
        smooth = np.concatenate([curve.smoothed for curve in curves])
        low, high = np.percentile(smooth, [0, 99])
        margin = 0.15 * max(high - low, 1e-6)
        axes.set_ylim(low - margin, high + margin)
        axes.set_title(title, fontsize=8, color=style.INK, loc="left")
        axes.set_xlabel("training [min]", fontsize=7, color=style.INK)
        axes.set_xlim(left=0)
        axes.legend(fontsize=7, frameon=False)
    figure.tight_layout()
    return figure


def step_time_figure(parts_ms: Mapping[str, Mapping[str, float]]) -> Figure:
    """A bar per training, stacked: mean milliseconds of a step by what they went to."""
    figure = style.figure(7.2, 0.9 + 0.5 * len(parts_ms))
    axes = figure.subplots()
    style.dress(axes, size=7)
    for row, parts in enumerate(parts_ms.values()):
        left = 0.0
        for name, colour in PARTS.items():
            width = parts.get(name, 0.0)
            axes.barh(row, width, left=left, color=colour, height=0.6, label=name if row == 0 else None)
            left += width
        axes.text(left, row, f"  {left:.0f} ms", va="center", fontsize=7, color=style.INK)
    axes.set_yticks(range(len(parts_ms)), list(parts_ms), fontsize=7)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.12 * max(sum(parts.values()) for parts in parts_ms.values()))
    axes.set_xlabel("mean time of a step [ms]", fontsize=7, color=style.INK)
    axes.legend(fontsize=7, frameon=False, ncols=4, loc="lower left", bbox_to_anchor=(0, 1.0))
    figure.tight_layout()
    return figure
