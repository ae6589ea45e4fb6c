"""Times are believed within stated bounds; what is not believed is rejected by name, one entry for each profile."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_files import profiles

from ipdsf_spark.lidar import instruments
from ipdsf_spark.lidar.instruments import lufft_chm, vaisala_cl
from ipdsf_spark.lidar.instruments.believable import Bounds, believed
from ipdsf_spark.lidar.profiles import Decoded, Time

SENT = np.datetime64("2026-06-21T12:00:00", "us")
EVERY_FIVE_MINUTES = np.datetime64("2026-06-21T09:00", "us") + np.arange(12) * np.timedelta64(300, "s")


def decoded_at(times: Time) -> Decoded:
    made = replace(profiles(len(times), 4), time=np.asarray(times, "datetime64[us]"))
    return Decoded(made.instrument, (made,), ())


def with_time(place: int, moment: str) -> Time:
    times = EVERY_FIVE_MINUTES.astype("datetime64[us]").copy()
    times[place] = np.datetime64(moment, "us")
    return times


@pytest.mark.parametrize(
    ("moment", "reason"),
    [
        ("2036-02-07", "lies 10 years after the file was sent"),
        ("2026-06-22T12:00:01", "lies 1 day after the file was sent (2026-06-21T12:00:00Z); 1 day ahead is believed"),
        ("9999-12-31T23:59:59", "after the file was sent"),
        ("1904-01-01", "lies before 1985"),
        ("1970-01-01", "lies before 1985"),
        ("0001-01-01", "lies before 1985"),
        ("2000-01-01", "lies 26 years before the file was sent"),
        ("2019-04-06", "contradicts the profiles before and after it"),
        ("2026-06-19", "contradicts the profiles before and after it"),
        ("NaT", "no time stamp"),
    ],
)
@pytest.mark.parametrize("place", [1, 6])
def test_one_time_out_of_bounds_costs_its_profile_and_no_other(moment: str, reason: str, place: int) -> None:
    found = believed(decoded_at(with_time(place, moment)), received=SENT)

    assert found.num_profiles == 11
    (stretch,) = found.rejected
    assert stretch.reason.startswith(f"profile {place + 1} of 12: ")
    assert reason in stretch.reason


@pytest.mark.parametrize("place", [0, -1])
def test_a_lone_profile_years_from_the_rest_of_its_file_contradicts_it(place: int) -> None:
    found = believed(decoded_at(with_time(place, "2019-04-06")), received=SENT)

    assert (found.num_profiles, len(found.rejected)) == (11, 1)


@pytest.mark.parametrize(
    "times",
    [
        EVERY_FIVE_MINUTES,
        EVERY_FIVE_MINUTES[::-1],  # out of order
        np.concatenate([EVERY_FIVE_MINUTES[:6] - np.timedelta64(40, "D"), EVERY_FIVE_MINUTES[6:]]),  # a pause
        with_time(11, "2026-06-22T11:00"),  # a day later, within the bound ahead
        np.array(["2015-06-18T19:54:08", "2015-06-18T00:00:40", "2015-06-18T00:01:09"], "datetime64[us]"),
        np.array(["2019-06-18", "2026-06-18"], "datetime64[us]"),  # nothing tells which is wrong
        np.array(["2007-01-01"], "datetime64[us]"),  # an archive sent late
    ],
)
def test_times_that_may_be_are_all_believed(times: Time) -> None:
    found = believed(decoded_at(times), received=SENT)

    assert (found.num_profiles, found.rejected) == (len(times), ())


@pytest.mark.parametrize("place", [1, 4, 8])
@pytest.mark.parametrize("hours", [-9, 10])
def test_a_lone_profile_hours_from_its_neighbours_contradicts_them(place: int, hours: int) -> None:
    times = with_time(place, "2026-06-21T09:30")
    times[place] += np.timedelta64(hours, "h")

    kept = believed(decoded_at(times), received=SENT)

    assert len(kept.rejected) == 1
    assert "contradicts" in kept.rejected[0].reason


def test_a_pause_of_hours_contradicts_nothing() -> None:
    times = with_time(0, "2026-06-21T04:00")

    assert believed(decoded_at(times), received=SENT).rejected == ()


def test_profiles_some_milliseconds_apart_have_a_wrong_unit() -> None:
    times = np.datetime64("2026-06-21T00:00", "us") + np.arange(10) * np.timedelta64(3_500, "us")

    kept = believed(decoded_at(times), received=SENT)

    assert kept.num_profiles == 0
    assert all("unit is wrong" in each.reason for each in kept.rejected)
    assert len(kept.rejected) == 10


def test_bounds_can_be_stated() -> None:
    decoded = decoded_at(EVERY_FIVE_MINUTES)

    assert believed(decoded, received=SENT, bounds=Bounds(behind_s=7200.0)).num_profiles == 0
    early = np.datetime64("2026-06-21T09:10", "us")
    assert believed(decoded, received=early, bounds=Bounds(ahead_s=600.0)).num_profiles == 5
    old = decoded_at(np.array(["1996-01-01"], "datetime64[us]"))
    assert believed(old, received=SENT).num_profiles == 0
    assert believed(old, received=SENT, bounds=Bounds(behind_s=0.0)).num_profiles == 1
    assert believed(old, now=SENT).num_profiles == 1  # files of an archive are as old as they are


def test_without_time_of_sending_the_present_bounds_the_future() -> None:
    decoded = decoded_at(np.array(["2030-01-01"], "datetime64[us]"))

    assert "after the file was read" in believed(decoded, now=SENT).rejected[0].reason
    assert believed(decoded).num_profiles == 1
    assert "beyond 2100" in believed(decoded_at(np.array(["2136-01-01"], "datetime64[us]"))).rejected[0].reason


@settings(max_examples=200)
@given(
    times=st.lists(
        st.integers(-(2**62), 2**62) | st.integers(1_500_000_000_000_000, 1_800_000_000_000_000), min_size=1
    ),
    received=st.none() | st.just(SENT),
)
def test_every_profile_is_kept_with_a_possible_time_or_rejected_with_a_reason(
    times: list[int], received: np.datetime64 | None
) -> None:
    found = believed(decoded_at(np.array(times, np.int64).view("datetime64[us]")), received=received)

    assert found.num_profiles + len(found.rejected) == len(times)
    for block in found.blocks:
        assert (block.time >= np.datetime64("1985-01-01")).all()
        assert (block.time <= np.datetime64("2100-01-01")).all()


def test_the_check_stands_behind_every_reader() -> None:
    made = profiles(4, 770)
    times = made.time.copy()
    times[1] = np.datetime64("2036-02-07")
    late = replace(made, time=times)
    cl31 = replace(late, instrument="Vaisala CL31", range_resolution_m=10.0)

    for raw in (lufft_chm.encode_file(late), vaisala_cl.encode_file(cl31)):
        decoded = instruments.decode(raw, now=SENT)
        assert decoded.num_profiles == 3
        assert "lies 10 years after" in decoded.rejected[0].reason
    # In a text the rejection says where the message stands.
    assert decoded.rejected[0].offset > 0


def test_the_only_profile_of_a_file_takes_the_time_of_sending_and_several_never_share_it() -> None:
    _, *one_by_one = vaisala_cl.encode_file(
        replace(profiles(2, 770), instrument="Vaisala CL31", range_resolution_m=10.0)
    ).split(b"\x01")
    messages = [b"\x01" + each[: each.index(b"\x04") + 1] + b"\r\n" for each in one_by_one]

    lone = instruments.decode(messages[0], received=SENT)
    assert [block.time.tolist() for block in lone.blocks] == [[SENT.item()]]
    both = instruments.decode(b"".join(messages), received=SENT)
    assert both.num_profiles == 0
    assert [stretch.reason for stretch in both.rejected] == ["no time stamp"] * 2


def test_a_first_profile_without_a_time_leaves_those_behind_it_their_own() -> None:
    found = believed(decoded_at(with_time(0, "NaT")), received=SENT)

    np.testing.assert_array_equal(found.blocks[0].time, EVERY_FIVE_MINUTES[1:].astype("datetime64[us]"))
    assert [each.reason for each in found.rejected] == ["profile 1 of 12: no time stamp"]
