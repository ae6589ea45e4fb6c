"""Tables of text as people export them: separators, decimal commas, time stamps and encodings of many hands."""

from __future__ import annotations

import codecs
import csv
import io
import re
from datetime import UTC, datetime
from typing import Final

import numpy as np

SEPARATORS: Final = "\t;,"  # of as many in a header the first: "Datum;PM2,5" has a decimal comma
EXAMPLE: Final = "2026-06-21T09:00Z"

UNIT_NAMES: Final = ("unit", "units", "unit_of_measure", "units_of_measure", "units of measure", "uom")
_IN_BRACKETS: Final = re.compile(r"(.*\S)\s*(?:\[([^\[\]]*)\]|\(([^()]*)\))")

_INSTANT: Final = re.compile(
    r"(?P<date>\d{4}-\d{1,2}-\d{1,2})"
    r"(?:[T ]*(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d{1,9}))?)?)?"
    r"\s*(?P<zone>Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)?",
    re.IGNORECASE,
)
_DAY: Final = re.compile(r"\d{4}([-/]?)\d{1,2}\1\d{1,2}")
_SECONDS: Final = re.compile(r"\d{9,10}(\.\d+)?")
_MILLISECONDS: Final = re.compile(r"\d{12,13}")
_NOTHING: Final = np.datetime64("NaT", "us")


def decoded(raw: bytes) -> str:
    """The text of a file: UTF-8, or UTF-16 where it begins with the mark of that ("Unicode text" of a spreadsheet)."""
    is_wide = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return raw.decode("utf-16" if is_wide else "utf-8-sig", "replace")


def rows_of(text: str) -> tuple[list[str], list[list[str]], str]:
    """Names in small letters, the rows below them, and the separator; lines that begin with # are comments.

    Raises:
        ValueError: there is not one line, or it is no CSV.
    """
    lines = [line for line in text.lstrip("\ufeff").splitlines() if line.strip() and not line.startswith("#")]
    if not lines:
        raise ValueError("it is empty")
    separator = max(SEPARATORS, key=lines[0].count)
    try:
        table = list(csv.reader(io.StringIO("\n".join(lines)), delimiter=separator))
    except csv.Error as error:
        raise ValueError(f"it is no CSV: {error}") from error
    return [name.strip().strip('"').lower() for name in table[0]], table[1:], separator


def without_unit(name: str) -> tuple[str, str]:
    """A column's name and the unit in brackets behind it, empty where there is none: "PM2.5 (µg/m³)"."""
    match = _IN_BRACKETS.fullmatch(name)
    return (match[1], (match[2] or match[3] or "").strip()) if match else (name, "")


def units_of(names: list[str], rows: list[list[str]]) -> list[str]:
    """What a column of units says of every row; empty where there is none."""
    at = next((names.index(name) for name in UNIT_NAMES if name in names), None)
    return ["" if at is None or at >= len(row) else row[at].strip() for row in rows]


def number(text: str, separator: str = ",") -> float:
    """A number, with a decimal point or comma; NaN where there is none.

    Where commas separate columns, "1,234" may be either a thousand or one and a quarter: neither is taken.
    """
    text = text.strip()
    if "," in text and "." not in text and not (separator == "," and re.fullmatch(r"[+-]?\d{1,3}(,\d{3})+", text)):
        text = text.replace(",", ".")
    try:
        value = float(text)
    except ValueError:
        return float("nan")
    return value if np.isfinite(value) else float("nan")


def is_day(text: str) -> bool:
    """Whether a stamp names a day and no time of it."""
    return _DAY.fullmatch(text.strip()) is not None


def instant(text: str) -> np.datetime64:
    """ISO 8601 in its usual spellings, or seconds or milliseconds since 1970; UTC where no zone is said, NaT if none.

    A day alone is its midnight. Other orders of day and month are not guessed.
    """
    text = text.strip()
    if _SECONDS.fullmatch(text):
        return np.datetime64(round(float(text) * 1e6), "us")
    if _MILLISECONDS.fullmatch(text):
        return np.datetime64(int(text) * 1000, "us")
    text = text.replace("/", "-")
    match = _INSTANT.fullmatch(text)
    if match is None:
        return _other_iso(text)
    try:
        year, month, day = (int(part) for part in match["date"].split("-"))
        moment = np.datetime64(datetime(year, month, day), "us")
        hour, minute, second = (int(match[name] or 0) for name in ("hour", "minute", "second"))
    except ValueError:
        return _NOTHING
    is_end_of_day = hour == 24 and not (minute or second)
    if not (hour < 24 or is_end_of_day) or minute > 59 or second > 60:
        return _NOTHING
    micro = int((match["fraction"] or "0").ljust(6, "0")[:6])
    moment += np.timedelta64(((hour * 60 + minute) * 60 + second) * 1_000_000 + micro, "us")
    return moment - _offset(match["zone"] or "")


def _offset(zone: str) -> np.timedelta64:
    if zone[:1] not in ("+", "-"):
        return np.timedelta64(0, "m")
    digits = zone[1:].replace(":", "").ljust(4, "0")
    minutes = int(digits[:2]) * 60 + int(digits[2:])
    return np.timedelta64(minutes if zone[0] == "+" else -minutes, "m")


def _other_iso(text: str) -> np.datetime64:
    """Rarer spellings of ISO 8601, as 20260621T0900."""
    try:
        moment = datetime.fromisoformat(text)
        naive = moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
    except (ValueError, OverflowError):
        return _NOTHING
    return np.datetime64(naive, "us")
