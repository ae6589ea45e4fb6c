"""Rows of heights and closed intervals, one after the other, as the operator of the forecast is given them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from ipdsf_spark.forecast.rows import middle_us_of
from ipdsf_spark.lidar.operators import News, Row
from ipdsf_spark.lidar.site import Site

SITE = Site("oslo", 59.94, 10.72)
START = 5_950_000  # number of an interval of 2026


def heights_row(index: int, height_m: float | None, **values: Any) -> Row:
    """A row of heights as the operator `layers` makes it."""
    whole = {"mixing_height_m": height_m, "uncertainty_m": 30.0, "quality": [], "provisional": True}
    return Row("layers", middle_us_of(index), whole | values)


def news_of(*rows: tuple[int, Row | None]) -> News:
    """Closed intervals with their rows of heights."""
    closed: Any = tuple(SimpleNamespace(index=index) for index, _ in rows)
    return News(closed=closed, rows={"layers": tuple(row for _, row in rows if row is not None)})
