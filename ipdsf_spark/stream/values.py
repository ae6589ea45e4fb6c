"""Times and values as records write them: ISO 8601 in UTC to the second, and JSON without NaN."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ipdsf_spark.lidar.averages.average import MICROSECONDS
from ipdsf_spark.lidar.products.plain import without_nan


def iso(time_us: int) -> str:
    """UTC to the second, as every record writes it.

    Raises:
        ValueError: no calendar has that year.
    """
    try:
        return datetime.fromtimestamp(time_us // MICROSECONDS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, OSError) as error:
        raise ValueError(f"{time_us} µs since 1970 is no time of any calendar") from error


def as_json(values: Mapping[str, Any]) -> bytes:
    """One line of UTF-8; NaN and infinity become null.

    Raises:
        TypeError: a value is nothing that JSON can say.
    """
    try:
        return json.dumps(values, separators=(",", ":"), default=plain, allow_nan=False).encode()
    except ValueError:  # NaN and infinity are no JSON
        return json.dumps(without_nan(values), separators=(",", ":"), default=plain, allow_nan=False).encode()


def plain(value: Any) -> Any:
    """Numpy's numbers and arrays as Python's."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot stand in a record: {value!r:.200}")
