"""What a stamp says as numbers; what it leaves open is decided for the file as a whole."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Final, NamedTuple

from ipdsf_spark.lidar.instruments.stamps import counted
from ipdsf_spark.lidar.instruments.stamps.clock import SURE_ABBREVIATIONS
from ipdsf_spark.lidar.instruments.stamps.counted import FIRST_YEAR, LAST_YEAR
from ipdsf_spark.lidar.instruments.stamps.forms import (
    CLOCK,
    COMPACT,
    COUNTED,
    DATE_TIME_GROUP,
    DAYS,
    FORMS,
    NMEA,
    TICKS,
    UNIX,
    Form,
)
from ipdsf_spark.lidar.instruments.stamps.months import months_of

_NAMES_A_NUMBER: Final = re.compile(
    rb"(?:\bsn|s/n|serial|\bno|\bnr|number|\bid|unit|sensor|uptime|ticks?|count(?:er)?|seq(?:uence)?|\bkey|\bport"
    rb"|\b(?:gps|tai|ntp|labview|1904|1900|1980)(?:[ _]?(?:time|s|sec(?:onds)?))?)[^\w\n]*$",
    re.IGNORECASE,
)  # names of numbers that are no seconds since 1970, those of other epochs among them
_DIGIT: Final = re.compile(rb"\d")
_UNIX_FORM: Final = next(form for form in FORMS if form.name == UNIX)
_PLAIN_LENGTH: Final = 19
LONG_YEAR: Final = "long_year"  # the order of 202606210900, where 260621090000 would be possible as well
_UNIX_UNIT_DIGITS: Final = {9: 0, 10: 0, 13: 3, 16: 6, 19: 9}
_IN_WORDS_MINUTES: Final = {
    "Coordinated Universal Time": 0,
    "Universal Time": 0,
    "Greenwich Mean Time": 0,
    "Central European Time": 60,
    "Central European Summer Time": 120,
}


class Written(NamedTuple):
    """One moment as a logger wrote it.

    Attributes:
        dates: the dates it can mean, by order of its parts (``"day_first"``, ...); ``""`` where the form leaves none
            open. A year of None is missing in the stamp.
        micros: time of day [microseconds], 24 h and more for 24:00 and leap seconds.
        long_year_micros: that on the date of order `LONG_YEAR`, if it is open how long the year is; else None.
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
    long_year_micros: int | None = None

    def micros_on(self, day: tuple[int, int, int]) -> int:
        """The time of day [microseconds] where the date is `day`."""
        if self.long_year_micros is not None and self.dates.get(LONG_YEAR) == day:
            return self.long_year_micros
        return self.micros


class Finder:
    """Looks for stamps in the talk of one file; the form met first is tried first from then on."""

    def __init__(self) -> None:
        self._order: list[Form] = list(FORMS)

    def all_in(self, talk: bytes) -> list[Written]:
        """The stamps of one form in `talk`, in order; the first form that has any."""
        if _DIGIT.search(talk) is None:
            return []
        has_colon = b":" in talk
        for place, form in enumerate(self._order):
            if form.has_colons and not has_colon:
                continue
            matches = list(form.pattern.finditer(talk))
            found = [written for match in matches if (written := _written(form, match)) is not None]
            if found:
                # Forms of a time of day alone would find themselves inside every other.
                if place and form.name not in (CLOCK, *COUNTED):
                    self._order.insert(0, self._order.pop(place))
                return found
        return []


def offset_beside(talk: bytes, written: Written) -> int | None:
    """Offset [minutes east] of a local time beside which the same moment stands in UTC; None if it does not.

    It may stand there in Unix time or as a GPS tells it, anywhere in the talk, or in another form on the same line with
    its zone.
    """
    if written.offset is not None or written.is_instant or written.fault or "" not in written.dates:
        return None
    year, month, day = written.dates[""]
    local = None if year is None else local_of((year, month, day), written.micros)
    if local is None:
        return None
    line_start = talk.rfind(b"\n", 0, written.start) + 1
    line = talk[line_start : talk.find(b"\n", written.end) % (len(talk) + 1)]
    others = [(_UNIX_FORM, talk)]
    if b"$" in talk:
        others += [(form, talk) for form in FORMS if form.name == NMEA]
    if len(line) > 2 * (written.end - written.start) - 8:
        others += [(form, line) for form in FORMS if form.name not in (CLOCK, *COUNTED)]
    for form, text in others:
        for match in form.pattern.finditer(text):
            instant = _instant_of(_written(form, match))
            minutes, rest = divmod((local - instant).total_seconds(), 60) if instant is not None else (0.0, 1.0)
            if not rest and not minutes % 15 and abs(minutes) <= 14 * 60:
                return int(minutes)
    return None


def _instant_of(written: Written | None) -> datetime | None:
    """UTC of a stamp that says it by itself."""
    if written is None or written.fault or "" not in written.dates or written.dates[""][0] is None:
        return None
    offset = SURE_ABBREVIATIONS.get(written.offset) if isinstance(written.offset, str) else written.offset
    if offset is None and not written.is_instant:
        return None
    year, month, day = written.dates[""]
    return local_of((year, month, day), written.micros - (offset or 0) * 60_000_000)  # type: ignore[arg-type]


def _written(form: Form, match: re.Match[bytes]) -> Written | None:
    """The match as numbers; None if it is no moment at all, so that another form may have it."""
    text = match.group().decode("latin-1").strip()
    if len(text) == _PLAIN_LENGTH and (plain := _plain_iso(text)) is not None:
        day = (plain.year, plain.month, plain.day)
        micros = ((plain.hour * 60 + plain.minute) * 60 + plain.second) * 1_000_000
        return Written({"": day}, micros, None, False, form.name, text, match.start(), match.end())
    group = match.groupdict()
    if form.name in COUNTED:
        return _counted(form, group, text, match)
    if group.get("twelve"):
        return _of_twelve_digits(form, group, text, match)
    half = group.get("ap") or (b"A" if group.get("morning") else b"P" if group.get("afternoon") else None)
    hour, minute, second = int(group["h"]), int(group["mi"]), int(group.get("s") or 0)
    micros, fault = _time_of_day(hour, minute, second, half)
    micros += int((group.get("f") or b"0")[:6].ljust(6, b"0"))
    offset, zone_fault = _offset(group, match)
    fault = fault or zone_fault
    if form.name == CLOCK and _has_four_numbers(match):
        fault = fault or "four numbers between colons may begin with a day, or end with hundredths"
    if form.name == NMEA:
        offset = 0
    dates: dict[str, tuple[int | None, int, int]]
    if group.get("mon") is not None:
        months = months_of(group["mon"])
        if not months:
            return None
        year = group.get("y")
        if form.name == DATE_TIME_GROUP and year is not None and len(year) == 2:
            year = b"%d" % _century(int(year))
        dates = _with_month_name(months[0], int(group["a"]), year)
        if len(months) > 1:
            dates, month_fault = _of_several_months(months, int(group["a"]), group.get("y"))
            fault = fault or month_fault
    elif group.get("w") is not None:
        dates = _week_date(int(group["y"]), int(group["w"]), int(group["a"]))
    elif group.get("doy") is not None:
        dates = _ordinal_date(int(group["y"]), int(group["doy"]))
    elif group.get("c") is not None:
        if _may_be_cut(group) or _counts_an_era(group, match):
            return None
        dates = _three_numbers(group["a"], group["b"], group["c"])
    elif group.get("y") is not None:
        year = int(group["y"]) if len(group["y"]) == 4 else _century(int(group["y"]))
        dates = _valid({"": (year, int(group["a"]), int(group["b"]))})
        if not dates and form.name == COMPACT and _ends_with_year(group["y"] + group["a"] + group["b"]):
            return None
    else:
        dates = {"": (None, 0, 0)}
    if not dates:
        fault = fault or "there is no such date"
    return Written(dates, micros, offset, False, form.name, text, match.start(), match.end(), fault)


def _has_four_numbers(match: re.Match[bytes]) -> bool:
    start, end = match.span("f")
    return end - start == 2 and match.string[start - 1 : start] == b":"  # of the stamp itself: three are milliseconds


def _of_twelve_digits(form: Form, group: dict[str, bytes | None], text: str, match: re.Match[bytes]) -> Written:
    """``202606210900`` or ``260621090000``, or a day first; some digits can be both."""
    digits = group["twelve"] or b""
    pairs = [digits[i : i + 2] for i in range(0, 12, 2)]
    hour, minute, second = (int(each) for each in pairs[3:])
    micros, fault = _time_of_day(hour, minute, second, None)
    dates = {} if fault else _three_numbers(*pairs[:3])
    long_micros, fault = _time_of_day(hour=minute, minute=second, second=0, half=None)
    year = int(digits[:4])
    long_year = {} if fault or not FIRST_YEAR <= year <= LAST_YEAR else _valid({"": (year, int(pairs[2]), hour)})
    offset, zone_fault = _offset(group, match)
    where = (match.start(), match.end())
    if not dates:
        no_date = "" if long_year else "there is no such date"
        return Written(long_year, long_micros, offset, False, form.name, text, *where, no_date or zone_fault)
    if not long_year:
        return Written(dates, micros, offset, False, "day and month", text, *where, zone_fault)
    both = {**dates, LONG_YEAR: long_year[""]}
    return Written(both, micros, offset, False, "day and month", text, *where, zone_fault, long_micros)


def _ends_with_year(digits: bytes) -> bool:
    """Whether eight digits that are no year, month and day are day, month and year, or month, day and year."""
    return digits[4:6] in (b"19", b"20") and bool(_three_numbers(digits[:2], digits[2:4], digits[4:]))


def _plain_iso(text: str) -> datetime | None:
    """``2026-06-21 09:00:00``, which most loggers write, without the pains that the others need."""
    if text[4] != "-" or text[10] not in " T":
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if moment.microsecond or moment.tzinfo is not None else moment


def day_half(micros: int, half: bytes) -> tuple[int, str]:
    """Time of day [microseconds] of a clock of twelve hours, and what makes it impossible.

    Args:
        micros: as the clock shows it.
        half: ``b"A"`` or ``b"P"``.
    """
    hour, rest = divmod(micros, 3_600_000_000)
    whole, fault = _time_of_day(hour, 0, 0, half)
    return whole + rest, fault


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


def _counted(form: Form, group: dict[str, bytes | None], text: str, match: re.Match[bytes]) -> Written | None:
    """A number of seconds, days or ticks since an epoch; None if it counts something else."""
    before = match.string[max(0, match.start() - 24) : match.start()]
    label = counted.label_before(before)
    if not label and _NAMES_A_NUMBER.search(before):
        return None
    fraction = group.get("f") or b""
    dates: counted.Dates
    if form.name == TICKS:
        dates, micros = counted.of_ticks(group["ticks"] or b"")
    elif form.name == DAYS:
        dates, micros = counted.of_days(group["days"] or b"", fraction or group["g"] or b"", label)
    elif label and label not in counted.SECONDS:
        return None
    else:
        digits = group["unix"] or b""
        power = _UNIX_UNIT_DIGITS[len(digits)]
        seconds, rest = divmod(int(digits), 10**power)
        micros = rest * 1_000_000 // 10**power + int((fraction[:6] if power == 0 else b"").ljust(6, b"0"))
        micros += seconds % 86_400 * 1_000_000
        dates = counted.of_seconds(seconds, label, is_whole=power == 0)
    if not dates:
        return None  # a serial number, not a moment
    return Written(dates, micros, None, form.name == UNIX, form.name, text, match.start(), match.end())


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


def _of_several_months(
    months: Sequence[int], day: int, year: bytes | None
) -> tuple[dict[str, tuple[int | None, int, int]], str]:
    """A word that is another month in another language, and what makes it impossible."""
    if year is None or len(year) != 4:
        return {}, f"its month is the {' or the '.join(map(str, months))}, as the language is"
    return _valid({f"month_{month}": (int(year), month, day) for month in months}), ""


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


def _counts_an_era(group: dict[str, bytes | None], match: re.Match[bytes]) -> bool:
    """Whether a letter before two digits says from which emperor's first year they count: R08.06.21 is 2026."""
    return len(group["c"] or b"") == 2 and match.string[: match.start()][-1:].isalpha()


def _century(two_digits: int) -> int:
    """The year of two digits in which a ceilometer can have lived: 1985 to 2084."""
    return 2000 + two_digits if two_digits < FIRST_YEAR % 100 else 1900 + two_digits


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
