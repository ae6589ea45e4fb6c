"""Day or month first, which century, which year: decided from all dates of a file, its name, and when it was sent.

Evidence, strongest first: digits that allow one order only; the order the site states; the date in the file's name;
days that follow one another; the time of sending. Two orders that fit equally well are no reason to take one: the
stamps are refused by name. Custom (day first where dots stand between the numbers) decides nothing: it has exceptions.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Final

from ipdsf_spark.lidar.instruments.stamps import counted
from ipdsf_spark.lidar.instruments.stamps.clock import DATE_ORDERS, Clock
from ipdsf_spark.lidar.instruments.stamps.written import LONG_YEAR, Written

Day = tuple[int, int, int]

_FILE_DATE: Final = re.compile(r"(?<!\d)((?:19|20)\d{2})[-_]?(\d{2})[-_]?(\d{2})(?!\d{1,3}(?!\d))")
_CL_VIEW_NAME: Final = re.compile(
    r"(?<![A-Za-z0-9])[A-Z](\d)(\d{2})(\d{2})\d{0,2}(?!\d)"
)  # year's last digit, month, day, hour
_DATE_ALONE: Final = re.compile(rb"(?<!\d)((?:19|20)\d{2})[-/.](\d{1,2})[-/.](\d{1,2})(?!\d)")
_LONGEST_LAG: Final = timedelta(days=2)
_LONGEST_LEAD: Final = timedelta(days=1)
_LAST_YEAR: Final = 2099
ORDER_WORDS: Final = {
    "day_first": "day first",
    "month_first": "month first",
    "year_first": "year first",
    LONG_YEAR: "long year",
    "": "as written",
}


def date_in(name: str) -> date | None:
    """The date that a file's name tells, ``20260621`` in any punctuation, or else its path; None if neither does."""
    for match in (*_FILE_DATE.finditer(name.rpartition("/")[2]), *_FILE_DATE.finditer(name)):
        try:
            return date(int(match.group(1)), int(match.group(2)), int(match.group(3)))
        except ValueError:
            continue
    return None


def date_alone_in(talk: bytes) -> date | None:
    """The date that a line of talk tells year first, as ``2026-06-21``; the last if there are several."""
    for match in reversed(list(_DATE_ALONE.finditer(talk))):
        try:
            return date(int(match[1]), int(match[2]), int(match[3]))
        except ValueError:
            continue
    return None


def date_in_cl_view_name(name: str, latest: date | None) -> date | None:
    """The date of ``C6062109.DAT``: its year is the last that ends with this digit; None if the present is unknown."""
    match = _CL_VIEW_NAME.search(name.rpartition("/")[2])
    if match is None or latest is None:
        return None
    year = latest.year - (latest.year - int(match[1])) % 10
    try:
        return date(year, int(match[2]), int(match[3]))
    except ValueError:
        return None


def month_and_day_in(name: str) -> tuple[int, int] | None:
    """Month and day that a file's name tells, also in CL-View's ``C6062109.DAT``."""
    found = date_in(name)
    if found is not None:
        return found.month, found.day
    for match in _CL_VIEW_NAME.finditer(name):
        month, day = int(match[2]), int(match[3])
        if 1 <= month <= 12 and 1 <= day <= 31:
            return month, day
    return None


def days_of(
    stamps: Sequence[Written], *, clock: Clock, name: str, received: date | None, latest: date | None
) -> list[Day | str]:
    """The date of each stamp, or why it has none.

    Args:
        stamps: in the order of the file.
        clock: of the site.
        name: of the file.
        received: day of sending, if known.
        latest: last day that can have been; that of sending, or today.
    """
    open_orders = sorted({order for each in stamps if len(each.dates) > 1 for order in each.dates})
    if not open_orders:
        only = [next(iter(each.dates.values())) for each in stamps]
        return _with_years(stamps, only, name=name, received=received)
    if not set(open_orders) & set(DATE_ORDERS):
        return _of_one_epoch(stamps, name=name, received=received, latest=latest)
    chosen = _order(stamps, open_orders, clock=clock, name=name, received=received, latest=latest)
    if chosen in open_orders:
        listed = "-".join(ORDER_WORDS[chosen].split())
        return _with_years(
            stamps,
            [
                each.dates.get(chosen) or each.dates.get("") or f"'{each.text}' has no {listed} date as the others"
                for each in stamps
            ],
            name=name,
            received=received,
        )
    return [_if_alone(each) or chosen for each in stamps]


def _of_one_epoch(
    stamps: Sequence[Written], *, name: str, received: date | None, latest: date | None
) -> list[Day | str]:
    """Dates that depend on what a number counts, or on the language of a month."""
    texts, dates = [each.text for each in stamps], [each.dates for each in stamps]
    key = counted.chosen(texts, dates, told=full_date_in(name, latest), received=received, latest=latest)
    if " " in key:
        return [key] * len(stamps)
    known = counted.words_of(key) if key else stamps[[key in each for each in dates].index(True)].kind
    return [each.dates.get(key) or f"'{each.text}' is no {known}, as the others of the file" for each in stamps]  # type: ignore[misc]


def full_date_in(name: str, latest: date | None) -> date | None:
    """The date that a file's name tells, also in CL-View's ``C6062109.DAT`` where the present is known."""
    return date_in(name) or date_in_cl_view_name(name, latest)


def _if_alone(written: Written) -> Day | None:
    """The date, where all orders give the same."""
    found = set(written.dates.values())
    if len(found) > 1:
        return None
    year, month, day = found.pop()
    return None if year is None else (year, month, day)


def _order(
    stamps: Sequence[Written],
    orders: Sequence[str],
    *,
    clock: Clock,
    name: str,
    received: date | None,
    latest: date | None,
) -> str:
    """The order of the file, or why it cannot be told."""
    numeric = [each for each in stamps if "" not in each.dates]
    last = latest + _LONGEST_LEAD if latest is not None else date(_LAST_YEAR, 12, 31)
    counts = {order: sum(order in each.dates for each in numeric) for order in orders}
    most = max(counts.values())
    # A damaged stamp among good ones does not make the file unreadable; two orders in one file do.
    if 3 * most < 2 * len(numeric):
        return f"'{numeric[0].text}': dates of this file fit no one order of day and month"
    fitting = [order for order in orders if counts[order] == most]
    if clock.date_order:
        if clock.date_order in fitting:
            return clock.date_order
        return f"'{numeric[0].text}' has no {ORDER_WORDS[clock.date_order]} date, as the site's date_order says"
    days = {order: _sequence(numeric, order) for order in fitting}
    past = [order for order in fitting if days[order] and max(days[order]) <= last]
    if received is not None or latest is not None:
        fitting = past or fitting
    if len(fitting) == 1 or all(days[order] == days[fitting[0]] for order in fitting):
        return fitting[0]
    for evidence in (_by_name(days, fitting, name), _by_sequence(days, fitting), _by_sending(days, fitting, received)):
        if evidence:
            return evidence
    readings = " or ".join(str(days[order][0]) for order in fitting)
    question = "day or month first, or the year" if "year_first" in fitting else "day or month first"
    if "month-name" in numeric[0].kind:
        question = "day or year first"
    return f"'{numeric[0].text}' is {readings}: {question}? Set the site's date_order"


def _sequence(stamps: Sequence[Written], order: str) -> list[date]:
    """The days of the file in one order, each run of equal days once."""
    found: list[date] = []
    for each in stamps:
        parts = each.dates.get(order)
        if parts is None or parts[0] is None:
            continue
        day = date(parts[0], parts[1], parts[2])
        if not found or found[-1] != day:
            found.append(day)
    return found


def _by_name(days: dict[str, list[date]], orders: Sequence[str], name: str) -> str:
    told = month_and_day_in(name)
    if told is None:
        return ""
    found = [
        order
        for order in orders
        if any((day + timedelta(days=shift)).timetuple()[1:3] == told for day in days[order] for shift in (-1, 0, 1))
    ]
    return found[0] if len(found) == 1 else ""


def _by_sequence(days: dict[str, list[date]], orders: Sequence[str]) -> str:
    """Consecutive days follow one another in the right order, and leap by a month in the wrong one."""
    smooth = [
        order
        for order in orders
        if len(days[order]) > 1
        and all(abs((b - a).days) <= 1 for a, b in zip(days[order], days[order][1:], strict=False))
    ]
    return smooth[0] if len(smooth) == 1 else ""


def _by_sending(days: dict[str, list[date]], orders: Sequence[str], received: date | None) -> str:
    if received is None:
        return ""
    near = [order for order in orders if -_LONGEST_LEAD <= received - days[order][-1] <= _LONGEST_LAG]
    return near[0] if near and all(days[order] == days[near[0]] for order in near) else ""


def _with_years(
    stamps: Sequence[Written], days: Sequence[tuple[int | None, int, int] | str], *, name: str, received: date | None
) -> list[Day | str]:
    """Dates that say no year get that of the file's name, or the latest that was not after the sending."""
    told = date_in(name)
    found: list[Day | str] = []
    for written, day in zip(stamps, days, strict=True):
        if isinstance(day, str):
            found.append(day)
        elif day[0] is not None:
            found.append((day[0], day[1], day[2]))
        elif day[1] == 0:
            found.append(f"'{written.text}' is a time of day without a date")
        elif told is not None:
            found.append(_nearest_year(day[1], day[2], told))
        elif received is not None:
            found.append(_year_before(day[1], day[2], received) or f"'{written.text}' fits no year before the sending")
        else:
            found.append(f"'{written.text}' has no year, and neither the file's name nor a time of sending tells it")
    return found


def _nearest_year(month: int, day: int, told: date) -> Day:
    choices = [(year, month, day) for year in (told.year - 1, told.year, told.year + 1) if _is_date(year, month, day)]
    return min(
        choices or [(told.year, month, day)], key=lambda each: abs((date(*each) - told).days) if _is_date(*each) else 0
    )


def _year_before(month: int, day: int, received: date) -> Day | None:
    last = received + _LONGEST_LEAD
    for year in range(last.year, last.year - 9, -1):  # a 29th of February comes every eighth year at the latest
        if _is_date(year, month, day) and date(year, month, day) <= last:
            return year, month, day
    return None


def _is_date(year: int, month: int, day: int) -> bool:
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True
