"""Parts of a site in any pieces: the same intervals, and every profile accounted for."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipdsf_spark.lidar.averages import average_bytes
from ipdsf_spark.lidar.averages.average import Average
from ipdsf_spark.lidar.averages.build import averages_of
from ipdsf_spark.lidar.averages.intervals import MAX_STRETCHES, Added, Intervals
from ipdsf_spark.lidar.profiles import Profiles

BEGIN = np.datetime64("2021-06-15T12:00", "us")
INTERVAL_S = 60
RANGE_M = 10.0 * np.arange(1, 41) - 5.0


def profiles(seconds: Sequence[float], *, instrument: str = "Vaisala CL51") -> Profiles:
    """Profiles at these seconds after noon; their backscatter tells them apart."""
    num = len(seconds)
    time = BEGIN + np.array([round(second * 1e6) for second in seconds], "timedelta64[us]")
    beta = (1e-7 * (1.0 + np.arange(40)) * (1.0 + np.array(seconds, float)[:, None] % 997)).astype(np.float32)
    none = np.full((num, 1), np.nan, np.float32)
    return Profiles(
        instrument, "2", time, RANGE_M, 10.0, beta, True, 910.0, none, none[:, 0], none, none, none,
        np.zeros(num, bool), np.zeros(num, bool), np.zeros(num, np.float32),
    )  # fmt: skip


def parts(seconds: Sequence[float], **kwargs: str) -> list[Average]:
    return averages_of(profiles(seconds, **kwargs), INTERVAL_S)


def intervals() -> Intervals:
    return Intervals(interval_s=INTERVAL_S, reorder=2, takeover_s=600)


def running() -> Intervals:
    """Intervals of a site that has been sending: the one before noon is closed."""
    held = intervals()
    for minute in range(-300, 0, 60):
        held.add(parts([minute + s for s in (0, 15, 30, 45)]))
    return held


def accounted(added: Added) -> int:
    return added.num_used + added.num_duplicate + added.num_late + added.num_foreign


def test_an_interval_that_follows_a_closed_one_closes_as_soon_as_no_further_profile_fits() -> None:
    held = running()

    first = held.add(parts([0, 15, 30]))
    second = held.add(parts([45]))

    assert (first.closed, [average.num_profiles for average in first.open]) == ((), [3])
    assert [average.num_profiles for average in second.closed] == [4]
    assert second.open == ()


@pytest.mark.parametrize("seconds", [[15, 30, 45], [0, 15, 30], [0, 15, 45], [0, 30], [12, 27, 42]])
def test_an_interval_into_which_a_profile_fits_stays_open(seconds: list[int]) -> None:
    added = running().add(parts(seconds))

    assert added.closed == ()
    assert len(added.open) == 1


def test_an_incomplete_interval_closes_when_two_newer_ones_have_begun() -> None:
    held = intervals()
    held.add(parts([0, 15, 30]))
    held.add(parts([60]))
    held.add(parts([120]))

    added = held.add(parts([180]))

    assert [int(average.num_profiles) for average in added.closed] == [3]


def test_complete_intervals_wait_for_what_may_fill_the_gap_before_them() -> None:
    held = running()

    waiting = held.add(parts([60, 75, 90, 105]))
    done = held.add(parts([0, 15, 30, 45]))

    assert waiting.closed == ()
    assert [average.num_profiles for average in done.closed] == [4, 4]
    assert done.num_late == 0


def test_of_files_out_of_order_at_the_beginning_none_is_late() -> None:
    held = intervals()

    counts = [held.add(parts([minute + s for s in (0, 15, 30, 45)])) for minute in (60, 0, 120)]

    assert [added.num_late for added in counts] == [0, 0, 0]


def test_complete_intervals_wait_for_an_older_one_that_is_open() -> None:
    held = running()
    held.add(parts([0, 15]))

    waiting = held.add(parts([60, 75, 90, 105]))
    done = held.add(parts([30, 45]))

    assert waiting.closed == ()
    assert [average.num_profiles for average in done.closed] == [4, 4]


def test_what_came_before_is_a_duplicate_however_old_and_what_never_came_is_late() -> None:
    held = intervals()
    gap = {1200, 1215, 1230, 1245}
    for minute in range(0, 3600, 60):
        held.add(parts([minute + s for s in (0, 15, 30, 45) if minute + s not in gap]))

    again = held.add(parts([0, 15, 600, 1185]))
    missed = held.add(parts(sorted(gap)))

    assert (again.num_duplicate, again.num_late) == (4, 0)
    assert (missed.num_duplicate, missed.num_late) == (0, 4)


def test_a_second_instrument_is_foreign_until_the_first_has_fallen_silent() -> None:
    held = intervals()
    held.add(parts([0, 15, 30]))

    beside = held.add(parts([20, 35], instrument="Vaisala CL31"))
    after = held.add(parts([700, 715], instrument="Vaisala CL31"))

    assert (beside.num_foreign, beside.has_new_source) == (2, False)
    assert (after.num_foreign, after.num_used, after.has_new_source) == (0, 2, True)
    assert [average.instrument for average in after.closed] == ["Vaisala CL51"]


def test_files_that_overlap_without_containing_one_another_are_accounted_for() -> None:
    held = intervals()
    held.add(parts([0, 10, 20]))

    added = held.add(parts([20, 30, 40]))

    assert accounted(added) == 3
    assert added.num_duplicate == 1


def test_memory_is_bounded_however_many_gaps_there_are() -> None:
    held = intervals()
    for minute in range(0, 400 * 600, 600):
        held.add(parts([minute, minute + 15]))

    assert len(held.to_bytes()) < 32 * MAX_STRETCHES + 3_000


@given(st.lists(st.integers(0, 400), min_size=1, max_size=40, unique=True), st.data())
def test_every_profile_is_used_once_a_duplicate_late_or_foreign(times: list[int], data: st.DataObject) -> None:
    held, total = intervals(), 0
    for _ in range(data.draw(st.integers(1, 6))):
        chosen = sorted(data.draw(st.lists(st.sampled_from(times), min_size=1, unique=True)))
        added = held.add(parts(chosen))
        total += added.num_used
        assert accounted(added) == len(chosen)
        assert added.num_duplicate >= 0
        assert added.num_late >= 0
    assert total <= len(times)


@given(st.integers(1, 30), st.data())
def test_splitting_files_otherwise_never_changes_what_is_closed(num: int, data: st.DataObject) -> None:
    times = [15 * k for k in range(num)]
    cuts = sorted(data.draw(st.sets(st.integers(1, num), max_size=4)))
    one, other = intervals(), intervals()
    closed = [[*one.add(parts(times)).closed], []]

    for start, stop in zip([0, *cuts], [*cuts, num], strict=True):
        if stop > start:
            closed[1] += other.add(parts(times[start:stop])).closed

    assert [average.index for average in closed[0]] == [average.index for average in closed[1]]
    for mine, theirs in zip(*closed, strict=True):
        np.testing.assert_array_equal(mine.times, theirs.times)
        np.testing.assert_allclose(mine.mean(), theirs.mean(), atol=float(mine.mean().max()) / 10_000)


@given(st.lists(st.integers(0, 3600), min_size=1, max_size=30, unique=True))
def test_state_as_bytes_goes_on_where_it_stood(times: list[int]) -> None:
    held = intervals()
    half = len(times) // 2
    if half:
        held.add(parts(sorted(times[:half])))
    restored = intervals().load(held.to_bytes())

    assert restored.to_bytes() == held.to_bytes()
    one, other = held.add(parts(sorted(times[half:]))), restored.add(parts(sorted(times[half:])))
    assert accounted(one) == accounted(other)
    assert restored.to_bytes() == held.to_bytes()


def test_a_state_as_bytes_knows_the_single_instrument_and_what_was_closed() -> None:
    def of_unit(unit: str, seconds: Sequence[float]) -> list[Average]:
        return [replace(part, identity=unit) for part in parts(seconds)]

    held = intervals()
    for minute in range(0, 300, 60):
        held.add(of_unit("unit 1", [minute + s for s in (0, 15, 30, 45)]))

    restored = intervals().load(held.to_bytes())
    again, other = restored.add(of_unit("unit 1", [0, 15, 300])), restored.add(of_unit("unit 2", [305]))

    assert restored.source == ("Vaisala CL51", "unit 1")
    assert (again.num_duplicate, again.num_used, again.num_foreign) == (2, 1, 0)
    assert (other.num_foreign, other.foreign_source) == (1, ("Vaisala CL51", "unit 2"))


def test_another_instrument_is_foreign_until_the_newest_of_all_that_was_closed_is_long_past() -> None:
    held = intervals()
    for begin in (0, 500):  # two stretches, ten minutes of silence take over from the end of the second
        held.add(parts([begin, begin + 15]))
    held.close_all()

    early, late = held.add(parts([1114], instrument="Lufft CHM15k")), held.add(parts([1115], instrument="Lufft CHM15k"))

    assert (early.num_foreign, early.has_new_source) == (1, False)
    assert (late.num_used, late.has_new_source) == (1, True)


@given(st.binary(max_size=200))
def test_foreign_bytes_are_refused_by_name(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"intervals|average|buffer|decode|requires"):
        intervals().load(raw)


# --- laws of the averages ---------------------------------------------------------------------------------------------


def assert_same(one: Average, other: Average, *, rtol: float = 1e-5) -> None:
    np.testing.assert_array_equal(one.times, other.times)
    for name in ("total", "block_total", "block_square"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=rtol, atol=1e-30)
    assert (one.num_noise, one.num_fog, one.instrument) == (other.num_noise, other.num_fog, other.instrument)


@given(st.lists(st.integers(0, 59), min_size=3, max_size=20, unique=True), st.data())
def test_merging_is_associative_and_commutative(times: list[int], data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, len(times) - 1), min_size=2, max_size=2)))
    pieces = [times[: cuts[0]], times[cuts[0] : cuts[1]], times[cuts[1] :]]
    a, b, c = (parts(sorted(piece))[0] for piece in pieces)

    assert_same(a.merge(b).merge(c), a.merge(b.merge(c)))
    assert_same(a.merge(b), b.merge(a), rtol=0)
    assert_same(a.merge(b).merge(c), parts(sorted(times))[0])


@given(st.lists(st.integers(0, 59), min_size=2, max_size=20, unique=True), st.data())
def test_a_file_that_contains_another_replaces_it_in_any_order(times: list[int], data: st.DataObject) -> None:
    inner = data.draw(st.integers(1, len(times)))
    whole, part = parts(sorted(times))[0], parts(sorted(times[:inner]))[0]

    assert_same(whole.merge(part), whole, rtol=0)
    assert_same(part.merge(whole), whole, rtol=0)
    assert_same(part.merge(part), part, rtol=0)


@given(st.lists(st.integers(0, 59), min_size=1, max_size=20, unique=True))
def test_bytes_give_back_the_average_and_short_bytes_all_but_a_rounding(times: list[int]) -> None:
    average = parts(sorted(times))[0]

    assert_same(average_bytes.from_bytes(average_bytes.to_bytes(average)), average, rtol=0)
    short, raw = average_bytes.rounded(average)
    assert_same(average_bytes.from_bytes(raw), short, rtol=0)  # what is kept in hand is what its bytes give back
    assert raw == average_bytes.to_bytes(average, short=True)
    np.testing.assert_allclose(short.total, average.total, atol=float(average.total.max()) / 32_000)


def noisy() -> Average:
    """Forty gates of steady air, and above them noise as large."""
    average = parts(range(0, 300, 15))[0]
    rng = np.random.default_rng(1)
    total = np.concatenate([np.geomspace(1.0, 0.5, 320), rng.normal(0.0, 1.0, 3200)]).astype(np.float32)
    return replace(average, total=1e-5 * total)


def test_short_bytes_are_no_finer_than_the_noise_and_as_fine_as_they_can_be_where_there_is_none() -> None:
    average = noisy()

    error = average_bytes.rounded(average)[0].total - average.total

    assert 0.0 < np.abs(error[:320]).max() < 1e-5 / 2**15
    assert 0.0 < np.var(error[320:]) < 1e-3 * np.var(average.total[320:])
    assert np.count_nonzero(error[320:]) > 3000


def test_noise_takes_about_a_byte_of_a_state_and_no_two() -> None:
    average = noisy()
    raw = average_bytes.rounded(average)[1]

    assert len(zlib.compress(raw)) < 1.15 * average.total.size + 1_000


def test_short_bytes_of_the_version_before_are_read() -> None:
    """Their sums had both bytes together; the head, the times and one exponent for 32 gates stand before them."""
    average = parts(range(0, 300, 15))[0]
    kept, raw = average_bytes.rounded(average)
    groups = sum(-(-sums.size // 32) for sums in (kept.total, kept.block_total, kept.block_square))
    begin = raw.index(average.times.tobytes()) + average.times.nbytes + 2 * groups
    end = begin + 64 * groups
    pairs = np.frombuffer(raw[begin:end], np.uint8).reshape(2, -1).T.tobytes()
    before = raw[:4] + bytes([4]) + raw[5:begin] + pairs + raw[end:]

    assert_same(average_bytes.from_bytes(before), kept, rtol=0)
    assert [index for index, _ in average_bytes.split(before)] == [average.index]


def test_mean_and_variance_of_blocks_are_those_of_all_their_profiles_and_gates() -> None:
    made = profiles(range(0, 60, 3))
    average = averages_of(made, INTERVAL_S)[0]

    blocks = made.beta.reshape(20, -1, average.block_gates).astype(np.float64)

    np.testing.assert_allclose(average.block_mean(), blocks.mean(axis=(0, 2)), rtol=1e-5)
    np.testing.assert_allclose(average.block_variance(), blocks.var(axis=(0, 2)), rtol=1e-3)
    np.testing.assert_allclose(average.block_range_m, RANGE_M.reshape(-1, average.block_gates).mean(axis=1))


def test_clouds_are_cut_out_of_the_gates_and_stay_in_the_blocks() -> None:
    made = profiles([0, 15, 30, 45])
    made.cloud_base_m[1] = 200.0

    average = averages_of(made, INTERVAL_S)[0]

    assert average.missing is not None
    np.testing.assert_array_equal(average.missing, (RANGE_M > 150.0) * 1)
    assert average.block_missing is None
    np.testing.assert_array_equal(average.cloud_base_m, [200.0])


def test_a_profile_that_fits_into_a_gap_of_what_was_used_is_late_and_no_duplicate() -> None:
    held = intervals()
    for minute in range(0, 600, 60):
        held.add(parts([minute + s for s in (0, 15, 30, 45) if minute + s != 195]))

    added = held.add(parts([180, 195]))

    assert (added.num_duplicate, added.num_late) == (1, 1)


def test_state_that_knew_no_unit_takes_that_of_the_next_file_of_its_model() -> None:
    held = intervals()
    held.add(parts([0, 15, 30]))

    same = held.add([replace(part, identity="unit 0") for part in parts([45])])
    other = held.add([replace(part, identity="unit 1") for part in parts([50])])

    assert (same.num_used, same.num_foreign) == (1, 0)
    assert (other.num_used, other.num_foreign, other.foreign_source[1]) == (0, 1, "unit 1")
