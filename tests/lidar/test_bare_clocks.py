"""Times of day without a date: the file's name gives it, unless something beside them says another."""

from __future__ import annotations

from datetime import datetime

import pytest

from ipdsf_spark.lidar.instruments.stamps import Clock
from tests.lidar.stamp_texts import every, read


def test_bare_clock_times_take_the_date_of_the_files_name_and_cross_midnight() -> None:
    told = read(["= 23:59:50", "= 00:00:05"], name="ceil_20260621.dat")

    assert told.times == (datetime(2026, 6, 21, 23, 59, 50), datetime(2026, 6, 22, 0, 0, 5))


@pytest.mark.parametrize(
    ("texts", "known"),
    [
        (["2026-06-21\r\n09:00:00", "09:05:00"], {}),  # the date once, then times of day
        (["2026-06-21\r\n09:00:00", "2026-06-21\r\n09:05:00"], {}),
        (["Date: 2026-06-21\r\nTime: 09:00:00", "Date: 2026-06-21\r\nTime: 09:05:00"], {}),
        (["09:00:00", "09:05:00"], {"name": "C6062109.DAT"}),  # year 6 of this decade
    ],
)
def test_dates_that_stand_apart_from_the_time_of_day(texts: list[str], known: dict[str, object]) -> None:
    assert read(texts, **known).times == (datetime(2026, 6, 21, 9), datetime(2026, 6, 21, 9, 5))


@pytest.mark.parametrize(
    "form",
    [
        *("Date=%d.%m.%Y;Time=%H:%M:%S", "%H:%M:%S - %d.%m.%Y", "%H:%M:%S on %d/%m/%Y", "%d.%m.%Y - %H:%M:%S"),
        *("(%d/%m/%Y) (%H:%M:%S)", '"%d/%m/%Y","%H:%M:%S"', "%d-%b-%Y -- %H:%M:%S", "%H:%M:%S %d-%b-%Y"),
        *("%H:%M:%S %B %d, %Y", "%H:%M:%S %Y%m%d", "%d/%m/%Y @ %H:%M:%S", "Datum: %d.%m.%Y\r\nUhrzeit: %H:%M:%S"),
        "<date>%d/%m/%Y</date><time>%H:%M:%S</time>",
    ],
)
@pytest.mark.parametrize("name", ["x.dat", "ceil_20260601.log"])
def test_the_date_beside_a_time_of_day_counts_and_not_that_of_the_files_name(form: str, name: str) -> None:
    moments = every(300, 3, datetime(2026, 6, 21, 9))

    assert read([moment.strftime(form) for moment in moments], name=name).times == tuple(moments)


@pytest.mark.parametrize(
    ("form", "date"),
    [
        *(("%d/%m %H:%M:%S", "21/06"), ("%m/%d-%H:%M:%S", "06/21"), ("%m-%d %H:%M:%S.0", "06-21")),
        *(("%d.%m. %H:%M:%S", "21.06."), ("%H:%M:%S (%d.%m.)", "21.06."), ("%H:%M:%S %y%m%d", "260621")),
        *(("%H:%M:%S Sunday, June %d", "June 21"), ("Sunday %d June, %H:%M:%S", "21 June")),
        *(("Day %j %H:%M:%S", "Day 172"), ("%y/%j %H:%M:%S", "26/172"), ("%H:%M:%S %j/%Y", "172/2026")),
    ],
)
def test_the_date_of_the_files_name_is_not_taken_against_another_beside_the_time(form: str, date: str) -> None:
    texts = [datetime(2026, 6, 21, 9, minute).strftime(form) for minute in (0, 5)]

    told = read(texts, name="ceil_20260601.log")
    same = read(texts, name="ceil_20260621.log")

    assert told.times == (None, None)
    assert f"'{date}' beside" in told.reasons[0]
    assert "is not 2026-06-01" in told.reasons[0]
    assert same.times == (datetime(2026, 6, 21, 9), datetime(2026, 6, 21, 9, 5))


@pytest.mark.parametrize(
    ("form", "date"),
    [
        *(("%d %H:%M:%S", "21"), ("%d/%H:%M:%S", "21"), ("%dT%H:%M:%S", "21"), ("[%d] %H:%M:%S", "21")),
        *(("Day %d, %H:%M:%S", "21"), ("D%d %H:%M:%S", "21"), ("d=%d t=%H:%M:%S", "21"), ("%H:%M:%S %d.", "21")),
        *(
            ("%m%d %H:%M:%S", "0621"),
            ("%d%m-%H:%M:%S", "2106"),
            ("%m,%d,%H:%M:%S", "06,21"),
            ("%d %m %H:%M:%S", "21 06"),
        ),
        *(
            ("%j %H:%M:%S", "172"),
            ("%j/%H:%M:%S", "172"),
            ("%y%j %H:%M:%S", "26172"),
            ("%a %d %H:%M:%S", "21"),
            ("%a %H:%M:%S", "Sun"),
        ),
        *(("JUN%d %H:%M:%S", "JUN21"), ("%dJUN %H:%M:%S", "21JUN")),
    ],
)
def test_a_day_beside_a_time_of_day_is_not_overruled_by_the_files_name(form: str, date: str) -> None:
    moments = [datetime(2026, 6, 21, 23, 55), datetime(2026, 6, 22)]
    texts = [moment.strftime(form) for moment in moments]

    told = read(texts, name="ceil_20260601.log")

    assert told.times == (None, None)
    assert f"'{date}' beside" in told.reasons[0]
    if "JUN" not in form:
        assert read(texts, name="ceil_20260621.log").times == tuple(moments)


@pytest.mark.parametrize(
    ("texts", "sent", "zone", "is_read"),
    [
        (["23:55:00", "00:05:00"], datetime(2026, 6, 21, 0, 6), "", False),  # the name is that of the day it was closed
        (["23:55:00", "00:05:00"], datetime(2026, 6, 22, 0, 6), "", True),
        (["18:55:00", "19:05:00"], datetime(2026, 6, 21, 9, 6), "", True),  # local time in Sydney
        (["12:55:00", "13:05:00"], datetime(2026, 6, 21, 0, 6), "+00:00", False),
    ],
)
def test_times_of_day_that_the_files_name_would_put_behind_their_sending_are_named(
    texts: list[str], sent: datetime, zone: str, is_read: bool
) -> None:
    told = read(texts, name="ceil_20260621.log", received=sent, clock=Clock(zone))

    assert (None not in told.times) is is_read
    assert all(is_read or "after it was sent" in reason for reason in told.reasons)


def test_numbers_that_count_messages_are_no_days() -> None:
    texts = [f"{number} {clock}" for number, clock in ((7, "09:00:00"), (8, "09:05:00"), (9, "09:10:00"))]

    assert read(texts, name="ceil_20260601.log").times == tuple(every(300, 3, datetime(2026, 6, 1, 9)))


def test_four_numbers_between_colons_may_begin_with_a_day() -> None:
    (reason,) = read(["21:09:00:00"], name="ceil_20260621.log").reasons

    assert "'21:09:00:00'" in reason
    assert "day" in reason


@pytest.mark.parametrize(
    "beside",
    ["T=21.5", "192.168.1.12", "v1.10.26", "p 101325", "No. 7/12", "1013.25 hPa", "SET 12", "port 20-21/2", "ch 12"],
)
def test_numbers_that_are_no_dates_leave_the_date_of_the_files_name(beside: str) -> None:
    assert read([f"09:00:00 {beside}"], name="ceil_20260621.log").times == (datetime(2026, 6, 21, 9),)
