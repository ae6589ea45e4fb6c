"""Drawings of the status page as numbers for SVG: where sites lie, and the heights of a day. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

MAP_WIDTH: Final = 1_000.0
MAP_LEAST, MAP_MOST = 220.0, 560.0  # height of the map, in its own units
MARGIN_DEG: Final = 1.5
GRID_DEG: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0)
CURVE_WIDTH, CURVE_HEIGHT = 1_000.0, 320.0
MOST_NAMES: Final = 400
MOST_DOTS: Final = 400  # on the map, each at its place; of more, those that share a cell are one
CELL: Final = 24.0
LETTER, NAME_GAP, NAME_HEIGHT = 9.0, 12.0, 18.0  # of a site's name on the map
LABEL_PX: Final = 44.0


@dataclass(frozen=True)
class Dot:
    """A site on the map: name, place [degree], state, how many others are drawn with it."""

    site: str
    latitude_deg: float
    longitude_deg: float
    state: str
    others: int = 0


@dataclass(frozen=True)
class Map:
    """A map in equal steps of degrees, true to angles at its middle latitude.

    Attributes:
        width, height: of the drawing.
        dots: x, y, the site, and where its name begins ("start" or "end"); empty where names would overlap.
        meridians, parallels: position and label of the grid.
    """

    width: float
    height: float
    dots: Sequence[tuple[float, float, Dot, str]]
    meridians: Sequence[tuple[float, str]]
    parallels: Sequence[tuple[float, str]]


def map_of(dots: Sequence[Dot]) -> Map | None:
    """Where sites lie; None if there are none."""
    if not dots:
        return None
    west, east = _span([dot.longitude_deg for dot in dots], 180.0)
    south, north = _span([dot.latitude_deg for dot in dots], 90.0)
    shrink = max(0.15, math.cos(math.radians((south + north) / 2)))
    per_degree = min(MAP_WIDTH / (east - west), MAP_MOST / (north - south) * shrink)
    height = max(MAP_LEAST, per_degree / shrink * (north - south))
    # Centred, where the other axis decides the scale.
    middle_x, middle_y = (west + east) / 2, (south + north) / 2

    def x_of(longitude: float) -> float:
        return round(MAP_WIDTH / 2 + (longitude - middle_x) * per_degree, 1)

    def y_of(latitude: float) -> float:
        return round(height / 2 - (latitude - middle_y) * per_degree / shrink, 1)

    half_x, half_y = MAP_WIDTH / 2 / per_degree, height / 2 / per_degree * shrink
    step = next((each for each in GRID_DEG if 2 * half_x / each <= 8), GRID_DEG[-1])
    return Map(
        MAP_WIDTH,
        round(height, 1),
        _named(_apart([(x_of(dot.longitude_deg), y_of(dot.latitude_deg), dot) for dot in dots])),
        [(x_of(deg), _degrees(deg, "E", "W")) for deg in _steps(middle_x - half_x, middle_x + half_x, step, 180.0)],
        [(y_of(deg), _degrees(deg, "N", "S")) for deg in _steps(middle_y - half_y, middle_y + half_y, step, 90.0)],
    )


@dataclass(frozen=True)
class Curve:
    """Heights over a day.

    Attributes:
        width, height: of the drawing.
        lines: pieces without a gap, as points of a polyline.
        bands: the same with one standard deviation up and down, as points of a polygon.
        hours, metres: position and label of the axes.
    """

    width: float
    height: float
    lines: Sequence[str]
    bands: Sequence[str]
    hours: Sequence[tuple[float, str]]
    metres: Sequence[tuple[float, str]]


def curve_of(heights: Sequence[tuple[str, float | None, float | None]]) -> Curve | None:
    """Product times with height and uncertainty [m] as lines; None if there is no height."""
    known = [(datetime.fromisoformat(time).timestamp(), height, sigma or 0.0)
             for time, height, sigma in heights if height is not None]  # fmt: skip
    if not known:
        return None
    first, last = known[0][0], max(known[-1][0], known[0][0] + 3_600.0)
    top = max(500.0, math.ceil(max(height + sigma for _, height, sigma in known) / 500.0) * 500.0)
    inner = CURVE_WIDTH - LABEL_PX, CURVE_HEIGHT - LABEL_PX / 2

    def x_of(at: float) -> float:
        return round(LABEL_PX + (at - first) / (last - first) * inner[0], 1)

    def y_of(height: float) -> float:
        return round(inner[1] * (1 - min(max(height, 0.0), top) / top), 1)

    pieces: list[list[tuple[float, float, float]]] = [[]]
    for point in known:
        if pieces[-1] and point[0] - pieces[-1][-1][0] > 1_800.0:
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
    step_s = next(
        each for each in (900, 1_800, 3_600, 10_800, 21_600, 86_400) if (last - first) / each <= 10 or each == 86_400
    )
    start = math.ceil(first / step_s) * step_s
    hours = [
        (x_of(at), datetime.fromtimestamp(at, tz=datetime.fromisoformat(heights[0][0]).tzinfo).strftime("%H:%M"))
        for at in range(int(start), int(last) + 1, step_s)
    ]
    metres = [(y_of(height), f"{height:.0f}") for height in _steps(0.0, top, 500.0 if top <= 3_000 else 1_000.0, top)]
    return Curve(CURVE_WIDTH, CURVE_HEIGHT, lines, bands, hours, metres)


def _apart(dots: Sequence[tuple[float, float, Dot]]) -> list[tuple[float, float, Dot]]:
    """The first dot of every cell, with the number of the others, where there are many."""
    if len(dots) <= MOST_DOTS:
        return list(dots)
    cells: dict[tuple[int, int], list[tuple[float, float, Dot]]] = {}
    for dot in dots:
        cells.setdefault((int(dot[0] // CELL), int(dot[1] // CELL)), []).append(dot)
    return [(x, y, replace(dot, others=len(held) - 1)) for held in cells.values() for x, y, dot in held[:1]]


def _named(dots: Sequence[tuple[float, float, Dot]]) -> list[tuple[float, float, Dot, str]]:
    """Where each name stands; the first ones come first, and a name that would cover another is left out."""
    if len(dots) > MOST_NAMES:
        return [(x, y, dot, "") for x, y, dot in dots]
    taken: list[tuple[float, float, float]] = []
    found = []
    for x, y, dot in dots:
        width = NAME_GAP + LETTER * len(dot.site)
        anchor = "end" if x + width > MAP_WIDTH else "start"
        left = x - width if anchor == "end" else x - NAME_GAP
        right = left + width + NAME_GAP
        is_free = all(abs(y - other_y) > NAME_HEIGHT or right < other_left or left > other_right
                      for other_y, other_left, other_right in taken)  # fmt: skip
        if is_free:
            taken.append((y, left, right))
        found.append((x, y, dot, anchor if is_free else ""))
    return found


def _span(values: Sequence[float], most: float) -> tuple[float, float]:
    low, high = min(values), max(values)
    margin = max(MARGIN_DEG, 0.08 * (high - low))
    return max(-most, low - margin), min(most, high + margin)


def _steps(low: float, high: float, step: float, most: float) -> list[float]:
    first, last = math.ceil(max(low, -most) / step), math.floor(min(high, most) / step)
    return [number * step for number in range(first, last + 1)]


def _degrees(value: float, positive: str, negative: str) -> str:
    return f"{abs(value):g}°{positive if value > 0 else negative if value < 0 else ''}"
