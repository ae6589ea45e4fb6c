"""Moments written as one number: seconds, days or ticks that have passed since an epoch.

A number that can be counted from several epochs is given all dates that it can mean within the years in which
ceilometers lived; `chosen` takes one where the name of the file or the time of sending tells it. Seconds since 1970
(POSIX), 1904 (LabVIEW) and 1900 (NTP, RFC 5905); days since 1899-12-30 and 1904 (spreadsheets), Julian and modified
Julian days, days since 1970, MATLAB's datenum and the proleptic ordinal of Python; ticks of 100 ns since 0001 (.NET)
and 1601 (Windows).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Final, NamedTuple

FIRST_YEAR: Final = 1985  # before it no ceilometer recorded profiles
LAST_YEAR: Final = 2099
LONGEST_LIFE: Final = timedelta(days=20 * 365.25)  # of an instrument, and of an archive that is sent later
_EPOCH: Final = date(1970, 1, 1)
_DAY_MICROS: Final = 86_400_000_000
_LEAD: Final = timedelta(days=1)
_LAG: Final = timedelta(days=2)


class Epoch(NamedTuple):
    """What a number counts.

    Attributes:
        words: for reasons.
        days: from it to 1970-01-01.
        is_utc: whether it counts in UTC; else in the zone of the logger.
    """

    words: str
    days: float
    is_utc: bool


DAYS: Final = {
    "excel": Epoch("days since 1900 (spreadsheet)", 25_569, False),
    "excel_1904": Epoch("days since 1904 (spreadsheet)", 24_107, False),
    "mjd": Epoch("modified Julian days", 40_587, True),
    "jd": Epoch("Julian days", 2_440_587.5, True),
    "days_1970": Epoch("days since 1970", 0, True),
    "datenum": Epoch("days of MATLAB (datenum)", 719_529, False),
    "ordinal": Epoch("days since the year 1 (ordinal)", 719_163, False),
}
SECONDS: Final = {
    "unix": Epoch("Unix time", 0, True),
    "labview": Epoch("seconds since 1904 (LabVIEW)", 24_107, True),
    "ntp": Epoch("seconds since 1900 (NTP)", 25_567, True),
}
TICKS: Final = {
    "net": Epoch("ticks since the year 1 (.NET)", 719_162, False),
    "filetime": Epoch("ticks since 1601 (Windows)", 134_774, True),
}
EPOCHS: Final = DAYS | SECONDS | TICKS
# Counted in seconds too, but so rarely that only the moment of sending can make one think of them.
_RARE_SECONDS: Final = {
    "GPS time": date(1980, 1, 6),
    "seconds since 1990": date(1990, 1, 1),
    "seconds since 2000": date(2000, 1, 1),
}
_LABELS: Final = re.compile(
    rb"(?<![a-z])(?:(?P<mjd>mjd)|(?P<jd>jd|julian(?: day| date)?)|(?P<excel>excel|ole|serial[ _-]?date)"
    rb"|(?P<datenum>datenum|matlab)|(?P<labview>labview|1904)|(?P<ntp>ntp|1900)|(?P<unix>unix|epoch)"
    rb"|(?P<net>ticks)|(?P<filetime>filetime))(?:[ _]?(?:time|day|date|s|sec(?:onds)?))?[ \t]*[:=]?[ \t]*$",
    re.IGNORECASE,
)
_JULIAN_DIGITS: Final = 7
_ENOUGH_DECIMALS: Final = 5  # of a day: half of the last is less than half a second
_COMPACT: Final = re.compile(r"(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})")
Dates = dict[str, tuple[int | None, int, int]]


def label_before(text: bytes) -> str:
    """The epoch that the words before a number name; empty if they name none."""
    match = _LABELS.search(text)
    return (match.lastgroup or "") if match is not None else ""


def of_seconds(seconds: int, label: str, *, is_whole: bool) -> Dates:
    """The days on which seconds since an epoch lie, by epoch.

    Args:
        seconds: the count.
        label: the epoch that is named beside it.
        is_whole: whether the number counts seconds; parts of a second are counted from 1970 alone.
    """
    known = SECONDS if is_whole else {"unix": SECONDS["unix"]}
    return _dates({label: SECONDS[label]} if label in SECONDS else known, seconds // 86_400)


def of_days(whole: bytes, decimals: bytes, label: str) -> tuple[Dates, int]:
    """The days and the time of day [microseconds] of days since an epoch.

    The time of day is that of a whole second where the digits, or the doubles they were printed from, tell no better.
    """
    day = int(whole)
    epochs = {label: DAYS[label]} if label in DAYS else DAYS
    scale = 10 ** len(decimals)
    exact = int(decimals or b"0") * _DAY_MICROS / scale
    coarse = max(_DAY_MICROS / scale, math.ulp(float(day)) * _DAY_MICROS)
    if len(whole) == _JULIAN_DIGITS:  # Julian days begin at noon
        day, exact = (day, exact + _DAY_MICROS / 2) if exact < _DAY_MICROS / 2 else (day + 1, exact - _DAY_MICROS / 2)
    second = round(exact / 1e6) * 1_000_000
    micros = second if abs(exact - second) <= coarse else round(exact)
    return _dates(epochs, day), micros


def of_ticks(digits: bytes) -> tuple[Dates, int]:
    """The day and the time of day [microseconds] of ticks of 100 ns."""
    day, rest = divmod(int(digits), 10 * _DAY_MICROS)
    return _dates(TICKS, day), rest // 10


def is_utc(dates: Dates, day: tuple[int, int, int]) -> bool:
    """Whether a number that means `day` is counted in UTC."""
    return any(EPOCHS[name].is_utc for name, each in dates.items() if each == day and name in EPOCHS)


def faults_of_days(texts: Sequence[str]) -> list[str]:
    """Why days of a file cannot be taken, as they have too few decimals or other digits; empty where they can.

    Zeros at the end are often left out, so that the stamp with most decimals tells how fine all are.
    """
    parts = [re.split(r"[.,]", text) for text in texts]
    if max((len(decimals) for _, decimals in parts), default=0) < _ENOUGH_DECIMALS:
        return [f"days with {len(decimals)} decimals do not tell the second" for _, decimals in parts]
    usual = Counter(len(whole) for whole, _ in parts).most_common(1)[0][0]
    return ["" if len(whole) == usual else "the other stamps of the file have other digits" for whole, _ in parts]


def chosen(
    texts: Sequence[str],
    dates: Sequence[Dates],
    *,
    told: date | None,
    received: date | None,
    latest: date | None,
) -> str:
    """The key of `dates` that holds for the stamps of a file, or why it cannot be told (a reason has blanks).

    It holds for all, or for all but a damaged third.

    Args:
        texts: stamps that can mean several dates.
        dates: those of each.
        told: the date in the file's name.
        received: day of sending.
        latest: last day that can have been.
    """
    counts = Counter(name for each in dates for name in each)
    most = max(counts.values(), default=0)
    if 3 * most < 2 * len(dates):
        return f"'{texts[0]}': the numbers of this file count from no one epoch"
    names = [name for name, count in counts.items() if count == most]
    if "" in names:  # nothing is open in most of them
        return ""
    days = {name: [date(*each[name]) for each in dates if name in each] for name in names}  # type: ignore[arg-type]
    if latest is not None:
        names = [name for name in names if max(days[name]) <= latest + _LEAD] or names[:1]
    compact = _compact(texts[0], latest)
    if len(names) == 1 and not compact:
        return names[0]
    near_name = [name for name in names if told and all(abs(day - told) <= _LEAD for day in days[name])]
    near_sent = [name for name in names if received and -_LEAD <= received - days[name][-1] <= _LAG]
    lived = [name for name in names if received and received - days[name][-1] <= LONGEST_LIFE and not compact]
    for found in (near_name, near_sent, lived):
        if len(found) == 1:
            return found[0]
    readings = [f"{days[name][0]} in {words_of(name)}" for name in names]
    readings += [f"{compact} without separators"] if compact else []
    return f"'{texts[0]}' is {' or '.join(readings)}, and neither the file's name nor its sending tells which"


def contradicted(moment: datetime, text: str, *, told: date | None, received: datetime | None) -> str:
    """Why seconds are not taken as Unix time: they were sent just then if counted from a rarer epoch."""
    seconds = (moment - datetime(1970, 1, 1)).total_seconds()
    for words, first in _RARE_SECONDS.items():
        other = datetime(first.year, first.month, first.day) + timedelta(seconds=seconds)
        is_sent = received is not None and not -_LEAD <= received - moment <= LONGEST_LIFE / 10
        if received is not None and is_sent and -timedelta(hours=1) <= received - other <= timedelta(hours=1):
            return f"'{text}' is {moment.date()} in Unix time or {other.date()}, when it was sent, in {words}: which?"
        if told is not None and other.date() == told and abs(moment.date() - told) > _LEAD:
            return f"'{text}' is {moment.date()} in Unix time; the file's name says {told}, as it would be in {words}"
    return ""


def words_of(name: str) -> str:
    """What a key of dates means, in words."""
    return EPOCHS[name].words if name in EPOCHS else name.replace("_", " ")


def _dates(epochs: dict[str, Epoch], day: int) -> Dates:
    """By epoch, within the years in which ceilometers lived; the key is empty where it can be but Unix time."""
    found: Dates = {}
    for name, epoch in epochs.items():
        each = _date(day - math.ceil(epoch.days))
        if each is not None and _is_lived(each):
            found[name] = (each.year, each.month, each.day)
    return {"": found["unix"]} if list(found) == ["unix"] else found


def _date(day: int) -> date | None:
    try:
        return _EPOCH + timedelta(days=day)
    except OverflowError:
        return None


def _is_lived(day: date | None) -> bool:
    return day is not None and FIRST_YEAR <= day.year <= LAST_YEAR


def _compact(text: str, latest: date | None) -> str:
    """The moment that ten digits say as year, month, day, hour and minute; empty if they cannot."""
    match = _COMPACT.fullmatch(text.strip(" @-"))
    if match is None:
        return ""
    year, month, day, hour, minute = (int(part) for part in match.groups())
    try:
        moment = datetime(2000 + year if year < FIRST_YEAR % 100 else 1900 + year, month, day, hour, minute)
    except ValueError:
        return ""
    return f"{moment:%Y-%m-%d %H:%M}" if latest is None or moment.date() <= latest + _LEAD else ""
