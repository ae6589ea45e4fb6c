"""Moments written as one number since an epoch, and with names of months: the right instant or a named reason."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipdsf_spark.lidar.instruments.stamps import Clock, months
from tests.lidar.stamp_texts import MOMENTS, read

DAYS = {
    "excel": datetime(1899, 12, 30),
    "excel_1904": datetime(1904, 1, 1),
    "mjd": datetime(1858, 11, 17),
    "days_1970": datetime(1970, 1, 1),
    "ordinal": datetime(1, 1, 1),
}
SECONDS = {"labview": datetime(1904, 1, 1), "ntp": datetime(1900, 1, 1), "unix": datetime(1970, 1, 1)}
TICKS = {"net": datetime(1, 1, 1), "filetime": datetime(1601, 1, 1)}
EPOCHS = DAYS | {"jd": datetime(1858, 11, 17), "datenum": datetime(1, 1, 1)} | SECONDS | TICKS
ADDED_DAYS = {"jd": 2_400_000.5, "datenum": 367, "ordinal": 1}


def written(moment: datetime, epoch: str, decimals: int = 9) -> str:
    """The number of an epoch."""
    since = moment - EPOCHS[epoch]
    if epoch in SECONDS:
        return str(since // timedelta(seconds=1))
    if epoch in TICKS:
        return str(since // timedelta(microseconds=1) * 10)
    micros = since // timedelta(microseconds=1) + round(ADDED_DAYS.get(epoch, 0) * 86_400_000_000)
    scaled = (micros * 10**decimals + 43_200_000_000) // 86_400_000_000  # a double has too few digits
    return f"{scaled // 10**decimals}.{scaled % 10**decimals:0{decimals}d}"


@given(
    start=MOMENTS,
    count=st.integers(1, 4),
    epoch=st.sampled_from(sorted(EPOCHS)),
    decimals=st.integers(5, 11),
    knows=st.sampled_from(["sent", "named", "neither"]),
)
def test_a_count_since_an_epoch_is_the_right_instant_or_named(
    start: datetime, count: int, epoch: str, decimals: int, knows: str
) -> None:
    moments = [start + timedelta(seconds=300 * i) for i in range(count)]
    known = {
        "sent": {"received": moments[-1] + timedelta(minutes=1)},
        "named": {"name": f"ceil_{start:%Y%m%d}.log"},
        "neither": {},
    }[knows]

    told = read([written(moment, epoch, decimals) for moment in moments], **known)

    for moment, time, reason in zip(moments, told.times, told.reasons, strict=True):
        assert time == moment or (time is None and "neither the file's name nor its sending" in reason)
        assert knows == "neither" or time == moment


@pytest.mark.parametrize("label", ["MJD ", "JD=", "Excel: ", "datenum ", "LabVIEW ", "NTP ", "ticks: ", "FILETIME "])
def test_a_named_epoch_leaves_nothing_open(label: str) -> None:
    epochs = {"JD=": "jd", "ticks: ": "net", "FILETIME ": "filetime"}
    epoch = epochs.get(label, label.strip(" :").lower())
    moment = datetime(2026, 6, 21, 9, 5)

    assert read([label + written(moment, epoch)]).times == (moment,)


@pytest.mark.parametrize(
    ("text", "known", "word"),
    [
        ("46194.37", {}, "2 decimals do not tell the second"),
        ("46194.37500", {}, "2026-06-21 in days since 1900 (spreadsheet) or 1985-05-09 in modified Julian days"),
        ("3864877200", {}, "seconds since 1904 (LabVIEW) or 2022-06-22 in seconds since 1900 (NTP)"),
        ("2606210900", {"received": datetime(2026, 6, 21, 9, 1)}, "2026-06-21 09:00 without separators"),
        ("1466067600", {"received": datetime(2026, 6, 21, 9, 1)}, "in GPS time: which?"),
        ("1466067600", {"name": "20260621.log"}, "as it would be in GPS time"),
        ("GPS 1466067600", {}, "not understood"),
        ("uptime 46194.37500", {}, "not understood"),
        ("ticks 1782032400", {}, "not understood"),
        ("987654321987654321", {}, "not understood"),
    ],
)
def test_a_count_that_could_mean_two_moments_is_named(text: str, known: dict[str, object], word: str) -> None:
    told = read([text], **known)

    assert told.times == (None,) and word in told.reasons[0]


@pytest.mark.parametrize("bad", ["4294967295", "3864877200", "2147483648"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_number_of_another_epoch_costs_unix_times_beside_it_nothing(bad: str, place: int) -> None:
    texts = ["1782032400", "1782032700", "1782033000"]
    texts[place] = bad

    told = read(texts, received=datetime(2026, 6, 21, 9, 12))

    sound = [moment for number, moment in enumerate(told.times) if number != place]
    assert sound == [datetime(2026, 6, 21, 9, 5 * number) for number in range(3) if number != place]
    assert told.times[place] is None or told.times[place].year > 2026  # believed by nobody


@pytest.mark.parametrize(
    ("epoch", "bad"), [("excel", "99999.375000"), ("labview", "1000000000"), ("jd", "9999999.87500"), ("net", "9" * 18)]
)
def test_one_number_that_is_no_date_costs_its_neighbours_nothing(epoch: str, bad: str) -> None:
    moments = [datetime(2026, 6, 21, 9, 5 * number) for number in range(4)]
    texts = [written(moment, epoch) for moment in moments]

    told = read([*texts[:2], bad, *texts[2:]], received=datetime(2026, 6, 21, 9, 20))

    assert told.times[:2] + told.times[3:] == tuple(moments)
    assert told.times[2] is None
    assert any(word in told.reasons[2] for word in ("others of the file", "not understood", "no such date"))


@pytest.mark.parametrize(
    "texts",
    [["[20345.678000]", "[20645.678000]", "[20945.678000]"], ["1234567890", "1234867890", "1235167890"]],
    ids=["uptime", "milliseconds"],
)
def test_numbers_that_leap_by_days_from_message_to_message_count_no_time(texts: list[str]) -> None:
    told = read(texts)

    assert set(told.times) == {None}
    assert all("from message to message" in reason for reason in told.reasons)


def test_the_finest_stamp_of_a_file_tells_how_fine_its_days_are() -> None:
    moments = [datetime(2026, 6, 21, 9), datetime(2026, 6, 21, 9, 5)]
    texts = ["61212.375", written(moments[1], "mjd", 5)]

    assert read(texts).times == tuple(moments)
    assert read([*texts, "2461212.88194"]).times[2] is None  # another epoch than its neighbours


def test_spreadsheet_days_are_those_of_the_site_and_julian_days_those_of_greenwich() -> None:
    moment, clock = datetime(2026, 6, 21, 9), Clock("Europe/Berlin")

    assert read([written(moment, "mjd")], clock=clock).times == (moment,)
    received = moment + timedelta(minutes=1)
    assert read([written(moment, "excel")], clock=clock, received=received).times == (moment - timedelta(hours=2),)


@given(
    start=MOMENTS,
    word=st.sampled_from(sorted(months.MONTHS)),
    encoding=st.sampled_from(["utf-8", "cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1257", "koi8-r", "cp866"]),
    style=st.sampled_from(["%d {} %Y %H:%M:%S", "%d. {} %Y klo %H.%M.%S", "%Y-{}-%d %H:%M:%S", "%d {} %Y г. %H:%M:%S"]),
)
def test_a_month_of_any_language_is_the_right_one_or_named(
    start: datetime, word: str, encoding: str, style: str
) -> None:
    text = start.strftime(style).format(word)
    if text.encode(encoding, "ignore").decode(encoding) != text:
        return  # a language that is not written in this encoding

    told = read([text], encoding)

    right = {date(start.year, month, start.day) for month in months.MONTHS[word] if _has_day(start, month)}
    if told.times[0] is None:
        assert len(months.MONTHS[word]) > 1 or not right
    else:
        assert told.times[0].date() in right and told.times[0].time() == start.time()


def _has_day(moment: datetime, month: int) -> bool:
    try:
        moment.replace(month=month)
    except ValueError:
        return False
    return True


def test_a_month_of_two_languages_is_told_by_the_time_of_sending() -> None:
    text = "21 listopada 2026 09:00:00"  # October in Croatian, November in Polish

    assert "month 10 or 2026-11-21 in month 11" in read([text]).reasons[0]
    for month in (10, 11):
        moment = datetime(2026, month, 21, 9)
        assert read([text], received=moment).times == (moment,)


@pytest.mark.parametrize(
    ("text", "hour"),
    [
        ("2026年6月21日 9:00:00", 9),
        ("2026年06月21日09時00分00秒", 9),
        ("2026年6月21日(日) 午後9:00:00", 21),
        ("2026年6月21日 星期日 下午 9:00:00", 21),
        ("2026년 6월 21일 오전 9:00:00", 9),
        ("2026. 6. 21. 오후 9:00:00", 21),
        ("2026. június 21. 9:00:00", 9),
        ("21. 6. 2026. 09:00:00", 9),
        ("2026 m. birželio 21 d. 09:00:00", 9),
    ],
)
def test_dates_as_east_asia_and_hungary_write_them(text: str, hour: int) -> None:
    assert read([text]).times == (datetime(2026, 6, 21, hour),)


@pytest.mark.parametrize("encoding", ["shift_jis", "euc-jp", "gb18030", "big5"])
def test_dates_of_east_asia_in_the_encodings_of_its_computers(encoding: str) -> None:
    assert read(["2026年6月21日 9時05分30秒"], encoding).times == (datetime(2026, 6, 21, 9, 5, 30),)
