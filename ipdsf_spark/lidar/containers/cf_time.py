"""Time coordinates: counts of a unit since a date (CF conventions 1.11, section 4.4; UDUNITS-2, time units).

The date may have a zone behind it; a count is then UTC all the same, because the instant it starts from is one.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.containers import cf
from ipdsf_spark.lidar.containers.cf import Float64
from ipdsf_spark.lidar.containers.container import Damage, NotUnderstood, Variable

Time = NDArray[np.datetime64]  # datetime64[us], UTC

_UNITS_S: Final = (
    (re.compile(r"nano(?:second)?s?|nsecs?|ns"), 1e-9),
    (re.compile(r"micro(?:second)?s?|usecs?|us|µs|μs"), 1e-6),
    (re.compile(r"milli(?:second)?s?|msecs?|ms"), 1e-3),
    (re.compile(r"seconds?|secs?|s"), 1.0),
    (re.compile(r"minutes?|mins?"), 60.0),
    (re.compile(r"hours?|hrs?|h"), 3600.0),
    (re.compile(r"days?|d"), 86400.0),
    (re.compile(r"weeks?"), 604800.0),
)
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_ZONE: Final = r"(?:\s*(?P<zone>[A-Za-z]{1,5}|[+-]?\s?\d{1,2}:\d{2}|[+-]\s?\d{1,4}))?"
_CLOCK: Final = r"(?:(?:[T_,]|\s)\s*(?P<hour>\d{1,2}):(?P<minute>\d{1,2})(?::(?P<second>\d{1,2}(?:[.,]\d*)?))?)?"
_SINCE: Final = re.compile(
    r"\s*(?P<unit>[A-Za-zµμ]+)\s+(?:since|after|from|ref)\s+(?P<date>.*)", re.IGNORECASE | re.DOTALL
)
_DATES: Final = tuple(
    re.compile(date + _CLOCK + _ZONE + r"\s*\Z", re.IGNORECASE)
    for date in (
        r"\s*(?P<year>[+-]?\d{1,4})[-/](?P<month>\d{1,2})[-/](?P<day>\d{1,2}),?",
        r"\s*(?P<day>\d{1,2})[-\s](?P<name>[A-Za-z]{3,9})[-\s,]+(?P<year>\d{4})",
    )
)
_COMPACT: Final = re.compile(
    r"\s*(?P<year>\d{4})(?P<month>\d{2})(?P<day>\d{2})"
    r"(?:[T\s]\s*(?P<hour>\d{2}):?(?P<minute>\d{2})(?::?(?P<second>\d{2}(?:[.,]\d*)?))?)?" + _ZONE + r"\s*\Z",
    re.IGNORECASE,
)
_ZONES_MINUTES: Final = {
    "z": 0, "utc": 0, "gmt": 0, "ut": 0, "wet": 0, "west": 60, "cet": 60, "mez": 60, "cest": 120, "mesz": 120,
    "eet": 120, "eest": 180, "jst": 540,
}  # fmt: skip
_REAL_CALENDARS: Final = ("", "standard", "gregorian", "proleptic_gregorian", "julian", "none")
_GREGORIAN_FROM: Final = (1582, 10, 15)
_UNIX_DAY: Final = 2440588  # the Julian day number of 1970-01-01
FARTHEST_MS: Final = 4e14  # 12,700 years, which float64 resolves to a sixteenth of a millisecond
COARSEST_S: Final = 2.0  # between two neighbouring numbers of a time that is rounded when it is stored
COARSEST_WHOLE_S: Final = 60.0  # of one that counts whole units: minutes are told, hours are not
# What datetime64 counts in microseconds without overflow, and a calendar prints with four digits.
_FIRST: Final = np.datetime64("1800-01-01", "us")
_LAST: Final = np.datetime64("2400-01-01", "us")
_FIRST_US, _LAST_US = int(_FIRST.astype(np.int64)), int(_LAST.astype(np.int64))


def times(
    variable: Variable,
    damage: list[Damage] | None = None,
    *,
    unit: str = "",
    default_unit: str = "",
    coarsest_whole_s: float = COARSEST_WHOLE_S,
) -> Time:
    """(T,) datetime64[us] of a variable counting ``... since ...``; NaT for what is missing or lies centuries away.

    Rounded to the millisecond: counts of days in float64 resolve microseconds only by chance.

    Args:
        variable: of times.
        damage: receives what could not be read.
        unit: what it counts, against its own word.
        default_unit: what it counts where it does not say so.
        coarsest_whole_s: the longest unit that whole numbers may count; a model's hours are exact, a profile's are not.

    Raises:
        NotUnderstood: unit, date, zone or calendar are not understood, or it is stored too coarsely to tell the times.
    """
    values, step = cf.physical_and_step(variable, damage=damage)
    counted = unit or variable.text("units") or default_unit
    found = since(values.reshape(-1), counted, variable.name, variable.text("calendar"))
    if step:
        is_whole = float(step).is_integer() and step >= 1.0
        _check_step(variable.name, step * _unit_s(counted), coarsest_whole_s if is_whole else COARSEST_S)
    return found


def _check_step(name: str, step_s: float, coarsest_s: float) -> None:
    if step_s > coarsest_s:
        raise NotUnderstood(
            f"{name} is stored in numbers that resolve it to {step_s:.3g} s, too coarse to tell the times"
        )


def _unit_s(unit: str) -> float:
    match = _SINCE.match(unit)
    word = match["unit"].lower() if match else ""
    return next((seconds for pattern, seconds in _UNITS_S if pattern.fullmatch(word)), 0.0)


def since(values: Float64, unit: str, name: str = "time", calendar: str = "") -> Time:
    """(T,) datetime64[us] of counts in a unit like ``days since 1970-01-01``.

    Raises:
        NotUnderstood: unit, date, zone or calendar are not understood.
    """
    told = calendar.strip().lower()
    if told not in _REAL_CALENDARS:
        raise NotUnderstood(f"{name} counts in calendar {calendar!r}, in which no clock runs")
    unit_s, (day, milliseconds) = _parsed(unit, name, told)
    if values.size <= cf.FEW and (few := _few_since(values, unit_s, day * 86_400_000 + milliseconds)) is not None:
        return few
    with np.errstate(invalid="ignore", over="ignore"):
        counted_ms = values * (unit_s * 1e3)
        is_count = np.abs(counted_ms) < FARTHEST_MS
        whole_ms = np.rint(counted_ms if is_count.all() else np.where(is_count, counted_ms, 0.0)).astype(np.int64)
    stamps = ((whole_ms + (day * 86_400_000 + milliseconds)) * 1000).view("datetime64[us]")
    is_sane = is_count & (stamps >= _FIRST) & (stamps < _LAST)
    return stamps if is_sane.all() else np.where(is_sane, stamps, np.datetime64("NaT", "us"))


def _few_since(values: Float64, unit_s: float, start_ms: int) -> Time | None:
    """Like `since`, of a few sane counts, which are sooner taken one by one; None if not all are sane."""
    milliseconds = unit_s * 1e3
    counted = [value * milliseconds for value in values.tolist()]
    if not all(-FARTHEST_MS < each < FARTHEST_MS for each in counted):
        return None
    micros = [(round(each) + start_ms) * 1000 for each in counted]
    if not all(_FIRST_US <= each < _LAST_US for each in micros):
        return None
    return np.array(micros, np.int64).view("datetime64[us]")


@lru_cache(maxsize=256)
def _parsed(unit: str, name: str, calendar: str) -> tuple[float, tuple[int, int]]:
    match = _SINCE.match(unit)
    word = match["unit"].lower() if match else ""
    unit_s = next((seconds for pattern, seconds in _UNITS_S if pattern.fullmatch(word)), None)
    date = match["date"] if match else ""
    found = next((matched for pattern in (*_DATES, _COMPACT) if (matched := pattern.match(date))), None)
    if unit_s is None or found is None:
        raise NotUnderstood(f"{name} has unit {unit[:80]!r}, expected one like 'seconds since 1970-01-01'")
    parts = found.groupdict()
    zone = _zone_minutes(parts["zone"], unit, name)
    clock = [float((parts[key] or "0").replace(",", ".")) for key in ("hour", "minute", "second")]
    month = parts.get("month") or str(1 + _month(parts.get("name") or "", unit, name))
    day = _day_number(int(parts["year"]), int(month), int(parts["day"]), calendar)
    if day is None or clock[0] > 24 or clock[1] > 59 or clock[2] >= 61:
        raise NotUnderstood(f"{name} counts from an impossible date: {unit[:80]!r}")
    milliseconds = round((clock[0] * 3600.0 + (clock[1] - zone) * 60.0 + clock[2]) * 1e3)
    return unit_s, (day, milliseconds)


def _month(word: str, unit: str, name: str) -> int:
    if word[:3].lower() not in _MONTHS:
        raise NotUnderstood(f"{name} counts from an impossible date: {unit[:80]!r}")
    return _MONTHS.index(word[:3].lower())


def _zone_minutes(zone: str | None, unit: str, name: str) -> int:
    """Minutes east of Greenwich."""
    if not zone:
        return 0
    if zone[0].isalpha():
        if zone.lower() not in _ZONES_MINUTES:
            raise NotUnderstood(f"{name} has unit {unit[:80]!r}, whose zone {zone!r} is not understood")
        return _ZONES_MINUTES[zone.lower()]
    sign = -1 if zone[0] == "-" else 1
    digits = zone.lstrip("+-").strip()
    hours, _, minutes = digits.partition(":") if ":" in digits else (digits[:-2], "", digits[-2:])
    if ":" not in digits and len(digits) <= 2:
        hours, minutes = digits, "0"
    total = int(hours or 0) * 60 + int(minutes)
    if total > 14 * 60 or int(minutes) > 59:
        raise NotUnderstood(f"{name} has unit {unit[:80]!r}, whose zone is none on Earth")
    return sign * total


def _day_number(year: int, month: int, day: int, calendar: str) -> int | None:
    """Days from 1970-01-01; None for a date that is not in the calendar.

    The standard calendar is the Julian one before 1582-10-15. Year 0 is none of it: there the proleptic calendar
    counts, and its day 0, from which MATLAB counts, is the day before.
    """
    year = (
        -4712 if year == -4713 and (month, day) == (1, 1) else year
    )  # Julian days begin there, counted with year 0 or not
    before = 1 if (year, day) == (0, 0) else 0
    day += before
    is_julian = calendar == "julian" or (
        calendar not in ("proleptic_gregorian", "none") and year != 0 and (year, month, day) < _GREGORIAN_FROM
    )
    if not 1 <= month <= 12 or not 1 <= day <= _month_length(year, month, is_julian):
        return None
    shifted = (14 - month) // 12
    y, m = year + 4800 - shifted, month + 12 * shifted - 3
    number = day + (153 * m + 2) // 5 + 365 * y + y // 4
    number += -32083 if is_julian else y // 400 - y // 100 - 32045
    return number - before - _UNIX_DAY


def _month_length(year: int, month: int, is_julian: bool) -> int:
    is_leap = year % 4 == 0 and (is_julian or year % 100 != 0 or year % 400 == 0)
    return 29 if month == 2 and is_leap else (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)[month - 1]
