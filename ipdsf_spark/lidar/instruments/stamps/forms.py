"""The forms in which loggers write a moment: one table of patterns, and what each says as numbers.

A form says which digits are year, month, day and time of day. What it leaves open, the order of day and month, the
century, the zone, stands in `Written` and is decided for the file as a whole. ISO 8601 (2004) calendar, week and
ordinal dates, RFC 3164 (syslog), RFC 5322, ctime, Unix time in seconds to nanoseconds, and what spreadsheets and .NET
write.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Final, NamedTuple

from ipdsf_spark.lidar.instruments.stamps.clock import SURE_ABBREVIATIONS, UNSURE_ABBREVIATIONS

_MONTHS: Final = {
    name: number
    for number, names in enumerate(
        (
            "jan january januar janvier januari janeiro gennaio enero ene gen",
            "feb february februar février fevrier februari febbraio febrero fevereiro fev",
            "mar march märz maerz mars mrz maart marzo marts mrt março marco",
            "apr april avril aprile abril abr",
            "may mai mayo maggio mei mag",
            "jun june juni juin giugno giu junio junho",
            "jul july juli juillet luglio lug julio julho",
            "aug august août aout augustus agosto ago",
            "sep sept september septembre settembre set septiembre setembro",
            "oct october oktober okt octobre ottobre ott octubre outubro out",
            "nov november novembre novembro noviembre",
            "dec december dezember dez décembre decembre dicembre dic diciembre desember dezembro des",
        ),
        start=1,
    )
    for name in names.split()
}
_MONTH: Final = rb"(?P<mon>[A-Za-z\x80-\xff]{3,12})"

_DAY_TIME: Final = rb"(?P<h>\d{1,2}):(?P<mi>\d{1,2})(?::(?P<s>\d{1,2})(?:[.,:](?P<f>\d{1,9}))?)?(?!:?\d)"
_DAY_TIME_FULL: Final = rb"(?P<h>\d{1,2}):(?P<mi>\d{2}):(?P<s>\d{2})(?:[.,](?P<f>\d{1,9}))?(?!:?\d)"
_DAY_TIME_OTHER: Final = rb"(?P<h>\d{1,2})[.h_-](?P<mi>\d{2})[.m_-](?P<s>\d{2})s?(?:[.,](?P<f>\d{1,9}))?(?!\d)"
_DAY_TIME_COMPACT: Final = rb"(?P<h>\d{2})(?P<mi>\d{2})(?P<s>\d{2})?(?:[.,](?P<f>\d{1,9}))?(?!\d)"
_HALF: Final = rb"(?:[ \t]?(?P<ap>[AaPp])\.?[Mm]\b\.?)?"
_ABBREVIATION: Final = (
    b"(?P<z>"
    + "|".join(sorted([*SURE_ABBREVIATIONS, *UNSURE_ABBREVIATIONS], reverse=True)).encode()
    + rb"|(?i:UTC|GMT|CES?T|MES?Z|EES?T|[ECMP][SD]T|BST|LOCAL(?:[ ]TIME)?))"
)
_IN_WORDS: Final = (
    rb"(?P<words>[A-Z][A-Za-z.]*(?: [A-Za-z.]+){0,3} (?:Standard |Daylight |Summer |Mean |Universal )?Time\b"
    rb"|[A-Z][a-z\x80-\xff]+ (?:Sommer|Normal|Winter)zeit\b)"
)
_AREAS: Final = rb"(?:Africa|America|Antarctica|Arctic|Asia|Atlantic|Australia|Europe|Indian|Pacific|Etc|US)"
_ZONE: Final = (
    rb"(?:[ \t]{0,2}[\[(]?(?:(?P<off>(?:(?i:UTC|GMT)[ \t]?(?:[+-]|\xe2\x88\x92)\d{1,2}"
    rb"|(?:[+-]|\xe2\x88\x92)\d{2})(?::?\d{2})?"
    rb"|[+-]\d(?::\d{2})?)(?::00)?(?![\d.:])|"
    + _IN_WORDS
    + b"|"
    + _ABBREVIATION
    + rb"(?![A-Za-z0-9])|(?P<iana>"
    + _AREAS
    + rb"/[A-Za-z_]+(?:[+-]\d{1,2}|[/-][A-Za-z_]+)*))[\])]?|(?P<letter>[A-Ya-y])(?![A-Za-z0-9]))?"
)
_SEPARATOR: Final = (
    rb"(?:[ \t]{1,3}|[ ]?[Tt,;_|:-][ \t]?|,?[ \t]{1,2}(?:at|um|klo|kl\.?|a las|[Tt][Ii][Mm][Ee][ \t]*[:=]?)[ \t]{0,2})"
)

_YMD: Final = rb"(?<!\d)(?P<y>\d{4})(?P<ds>[-/.:])(?P<a>\d{1,2})(?P=ds)(?P<b>\d{1,2})"
_YMD_COMPACT: Final = rb"(?<!\d)(?P<y>\d{4})(?P<a>\d{2})(?P<b>\d{2})"
_SIX_NUMBERS: Final = (
    rb"(?<![\d,;_])(?P<y>\d{4})(?P<ds>[,;_]|[ ]{1,2})(?P<a>\d{1,2})(?P=ds)[ ]?(?P<b>\d{1,2})(?P=ds)[ ]?"
    rb"(?P<h>\d{1,2})(?P=ds)[ ]?(?P<mi>\d{1,2})(?P=ds)[ ]?(?P<s>\d{1,2})(?:\.(?P<f>\d{1,9}))?(?![\d:])"
)
_WEEK: Final = rb"(?<!\d)(?P<y>\d{4})-?W(?P<w>\d{2})-?(?P<a>\d)"
_ORDINAL: Final = rb"(?<!\d)(?P<y>\d{4})[-/. ,:]?(?P<doy>\d{3})"
_DAY_MONTH_NAME: Final = (
    rb"(?<!\d)(?P<a>\d{1,2})(?:st|nd|rd|th)?(?:[-/., ]{1,2}| de )"
    + _MONTH
    + rb"\.?(?:[-/., ]{1,2}| de[l]? )(?P<y>\d{4}|\d{2}(?!:))"
)
_MONTH_NAME_DAY: Final = (
    rb"(?<![A-Za-z])" + _MONTH + rb"\.?[ -]{1,2}(?P<a>\d{1,2})(?:st|nd|rd|th)?,?[ -]{1,2}(?P<y>\d{4})"
)
_YEAR_MONTH_NAME: Final = rb"(?<!\d)(?P<y>\d{4})[-/. ]" + _MONTH + rb"[-/. ](?P<a>\d{1,2})"
_XYZ: Final = rb"(?<!\d)(?<!\d[-/.])(?P<a>\d{1,2})(?P<ds>[-/.])[ ]?(?P<b>\d{1,2})(?P=ds)[ ]?(?P<c>\d{4}|\d{2}(?!:))"
_XYZ_COMPACT: Final = rb"(?<![0-9A-Za-z])(?P<a>\d{2})(?P<b>\d{2})(?P<c>\d{2})"


class Written(NamedTuple):
    """One moment as a logger wrote it.

    Attributes:
        dates: the dates it can mean, by order of its parts (``"day_first"``, ...); ``""`` where the form leaves none
            open. A year of None is missing in the stamp.
        micros: time of day [microseconds], 24 h and more for 24:00 and leap seconds.
        offset: its own zone: offset [minutes east], abbreviation or IANA name; None where it has none.
        is_instant: counted in seconds since 1970, so that it has no zone.
        kind: the form it has.
        text: as it stands in the file.
        start, end: where it stands in the text that was searched.
        fault: what makes it impossible; empty if nothing does.
    """

    dates: dict[str, tuple[int | None, int, int]]
    micros: int
    offset: int | str | None
    is_instant: bool
    kind: str
    text: str
    start: int
    end: int
    fault: str = ""


@dataclass(frozen=True)
class Form:
    """One way of writing a moment.

    Attributes:
        name: what a person calls it.
        pattern: finds it.
    """

    name: str
    pattern: re.Pattern[bytes]


def _form(name: str, *parts: bytes) -> Form:
    return Form(name, re.compile(b"".join(parts)))


UNIX: Final = "Unix time"
CLOCK: Final = "time of day"
TWO_LINES: Final = "date and time on two lines"
_TIME_FIRST: Final = "time before date"
_COLON: Final = (_SEPARATOR, _DAY_TIME, _HALF, _ZONE)
_FREE: Final = (_SEPARATOR, _DAY_TIME_OTHER, _HALF, _ZONE)
_NEXT_LINE: Final = rb"[ \t]*\r?\n[ \t]*(?:[Tt][Ii][Mm][Ee][ \t]*[:=]?[ \t]*)?"
_TIGHT: Final = (rb"(?:[Tt_ :-]|)", _DAY_TIME_COMPACT, _ZONE)

# From the particular to the general: a later form may match inside what an earlier one reads whole.
FORMS: Final[tuple[Form, ...]] = (
    _form("year-month-day", _YMD, *_COLON),
    _form("year-month-day", _YMD, *_FREE),
    _form("year-month-day", _YMD, rb"[Tt_ ]", _DAY_TIME_COMPACT, _ZONE),
    _form("compact", _YMD_COMPACT, *_COLON),
    _form("compact", _YMD_COMPACT, *_FREE),
    _form("compact", _YMD_COMPACT, *_TIGHT),
    _form("compact", _YMD_COMPACT, rb"(?P<h>\d{2})(?P<mi>\d{2})(?P<s>\d{2})(?P<f>\d{3})(?!\d)", _ZONE),
    _form("year-month-day", _SIX_NUMBERS, _ZONE),
    _form("week date", _WEEK, *_COLON),
    _form("week date", _WEEK, *_TIGHT),
    _form("ctime", _MONTH, rb"[ ]+(?P<a>\d{1,2})[ ]+", _DAY_TIME_FULL, _ZONE, rb"[ ]+(?P<y>\d{4})(?!\d)"),
    _form(
        "ctime",
        rb"(?<!\d)(?P<a>\d{1,2})\.?[ ]+",
        _MONTH,
        rb"\.?[ ]+",
        _DAY_TIME_FULL,
        _ZONE,
        rb"[ ]+(?P<y>\d{4})(?!\d)",
    ),
    _form("day month-name year", _DAY_MONTH_NAME, *_COLON),
    _form("day month-name year", _DAY_MONTH_NAME, *_FREE),
    _form("month-name day year", _MONTH_NAME_DAY, *_COLON),
    _form("year month-name day", _YEAR_MONTH_NAME, *_COLON),
    _form("day and month", _XYZ, *_COLON),
    _form("day and month", _XYZ, *_FREE),
    _form("day and month", _XYZ_COMPACT, rb"[ T_-]", _DAY_TIME_COMPACT, _ZONE),
    _form("day and month", _XYZ_COMPACT, *_COLON),
    _form("ordinal date", _ORDINAL, rb"(?:[ \t]{1,3}|[ ]?[Tt,;_|.:-][ \t]?)", _DAY_TIME, _HALF, _ZONE),
    _form("ordinal date", _ORDINAL, rb"[Tt_ ,-]", _DAY_TIME_COMPACT, _ZONE),
    _form(TWO_LINES, _YMD, _NEXT_LINE, _DAY_TIME_FULL, _HALF, _ZONE),
    _form(TWO_LINES, _XYZ, _NEXT_LINE, _DAY_TIME_FULL, _HALF, _ZONE),
    _form(_TIME_FIRST, rb"(?<![\d:])", _DAY_TIME_FULL, _HALF, _ZONE, rb"[ ,T]{1,2}", _YMD, rb"(?!\d)"),
    _form(_TIME_FIRST, rb"(?<![\d:])", _DAY_TIME_FULL, _HALF, _ZONE, rb"[ ,T]{1,2}", _XYZ, rb"(?!\d)"),
    _form("syslog", rb"(?<![A-Za-z0-9])", _MONTH, rb"[ ]+(?P<a>\d{1,2})[ ]+", _DAY_TIME_FULL, _ZONE),
    _form("syslog", rb"(?<![\d.:])(?P<a>\d{1,2})\.?[ -]", _MONTH, rb"\.?[ ]+", _DAY_TIME_FULL, _ZONE),
    # A word of its own: a hexadecimal profile is full of ten digits in a row.
    _form(
        UNIX,
        rb"(?:(?<![0-9A-Za-z.,:#=_/-])|(?<=^-)|(?<=\n-))@?(?P<unix>\d{9,10}|\d{13}|\d{16}|\d{19})(?:[.,](?P<f>\d{1,9}))?(?![0-9A-Za-z.])",
    ),
    _form(CLOCK, rb"(?<![\d:])", _DAY_TIME_FULL, _HALF, _ZONE),
)
_NAMES_A_NUMBER: Final = re.compile(rb"(?:\bsn|s/n|serial|\bno|\bnr|number|\bid|unit|sensor)[^\w\n]*$", re.IGNORECASE)
_UNIX_FORM: Final = next(form for form in FORMS if form.name == UNIX)
_PLAIN_LENGTH: Final = 19
_UNIX_UNIT_DIGITS: Final = {9: 0, 10: 0, 13: 3, 16: 6, 19: 9}
_DAY: Final = 86_400_000_000
_EPOCH: Final = date(1970, 1, 1)
_IN_WORDS_MINUTES: Final = {
    "Coordinated Universal Time": 0,
    "Universal Time": 0,
    "Greenwich Mean Time": 0,
    "Central European Time": 60,
    "Central European Summer Time": 120,
}
_FIRST_YEAR: Final = 1985  # of a year written with two digits


class Finder:
    """Looks for stamps in the talk of one file; the form met first is tried first from then on."""

    def __init__(self) -> None:
        self._order: list[Form] = list(FORMS)

    def all_in(self, talk: bytes) -> list[Written]:
        """The stamps of one form in `talk`, in order; the first form that has any."""
        for place, form in enumerate(self._order):
            matches = list(form.pattern.finditer(talk))
            found = [written for match in matches if (written := _written(form, match)) is not None]
            if found:
                # Forms of a time of day alone would find themselves inside every other.
                if place and form.name not in (CLOCK, UNIX):
                    self._order.insert(0, self._order.pop(place))
                return found
        return []


def unix_beside(talk: bytes, written: Written) -> int | None:
    """Offset [minutes east] of a local time that has its Unix time beside it; None if it has none."""
    if written.offset is not None or written.is_instant or "" not in written.dates:
        return None
    year, month, day = written.dates[""]
    local = None if year is None else local_of((year, month, day), written.micros)
    if local is None:
        return None
    for match in _UNIX_FORM.pattern.finditer(talk):
        unix = _written(_UNIX_FORM, match)
        instant = None if unix is None else local_of(unix.dates[""], unix.micros)  # type: ignore[arg-type]
        minutes, rest = divmod((local - instant).total_seconds(), 60) if instant is not None else (0.0, 1.0)
        if not rest and not minutes % 15 and abs(minutes) <= 14 * 60:
            return int(minutes)
    return None


def looks_like_time(talk: bytes) -> bool:
    """Whether talk without a stamp holds something that a person would take for one."""
    return _LIKE_TIME.search(talk) is not None


_LIKE_TIME: Final = re.compile(
    rb"\d{1,2}[:h]\d{2}|\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}|(?<![0-9A-Za-z])\d{8,20}(?![0-9A-Za-z])"
    rb"|(?<![\d.])\d{5,7}\.\d{2,}|\d[ -](?:"
    + b"|".join(sorted({name[:3].encode() for name in _MONTHS if name.isascii()}))
    + rb")",
    re.IGNORECASE,
)


def _written(form: Form, match: re.Match[bytes]) -> Written | None:
    """The match as numbers; None if it is no moment at all, so that another form may have it."""
    text = match.group().decode("latin-1").strip()
    if len(text) == _PLAIN_LENGTH and (plain := _plain_iso(text)) is not None:
        day = (plain.year, plain.month, plain.day)
        micros = ((plain.hour * 60 + plain.minute) * 60 + plain.second) * 1_000_000
        return Written({"": day}, micros, None, False, form.name, text, match.start(), match.end())
    group = match.groupdict()
    if form.name == UNIX:
        return _unix(group, text, match)
    half = group.get("ap")
    hour, minute, second = int(group["h"]), int(group["mi"]), int(group.get("s") or 0)
    micros, fault = _time_of_day(hour, minute, second, half)
    micros += int((group.get("f") or b"0")[:6].ljust(6, b"0"))
    offset, zone_fault = _offset(group, match)
    fault = fault or zone_fault
    dates: dict[str, tuple[int | None, int, int]]
    if group.get("mon") is not None:
        month = _MONTHS.get(group["mon"].decode("utf-8", "replace").lower().rstrip("."))
        if month is None:
            return None
        dates = _with_month_name(month, int(group["a"]), group.get("y"))
    elif group.get("w") is not None:
        dates = _week_date(int(group["y"]), int(group["w"]), int(group["a"]))
    elif group.get("doy") is not None:
        dates = _ordinal_date(int(group["y"]), int(group["doy"]))
    elif group.get("c") is not None:
        if _may_be_cut(group):
            return None
        dates = _three_numbers(group["a"], group["b"], group["c"])
    elif group.get("y") is not None:
        dates = _valid({"": (int(group["y"]), int(group["a"]), int(group["b"]))})
    else:
        dates = {"": (None, 0, 0)}
    if not dates:
        fault = fault or "there is no such date"
    # By custom the day comes first where dots stand between the numbers (Germany, Finland, ...).
    return Written(dates, micros, offset, False, form.name, text, match.start(), match.end(), fault)


def _plain_iso(text: str) -> datetime | None:
    """``2026-06-21 09:00:00``, which most loggers write, without the pains that the others need."""
    if text[4] != "-" or text[10] not in " T":
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if moment.microsecond or moment.tzinfo is not None else moment


def prior_of(written: Written) -> str:
    """The order that custom gives to a stamp whose digits allow several: day first with dots or a month's name."""
    if "month-name" in written.kind:
        return "day_first"
    date_text = written.text.split()[-1] if written.kind == _TIME_FIRST else written.text
    return "day_first" if re.match(r"\d{1,2}\. ?\d{1,2}\. ?\d", date_text) else ""


def _time_of_day(hour: int, minute: int, second: int, half: bytes | None) -> tuple[int, str]:
    if half is not None:
        is_noon = hour == 12
        if half in b"Aa":
            if hour > 12:
                return 0, f"there is no {hour} o'clock in the morning"
            hour = 0 if is_noon else hour
        elif hour < 12:
            if hour == 0:
                return 0, "there is no 0 o'clock in the afternoon"
            hour += 12
    micros = ((hour * 60 + minute) * 60 + second) * 1_000_000
    if hour == 24 and (minute or second):
        return 0, "a day ends at 24:00"
    if hour > 24 or minute > 59 or second > 60 or (second == 60 and minute % 15 != 14):
        return 0, "there is no such time of day"
    return micros, ""


def _offset(group: dict[str, bytes | None], match: re.Match[bytes]) -> tuple[int | str | None, str]:
    offset = group.get("off")
    if offset is not None:
        sign = -1 if b"-" in offset or b"\x92" in offset else 1
        digits = re.sub(rb"[^\d:]", b"", offset)
        if re.fullmatch(rb"[+-]\d", offset) and match.string[match.start("off") - 1 : match.start("off")].isspace():
            return None, f"'{offset.decode()}' behind it may be a zone; one is written with two digits"
        hours, _, minutes = digits.partition(b":")
        if not minutes and len(hours) > 2:
            hours, minutes = hours[:-2], hours[-2:]
        total = int(hours) * 60 + int(minutes or 0)
        if not minutes and total > 14 * 60:
            return None, ""  # a temperature or the like behind the stamp
        if total > 14 * 60 or int(minutes or 0) > 59:
            return None, f"no zone lies {offset.decode('latin-1').strip()} from UTC"
        return sign * total, ""
    if group.get("letter") is not None:
        letter = (group["letter"] or b"").decode()
        return None, f"the letter '{letter}' behind it may be a zone or half of the day (AM or PM)"
    if group.get("words") is not None:
        words = (group["words"] or b"").decode("utf-8", "replace")
        known = _IN_WORDS_MINUTES.get(words)
        return known, "" if known is not None else f"the zone '{words}' is not understood; an offset would be"
    word = group.get("z")
    if word is not None:
        return word.decode().upper().removesuffix(" TIME").replace("LOCAL", "LT"), ""
    word = group.get("iana")
    return (word.decode() if word else None), ""


def _unix(group: dict[str, bytes | None], text: str, match: re.Match[bytes]) -> Written | None:
    digits = group["unix"] or b""
    if _NAMES_A_NUMBER.search(match.string, max(0, match.start() - 24), match.start()):
        return None
    power = _UNIX_UNIT_DIGITS[len(digits)]
    fraction = (group.get("f") or b"")[:6] if power == 0 else b""
    seconds, rest = divmod(int(digits), 10**power)
    micros = rest * 1_000_000 // 10**power + int(fraction.ljust(6, b"0"))
    day, in_day = divmod(seconds, 86_400)
    if day >= (date.max - _EPOCH).days:
        return None
    found = _EPOCH + timedelta(days=day)
    if found.year < _FIRST_YEAR:
        return None  # a serial number, not a moment
    dates: dict[str, tuple[int | None, int, int]] = {"": (found.year, found.month, found.day)}
    return Written(dates, in_day * 1_000_000 + micros, None, True, UNIX, text, match.start(), match.end())


def _valid(dates: dict[str, tuple[int | None, int, int]]) -> dict[str, tuple[int | None, int, int]]:
    """Those that a calendar has; a year of None stands for one with a 29th of February."""
    found = {}
    for order, (year, month, day) in dates.items():
        try:
            date(2000 if year is None else year, month, day)
        except (ValueError, OverflowError):
            continue
        found[order] = (year, month, day)
    return found


def _with_month_name(month: int, day: int, year: bytes | None) -> dict[str, tuple[int | None, int, int]]:
    if year is None:
        return _valid({"": (None, month, day)})
    if len(year) == 4:
        return _valid({"": (int(year), month, day)})
    return _valid({"day_first": (_century(int(year)), month, day), "year_first": (_century(day), month, int(year))})


def _three_numbers(first: bytes, second: bytes, third: bytes) -> dict[str, tuple[int | None, int, int]]:
    a, b, c = int(first), int(second), int(third)
    year = c if len(third) == 4 else _century(c)
    dates: dict[str, tuple[int | None, int, int]] = {"day_first": (year, b, a), "month_first": (year, a, b)}
    if len(third) == 2 and len(first) == 2:
        dates["year_first"] = (_century(a), b, c)
    return _valid(dates)


def _may_be_cut(group: dict[str, bytes | None]) -> bool:
    """Whether 6-06-21 may be what the end of the previous file left of 2026-06-21."""
    first, second, third = group["a"] or b"", group["b"] or b"", group["c"] or b""
    is_padded = second.startswith(b"0") or group.get("ds") == b"-"
    return len(first) == 1 and len(third) == 2 and is_padded


def _century(two_digits: int) -> int:
    """The year of two digits in which a ceilometer can have lived: 1985 to 2084."""
    return 2000 + two_digits if two_digits < _FIRST_YEAR % 100 else 1900 + two_digits


def _week_date(year: int, week: int, day: int) -> dict[str, tuple[int | None, int, int]]:
    try:
        found = date.fromisocalendar(year, week, day)
    except (ValueError, OverflowError):
        return {}
    return {"": (found.year, found.month, found.day)}


def _ordinal_date(year: int, day: int) -> dict[str, tuple[int | None, int, int]]:
    try:
        found = date(year, 1, 1) + timedelta(days=day - 1)
    except (ValueError, OverflowError):
        return {}
    return {"": (found.year, found.month, found.day)} if found.year == year else {}


def local_of(day: tuple[int, int, int], micros: int) -> datetime | None:
    """Date and time of day as one moment of the logger's clock; None beyond the years a calendar has."""
    try:
        return datetime(*day) + timedelta(microseconds=micros)
    except (ValueError, OverflowError):
        return None


def strip_prefix(lines: Sequence[bytes], first: bytes) -> list[bytes]:
    """Lines without the stamp that a logger wrote at the head of each.

    Args:
        lines: of one message, after its header.
        first: what stands before the header on its line: a stamp and what the logger writes after it.
    """
    head = first.lstrip(b"\x01 \t\r\n-[(<").rstrip(b"\x01")
    found = next(((form, match) for form in FORMS if (match := form.pattern.match(head))), None)
    if found is None:
        return _without_repeated(lines, first.rstrip(b"\x01"))
    form, match = found
    has_fraction = match.groupdict().get("f") is not None
    prefix = _prefix(form, head[match.end() :].replace(b"\x01", b""), has_fraction)
    if not lines or prefix.match(lines[0]) is None:
        return list(lines)
    return [prefix.sub(b"", line, count=1) for line in lines]


def _without_repeated(lines: Sequence[bytes], first: bytes) -> list[bytes]:
    """Lines without what stands before the header on its line, where every line begins with it but for its numbers."""
    if not looks_like_time(first):
        return list(lines)
    text = first.lstrip(b"\r\n").replace(b"\x01", b"")
    body = text.rstrip(b" \t")
    shape = re.sub(rb"\d+", rb"\\d+", re.escape(body)) + rb"[ \t]{0,%d}" % (len(text) - len(body))
    prefix = re.compile(shape)
    if not lines or any(prefix.match(line) is None for line in lines if line.strip(b"\r\x03\x04 ")):
        return list(lines)
    return [prefix.sub(b"", line, count=1) for line in lines]


_FRACTION: Final = re.compile(rb"\(\?:\[\.,:?\]\(\?P<f>\\d\{1,9\}\)\)\?")


@lru_cache(maxsize=32)
def _prefix(form: Form, behind: bytes, has_fraction: bool) -> re.Pattern[bytes]:
    """A stamp at the head of a line, and what the logger writes behind it: no more, as blanks may be the message's."""
    stamp = form.pattern.pattern
    if not has_fraction:  # else the comma behind the stamp and the digits of the line were one
        stamp = _FRACTION.sub(b"", stamp)
    return re.compile(rb"^[ \t\[(<-]*(?:" + stamp + rb")(?:" + re.escape(behind) + rb"|[,;|\])> \t]*)")
