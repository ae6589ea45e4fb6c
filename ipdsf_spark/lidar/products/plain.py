"""Plain values of records, as JSON or an archive give them, back to numbers and times; and what JSON can say."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np


def instant(value: Any) -> np.datetime64:
    """A time of a record as datetime64[us] UTC: ISO 8601 with or without Z, or what a data frame holds."""
    return np.datetime64(str(value).removesuffix("Z"), "us")


def number(value: Any) -> float:
    """A number of a record; NaN where it is missing."""
    return float("nan") if value is None else float(value)


def rounded(value: Any, digits: int) -> float | None:
    """A finite number to so many decimals, never -0.0, which would be written with its sign; None for any other."""
    return round(float(value), digits) + 0.0 if math.isfinite(value) else None


def without_nan(value: Any) -> Any:
    """The same with None for NaN and infinity, which are no JSON, and lists for arrays, however deep."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: without_nan(item) for key, item in value.items()}
    return [without_nan(item) for item in value] if isinstance(value, list | tuple) else value
