"""Averages can be built from any pieces, in any order, and travel as bytes."""

from __future__ import annotations

import struct
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from erf_profiles import NOON, pieces_of, profiles_of, rows_of, steady
from hypothesis import given
from hypothesis import strategies as st

from ipdsf_spark.lidar.averages import average_bytes
from ipdsf_spark.lidar.averages.average import Average
from ipdsf_spark.lidar.averages.build import BELOW_CLOUD_M, averages_of
from ipdsf_spark.lidar.profiles import Profiles

DAY = steady(num_profiles=60, noise=0.1)


def everything() -> Profiles:
    """Sixty profiles with whatever a file may tell, and some without: gaps, clouds, a cross-polar channel, alarms."""
    rng = np.random.default_rng(3)
    beta = DAY.beta.copy()
    beta[4, 20:40] = np.nan
    beta[50:, 700:] = np.nan
    bases = np.full((60, 3), np.nan, np.float32)
    bases[::7, 0], bases[::14, 1] = 1205.0, 3000.0
    visibility = np.full(60, np.nan, np.float32)
    visibility[::9] = np.arange(7) * 10.0
    clipped = np.full(60, np.nan, np.float32)
    clipped[30:34] = 2500.0
    laser = np.where(np.arange(60) % 5 == 0, np.nan, np.arange(60.0))
    return replace(
        DAY,
        beta=beta,
        cloud_base_m=bases,
        vertical_visibility_m=visibility,
        maker_layer_height_m=np.stack([visibility + 700.0, visibility + 900.0], axis=1),
        is_fog=np.arange(60) % 11 == 0,
        is_precipitation=np.arange(60) % 13 == 0,
        tilt_deg=np.full(60, 3.0, np.float32),
        depolarisation=rng.uniform(0.0, 0.5, beta.shape).astype(np.float32),
        alarms=tuple(("dirty window",) if row == 31 else () for row in range(60)),
        health={"laser_energy_percent": laser},
        latitude_deg=48.125,
        longitude_deg=11.5625,
        altitude_m=539.0,
        identity="TUB120011",
        clipped_from_m=clipped,
    )


def pieces_of_everything(cuts: list[int]) -> list[Profiles]:
    """The profiles of `everything` cut before each of `cuts`, with what a piece has in tuples and mappings."""
    whole, found, begin = everything(), [], 0
    for piece in pieces_of(replace(whole, alarms=(), health={}), cuts):
        rows = slice(begin, begin + len(piece))
        laser = whole.health["laser_energy_percent"][rows]
        found.append(replace(piece, alarms=whole.alarms[rows], health={"laser_energy_percent": laser}))
        begin += len(piece)
    return found


def assert_all_the_same(one: Average, other: Average, *, rtol: float) -> None:
    for name in (field.name for field in fields(Average)):
        mine, theirs = getattr(one, name), getattr(other, name)
        if isinstance(mine, np.ndarray):
            np.testing.assert_allclose(mine, theirs, rtol=rtol, atol=0, err_msg=name)
        elif isinstance(mine, float):
            assert mine == pytest.approx(theirs, rel=1e-9, abs=0), name
        else:
            assert mine == theirs, name


def merged(averages: list[Average]) -> dict[int, Average]:
    found: dict[int, Average] = {}
    for average in averages:
        found[average.index] = found[average.index].merge(average) if average.index in found else average
    return found


def assert_same(one: Average, other: Average) -> None:
    assert one.index == other.index
    np.testing.assert_array_equal(one.times, other.times)
    np.testing.assert_allclose(one.mean(), other.mean(), rtol=1e-5, atol=1e-12)
    assert one.sigma_unit == pytest.approx(other.sigma_unit, rel=1e-6, abs=0)
    np.testing.assert_array_equal(one.cloud_base_m, other.cloud_base_m)
    assert (one.num_fog, one.num_precipitation, one.num_noise) == (
        other.num_fog,
        other.num_precipitation,
        other.num_noise,
    )


@given(st.lists(st.integers(1, 59), max_size=6), st.randoms())
def test_any_pieces_in_any_order_give_the_average_of_the_whole(cuts: list[int], random: object) -> None:
    whole = averages_of(DAY, 300)
    parts = [average for piece in pieces_of(DAY, cuts) for average in averages_of(piece, 300)]
    random.shuffle(parts)  # type: ignore[attr-defined]
    found = merged(parts)

    assert len(whole) == 3
    for average in whole:
        assert_same(found[average.index], average)


@given(st.lists(st.integers(1, 59), max_size=6), st.randoms())
def test_whatever_profiles_tell_is_the_same_in_the_average_of_pieces_and_of_the_whole(
    cuts: list[int], random: object
) -> None:
    parts = [average for piece in pieces_of_everything(cuts) for average in averages_of(piece, 300)]
    random.shuffle(parts)  # type: ignore[attr-defined]
    found = merged(parts)

    whole = averages_of(everything(), 300)

    assert len(found) == len(whole) == 3
    for average in whole:
        assert_all_the_same(found[average.index], average, rtol=1e-4)


def test_the_depolarisation_of_a_block_is_cross_polar_over_total_backscatter() -> None:
    made = everything()
    blocks = averages_of(made, 3600)[0]

    size = blocks.block_gates
    num = made.beta.shape[1] // size
    assert made.depolarisation is not None
    beta, ratio = (
        each[:, : num * size].reshape(60, num, size).astype(np.float64) for each in (made.beta, made.depolarisation)
    )
    is_whole = np.isfinite(beta).all(axis=2, keepdims=True)
    cross, total = (np.where(is_whole, each, 0.0).sum(axis=(0, 2)) for each in (beta * ratio, beta))

    found = blocks.block_depolarisation()
    assert found is not None
    np.testing.assert_allclose(found[:24], (cross / total)[:24], rtol=1e-4)  # above, noise makes it any number
    assert averages_of(DAY, 300)[0].block_depolarisation() is None


def test_a_tilt_that_is_not_told_counts_as_vertical() -> None:
    tilt_deg = np.full(60, 4.0, np.float32)
    tilt_deg[::2] = np.nan

    averages = averages_of(replace(DAY, tilt_deg=tilt_deg), 300)

    assert [average.tilt_deg for average in averages] == [2, 2, 2]


@given(st.lists(st.integers(1, 59), max_size=3), st.data())
def test_a_file_that_comes_twice_changes_nothing(cuts: list[int], data: st.DataObject) -> None:
    pieces = pieces_of(DAY, cuts)
    again = data.draw(st.lists(st.sampled_from(range(len(pieces))), max_size=4))
    parts = [average for piece in [*pieces, *(pieces[i] for i in again)] for average in averages_of(piece, 300)]
    once = merged([average for piece in pieces for average in averages_of(piece, 300)])
    twice = merged(parts)

    for index, average in once.items():
        np.testing.assert_array_equal(twice[index].total, average.total)
        np.testing.assert_array_equal(twice[index].times, average.times)


def test_a_file_that_has_grown_replaces_what_it_was() -> None:
    short, long = averages_of(rows_of(DAY, slice(0, 8)), 300)[0], averages_of(rows_of(DAY, slice(0, 20)), 300)[0]

    assert short.merge(long).num_profiles == long.merge(short).num_profiles == 20


def test_intervals_are_aligned_to_utc() -> None:
    late = steady(num_profiles=10, start=NOON + np.timedelta64(290, "s"))
    first, second = averages_of(late, 300)

    assert (first.num_profiles, second.num_profiles) == (1, 9)
    assert second.index * 300 == int((NOON - np.datetime64(0, "us")) / np.timedelta64(1, "s")) + 300


def test_a_profile_without_a_time_is_left_out() -> None:
    day = steady(num_profiles=6)
    day.time[2] = np.datetime64("NaT")

    assert sum(average.num_profiles for average in averages_of(day, 300)) == 5


def test_profiles_of_one_time_count_once() -> None:
    day = steady(num_profiles=6)
    day.time[3] = day.time[2]

    assert averages_of(day, 300)[0].num_profiles == 5


@pytest.mark.parametrize("num_profiles", [0, 1])
def test_a_file_of_no_or_one_profile_is_a_file(num_profiles: int) -> None:
    assert len(averages_of(rows_of(DAY, slice(0, num_profiles)), 300)) == num_profiles


def test_gates_that_most_profiles_lack_are_missing() -> None:
    beta = np.ones((4, 300))
    beta[:3, 100] = np.nan
    beta[:2, 200] = [np.nan, np.inf]
    mean = averages_of(profiles_of(beta), 300)[0].mean()

    assert np.isnan(mean[100])
    assert mean[200] == 1.0


def test_a_passing_cloud_leaves_the_clear_air_of_the_others() -> None:
    beta = np.full((20, 400), 1e-6)
    beta[5:8, 150:] = 1e-4
    bases = np.full((20, 1), np.nan, np.float32)
    bases[5:8] = 1500.0
    average = averages_of(profiles_of(beta, cloud_base_m=bases), 300)[0]

    np.testing.assert_allclose(average.mean(), 1e-6, rtol=1e-5)
    np.testing.assert_array_equal(average.cloud_base_m, [1500.0] * 3)


@pytest.mark.parametrize(("above_m", "is_cut"), [(BELOW_CLOUD_M - 6.0, True), (BELOW_CLOUD_M + 6.0, False)])
def test_a_cloud_just_above_the_last_gate_takes_the_gates_near_its_base_with_it(above_m: float, is_cut: bool) -> None:
    bases = np.full((20, 1), 3995.0 + above_m, np.float32)  # the last of 400 gates has its centre at 3995 m
    mean = averages_of(profiles_of(np.full((20, 400), 1e-6), cloud_base_m=bases), 300)[0].mean()

    assert np.isnan(mean[-1]) == is_cut
    assert np.isfinite(mean[:-11]).all()


def test_under_a_deck_the_gates_above_its_base_are_missing() -> None:
    bases = np.full((20, 1), 1500.0, np.float32)
    mean = averages_of(profiles_of(np.full((20, 400), 1e-6), cloud_base_m=bases), 300)[0].mean()

    assert np.isfinite(mean[:145]).all()
    assert np.isnan(mean[145:]).all()


def test_a_cloud_on_the_ground_counts_as_fog() -> None:
    bases = np.array([[50.0], [np.nan], [900.0], [150.0]], np.float32)
    fog = np.array([False, True, False, True])
    average = averages_of(profiles_of(np.ones((4, 300)), cloud_base_m=bases, is_fog=fog), 300)[0]

    assert average.num_fog == 3


@pytest.mark.parametrize(
    ("resolution_m", "joined_m"), [(4.8, 9.6), (5.0, 10.0), (10.0, 10.0), (15.0, 15.0), (30.0, 30.0)]
)
def test_gates_finer_than_the_wavelet_needs_are_joined(resolution_m: float, joined_m: float) -> None:
    profiles = steady(num_gates=1000, resolution_m=resolution_m)
    average = averages_of(profiles, 300)[0]

    assert average.resolution_m == pytest.approx(joined_m)
    assert average.first_m == pytest.approx(joined_m / 2)
    assert average.mean()[0] == pytest.approx(2e-6, rel=1e-3, abs=0)


def test_joining_gates_keeps_the_noise_of_the_wavelet() -> None:
    fine = averages_of(steady(num_gates=1500, resolution_m=5.0, noise=0.2), 300)[0]
    height_m = (np.arange(1500) + 0.5) * 5.0

    # the mean of two gates has less noise than one
    assert fine.sigma_unit == pytest.approx(0.2 * 2e-6 / 1500.0**2 / np.sqrt(2 * fine.num_profiles), rel=0.15, abs=0)
    assert height_m[-1] > 7000


def test_another_instrument_in_the_interval_does_not_mix() -> None:
    one = averages_of(steady(num_profiles=8), 300)[0]
    other = averages_of(steady(num_profiles=4, instrument="Lufft CHM15k"), 300)[0]

    assert one.merge(other) is one
    assert other.merge(one) is one


@pytest.mark.parametrize(
    "changes",
    [{"instrument": "Lufft CHM15k"}, {"num_gates": 700}, {"is_calibrated": False}, {"identity": "another unit"}],
    ids=lambda changes: next(iter(changes)),
)
def test_what_is_not_alike_does_not_mix_although_no_profile_is_of_the_same_time(changes: dict[str, Any]) -> None:
    (one,) = averages_of(steady(num_profiles=8), 300)
    (other,) = averages_of(steady(num_profiles=4, start=NOON + np.timedelta64(200, "s"), **changes), 300)

    assert one.merge(other) is one
    assert other.merge(one) is one


@given(st.lists(st.integers(1, 59), max_size=4))
def test_bytes_bring_back_what_was_packed(cuts: list[int]) -> None:
    bases = np.full((60, 2), np.nan, np.float32)
    bases[::7] = [1200.0, 3000.0]
    clouded = profiles_of(DAY.beta, cloud_base_m=bases)
    averages = [average for piece in pieces_of(clouded, cuts) for average in averages_of(piece, 300)]
    raw = average_bytes.pack(averages)
    back = average_bytes.unpack(raw)

    assert average_bytes.pack(back) == raw
    for one, other in zip(averages, back, strict=True):
        assert_same(one, other)
        assert one.likeness == other.likeness
    assert [index for index, _ in average_bytes.split(raw)] == [average.index for average in averages]


@pytest.mark.parametrize("interval_s", [300, 3600])
def test_bytes_bring_back_whatever_profiles_tell(interval_s: int) -> None:
    for average in averages_of(everything(), interval_s):
        assert_all_the_same(average_bytes.from_bytes(average_bytes.to_bytes(average)), average, rtol=0)
        short, raw = average_bytes.rounded(average)
        assert_all_the_same(average_bytes.from_bytes(raw), short, rtol=0)


def test_a_file_of_one_minute_is_a_few_kilobytes() -> None:
    assert len(average_bytes.pack(averages_of(rows_of(DAY, slice(0, 4)), 300))) < 5500


def test_bytes_of_another_version_or_cut_short_are_refused() -> None:
    raw = average_bytes.pack(averages_of(DAY, 300))
    other = bytearray(raw)
    struct.pack_into("<B", other, 4, 77)

    with pytest.raises(ValueError, match="version 77"):
        average_bytes.unpack(bytes(other))
    with pytest.raises(ValueError, match="are left"):
        average_bytes.unpack(raw[:-1])
    with pytest.raises(ValueError, match="its head alone"):
        average_bytes.unpack(raw + b"abc")
