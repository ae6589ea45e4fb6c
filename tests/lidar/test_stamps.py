"""Time stamps of loggers: every form and zone is the right instant or a named reason, and never another time."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipdsf_spark.errors import ConfigError
from ipdsf_spark.lidar.instruments.stamps import NO_STAMP, Clock, stamped
from tests.lidar.stamp_texts import MOMENTS, ZONES, every, read

EPOCH = datetime(1970, 1, 1)


SURE_FORMS = (
    """
%Y-%m-%d %H:%M:%S|-%Y-%m-%d %H:%M:%S|%Y-%m-%dT%H:%M:%SZ|%Y-%m-%dT%H:%M:%S.0000000+00:00|%Y-%m-%d %H:%M:%S,000
%Y/%m/%d %H:%M:%S|%%%%%% %Y/%m/%d %H:%M:%S %%%%%%|%Y.%m.%d %H:%M:%S|%Y:%m:%d %H:%M:%S|[%Y-%m-%d %H:%M:%S]
%Y-%m-%d_%H-%M-%S|%Y-%m-%d, %H:%M:%S|%Y-%m-%d;%H:%M:%S|%Y-%m-%d %H:%M:%S UTC|%Y-%m-%d %H:%M:%S (GMT)
%Y%m%dT%H%M%SZ|%Y%m%d %H%M%S|%Y%m%d%H%M%S|%Y%m%d_%H:%M:%S|%G-W%V-%uT%H:%M:%S|%GW%V%uT%H%M%S|%Y-%jT%H:%M:%S
%Y%jT%H%M%S|%Y %j %H:%M:%S|%a %b %d %H:%M:%S %Y|%a %b %d %H:%M:%S UTC %Y|%d %b %Y %H:%M:%S|%d-%b-%Y %H:%M:%S
%d/%b/%Y:%H:%M:%S +0000|%a, %d %b %Y %H:%M:%S GMT|%B %d, %Y %I:%M:%S %p|%Y-%b-%d %H:%M:%S
%d %B %Y %H.%M.%S|%H:%M:%S %Y-%m-%d|%Y-%m-%d %I:%M:%S %p|%Y-%m-%d %H:%M:%S INFO ceil 5.3 V
""".strip()
    .replace("\n", "|")
    .split("|")
)


OPEN_DATES = ["%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%d/%m/%y", "%m/%d/%y", "%y-%m-%d", "%d-%b-%y"]


OPEN_DATES += ["%d.%m.%Y", "%m.%d.%Y", "%y-%b-%d"]


OPEN_FORMS = [
    *(f"{date} %H:%M:%S" for date in OPEN_DATES),
    "%m/%d/%Y %I:%M:%S %p",
    "%y%m%d %H%M%S",
    "%H:%M:%S %m/%d/%Y",
]


@given(start=MOMENTS, step_s=st.integers(2, 900), count=st.integers(1, 4), form=st.sampled_from(SURE_FORMS))
def test_a_stamp_that_leaves_nothing_open_is_the_instant_it_says(
    start: datetime, step_s: int, count: int, form: str
) -> None:
    moments = every(step_s, count, start)

    assert read([moment.strftime(form) for moment in moments]).times == tuple(moments)


@given(
    start=MOMENTS.filter(lambda moment: moment.year > 2001),
    count=st.integers(1, 4),
    power=st.sampled_from([0, 3, 6, 9]),
    at=st.sampled_from(["", "@"]),
)
def test_unix_time_is_read_in_seconds_to_nanoseconds(start: datetime, count: int, power: int, at: str) -> None:
    moments = every(15, count, start)
    texts = [f"{at}{int((moment - EPOCH).total_seconds()) * 10**power}" for moment in moments]

    assert read(texts).times == tuple(moments)


@given(
    start=MOMENTS,
    count=st.integers(1, 4),
    form=st.sampled_from(OPEN_FORMS),
    sent_after_s=st.none() | st.integers(0, 40 * 86_400),
)
def test_an_ambiguous_date_is_right_or_refused_by_name(
    start: datetime, count: int, form: str, sent_after_s: int | None
) -> None:
    moments = every(300, count, start)
    received = None if sent_after_s is None else moments[-1] + timedelta(seconds=sent_after_s)

    told = read([moment.strftime(form) for moment in moments], received=received)

    for moment, time, reason in zip(moments, told.times, told.reasons, strict=True):
        # Sent weeks later, a stamp can only be told by luck; sent soon after, it must be right. Where the time of
        # sending happens to be that of the other reading, nothing tells that it is not.
        if time != moment:
            agrees = time is not None and received is not None and abs(received - time) < timedelta(days=2)
            assert agrees or (time is None and ("day or month first" in reason or "day or year first" in reason))
            assert sent_after_s is None or sent_after_s > 86_400


@given(start=MOMENTS, form=st.sampled_from(OPEN_FORMS))
def test_the_order_that_the_site_states_decides(start: datetime, form: str) -> None:
    order = {"%d": "day_first", "%m": "month_first", "%y": "year_first", "%H": "month_first"}[form[:2]]

    assert read([start.strftime(form)], clock=Clock(date_order=order)).times == (start,)


@pytest.mark.parametrize(
    ("texts", "known", "expected"),
    [
        (["05/06/2026 23:55:00", "06/06/2026 00:00:00"], {}, datetime(2026, 6, 5, 23, 55)),
        (["06/05/2026 23:55:00", "06/06/2026 00:00:00"], {}, datetime(2026, 6, 5, 23, 55)),
        (["05/06/2026 09:00:00"], {"name": "C6060509.DAT"}, datetime(2026, 6, 5, 9)),
        (["06/05/2026 09:00:00"], {"name": "ceil_20260605.log"}, datetime(2026, 6, 5, 9)),
        (["05/06/2026 09:00:00"], {"received": datetime(2026, 6, 5, 10)}, datetime(2026, 6, 5, 9)),
        (["05.06.2026 09:00:00"], {"received": datetime(2026, 6, 5, 10)}, datetime(2026, 6, 5, 9)),
        (["10/11/2026 09:00:00"], {"latest": datetime(2026, 10, 20)}, datetime(2026, 10, 11, 9)),  # November is to come
    ],
)
def test_the_order_of_day_and_month_is_told_by(texts: list[str], known: dict[str, object], expected: datetime) -> None:
    assert read(texts, **known).times[0] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-06-21 24:00:00", datetime(2026, 6, 22)),
        ("2016-12-31 23:59:60", datetime(2017, 1, 1)),  # a leap second
        ("2026-06-21 12:00:00 AM", datetime(2026, 6, 21)),
        ("2026-06-21 12:00:00 PM", datetime(2026, 6, 21, 12)),
        ("2026-6-1 9:5:3", datetime(2026, 6, 1, 9, 5, 3)),
        ("21.6.2026 9:05", datetime(2026, 6, 21, 9, 5)),
        ("2026-06-21T09:00:00.1234567Z", datetime(2026, 6, 21, 9, 0, 0, 123456)),
        ("2026-06-21 09:00:00,25", datetime(2026, 6, 21, 9, 0, 0, 250000)),
        ("1782032400.5", datetime(2026, 6, 21, 9, 0, 0, 500000)),
        ("2026-06-21 09:00:00 +25 098", datetime(2026, 6, 21, 9)),  # degrees, no zone
        ("21. März 2026 09:00:00", datetime(2026, 3, 21, 9)),
    ],
)
def test_unusual_times_of_day(text: str, expected: datetime) -> None:
    assert read([text]).times == (expected,)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("2026-13-45 00:00:00", "there is no such date"),
        ("2026-02-29 00:00:00", "there is no such date"),
        ("2026-06-21 25:00:00", "there is no such time of day"),
        ("2026-06-21 24:00:01", "a day ends at 24:00"),
        ("2026-06-21 13:00:00 AM", "there is no 13 o'clock in the morning"),
        ("2026-06-21 09:00:00 +25:00", "no zone lies +25:00 from UTC"),
        ("0001-01-01 00:00:00+13:00", "outside the calendar"),
        ("2026-06-21", "not understood"),
        ("09:00:00", "a time of day without a date"),
        ("Jun 21 09:00:00", "has no year"),
        ("46194.375", "do not tell the second"),
        ("SN 1234567890", "not understood"),
        ("station Oslo", NO_STAMP),
        ("", NO_STAMP),
    ],
)
def test_what_is_no_time_is_named(text: str, reason: str) -> None:
    told = read([text])

    assert told.times == (None,)
    assert reason in told.reasons[0]


@pytest.mark.parametrize("text", ["2026\t6\t21\t9\t0\t0", "2026/172/09:00:00", "2026-172/09:00:00"])
def test_more_separators_of_one_moment_are_read(text: str) -> None:
    assert read([text]).times == (datetime(2026, 6, 21, 9),)


@pytest.mark.parametrize(
    "form",
    [
        *("%d%m%Y %H%M%S", "%d%m%Y%H%M%S", "%m%d%Y_%H:%M:%S", "%d%m%Y-%H%M", "%y%m%d%H%M%S", "%d%m%y%H%M%S"),
        *("%d;%m;%Y;%H;%M;%S", "%d,%m,%Y,%H,%M,%S", "%m %d %Y %H %M %S", "%d/%m/%Y %Hh%M", "le %d/%m/%Y à %Hh%Mm%Ss"),
        *(
            "%d/%m/%Y às %H:%M:%S",
            "%d/%m/%Y alle ore %H:%M:%S",
            "%d.%m.%Y в %H:%M:%S",
            "%d%H%MZ%b%y",
            "%d%H%M%SZ %b %y",
        ),
        *("$GPZDA,%H%M%S.00,%d,%m,%Y,00,00*6A", "$GNZDA,%H%M%S,%d,%m,%Y,,*6A"),
        "%d%b%Y:%H:%M:%S",
        "%d%b%y %H:%M:%S",
        "$GPRMC,%H%M%S.00,A,4800.0,N,01100.0,E,0.0,0.0,%d%m%y,,,A*6A",
    ],
)
def test_more_forms_in_which_loggers_write_a_moment_are_read(form: str) -> None:
    moments = every(300, 3, datetime(2026, 6, 21, 9))

    told = read([moment.strftime(form) for moment in moments], received=moments[-1] + timedelta(minutes=1))

    assert told.times == tuple(moments), told.reasons


@pytest.mark.parametrize("known", [{"name": "ceil_20201005.log"}, {"received": datetime(2020, 10, 5, 10)}, {}])
def test_twelve_digits_that_are_two_moments_are_told_by_the_name_or_the_sending_or_named(
    known: dict[str, object],
) -> None:
    told = read(["201005091500", "201005092000"], **known)

    if known:
        assert told.times == (datetime(2020, 10, 5, 9, 15), datetime(2020, 10, 5, 9, 20))
    else:
        assert told.times == (None, None)
        assert "2010-05-09 or 2020-10-05" in told.reasons[0]
    assert read(["202610050915"]).times == (datetime(2026, 10, 5, 9, 15),)


@pytest.mark.parametrize(
    "text",
    [
        "2026,172,900",
        "104;2026;172;900;0",
        "260621,0900",
        "1.782032400000000000e+09",
        "172.375000",
        "01DD015BA9A2C000",
        "$GPGGA,090000.00,4800",
    ],
)
def test_a_stamp_of_unknown_form_is_not_a_missing_one_which_would_take_the_time_of_sending(text: str) -> None:
    (reason,) = read([text], received=datetime(2026, 6, 21, 9, 40)).reasons

    assert reason.startswith("time stamp not understood")


@pytest.mark.parametrize(
    "text", ["2026 172.375000", "210900Z", "6A37A810", "2424 32418", "\u0662\u0661 \u0660\u0669:\u0660\u0660"]
)
def test_a_lone_stamp_that_is_not_understood_is_not_a_missing_one(text: str) -> None:
    (reason,) = read([text]).reasons
    assert reason.startswith("time stamp not understood")


def test_syslog_takes_its_year_from_the_time_of_sending() -> None:
    texts = ["Dec 31 23:55:00 host ceil", "Jan  1 00:00:00 host ceil"]

    told = read(texts, received=datetime(2027, 1, 1, 0, 1))

    assert told.times == (datetime(2026, 12, 31, 23, 55), datetime(2027, 1, 1))


@pytest.mark.parametrize(
    "text",
    [
        "2026.06.21.09.05.00",
        "2026/06/21/09/05/00",
        "2026  6 21  9  5  0",
        "2026  6 21  9  5  0.000",
        "2026 06 21  9  5  0.0",
    ],
)
def test_six_numbers_between_marks_or_in_columns_of_fixed_width_are_one_moment(text: str) -> None:
    assert read([text]).times == (datetime(2026, 6, 21, 9, 5),)


def test_a_damaged_date_is_not_taken_from_its_neighbour() -> None:
    told = read(["2026-06-21 09:00:00", "2026-06-2x 09:05:00", "2026-06-21 09:10:00"])

    assert told.times[1] is None
    assert "a time of day without a date" in told.reasons[1]


def test_a_number_that_stays_the_same_is_no_time() -> None:
    assert read(["1582032400", "1582032400"]).times == (None, None)


@pytest.mark.parametrize(
    ("form", "known"),
    [
        *((form, {"received": datetime(2026, 6, 21, 10)}) for form in (
            *("%d %b %H:%M:%S", "21. Juni %H:%M:%S", "So 21. Jun %H:%M:%S UTC 2026", "-{unix}"),
            *("%Y %m %d %H %M %S", "%Y,%m,%d,%H,%M,%S", "%Y_%m_%d_%H_%M_%S", "%Y%m%d%H%M%S000", "%Y:%j:%H:%M:%S"),
            *("DATE: %m/%d/%Y TIME: %H:%M:%S", "%B %d, %Y at %I:%M:%S %p", "21.6.2026 klo %H.%M.%S"),
            "21 de junio de %Y %H:%M:%S",
        )),
        ("%d.%m. %H:%M:%S", {"name": "ceil_20260621.log", "received": datetime(2026, 6, 21, 10)}),
    ],
)  # fmt: skip
def test_hours_are_no_years_and_more_forms_of_one_moment_are_read(form: str, known: dict[str, object]) -> None:
    moments = every(300, 3, datetime(2026, 6, 21, 9, 5))
    texts = [m.strftime(form).replace("{unix}", str(int((m - EPOCH).total_seconds()))) for m in moments]

    assert read(texts, **known).times == tuple(moments)


def test_of_three_numbers_with_dots_custom_does_not_tell_the_year() -> None:
    told = read(["21.06.26 09:00:00"])

    assert told.times == (None,) and "date_order" in told.reasons[0]
    assert read(["21.06.26 09:00:00"], received=datetime(2026, 6, 21, 10)).times == (datetime(2026, 6, 21, 9),)


def test_local_time_beside_unix_time_is_told_by_the_latter() -> None:
    assert read(["2026-06-21 11:00:00, 1782032400"]).times == (datetime(2026, 6, 21, 9),)


@pytest.mark.parametrize("between", [b"\r\n", b"\r\n\r\n", b" "])
def test_stamps_behind_their_messages_are_recognised_from_the_file(between: bytes) -> None:
    moments = every(300, 3, datetime(2026, 6, 21, 9))
    talk = [b"\x01", *(between + f"{moment}\r\n\x01".encode() for moment in moments)]

    told = stamped(talk)

    assert told.is_after
    assert told.times == tuple(moments)


def test_a_message_without_a_stamp_between_two_close_ones_stands_between_them() -> None:
    told = read(["2026-06-21 09:00:00", "Initializing... Ready", "2026-06-21 09:01:00"])
    assert told.times[1] == datetime(2026, 6, 21, 9, 0, 30)

    far = read(["2026-06-21 09:00:00", "", "2026-06-21 10:00:00"])
    assert (far.times[1], far.reasons[1]) == (None, NO_STAMP)


@settings(max_examples=300)
@given(
    talk=st.lists(
        st.binary(max_size=40) | st.from_regex(rb"[0-9 :./TZ+,-]{0,30}", fullmatch=True), min_size=1, max_size=5
    ),
    inside=st.booleans(),
    zone=st.sampled_from(ZONES),
)
def test_any_bytes_between_messages_give_a_time_or_a_reason(talk: list[bytes], inside: bool, zone: str) -> None:
    told = stamped(talk, begins_inside=inside, ends_inside=inside, clock=Clock(zone))

    assert len(told.times) == len(told.reasons) == len(talk) - 1
    assert all((time is None) == bool(reason) for time, reason in zip(told.times, told.reasons, strict=True))


def test_an_order_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigError, match="day_first"):
        Clock(date_order="dmy")


@pytest.mark.parametrize(
    ("text", "hour"),
    [
        ("2026-06-21 11:00:00, +02:00,", 9),
        ("2026-06-21;11:00:00;+0200;", 9),
        ("2026-06-21,11:00:00,MESZ,", 9),
        ("+02:00 2026-06-21 11:00:00", 9),
        ("CEST 2026-06-21 11:00:00", 9),
        ("2026-06-21 11:00:00 TZ=+02:00", 9),
        ('{"t":"2026-06-21 11:00:00","tz":"Europe/Berlin"}', 9),
        ("2026-06-21 11:00:00,20260621T090000Z", 9),
        ("2026-06-21 11:00:00 2026-06-21T09:00:00Z", 9),
        ("2026-06-21 11:00:00, +25.3, 1013", 11),
        ("2026-06-21 11:00:00 START", 11),
        ("2026-06-21 \uc624\ud6c4 11:00:00", 23),
        ("2026-06-21 PM 11:00:00", 23),
        ("6/21/2026, 11:00:00\u202fPM", 23),
        ("2026-06-21 11:00:00 p.\u00a0m.", 23),
    ],
)
def test_what_stands_beside_a_stamp_changes_the_moment_it_says(text: str, hour: int) -> None:
    assert read([text]).times == (datetime(2026, 6, 21, hour),)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("2026-06-21 15:00:00 QYZT", "QYZT"),
        ("2026-06-21 15:00:00 Ortszeit", "LT"),
        ("2026-06-21 15:00:00 2026-06-21 17:00:00", "two zones"),
        ("local 2026-06-21 11:00:00 utc 2026-06-21 09:00:00", "zone"),
        ("2026-06-21 \u0e1a\u0e48\u0e32\u0e22 03:00:00", "half of the day"),
        ("GPS 1466499600", "1466499600"),
        ("2026-06-21 09:1#:00", "09:1#"),
        ("R07.12.31 23:50:00", "without a date"),
    ],
)
def test_a_word_that_may_change_the_moment_makes_a_stamp_a_named_rejection(text: str, word: str) -> None:
    told = read([text])

    assert told.times == (None,)
    assert word in told.reasons[0]


@pytest.mark.parametrize("form", ["%Y-%m-%d %H:%M:%S", "%d/%m/%Y %H:%M:%S", "%s"])
@pytest.mark.parametrize("line", ["%s\r\nfirmware 2.02 of 2019-03-04 12:00:00", "calibrated 2019-03-04 12:00:00\r\n%s"])
def test_a_moment_that_is_the_same_before_every_message_is_not_its_time(form: str, line: str) -> None:
    moments = every(300, 4, datetime(2026, 6, 21, 9))
    stamps = [
        str(int((moment - EPOCH).total_seconds())) if form == "%s" else moment.strftime(form) for moment in moments
    ]

    assert read([line % stamp for stamp in stamps]).times == tuple(moments)
    assert read(["2026-06-21 09:00"] * 4).times == (moments[0],) * 4  # four profiles of one minute


def test_words_for_summer_time_need_the_zone_of_the_site() -> None:
    (reason,) = read(["2026-06-21 11:00:00 Sommerzeit"]).reasons

    assert "set the site's timezone" in reason


def test_the_time_of_a_gps_on_a_line_of_its_own_tells_the_zone_of_the_loggers_clock() -> None:
    texts = [f"2026-06-21 11:0{minute}:00\r\n$GPZDA,090{minute}00.00,21,06,2026,00,00*6A" for minute in (0, 5)]

    assert read(texts).times == (datetime(2026, 6, 21, 9), datetime(2026, 6, 21, 9, 5))


DAMAGED_FORMS = ["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%SZ", "%d %b %Y %H:%M:%S", "%Y-%m-%d %I:%M:%S %p"]


@given(
    start=MOMENTS,
    form=st.sampled_from(DAMAGED_FORMS),
    place=st.integers(0, 40),
    letter=st.sampled_from(["#", "?", "*", "$", "&", "@", "~", "!", "%"]),
)
def test_a_stamp_with_a_damaged_character_is_right_or_named(
    start: datetime, form: str, place: int, letter: str
) -> None:
    moments = every(300, 5, start)
    texts = [moment.strftime(form) for moment in moments]
    place %= len(texts[2])
    texts[2] = texts[2][:place] + letter + texts[2][place + 1 :]

    told = read(texts)

    assert told.times[:2] + told.times[3:] == (*moments[:2], *moments[3:])
    assert told.times[2] in (moments[2], None)
    assert (told.times[2] is None) == bool(told.reasons[2])


@given(start=MOMENTS, lost=st.sampled_from([5, 6, 8, 9, 14, 15, 17, 18]))
def test_a_stamp_that_lost_a_digit_is_right_or_named(start: datetime, lost: int) -> None:
    moments = every(300, 5, start.replace(minute=0, second=0, hour=9, day=21, month=6))
    texts = [moment.strftime("%Y-%m-%d %H:%M:%S") for moment in moments]
    texts[2] = texts[2][:lost] + texts[2][lost + 1 :]

    told = read(texts)

    assert told.times[2] in (moments[2], None)
    assert (told.times[2] is None) == bool(told.reasons[2])
