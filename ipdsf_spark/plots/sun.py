"""What the sun says to a curtain: sunrise and sunset, and how high the prior lets a layer grow by then."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
from matplotlib.patheffects import withStroke

from ipdsf_spark.lidar.layers.ceiling import ONE_DAY, Ceiling, daylight
from ipdsf_spark.lidar.layers.sun import sun_prior
from ipdsf_spark.lidar.profiles import Float64, Time
from ipdsf_spark.lidar.site import Site
from ipdsf_spark.plots import style

PRIOR_STEP: Final = np.timedelta64(300, "s")
LABEL_ROOM: Final = 0.09  # of the width that a label takes: nearer to the right edge it stands left of its line
MOST_DAYS: Final = 7  # whose sunrises and sunsets are marked; of more they would be a fence


def has_place(place: Site | None) -> bool:
    """Whether the sun of a site is known."""
    return place is not None and math.isfinite(place.latitude_deg) and math.isfinite(place.longitude_deg)


def coordinates(place: Site) -> str:
    """Latitude, longitude and altitude, as people write them; 0 is the altitude of a site of which none is told."""
    north, east = "N" if place.latitude_deg >= 0 else "S", "E" if place.longitude_deg >= 0 else "W"
    told = f"{abs(place.latitude_deg):.2f}°{north} {abs(place.longitude_deg):.2f}°{east}"
    return f"{told}, {place.altitude_m:.0f} m a.s.l." if place.altitude_m else told


def rises_and_sets(first: datetime, last: datetime, place: Site) -> Iterator[tuple[datetime, str]]:
    """Sunrises and sunsets between two times [UTC], in order; none in polar day and night."""
    day = (first - ONE_DAY).date()
    while datetime(day.year, day.month, day.day) <= last + ONE_DAY:
        span = daylight(day, place.latitude_deg, place.longitude_deg)
        if span is not None and span[1] - span[0] < ONE_DAY - timedelta(seconds=1):
            yield from ((at, name) for at, name in zip(span, ("sunrise", "sunset"), strict=True) if first < at < last)
        day += ONE_DAY


def draw_sun(axes: Any, edges: Time, place: Site, *, text: float, with_times: bool = True) -> None:
    """A thin line at every sunrise and sunset, with its time at the upper edge where there is room for it.

    Args:
        axes: with time along x.
        edges: (2,) begin and end of the picture, UTC.
        place: whose sun.
        text: size of the letters.
        with_times: whether the lines are labelled.
    """
    first, last = (stamp.astype("datetime64[us]").item() for stamp in edges)
    ink = [withStroke(linewidth=1.6, foreground=style.INK)]
    if last - first > MOST_DAYS * ONE_DAY:
        return
    labelled_to = -math.inf
    for at, name in rises_and_sets(first, last, place):
        axes.axvline(at, color="white", linewidth=0.8, linestyle=(0, (1, 2)), path_effects=ink)
        if not with_times:
            continue
        where = (at - first) / (last - first)
        is_near_end = 1.0 - where < LABEL_ROOM
        begin = where - LABEL_ROOM if is_near_end else where
        if begin < labelled_to:
            continue
        labelled_to = begin + LABEL_ROOM
        axes.annotate(
            f"{name} {at:%H:%M}",
            (at, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(-3 if is_near_end else 3, -3),
            textcoords="offset points",
            ha="right" if is_near_end else "left",
            va="top",
            size=0.8 * text,
            color="white",
            path_effects=ink,
        )


def prior_of(edges: Time, place: Site, ceiling: Ceiling) -> tuple[Time, Float64]:
    """Times of a picture and the height above which the prior makes a convective layer unlikely [m].

    Args:
        edges: (2,) begin and end of the picture, UTC.
        place: its sun, and the highest height that is searched.
        ceiling: shape of the prior.
    """
    time = np.arange(edges[0], edges[1] + PRIOR_STEP, PRIOR_STEP).astype("datetime64[us]")
    where = place.latitude_deg, place.longitude_deg
    seconds = (time.astype(np.int64) / 1e6).tolist()
    return time, np.array([sun_prior(second, where, ceiling, place.max_height_m).reach_m for second in seconds])
