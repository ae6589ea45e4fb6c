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
    rb"(?<![\w.:])(?P<day>\d{1,2})(?:(?:st|nd|rd|th)?(?:\.[ ]?|[-/ ]{1,2}| de )|(?=[A-Za-z]{3}(?![A-Za-z])))"
    rb"(?P<mon>[A-Za-z\x80-\xff]{3,24})(?![A-Za-z])"
)
_NAME_AND_DAY: Final = re.compile(
    rb"(?<![A-Za-z])(?P<mon>[A-Za-z\x80-\xff]{3,24})(?P<sign>\.?[- ]{0,2})"
    rb"(?P<day>\d{1,2})(?:st|nd|rd|th)?(?![\w:.])"
)
_NO_MONTHS: Final = frozenset((b"set", b"out", b"led", b"pro", b"ara", b"lip", b"sty"))  # words of loggers as well
_ORDINAL: Final = re.compile(
    rb"(?<![\w.:])(?:(?P<y>\d{4}|\d{2})[-/. ]|(?i:doy|day|jday|julian)[ :=]{0,2})(?P<doy>\d{3})(?![\w:]|\.\d)"
    rb"|(?<![\w.:])(?P<doy_first>\d{3})[-/](?P<year>\d{4})(?![\w:/-])"
)
_COMPACT: Final = re.compile(rb"(?<![\w.:])(\d{2})(\d{2})(\d{2}|\d{4})(?![\w.:])")
# Numbers directly before a time of day, or alone behind it to the end of the line, with or without a word for the day.
_NUMBERS_BEFORE: Final = re.compile(
    rb"(?:^|(?<=[\s,;|=>\[(#-]))(?P<word>(?:day|date|dom|doy|d)[ \t]{0,2}[:=#.]?[ \t]{0,2})?[\[(]?"
    rb"(?P<date>(?:(?P<first>\d{1,2})[,; \t]{1,2})?(?P<number>\d{1,5}))"
    rb"(?:[\])]|\.|d|st|nd|rd|th)?[ \t,;:/T_-]{1,3}(?:(?:t|time)[ \t]{0,2}[:=][ \t]{0,2})?[\[(]?$",
    re.IGNORECASE,
)
_NUMBER_BEHIND: Final = re.compile(rb"^[ \t,;]{1,3}[\[(]?(?P<date>(?P<number>\d{1,5}))(?:[\])]|\.)?[ \t\r]*(?:\n|$)")
_WEEKDAY: Final = re.compile(rb"(?<![A-Za-z])(mon|tue|wed|thu|fri|sat|sun)[a-z]{0,6}\.?,?[ \t]{1,2}$", re.IGNORECASE)
_WEEKDAYS: Final = (b"mon", b"tue", b"wed", b"thu", b"fri", b"sat", b"sun")
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


def number_beside(text: bytes, start: int, end: int) -> bytes:
    """What may be the day, directly beside a time of day on its line: a number or two, or a weekday; empty if nothing.

    Args:
        text: what a logger wrote between two messages.
        start: where the time of day begins in it.
        end: where it ends.
    """
    before, behind = text[text.rfind(b"\n", 0, start) + 1 : start], text[end:]
    match = _NUMBERS_BEFORE.search(before)
    if match is not None and (match["word"] or not _is_label(before[: match.start()])):
        return match["date"]
    match = _NUMBER_BEHIND.match(behind)
    if match is not None:
        return match["date"]
    match = _WEEKDAY.search(before)
    return match.group().strip(b" \t,.") if match is not None else b""


def _is_label(words: bytes) -> bool:
    """Whether what stands before a number names it, as ``ch`` in ``ch 12``; a weekday does not."""
    return words.rstrip(b" \t=:#.")[-1:].isalpha() and _WEEKDAY.search(words) is None


def number_against(beside: bytes, day: date) -> str:
    """`beside` (see `number_beside`), if it may be a day and is not `day`; else empty."""
    if not beside[:1].isdigit():
        is_same = beside[:3].lower() == _WEEKDAYS[day.weekday()]
    else:
        numbers = re.findall(rb"\d+", beside)
        readings = _days_of_two(*numbers) if len(numbers) == 2 else _days_of_one(numbers[0], day)
        is_same = not readings or (day.month, day.day) in readings
    return "" if is_same or not beside else beside.decode()


def _days_of_two(first: bytes, second: bytes) -> set[tuple[int, int]]:
    """Months and days that two numbers can mean, or the second alone."""
    a, b = int(first), int(second)
    return {each for each in ((a, b), (b, a)) if _valid([(2000, *each)])}


def _days_of_one(number: bytes, day: date) -> set[tuple[int, int]]:
    """Months and days that one number can mean beside a time of `day`; none if it can be none."""
    value, own = int(number), (day.month, day.day)
    if len(number) <= 2:
        return {(day.month, value)} if 1 <= value <= 31 else set()
    if len(number) == 4:
        found = _days_of_two(number[:2], number[2:])
        is_its_year_or_month = value == day.year or (value // 100, value % 100) == (day.year % 100, day.month)
        return found | {own} if is_its_year_or_month else found
    ordinal = value % 1000
    if not 1 <= ordinal <= 366 or (len(number) == 5 and value // 1000 != day.year % 100):
        return set()
    there = date(day.year, 1, 1) + timedelta(days=ordinal - 1)
    return {(there.month, there.day)}


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
            if match.groupdict().get("sign") == b"" and talk[: match.start()][-1:].isdigit():
                continue  # JUN26 of 21JUN26
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
