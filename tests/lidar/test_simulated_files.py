"""Simulated instruments write genuine files: what their readers give back is what was simulated."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from ipdsf_spark.lidar.instruments import decode
from ipdsf_spark.lidar.simulator import INSTRUMENTS, FileBank, SimulatedDay, simulate, simulate_day
from ipdsf_spark.lidar.site import Site

MUNICH = Site("munich", 48.15, 11.57, 539.0)
DAY = "2026-06-15"


@cache
def mixed_day(name: str) -> SimulatedDay:
    return simulate_day(MUNICH, DAY, rng=np.random.default_rng(2), scenario="mixed", instrument=name, cadence_s=60)


def stored_beta(day: SimulatedDay, beta: np.ndarray) -> np.ndarray:
    """Backscatter of a decoded file in m-1 sr-1."""
    return beta * (day.instrument.calibration or 1.0)


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_a_file_gives_back_the_profiles_it_was_written_from(name: str) -> None:
    times = np.datetime64(f"{DAY}T12:00", "us") + np.arange(0, 300, 15).astype("timedelta64[s]")
    day = simulate(MUNICH, times, rng=np.random.default_rng(5), scenario="stratus", instrument=name)

    decoded = decode(day.instrument.encode(day.profiles))
    block = decoded.blocks[0]

    assert decoded.instrument == day.instrument.name
    assert decoded.rejected == ()
    np.testing.assert_array_equal(block.time, times)
    np.testing.assert_allclose(block.range_m, day.profiles.range_m, atol=0.01)
    np.testing.assert_allclose(stored_beta(day, block.beta), day.profiles.beta, rtol=1e-5, atol=1.1e-8)
    np.testing.assert_allclose(block.cloud_base_m[:, 0], day.profiles.cloud_base_m[:, 0], atol=1.0)


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_a_file_of_the_bank_is_stamped_for_its_site_and_time(name: str) -> None:
    bank = FileBank([mixed_day(name)], minutes=5)

    file = bank.file("station-7", 0, np.datetime64("2027-03-01T13:42:10"))
    block = decode(file.raw).blocks[0]

    assert file.start == np.datetime64("2027-03-01T13:40")
    assert block.time[0] == file.start
    assert block.time[-1] == file.start + np.timedelta64(4, "m")
    assert "station-7" in file.name


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_stamping_anew_changes_nothing_but_the_times(name: str) -> None:
    bank = FileBank([mixed_day(name)], minutes=5)
    ours = decode(bank.file("a", 0, np.datetime64(f"{DAY}T12:00")).raw).blocks[0]
    dealt = decode(bank.file("a", 0, np.datetime64("2030-01-01T12:00")).raw).blocks[0]

    np.testing.assert_array_equal(ours.beta, dealt.beta)
    np.testing.assert_array_equal(ours.cloud_base_m, dealt.cloud_base_m)
    assert (dealt.time - ours.time == np.datetime64("2030-01-01") - np.datetime64(DAY)).all()


def test_a_day_of_files_holds_every_profile_of_the_day_once() -> None:
    day = mixed_day("cl31")
    bank = FileBank([day], minutes=30)
    starts = np.datetime64(DAY, "us") + (30 * np.arange(48)).astype("timedelta64[m]")

    times = np.concatenate([decode(bank.file("a", 0, start).raw).blocks[0].time for start in starts])

    np.testing.assert_array_equal(times, day.profiles.time)


def test_sites_of_a_bank_play_its_days_in_turn() -> None:
    days = [mixed_day("cl31"), mixed_day("chm15k")]
    bank = FileBank(days, minutes=5)

    assert [bank.day_of(number) for number in range(4)] == days * 2


@pytest.mark.parametrize("minutes", [0, 7, 1441])
def test_a_bank_refuses_files_that_do_not_fill_a_day(minutes: int) -> None:
    with pytest.raises(ValueError, match="whole part of a day"):
        FileBank([mixed_day("cl31")], minutes=minutes)
