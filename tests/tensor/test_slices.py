"""Slices by event time: the network's clock is a quorum of its sites, and nothing grows without bound."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipdsf_spark.tensor.slices import AHEAD, IN_TIME, LATE, TOO_MANY, Row, Slices

SITES = ("a", "b", "c", "d", "e", "f", "g", "h", "i", "j")


def row(value: float = 0.0) -> Row:
    return Row(np.full(3, value, np.float32), "CL51")


def fed(slices: Slices, indices: range, sites: tuple[str, ...] = SITES) -> list[int]:
    """Numbers of the slices that came due while all sites sent these."""
    found = []
    for index in indices:
        for site in sites:
            slices.add(index, site, row(index), slices.clock())
        found += [taken.index for taken in slices.due()]
    return found


def test_a_slice_is_given_once_when_the_clock_is_far_enough_past_it() -> None:
    slices = Slices(wait=2)

    assert fed(slices, range(10)) == list(range(8))
    assert list(slices.open) == [8, 9]


def test_sites_stand_in_the_order_of_their_names_with_their_own_values() -> None:
    slices = Slices(wait=0)
    for number, site in enumerate(("b", "c", "a")):
        slices.add(7, site, row(number), None)

    (taken,) = slices.due()

    assert taken.sites == ["a", "b", "c"]
    assert taken.values[:, 0].tolist() == [2.0, 0.0, 1.0]


def test_one_wrong_clock_neither_closes_the_slices_of_the_others_nor_holds_them_open() -> None:
    slices = Slices(wait=2)
    fed(slices, range(10))

    assert slices.add(100_000, "b", row(), slices.clock()) == AHEAD
    assert list(slices.due()) == []
    assert fed(slices, range(10, 14)) == [8, 9, 10, 11]
    assert slices.add(3, "c", row(), slices.clock()) == LATE


@pytest.mark.parametrize("num", [3, 4, 10])
@pytest.mark.parametrize("off", [100_000, -100_000])
def test_one_wrong_clock_does_not_make_the_others_silent_where_rows_come_one_by_one(num: int, off: int) -> None:
    slices, sizes = Slices(wait=2), {}
    fed(slices, range(4), SITES[:num])
    for index in range(4, 400):
        for site in SITES[:num]:
            slices.add(index + off * (site == "b"), site, row(index), slices.clock())
            sizes |= {taken.index: len(taken.sites) for taken in slices.due()}

    assert list(sizes) == list(range(2, 398))
    assert [num_sites for index, num_sites in sizes.items() if index > 5] == [num - 1] * 392


def test_a_clock_that_leaps_again_and_again_does_not_make_others_silent_that_send_once_an_hour() -> None:
    slices, sizes = Slices(wait=14), {}
    for index in range(0, 600, 12):
        for site in ("a", "c", "d", "e"):
            for at in range(index, index + 12):
                slices.add(at, site, row(), slices.clock())
            sizes |= {taken.index: len(taken.sites) for taken in slices.due()}
        for at in range(index + 1, index + 13):
            slices.add(at * 1000, "b", row(), slices.clock())
            list(slices.due())

    assert set(sizes.values()) == {4}


def test_a_site_that_sends_what_it_kept_for_weeks_does_not_hold_the_clock_back() -> None:
    slices = Slices(wait=2)
    fed(slices, range(10_000, 10_010))
    fed(slices, range(10_010, 10_400), ("a",))

    for index in range(4_000, 4_100):
        for site in SITES[1:]:
            assert slices.add(index, site, row(), slices.clock()) == LATE
        assert slices.add(index + 6_400, "a", row(), slices.clock()) == IN_TIME
        list(slices.due())

    assert slices.last == 10_497


def test_what_is_known_of_the_clocks_survives_a_restart_and_states_of_before_are_read() -> None:
    slices, again, older = Slices(), Slices(), Slices()
    fed(slices, range(500), SITES[:4])
    slices.add(9_000, "b", row(), slices.clock())
    again.load_plain(slices.to_plain())
    older.load_plain({"newest": dict(slices.newest)})

    assert (again.newest, again.walked, again.heard, again.pace) == (
        slices.newest, slices.walked, slices.heard, slices.pace,
    )  # fmt: skip
    older.add(500, "a", row(), older.clock())
    list(older.due())
    assert set(older.newest) == set(SITES[:4])


def test_a_network_of_which_most_sites_have_gone_goes_on() -> None:
    slices = Slices(wait=2, forget=20)
    fed(slices, range(10))

    given_alone = fed(slices, range(10, 60), ("a",))

    # Until the others are forgotten the clock waits for a quorum; what came meanwhile is no more than `ahead` slices.
    assert given_alone[-1] == 57
    assert len(slices.open) <= slices.wait + slices.ahead
    assert set(slices.newest) == {"a"}


def test_a_gap_of_the_whole_network_gives_no_slices() -> None:
    slices = Slices(wait=1)

    assert fed(slices, range(5)) == [0, 1, 2, 3]
    assert fed(slices, range(500, 503)) == [4, 500, 501]


def test_a_site_too_many_is_refused_and_no_other() -> None:
    slices = Slices(most_sites=2)

    assert [slices.add(1, site, row(), None) for site in ("a", "b", "c", "a")] == [IN_TIME, IN_TIME, TOO_MANY, IN_TIME]


@given(
    rows=st.lists(st.tuples(st.integers(-(2**40), 2**40), st.sampled_from(SITES)), max_size=60),
    wait=st.integers(0, 5),
)
def test_slices_come_in_order_and_once_whatever_the_clocks_say(rows: list[tuple[int, str]], wait: int) -> None:
    slices, seen = Slices(wait=wait), []
    for index, site in rows:
        slices.add(index, site, row(), slices.clock())
        seen += [taken.index for taken in slices.due()]

    assert seen == sorted(set(seen))


@pytest.mark.parametrize("until", [3, 20])
def test_slices_newer_than_the_slowest_partition_wait(until: int) -> None:
    slices = Slices(wait=2)
    for index in range(10):
        for site in SITES:
            slices.add(index, site, row(), None)

    assert [taken.index for taken in slices.due(until)] == list(range(min(until + 1, 8)))
