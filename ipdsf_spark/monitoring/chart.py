"""The map of the status page as numbers for SVG: where sites lie. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

MAP_WIDTH: Final = 1_000.0
MAP_LEAST, MAP_MOST = 220.0, 560.0  # height of the map, in its own units
MARGIN_DEG: Final = 1.5
GRID_DEG: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0)
PHONE_TEXT, PHONE_LETTER, LABEL_GAP = 28.0, 17.0, 4.0  # of words on the map: style.css makes them larger on a phone
MOST_NAMES: Final = 400
MOST_DOTS: Final = 400  # on the map, each at its place; of more, those that share a cell are one
CELL: Final = 24.0
LETTER, NAME_GAP, NAME_HEIGHT = 9.0, 12.0, 18.0  # of a site's name on the map


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
        meridians, parallels: position and label of the grid; no label where it would not fit.
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
    longitudes = _steps(middle_x - half_x, middle_x + half_x, step, 180.0)
    latitudes = _steps(middle_y - half_y, middle_y + half_y, step, 90.0)
    return Map(
        MAP_WIDTH,
        round(height, 1),
        _named(_apart([(x_of(dot.longitude_deg), y_of(dot.latitude_deg), dot) for dot in dots])),
        [
            (x, label if x + LABEL_GAP + len(label) * PHONE_LETTER <= MAP_WIDTH else "")
            for x, label in ((x_of(deg), _degrees(deg, "E", "W")) for deg in longitudes)
        ],
        [
            (y, label if PHONE_TEXT + LABEL_GAP <= y <= height - 2 * PHONE_TEXT else "")
            for y, label in ((y_of(deg), _degrees(deg, "N", "S")) for deg in latitudes)
        ],
    )


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
