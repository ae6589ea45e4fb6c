"""Time stamps that loggers write around messages: any form, any zone; each the right instant or a named reason.

    stamped(talk, ...) -> Stamped      one time or reason per message

The talk is what stands between messages. Stamps of one file are read together, because what one stamp leaves open (day
or month first, the repeated hour of the night in which clocks go back, before or after its message) the others tell.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Final

from ipdsf_spark.lidar.instruments.stamps import counted, cut, zones
from ipdsf_spark.lidar.instruments.stamps.apart import date_against, number_against, number_beside
from ipdsf_spark.lidar.instruments.stamps.beside import contradicted, unlike_the_others, with_company, zoned_beside
from ipdsf_spark.lidar.instruments.stamps.clock import BEHIND, LARGEST_OFFSET, UTC_CLOCK, Clock
from ipdsf_spark.lidar.instruments.stamps.forms import CLOCK, COUNTED, DAYS, FORMS, TWO_LINES, UNIX
from ipdsf_spark.lidar.instruments.stamps.order import (
    date_alone_in,
    date_in,
    date_in_cl_view_name,
    days_of,
    full_date_in,
)
from ipdsf_spark.lidar.instruments.stamps.placing import (
    is_after,
    is_undecided,
    on_the_line_of_a_header,
    without_cut_first,
    without_cut_stamp,
    without_file_talk,
)
from ipdsf_spark.lidar.instruments.stamps.prefixes import looks_like_time
from ipdsf_spark.lidar.instruments.stamps.written import Finder, Written, local_of, offset_beside
from ipdsf_spark.lidar.instruments.stamps.zones import only_instant

__all__ = ["NO_STAMP", "UNDECIDED", "UTC_CLOCK", "Clock", "Stamped", "only_instant", "stamped"]

NO_STAMP: Final = "no time stamp"
UNDECIDED: Final = (
    "its time stamp may stand before it or behind it: the log was cut beside one, and nothing tells which"
)
CLOSE: Final = timedelta(minutes=3)  # less than the interval that profiles are averaged over
_SHOWN: Final = 60  # characters of talk in a reason
_BLANKS: Final = re.compile(rb"\xc2\xa0|\xe2\x80[\x80-\x8f\xa8-\xaf]|\xe3\x80\x80|\xef\xbb\xbf|(?<=\d)\xa0(?=[\dAP])")
_MAY_BE_DIGIT: Final = re.compile(rb"[0-9\x80-\xff]")  # not only Arabic digits as Europe writes them
_SEEN_FIRST: Final = (FORMS[0], next(form for form in FORMS if form.name == UNIX))  # beside a plain stamp
_LIKE_THOSE: Final = re.compile(rb"\d{4}[-/.:]\d|\d{9}")  # what every stamp of those forms holds
_HALF_DAY: Final = 43_200_000_000
_FEWEST_ALIKE: Final = 3  # messages before which the same moment stands
_LONGEST_STEP: Final = timedelta(hours=12)  # from one message to the next of a file, throughout
_LEAD: Final = timedelta(hours=1)  # of a logger's clock
_PLAIN: Final = re.compile(
    rb"\s*(?:-|%+ )?((?:19|20)\d{2})([-/])(\d{2})\2(\d{2})[ T](\d{2}):(\d{2}):(\d{2})"
    rb"(?:Z?(?: %+)?[ \t]*\r?\n[ \t]*|(?:\.(\d{1,6}))?Z?,[ \t]*)\x01?[ \t]*"
)


@dataclass(frozen=True)
class Stamped:
    """The times of the messages of one file.

    Attributes:
        times: (N,) UTC, None where there is none.
        reasons: (N,) why there is none; empty where there is a time, ``NO_STAMP`` where nothing was written.
        is_after: whether stamps follow their messages in this file.
        is_undecided: whether the file was cut beside a stamp, and nothing in it tells whether stamps follow.
    """

    times: tuple[datetime | None, ...]
    reasons: tuple[str, ...]
    is_after: bool = False
    is_undecided: bool = False


def stamped(
    talk: Sequence[bytes],
    *,
    clock: Clock = UTC_CLOCK,
    name: str = "",
    received: datetime | None = None,
    latest: datetime | None = None,
    begins_inside: bool = False,
    ends_inside: bool = False,
) -> Stamped:
    """The time of each message, or why it has none.

    Args:
        talk: (N + 1,) what a logger wrote before each of N messages, and after the last.
        clock: zone, order of dates and place of stamps where they do not say them.
        name: of the file: tells the date where stamps are times of day, or the year where they have none.
        received: time of sending (UTC).
        latest: the present, where no time of sending is known.
        begins_inside: whether the file begins inside a message.
        ends_inside: whether it ends inside one.
    """
    if not any(map(_MAY_BE_DIGIT.search, talk)):
        return Stamped((None,) * (len(talk) - 1), (NO_STAMP,) * (len(talk) - 1))
    is_open = not (clock.zone or clock.date_order or clock.stamps == BEHIND)
    if is_open and not begins_inside and (plain := _plainly_stamped(talk)) is not None:
        return plain
    finder = Finder()
    ends = {0, len(talk) - 1}
    told = [_plain_blanks(without_file_talk(text) if i in ends else text) for i, text in enumerate(talk)]
    found = [with_company(text, finder.all_in(text)) for text in told]
    if not any(found):
        return Stamped((None,) * (len(told) - 1), tuple(_unread(text) for text in told[:-1]))
    told, found = _without_constants(told, found)
    found[-1] = without_cut_stamp(told[-1], found, received)
    whole = found if begins_inside else [without_cut_first(talk[0], found), *found[1:]]
    if clock.stamps and not on_the_line_of_a_header(told, whole):
        follows, undecided = clock.stamps == BEHIND, False
    else:
        follows = is_after(told, whole, begins_inside=begins_inside, ends_inside=ends_inside)
        undecided = is_undecided(told, whole, begins_inside=begins_inside, ends_inside=ends_inside)
    if undecided and not whole[0]:
        return Stamped((None,) * (len(told) - 1), (UNDECIDED,) * (len(told) - 1), is_undecided=True)
    texts, groups = (told[1:], found[1:]) if follows else (told[:-1], found[:-1])
    own = [_one_of(stamps, text, 0 if follows else -1) for stamps, text in zip(groups, texts, strict=True)]
    own = _without_serial_numbers(_with_instants_beside(own, texts))
    times: list[datetime | None] = [None] * len(own)
    reasons = ["" if written is not None else _unread(text) for written, text in zip(own, texts, strict=True)]
    present = [(i, written) for i, written in enumerate(own) if written is not None]
    present = [(i, _faulted(written, contradicted(groups[i], written, texts[i]))) for i, written in present]
    present = [
        (i, _faulted(written, fault)) for (i, written), fault in zip(present, unlike_the_others(present), strict=True)
    ]
    is_at_start = bool(present) and present[0][0] == 0 and not follows and cut.begins_the_file(talk[0], present[0][1])
    if is_at_start and len(present) > 1 and cut.is_short_count(present[0][1], [each for _, each in present[1:]]):
        present[0] = (0, _faulted(present[0][1], cut.CUT))
    present = _without_faulty_days(present)
    for i, written in present:
        if written.fault:
            reasons[i] = f"impossible time stamp: '{written.text}': {written.fault}"
    sound = [(i, written) for i, written in present if not written.fault]
    latest = received or latest
    lines = [texts[i] for i, _ in sound]
    days = _clock_days([each for _, each in sound], lines, told[0], name, latest) or days_of(
        [each for _, each in sound],
        clock=clock,
        name=name,
        received=received.date() if received else None,
        latest=latest.date() if latest else None,
    )
    local: list[tuple[int, datetime, Written]] = []
    for (i, written), day in zip(sound, days, strict=True):
        moment = None if isinstance(day, str) else local_of(day, written.micros_on(day))
        if moment is None:
            reasons[i] = f"time stamp not understood: {day if isinstance(day, str) else repr(written.text)}"
        elif written.kind == UNIX and (against := _counted_otherwise(moment, written, name, received, latest)):
            reasons[i] = f"time stamp not understood: {against}"
        else:
            local.append((i, moment, written._replace(is_instant=True) if _is_utc(written, day) else written))
    if fault := _leaps([(moment, written) for _, moment, written in local if written.kind in COUNTED]):
        for place, _, written in local:
            if written.kind in COUNTED:
                reasons[place] = f"time stamp not understood: '{written.text}': {fault}"
        local = [each for each in local if each[2].kind not in COUNTED]
    if is_at_start and local and local[0][0] == 0 and _is_short(local, name, received, latest):
        reasons[0] = f"impossible time stamp: '{local.pop(0)[2].text}': {cut.CUT}"
    instants = zones.instants([(moment, written) for _, moment, written in local], clock=clock, received=received)
    for (i, _, written), instant in zip(local, instants, strict=True):
        if isinstance(instant, str):
            reasons[i] = instant
        elif written.kind == CLOCK and (against := _behind_its_sending(instant, written, clock, received)):
            reasons[i] = against
        else:
            times[i] = instant
    _fill(times, reasons)
    return Stamped(tuple(times), tuple(reasons), follows, undecided)


def _plainly_stamped(talk: Sequence[bytes]) -> Stamped | None:
    """The times of a log in which nothing is open: a full stamp, year first, before every message, no hour repeated.

    It stands on a line of its own, or before a comma on that of the message, as most loggers write; on lines before it
    there is no other stamp. Messages but the first may have none, nor any digit before them. Whatever else stands there
    is left to the general way, which gives the same here.
    """
    if not talk or _MAY_BE_DIGIT.search(talk[-1]) is not None:
        return None
    times: list[datetime | None] = []
    reasons: list[str] = []
    last = datetime.min
    for number, text in enumerate(talk[:-1]):
        if number and _MAY_BE_DIGIT.search(text) is None:
            times.append(None)
            reasons.append(_unread(text))
            continue
        match = _PLAIN.fullmatch(text) or _PLAIN.fullmatch(*_last_line(text, is_first=not number))
        if match is None:
            return None
        year, _, month, day, hour, minute, second, fraction = match.groups()
        micros = int(fraction.ljust(6, b"0")) if fraction else 0
        try:
            moment = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second), micros)
        except ValueError:
            return None
        if moment < last and last - moment <= zones.FARTHEST_BACK:
            return None
        times.append(moment)
        reasons.append("")
        last = moment
    _fill(times, reasons)
    return Stamped(tuple(times), tuple(reasons)) if times else None


def _last_line(text: bytes, *, is_first: bool) -> tuple[bytes, int]:
    """Talk, and where its last line begins, if nothing before it says a time; else its end."""
    if is_first:
        text = without_file_talk(text)
    start = text.rstrip(b"\x01 \t\r\n").rfind(b"\n") + 1
    before = text[:start]
    is_silent = before.isascii() and (
        _LIKE_THOSE.search(before) is None or not any(form.pattern.search(before) for form in _SEEN_FIRST)
    )
    return text, start if is_silent else len(text)


def _fill(times: list[datetime | None], reasons: list[str]) -> None:
    """Time for messages without a stamp between two that have one and lie close together: evenly between them.

    They stand in the order in which they were sent, so that none is wrong by more than the time between the two.
    """
    known = [i for i, moment in enumerate(times) if moment is not None]
    for first, last in pairwise(known):
        start, end = times[first], times[last]
        missing = range(first + 1, last)
        if not missing or start is None or end is None or any(reasons[i] != NO_STAMP for i in missing):
            continue
        if timedelta(0) < end - start <= CLOSE:
            for i in missing:
                times[i], reasons[i] = start + (end - start) * (i - first) / (last - first), ""


def _unread(talk: bytes) -> str:
    if not looks_like_time(talk):
        return NO_STAMP
    shown = " ".join(talk.decode("ascii", "backslashreplace").replace("\x01", " ").split())[-_SHOWN:]
    return f"time stamp not understood: '{shown}'"


def _without_serial_numbers(own: Sequence[Written | None]) -> list[Written | None]:
    """A number that is the same before every message counts no time."""
    numbers = [each for each in own if each is not None and each.kind in COUNTED]
    if len(numbers) < 2 or len({each.text for each in numbers}) > 1:
        return list(own)
    return [None if each is not None and each.kind in COUNTED else each for each in own]


def _without_faulty_days(present: list[tuple[int, Written]]) -> list[tuple[int, Written]]:
    """Days since an epoch that cannot be taken, as a fault."""
    is_day = [written.kind == DAYS and not written.fault for _, written in present]
    days = [written.text for (_, written), is_one in zip(present, is_day, strict=True) if is_one]
    faults = iter(counted.faults_of_days(days))
    return [
        (i, _faulted(written, next(faults)) if is_one else written)
        for (i, written), is_one in zip(present, is_day, strict=True)
    ]


def _is_utc(written: Written, day: tuple[int, int, int] | str) -> bool:
    return written.is_instant or (not isinstance(day, str) and counted.is_utc(written.dates, day))


def _counted_otherwise(
    moment: datetime, written: Written, name: str, received: datetime | None, latest: datetime | None
) -> str:
    told = full_date_in(name, latest.date() if latest else None)
    return counted.contradicted(moment, written.text, told=told, received=received)


def _is_short(
    local: Sequence[tuple[int, datetime, Written]], name: str, received: datetime | None, latest: datetime | None
) -> bool:
    """Whether what the first stamp of a file says may be what its cut has left of it."""
    _, moment, stamp = local[0]
    others = [(each, written) for _, each, written in local[1:]]
    if others:
        return cut.is_short_date(moment, stamp, others)
    told = full_date_in(name, latest.date() if latest else None)
    if cut.is_denied(moment, stamp, told):
        return True
    is_short = cut.is_short_date(moment, stamp, ()) or cut.is_short_count(stamp, ())
    return is_short and not cut.is_confirmed(moment, stamp.kind, told=told, received=received)


def _one_of(stamps: Sequence[Written], text: bytes, place: int) -> Written | None:
    return zoned_beside(stamps, stamps[place], text) if stamps else None


def _faulted(written: Written, fault: str) -> Written:
    return written._replace(fault=written.fault or fault)


def _with_instants_beside(own: Sequence[Written | None], told: Sequence[bytes]) -> list[Written | None]:
    """Local times beside which the same moment stands in UTC take their offset from it, if the first does."""
    first = next((i for i, each in enumerate(own) if each is not None), None)
    if first is None or offset_beside(told[first], own[first]) is None:  # type: ignore[arg-type]
        return list(own)
    return [
        each._replace(offset=offset_beside(talk, each)) if each is not None and each.offset is None else each
        for each, talk in zip(own, told, strict=True)
    ]


def _plain_blanks(talk: bytes) -> bytes:
    """Talk whose blanks are all of one kind: those that do not break, and marks of width none, are written so too."""
    return talk if talk.isascii() else _BLANKS.sub(lambda match: b" " * len(match.group()), talk)


def _clock_days(
    stamps: Sequence[Written], texts: Sequence[bytes], first: bytes, name: str, latest: datetime | None
) -> list[tuple[int, int, int] | str] | None:
    """Dates of bare times of day, from a line with a date alone or from the file's name; or why they are not taken.

    A time that runs backwards by half a day has crossed midnight. A date in the talk that no form reads counts against
    that of the name.
    """
    kinds = {each.kind for each in stamps}
    if CLOCK not in kinds or kinds - {CLOCK, TWO_LINES}:
        return None
    day = date_alone_in(first) or date_in(name) or date_in_cl_view_name(name, latest)
    if day is None:
        return None
    days: list[tuple[int, int, int] | str] = []
    numbers = [number_beside(text, each.start, each.end) for each, text in zip(stamps, texts, strict=True)]
    if _count_messages(numbers, stamps):
        numbers = [b""] * len(numbers)
    previous = stamps[0].micros
    for each, text, number in zip(stamps, texts, numbers, strict=True):
        said = date_alone_in(text)
        if said is not None:
            day = said
        elif each.micros < previous - _HALF_DAY:
            day = _next_day(day)
        previous = each.micros
        against = date_against(text[: each.start] + b"\n" + text[each.end :], day) or number_against(number, day)
        fault = f"'{against}' beside '{each.text}' is not {day}, as it is called otherwise" if against else ""
        days.append(fault or (day.year, day.month, day.day))
    return days


def _behind_its_sending(instant: datetime, written: Written, clock: Clock, received: datetime | None) -> str:
    """Why a time of day is not of the day that the file's name tells: it would lie after the file was sent.

    By hours where its zone is known, else by more than the easternmost zone is ahead of Greenwich.
    """
    is_zoned = clock.zone or written.offset is not None
    if received is None or instant - received <= (_LEAD if is_zoned else LARGEST_OFFSET):
        return ""
    hours = (instant - received).total_seconds() / 3600
    return (
        f"'{written.text}' would lie {hours:.0f} hours after it was sent on the day of the file's name: "
        "its date is another, or the sender's clock is wrong"
    )


def _leaps(counts: Sequence[tuple[datetime, Written]]) -> str:
    """Why numbers that would be moments are none: of three and more each lies more than half a day behind the last.

    A single one among others leaps there and back.
    """
    steps = [after[0] - before[0] for before, after in pairwise(counts)]
    if len(steps) < 2 or min(steps) < _LONGEST_STEP:
        return ""
    days = min(steps) / timedelta(days=1)
    return f"it would advance by {days:.3g} days from message to message, so that it counts something else"


def _without_constants(told: list[bytes], found: list[list[Written]]) -> tuple[list[bytes], list[list[Written]]]:
    """Talk and stamps without moments that are the same before every message, if there are others beside them.

    They are those of a firmware or a calibration. Three profiles of one minute may share theirs, with none beside it.
    """
    counts = Counter(written.text for stamps in found for written in stamps)
    fewest = max(_FEWEST_ALIKE, len(told) - 2)
    constants = [text.encode("latin-1") for text, count in counts.items() if count >= fewest]
    if not constants or on_the_line_of_a_header(told, found):
        return told, found
    others = list(told)
    for text in constants:
        others = [talk.replace(text, b" " * len(text)) for talk in others]
    finder = Finder()
    beside = [with_company(talk, finder.all_in(talk)) for talk in others]
    return (others, beside) if sum(map(bool, beside)) >= fewest else (told, found)


def _count_messages(numbers: Sequence[bytes], stamps: Sequence[Written]) -> bool:
    """Whether numbers beside times of day change from one to the next of a day, so that they are no days."""
    beside = zip(numbers, stamps, strict=True)
    return any(
        number != other and each.micros <= later.micros
        for (number, each), (other, later) in pairwise(beside)
        if number and other
    )


def _next_day(day: date) -> date:
    return day + timedelta(days=1) if day < date.max else day
