"""Axes of many days: what is written along them can be read."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from ipdsf_spark.lidar.site import Site
from ipdsf_spark.plots import style
from ipdsf_spark.plots.sun import draw_sun

OSLO = Site("oslo", 59.942, 10.720, 96.0)
FIRST = np.datetime64("2026-03-25", "us")


@pytest.mark.parametrize("days", [1, 2, 3, 5, 7, 31])
@pytest.mark.parametrize("first", [FIRST, np.datetime64("2026-12-20", "us"), np.datetime64("2026-06-20T20:00", "us")])
def test_no_word_of_sunrise_and_sunset_covers_another(days: int, first: np.datetime64) -> None:
    drawn = style.figure(11.0, 5.2)
    axes = drawn.add_axes((0.05, 0.2, 0.86, 0.7))
    edges = np.array([first, first + np.timedelta64(days, "D")])
    axes.set_xlim(*edges)
    draw_sun(axes, edges, OSLO, text=11.0)
    drawn.canvas.draw()
    extents = sorted((label.get_window_extent().x0, label.get_window_extent().x1) for label in axes.texts)

    assert all(one[1] <= other[0] for one, other in itertools.pairwise(extents))
    assert extents or days > 7
    assert len(axes.lines) == (2 * days if days <= 7 else 0)


def test_the_first_of_a_month_has_its_day_like_all_others() -> None:
    drawn = style.figure(9.0, 3.0)
    axes = drawn.add_axes((0.1, 0.2, 0.8, 0.7))
    axes.set_xlim(FIRST, FIRST + np.timedelta64(31, "D"))
    style.time_axis(axes, size=8.0)
    drawn.canvas.draw()
    told = [label.get_text() for label in axes.get_xticklabels()]

    assert "01 Apr" in told and "Apr" not in told
