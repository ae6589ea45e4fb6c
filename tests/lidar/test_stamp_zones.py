"""Zones of loggers' time stamps: offsets, local time, the night in which clocks go back, zones that do not exist."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipdsf_spark.errors import ConfigError
from ipdsf_spark.lidar.instruments.stamps import Clock
from tests.lidar.stamp_texts import MOMENTS, ZONES, every, read

OFFSETS = st.integers(-12 * 4, 14 * 4).map(lambda quarters: quarters * 15)


@given(start=MOMENTS, minutes=OFFSETS, style=st.sampled_from(["+hh:mm", " +hhmm", " +hh:mm", " UTC+hh:mm", "  +hhmm"]))
def test_an_offset_is_taken_from_the_local_time(start: datetime, minutes: int, style: str) -> None:
    sign, (hours, rest) = "-" if minutes < 0 else "+", divmod(abs(minutes), 60)
    offset = style.replace("+", sign).replace("hh", f"{hours:02d}").replace("mm", f"{rest:02d}")

    assert read([f"{start + timedelta(minutes=minutes):%Y-%m-%d %H:%M:%S}{offset}"]).times == (start,)


@settings(max_examples=150)
@given(
    day=st.sampled_from(
        [datetime(2022, 10, 29, 20), datetime(2022, 11, 6), datetime(2022, 4, 2, 10), datetime(2022, 7, 1)]
    ),
    shift_min=st.integers(0, 600),
    step_min=st.sampled_from([1, 5, 10]),
    count=st.integers(1, 60),
    zone=st.sampled_from(ZONES),
)
def test_local_time_of_any_zone_is_the_right_instant_or_named(
    day: datetime, shift_min: int, step_min: int, count: int, zone: str
) -> None:
    moments = every(60 * step_min, count, day + timedelta(minutes=shift_min))
    clock = Clock(zone)
    shown = [local(moment, zone) for moment in moments]

    told = read([f"{moment:%Y-%m-%d %H:%M:%S}" for moment in shown], clock=clock)

    for moment, time, reason in zip(moments, told.times, told.reasons, strict=True):
        assert time == moment or (time is None and "occurs twice" in reason)


def local(moment: datetime, zone: str) -> datetime:
    if zone == "-03:30":
        return moment - timedelta(hours=3, minutes=30)
    return moment.replace(tzinfo=UTC).astimezone(ZoneInfo(zone) if zone else UTC).replace(tzinfo=None)


def test_the_night_in_which_clocks_go_back_is_read_whole() -> None:
    moments = every(600, 30, datetime(2022, 10, 29, 22))
    texts = [f"{local(moment, 'Europe/Berlin'):%Y-%m-%d %H:%M:%S}" for moment in moments]

    assert read(texts, clock=Clock("Europe/Berlin")).times == tuple(moments)

    untold = read(texts)  # without the site's zone the repeated hour is named
    assert untold.times[17:19] != (None, None)
    assert [("repeats an hour" in reason) for reason in untold.reasons] == [18 <= i < 24 for i in range(30)]


def test_a_single_stamp_of_the_repeated_hour_is_told_by_the_time_of_sending() -> None:
    for sent, expected in [((0, 31), (0, 30)), ((1, 31), (1, 30))]:
        received = datetime(2022, 10, 30, *sent)
        told = read(["2022-10-30 02:30:00"], clock=Clock("Europe/Berlin"), received=received)
        assert told.times == (datetime(2022, 10, 30, *expected),)

    assert "occurs twice" in read(["2022-10-30 02:30:00"], clock=Clock("Europe/Berlin")).reasons[0]


@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        ("2026-06-21 11:00:00 CEST", "", datetime(2026, 6, 21, 9)),
        ("2026-06-21 11:00:00 Europe/Berlin", "", datetime(2026, 6, 21, 9)),
        ("2026-06-21T11:00:00+02:00[Europe/Berlin]", "", datetime(2026, 6, 21, 9)),
        ("2026-06-21 05:00:00 EDT", "America/New_York", datetime(2026, 6, 21, 9)),
        ("2026-06-21 05:00:00 EDT", "", "the zone EDT is not one everywhere"),
        ("2026-06-21 05:00:00 EST", "America/New_York", "EST is not the time of America/New_York then"),
        ("2026-03-29 02:30:00", "Europe/Berlin", "does not occur in Europe/Berlin"),
    ],
)
def test_zones_that_stamps_name(text: str, zone: str, expected: datetime | str) -> None:
    told = read([text], clock=Clock(zone))

    if isinstance(expected, str):
        assert told.times == (None,)
        assert expected in told.reasons[0]
    else:
        assert told.times == (expected,)


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        ("\N{MINUS SIGN}05:00", datetime(2026, 6, 21, 14)),
        ("+2", datetime(2026, 6, 21, 7)),
        (" utc+2", datetime(2026, 6, 21, 7)),
        ("+02:00:00", datetime(2026, 6, 21, 7)),
        (" cest", datetime(2026, 6, 21, 7)),
        (" Etc/GMT-2", datetime(2026, 6, 21, 7)),
        (" Central European Summer Time", datetime(2026, 6, 21, 7)),
        (" +2", "two digits"),
        (" W. Europe Daylight Time", "W. Europe Daylight Time"),
        (" (Mitteleuropäische Sommerzeit)", "Sommerzeit"),
        ("A", "zone or half of the day"),
        (" Local", "set the site's timezone"),
        (" MYT", "set the site's timezone"),
    ],
)
def test_a_zone_written_in_any_way_is_taken_or_named_and_never_dropped(zone: str, expected: datetime | str) -> None:
    told = read([f"2026-06-21 09:00:00{zone}"])

    if isinstance(expected, str):
        assert told.times == (None,) and expected in told.reasons[0]
    else:
        assert told.times == (expected,)


@pytest.mark.parametrize("zone", ["Europe/Atlantis", "+25:00", "../etc/passwd", "CEST", "+01:75"])
def test_a_zone_that_does_not_exist_is_refused(zone: str) -> None:
    with pytest.raises(ConfigError, match="no time zone"):
        Clock(zone)


@pytest.mark.parametrize(
    "zone",
    [
        *("LT", "local time", "Ortszeit", "Sommerzeit", "heure d'été", "ora legale", "hora de verano", "(zomertijd)"),
        *("summer time", "horário de verão", "sommertid"),
    ],
)
def test_local_time_is_that_of_the_site(zone: str) -> None:
    told = read([f"2026-06-21 11:00:00 {zone}"], clock=Clock("Europe/Berlin"))

    assert told.times == (datetime(2026, 6, 21, 9),)
