"""Dates beside a bare time of day that no form reads: the date of the file's name is not taken against them.

A logger that writes ``21/06 09:00:00`` into a file of the month, ``ceil_20260601.log``, says the day itself. Which date
is meant is not told here, only whether a known day can be meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Final

from ipdsf_spark.lidar.instruments.stamps.months import months_of

_DIGIT: Final = re.compile(rb"\d")
_NUMBERS: Final = re.compile(
    rb"(?<![\w.:/-])(\d{1,4})([-/.])[ ]?(\d{1,2})(?:\2[ ]?(\d{4}|\d{1,2}))?(?P<dot>\.)?(?![\w:/]|[.-]\d)"
)
_DAY_AND_NAME: Final = re.compile(
    rb"(?<![\w.:])(?P<day>\d{1,2})(?:st|nd|rd|th)?(?:\.[ ]?|[-/ ]{1,2}| de )"
    rb"(?P<mon>[A-Za-z\x80-\xff]{3,24})(?![A-Za-z])"
)
_NAME_AND_DAY: Final = re.compile(
    rb"(?<![A-Za-z])(?P<mon>[A-Za-z\x80-\xff]{3,24})\.?[- ]{1,2}(?P<day>\d{1,2})(?:st|nd|rd|th)?(?![\w:.])"
)
_NO_MONTHS: Final = frozenset((b"set", b"out", b"led", b"pro", b"ara", b"lip", b"sty"))  # words of loggers as well
_ORDINAL: Final = re.compile(
    rb"(?<![\w.:])(?:(?P<y>\d{4}|\d{2})[-/. ]|(?i:doy|day|jday|julian)[ :=]{0,2})(?P<doy>\d{3})(?![\w:]|\.\d)"
    rb"|(?<![\w.:])(?P<doy_first>\d{3})[-/](?P<year>\d{4})(?![\w:/-])"
)
_COMPACT: Final = re.compile(rb"(?<![\w.:])(\d{2})(\d{2})(\d{2}|\d{4})(?![\w.:])")
_FARTHEST: Final = timedelta(days=400)  # other dates are those of firmware, or no dates


def date_against(talk: bytes, day: date) -> str:
    """What of a talk says another date than `day`; empty if all that may be dates can mean it, or there are none.

    Args:
        talk: what a logger wrote between two messages, without the time of day.
        day: that the time is taken to be of.
    """
    if _DIGIT.search(talk) is None:
        return ""
    for text, readings in (*_by_numbers(talk, day), *_by_names(talk, day), *_by_day_of_year(talk, day)):
        near = [each for each in readings if abs(each - day) <= _FARTHEST]
        if near and day not in near:
            return text.decode("latin-1").strip()
    return ""


def _by_numbers(talk: bytes, day: date) -> Iterator[tuple[bytes, list[date]]]:
    for match in _NUMBERS.finditer(talk):
        first, sign, second, third = match[1], match[2], match[3], match[4]
        if third is not None:
            yield match.group(), _of_three(first, second, third)
        elif len(first) == len(second) == 2 and (sign != b"." or match["dot"]):
            yield match.group(), _without_year([(int(first), int(second)), (int(second), int(first))], day)
    for match in _COMPACT.finditer(talk):
        a, b, c = (int(each) for each in match.groups())
        orders = [(c, b, a), (a, b, c)] if c < 100 else [(c, b, a), (c, a, b)]
        yield match.group(), _valid(orders)


def _by_names(talk: bytes, day: date) -> Iterator[tuple[bytes, list[date]]]:
    for pattern in (_DAY_AND_NAME, _NAME_AND_DAY):
        for match in pattern.finditer(talk):
            months = () if match["mon"].lower() in _NO_MONTHS else months_of(match["mon"])
            yield match.group(), _without_year([(month, int(match["day"])) for month in months], day)


def _by_day_of_year(talk: bytes, day: date) -> Iterator[tuple[bytes, list[date]]]:
    for match in _ORDINAL.finditer(talk):
        number, year = int(match["doy"] or match["doy_first"]), match["y"] or match["year"]
        if 1 <= number <= 366 and (year is None or int(year) in (day.year, day.year % 100)):
            yield match.group(), [date(day.year, 1, 1) + timedelta(days=number - 1)]


def _of_three(first: bytes, second: bytes, third: bytes) -> list[date]:
    """The dates that three numbers can mean, in any order in which dates are written."""
    a, b, c = int(first), int(second), int(third)
    orders = [(a, b, c)] if len(first) == 4 else [(c, b, a), (c, a, b)]
    orders += [(a, b, c)] if len(first) == len(third) == 2 else []
    return _valid(orders)


def _without_year(readings: list[tuple[int, int]], day: date) -> list[date]:
    """The dates nearest to `day` that month and day can mean."""
    found = _valid([(year, *each) for each in readings for year in (day.year - 1, day.year, day.year + 1)])
    return [each for each in found if abs(each - day) <= timedelta(days=183)]


def _valid(parts: list[tuple[int, int, int]]) -> list[date]:
    """Those that a calendar has; two digits of a year are of this century."""
    found = []
    for year, month, number in parts:
        try:
            found.append(date(year if year > 99 else 2000 + year, month, number))
        except ValueError:
            continue
    return found
