"""Plain values of records, as JSON or an archive give them, back to numbers and times."""

from __future__ import annotations

from typing import Any

import numpy as np


def instant(value: Any) -> np.datetime64:
    """A time of a record as datetime64[us] UTC: ISO 8601 with or without Z, or what a data frame holds."""
    return np.datetime64(str(value).removesuffix("Z"), "us")


def number(value: Any) -> float:
    """A number of a record; NaN where it is missing."""
    return float("nan") if value is None else float(value)
