"""The drawing of a site's day as numbers: backscatter, heights, and where the words of the axes stand. Pure.

Words stand beside the drawing as text of the page, at shares of its width and height, so that they have the size of all
other text on a screen of any width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

WIDTH, HEIGHT = 1_000.0, 400.0
GAP_S: Final = 1_800.0  # a line is not drawn over a longer one
STEPS_S: Final = (900, 1_800, 3_600, 10_800, 21_600, 86_400)
MOST_HOURS: Final = 9  # labels along time


@dataclass(frozen=True)
class Frame:
    """What a picture of backscatter spans: seconds since 1970, metres above the instrument."""

    first_s: float
    last_s: float
    bottom_m: float
    top_m: float


@dataclass(frozen=True)
class Day:
    """The heights of a day, over its backscatter where there is a picture of it.

    Attributes:
        width, height: of the drawing.
        lines: pieces without a gap, as points of a polyline.
        bands: the same with one standard deviation up and down, as points of a polygon.
        hours, metres: share of the width from the left and of the height from the top [percent], and label.
        picture: x, y, width, height of the picture; None where there is none.
    """

    width: float
    height: float
    lines: Sequence[str]
    bands: Sequence[str]
    hours: Sequence[tuple[float, str]]
    metres: Sequence[tuple[float, str]]
    picture: tuple[float, float, float, float] | None = None


def day_of(heights: Sequence[tuple[str, float | None, float | None]], frame: Frame | None = None) -> Day | None:
    """Product times with height and uncertainty [m] as lines; None if there is neither a height nor a picture."""
    known = [(datetime.fromisoformat(time).timestamp(), height, sigma or 0.0)
             for time, height, sigma in heights if height is not None]  # fmt: skip
    if frame is not None:
        known = [point for point in known if frame.first_s <= point[0] <= frame.last_s]
    if frame is None and not known:
        return None
    if frame is not None:
        first, last, top = frame.first_s, max(frame.last_s, frame.first_s + 1.0), max(frame.top_m, 1.0)
    else:
        first, last = known[0][0], max(known[-1][0], known[0][0] + 3_600.0)
        top = max(500.0, math.ceil(max(height + sigma for _, height, sigma in known) / 500.0) * 500.0)

    def x_of(at: float) -> float:
        return round((at - first) / (last - first) * WIDTH, 1)

    def y_of(height: float) -> float:
        return round(HEIGHT * (1 - min(max(height, 0.0), top) / top), 1)

    pieces: list[list[tuple[float, float, float]]] = []
    for point in known:
        if not pieces or point[0] - pieces[-1][-1][0] > GAP_S:
            pieces.append([])
        pieces[-1].append(point)
    lines = [" ".join(f"{x_of(at)},{y_of(height)}" for at, height, _ in piece) for piece in pieces]
    bands = [
        " ".join(
            [f"{x_of(at)},{y_of(height + sigma)}" for at, height, sigma in piece]
            + [f"{x_of(at)},{y_of(height - sigma)}" for at, height, sigma in reversed(piece)]
        )
        for piece in pieces
    ]
    picture = None
    if frame is not None:
        y, bottom = y_of(frame.top_m), HEIGHT * (1 - frame.bottom_m / top)
        picture = (0.0, y, WIDTH, round(bottom - y, 1))
    return Day(WIDTH, HEIGHT, lines, bands, _hours(first, last), _metres(top), picture)


def _hours(first: float, last: float) -> list[tuple[float, str]]:
    step_s = next((step for step in STEPS_S if (last - first) / step < MOST_HOURS), STEPS_S[-1])
    start = math.ceil(first / step_s) * step_s
    return [(round((at - first) / (last - first) * 100, 2), f"{datetime.fromtimestamp(at, UTC):%H:%M}")
            for at in range(start, math.floor(last) + 1, step_s)]  # fmt: skip


def _metres(top: float) -> list[tuple[float, str]]:
    step_m = 500.0 if top <= 3_000.0 else 1_000.0
    return [(round(100 - 100 * number * step_m / top, 2), f"{number * step_m:.0f}")
            for number in range(int(top // step_m) + 1)]  # fmt: skip
