"""Stamps with which a file begins or ends, and which its cut may have shortened: what is left may say another moment.

``782032405`` is 1994 in Unix time, and what is left of ``1782032405``; ``1-Jun-2026`` is left of a 21st as well. Told
by the other stamps of the file; of a lone stamp by the time of sending and by the name of the file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Final

from ipdsf_spark.lidar.instruments.stamps.forms import CLOCK, COUNTED, DAYS, TIME_FIRST, UNIX
from ipdsf_spark.lidar.instruments.stamps.written import Written

CUT: Final = "its first characters may stand at the end of the file before"
_UNIX: Final = re.compile(r"@?1(?:\d{9}|\d{12}|\d{15}|\d{18})")  # of this century, until 2033
_DAYS_DIGITS: Final = 5  # of days since 1970 or before; fewer are older than 1997, or what is left of them
_NEIGHBOUR: Final = timedelta(hours=1)  # a lost digit of an hour is ten hours, of a day ten days
_LEAD, _LAG = timedelta(hours=1), timedelta(hours=6)  # of the time of sending that confirms a stamp
_NEAR: Final = timedelta(days=2)
_MONTHS: Final = 12
_ONE_DIGIT: Final = re.compile(r"\d(?!\d)")
_TO_THE_SECOND: Final = re.compile(r"\d:\d{2}:\d{2}|\d[T_ ,:-]\d{6}(?!\d)|(?<!\d)\d{14}(?!\d)")
_SECONDS: Final = re.compile(r"@?1\d{9}(?:\d{3})?(?:[.,]\d+)?")


def begins_the_file(talk: bytes, stamp: Written) -> bool:
    """Whether the first digit of a stamp is the first byte of the file, whose first talk is `talk`."""
    return stamp.start == 0 and talk[:1].isdigit()


def is_short_count(stamp: Written, others: Sequence[Written]) -> bool:
    """Whether a number that counts from an epoch, with which a file begins, is shorter than it should be.

    Args:
        stamp: the first of the file.
        others: those behind it.
    """
    if stamp.kind not in COUNTED:
        return False
    if others:
        alike = [_whole(each) for each in others if each.kind == stamp.kind]
        return not alike or len(_whole(stamp)) < min(map(len, alike))
    if stamp.kind == DAYS:
        return len(_whole(stamp)) < _DAYS_DIGITS
    return stamp.kind == UNIX and _UNIX.fullmatch(_whole(stamp)) is None


def is_short_date(moment: datetime, stamp: Written, others: Sequence[tuple[datetime, Written]]) -> bool:
    """Whether a date, with which a file begins, is shorter than the others and far from the next, or alone and short.

    Args:
        moment: what the stamp says.
        stamp: the first of the file.
        others: those behind it, with what they say.
    """
    if stamp.kind in COUNTED:
        return False
    if not others:
        first = _ONE_DIGIT.match(stamp.text)
        return first is not None and (stamp.dates.keys() != {"month_first"} or int(first.group()) + 10 <= _MONTHS)
    is_shorter = len(stamp.text) < min(len(each.text) for _, each in others)
    return is_shorter and abs(others[0][0] - moment) > _NEIGHBOUR


def is_denied(moment: datetime, stamp: Written, told: date | None) -> bool:
    """Whether the date in the file's name says that a lone number that counts from an epoch is not whole."""
    return stamp.kind in COUNTED and told is not None and abs(told - moment.date()) > _NEAR


def is_confirmed(moment: datetime, kind: str, *, told: date | None, received: datetime | None) -> bool:
    """Whether the time of sending or the date in the file's name says that a lone stamp is whole."""
    if received is not None and -_LEAD <= received - moment <= _LAG:
        return True
    return told == moment.date() and kind not in (CLOCK, TIME_FIRST)


def is_whole_at_the_end(stamp: Written, received: datetime | None) -> bool:
    """Whether the only stamp of a file, with which it ends, is no beginning of a longer one.

    Args:
        stamp: behind the last message, with nothing behind it.
        received: time of sending (UTC).
    """
    if stamp.kind not in COUNTED:
        return _TO_THE_SECOND.search(stamp.text) is not None
    if stamp.kind != UNIX or _SECONDS.fullmatch(stamp.text) is None:
        return False
    days = [date(year, month, day) for year, month, day in stamp.dates.values() if year is not None]
    return received is None or any(abs(received.date() - day) <= _NEAR for day in days)


def _whole(stamp: Written) -> str:
    return re.split(r"[.,]", stamp.text.lstrip("@"), maxsplit=1)[0]
