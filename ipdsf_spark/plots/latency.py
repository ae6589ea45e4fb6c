"""Seconds from sending a file to its product: a histogram and the share that was faster."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from ipdsf_spark.lidar.profiles import Float64
from ipdsf_spark.plots import style

PERCENTILES = (50, 95, 99)


def latency_figure(latency_s: Float64, *, title: str = "from send to product", bins: int = 60) -> Figure:
    """Latencies of a run.

    Args:
        latency_s: (N,) seconds, one per product; NaN is left out.
        title: above the picture.
        bins: of the histogram, equal steps of the logarithm.

    Raises:
        ValueError: there is no latency at all.
    """
    known = np.sort(latency_s[np.isfinite(latency_s)])
    if not len(known):
        raise ValueError("no latency to draw")
    # below a millisecond clocks of two processes say nothing
    known = np.maximum(known, 1e-3)
    figure = style.figure(9.0, 3.0)
    count, share = figure.subplots(1, 2, sharex=True, gridspec_kw={"wspace": 0.2, "left": 0.08, "right": 0.985})
    figure.subplots_adjust(top=0.86, bottom=0.19)
    edges = np.geomspace(known[0] * 0.99, known[-1] * 1.01, bins + 1)
    count.hist(known, bins=edges, color=style.FINAL, linewidth=0)
    count.set_ylabel("products", size=8.5, color=style.INK)
    count.set_title(title, loc="left", size=10, weight="bold", color=style.INK)
    count.set_title(f"{len(known):,} products", loc="right", size=8.5, color=style.FAINT_INK)
    share.step(known, 100.0 * np.arange(1, len(known) + 1) / len(known), where="post", color=style.FINAL, linewidth=1.4)
    at_s = np.percentile(known, PERCENTILES)
    for value in at_s:
        for axes in (count, share):
            axes.axvline(value, color=style.GOAL, linewidth=0.8, linestyle=(0, (3, 2)))
    share.text(
        0.03,
        0.95,
        "\n".join(f"p{name}  {value:.2f} s" for name, value in zip(PERCENTILES, at_s, strict=True)),
        transform=share.transAxes,
        va="top",
        fontsize=8.5,
        linespacing=1.5,
        color=style.GOAL,
    )
    share.set_ylabel("faster than this [%]", size=8.5, color=style.INK)
    share.set_ylim(0.0, 101.0)
    for axes in (count, share):
        style.dress(axes, size=8.0)
        axes.set_xscale("log")
        axes.set_xlabel("seconds", size=8.5, color=style.INK)
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
    return figure
