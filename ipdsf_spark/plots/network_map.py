"""Map of a network as SVG: where the sites are, how much of a component each has, and who is under alarm.

Plain SVG text: no library, no map service, nothing from elsewhere. Equirectangular, true to scale at the middle
latitude, with a graticule instead of coasts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from ipdsf_spark.plots.style import FAINT_INK, GOAL, GRID, INK, NO_VALUE, PAPER

WIDTH, HEIGHT, MARGIN = 720, 480, 46
PANEL: Final = 190  # for the components' strengths and the key
STEPS_DEG: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 45.0)
LOW, MIDDLE, HIGH = (33, 97, 140), (236, 238, 240), (224, 142, 11)
SMALLEST_SPAN_DEG: Final = 0.5
MOST_LABELS: Final = 40
LETTER: Final = 6.4  # width of a letter


@dataclass(frozen=True)
class MapSite:
    """A site on the map.

    Attributes:
        id: its id.
        latitude_deg, longitude_deg: where.
        weight: of the component shown, 1 = typical; NaN where not known.
        alarms: features that stand out; empty if all is well.
        note: for whoever points at it.
    """

    id: str
    latitude_deg: float
    longitude_deg: float
    weight: float = float("nan")
    alarms: tuple[str, ...] = ()
    note: str = ""


def network_map(sites: Sequence[MapSite], strengths: Sequence[float] = (), *, component: int = 0, title: str) -> str:
    """The map as one SVG element.

    Args:
        sites: those without a position are listed below the map, not drawn.
        strengths: of the components now, drawn as bars.
        component: whose weights are shown.
        title: what a screen reader says first.
    """
    placed = [site for site in sites if math.isfinite(site.latitude_deg) and math.isfinite(site.longitude_deg)]
    frame = _Frame.around(placed)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label={quoteattr(title)} font-family="system-ui, sans-serif" font-size="11">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="{PAPER}"/>',
        f'<text x="{MARGIN}" y="22" font-size="14" font-weight="600" fill="{INK}">{escape(title)}</text>',
        *_graticule(frame),
    ]
    largest = max((abs(site.weight) for site in placed if math.isfinite(site.weight)), default=1.0) or 1.0
    ordered = sorted(placed, key=lambda each: bool(each.alarms))  # alarms on top
    for site in ordered:
        parts += _dot(site, frame, largest)
    parts += _labels(ordered[::-1], frame)
    parts += _key(strengths, component, largest, num_alarmed=sum(bool(site.alarms) for site in sites))
    if missing := [site.id for site in sites if site not in placed]:
        listed = ", ".join(missing[:8]) + (" …" if len(missing) > 8 else "")
        parts.append(
            f'<text x="{MARGIN}" y="{HEIGHT - 6}" fill="{FAINT_INK}">without a position: {escape(listed)}</text>'
        )
    return "\n".join([*parts, "</svg>"])


@dataclass(frozen=True)
class _Frame:
    """From degrees to the picture."""

    west: float
    south: float
    east: float
    north: float

    @classmethod
    def around(cls, sites: Sequence[MapSite]) -> _Frame:
        latitudes = [site.latitude_deg for site in sites] or [0.0]
        longitudes = [site.longitude_deg for site in sites] or [0.0]
        middle = ((min(latitudes) + max(latitudes)) / 2, (min(longitudes) + max(longitudes)) / 2)
        shrink = max(math.cos(math.radians(middle[0])), 0.05)
        tall = 1.25 * max(max(latitudes) - min(latitudes), SMALLEST_SPAN_DEG)
        wide = 1.25 * max(max(longitudes) - min(longitudes), SMALLEST_SPAN_DEG)
        aspect = (WIDTH - PANEL - 2 * MARGIN) / (HEIGHT - 2 * MARGIN)
        tall = max(tall, wide * shrink / aspect)
        wide = tall * aspect / shrink
        return cls(middle[1] - wide / 2, middle[0] - tall / 2, middle[1] + wide / 2, middle[0] + tall / 2)

    def x(self, longitude_deg: float) -> float:
        return MARGIN + (longitude_deg - self.west) / (self.east - self.west) * (WIDTH - PANEL - 2 * MARGIN)

    def y(self, latitude_deg: float) -> float:
        return HEIGHT - MARGIN - (latitude_deg - self.south) / (self.north - self.south) * (HEIGHT - 2 * MARGIN)


def _graticule(frame: _Frame) -> list[str]:
    left, right, top, bottom = MARGIN, WIDTH - PANEL - MARGIN, MARGIN, HEIGHT - MARGIN
    parts = [
        f'<rect x="{left}" y="{top}" width="{right - left}" height="{bottom - top}" fill="#f7f9fa" stroke="{GRID}"/>'
    ]
    for is_longitude, low, high in ((True, frame.west, frame.east), (False, frame.south, frame.north)):
        step = next((each for each in STEPS_DEG if (high - low) / each <= 6), STEPS_DEG[-1])
        for number in range(math.ceil(low / step), math.floor(high / step) + 1):
            degree = number * step
            if is_longitude:
                at = frame.x(degree)
                wrapped = (degree + 180.0) % 360.0 - 180.0
                text = f"{abs(wrapped):g}°{'E' if wrapped > 0 else 'W' if wrapped < 0 else ''}"
                parts.append(f'<path d="M{at:.1f} {top}V{bottom}" stroke="{GRID}" fill="none"/>')
                parts.append(
                    f'<text x="{at:.1f}" y="{bottom + 15}" text-anchor="middle" fill="{FAINT_INK}">{text}</text>'
                )
            elif abs(degree) <= 90.0:
                at = frame.y(degree)
                text = f"{abs(degree):g}°{'N' if degree > 0 else 'S' if degree < 0 else ''}"
                parts.append(f'<path d="M{left} {at:.1f}H{right}" stroke="{GRID}" fill="none"/>')
                parts.append(
                    f'<text x="{left - 5}" y="{at + 4:.1f}" text-anchor="end" fill="{FAINT_INK}">{text}</text>'
                )
    return parts


def _dot(site: MapSite, frame: _Frame, largest: float) -> list[str]:
    x, y = frame.x(site.longitude_deg), frame.y(site.latitude_deg)
    is_known = math.isfinite(site.weight)
    radius = 5.0 + 5.0 * (abs(site.weight) / largest if is_known else 0.0)
    told = f"{site.id}: weight {site.weight:.2f}" if is_known else f"{site.id}: not yet in the decomposition"
    told += f"; alarm: {', '.join(site.alarms)}" if site.alarms else ""
    told += f"; {site.note}" if site.note else ""
    fill = _color(site.weight / largest) if is_known else NO_VALUE
    parts = [f"<g><title>{escape(told)}</title>"]
    if site.alarms:
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius + 5:.1f}" fill="none" stroke="{GOAL}" stroke-width="2.5"/>'
        )
    parts.append(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="{fill}" stroke="{INK}" stroke-width="0.8"/>'
    )
    return [*parts, "</g>"]


def _labels(sites: Sequence[MapSite], frame: _Frame) -> list[str]:
    """Names beside their dots, those under alarm first; one that would lie on another is left to the pointer."""
    dots = [(frame.x(site.longitude_deg), frame.y(site.latitude_deg)) for site in sites]
    taken = [(x - 8.0, y - 8.0, x + 8.0, y + 8.0) for x, y in dots]
    parts = []
    for number, (site, (x, y)) in enumerate(zip(sites, dots, strict=True)):
        if number >= MOST_LABELS and not site.alarms:
            continue
        long, away = LETTER * len(site.id), 19.0 if site.alarms else 14.0
        beside = ((x + away, y + 4), (x - away - long, y + 4), (x - long / 2, y - away), (x - long / 2, y + away + 8))
        for left, base in beside:
            box = (left, base - 9.0, left + long, base + 2.0)
            if box[0] < MARGIN or box[2] > WIDTH - PANEL - MARGIN:  # it would run over the edge of the map
                continue
            if any(box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3] for b in taken):
                continue
            taken.append(box)
            weight = ' font-weight="600"' if site.alarms else ""
            parts.append(f'<text x="{left:.1f}" y="{base:.1f}" fill="{INK}"{weight}>{escape(site.id)}</text>')
            break
    return parts


def _color(share: float) -> str:
    """Blue below nothing, orange above, pale between."""
    end, part = (HIGH, share) if share >= 0 else (LOW, -share)
    part = min(max(part, 0.0), 1.0)
    return "#" + "".join(f"{round(m + (e - m) * part):02x}" for m, e in zip(MIDDLE, end, strict=True))


def _key(strengths: Sequence[float], component: int, largest: float, *, num_alarmed: int) -> list[str]:
    left, width = WIDTH - PANEL, PANEL - 24
    parts = [f'<text x="{left}" y="58" font-weight="600" fill="{INK}">weight in component {component + 1}</text>']
    for number in range(21):
        share, step = (number - 10) / 10, width / 21
        parts.append(
            f'<rect x="{left + number * step:.1f}" y="66" width="{step + 0.5:.1f}" height="9" fill="{_color(share)}"/>'
        )
    for share, anchor in ((-1, "start"), (0, "middle"), (1, "end")):
        at = left + (share + 1) / 2 * width
        parts.append(
            f'<text x="{at:.1f}" y="88" text-anchor="{anchor}" fill="{FAINT_INK}">{share * largest:.1f}</text>'
        )
    parts.append(f'<circle cx="{left + 8}" cy="110" r="7" fill="none" stroke="{GOAL}" stroke-width="2.5"/>')
    parts.append(f'<text x="{left + 22}" y="114" fill="{INK}">under alarm: {num_alarmed}</text>')
    known = [value for value in strengths if math.isfinite(value)]
    if not known:
        return parts
    parts.append(f'<text x="{left}" y="150" font-weight="600" fill="{INK}">strengths now</text>')
    scale = max(abs(value) for value in known) or 1.0
    middle = left + 24 + (width - 24) / 2
    for number, value in enumerate(strengths):
        y = 162 + 20 * number
        length = (value / scale if math.isfinite(value) else 0.0) * ((width - 24) / 2 - 2)
        fill, begin = _color(math.copysign(1.0, length)), min(middle, middle + length)
        parts.append(f'<text x="{left}" y="{y + 10}" fill="{INK}">{number + 1}</text>')
        parts.append(f'<rect x="{begin:.1f}" y="{y}" width="{abs(length):.1f}" height="12" fill="{fill}"/>')
    parts.append(f'<path d="M{middle:.1f} 158V{164 + 20 * len(strengths)}" stroke="{FAINT_INK}" stroke-width="0.6"/>')
    return parts
