"""Laws of the tracker: however the data comes, the final heights are the same; nothing is made up."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from erf_profiles import MUNICH, NOON, erf_profile, pieces_of, profiles_of, rows_of, steady
from hypothesis import given, settings
from hypothesis import strategies as st
from streamed_site import StreamedSite

from ipdsf_spark.lidar.averages.build import averages_of
from ipdsf_spark.lidar.layers.layer_tracker import LayerTracker
from ipdsf_spark.lidar.layers.mixing_height import Layers, LayerSettings, retrieve
from ipdsf_spark.lidar.products.quality import Quality
from ipdsf_spark.lidar.profiles import Profiles
from ipdsf_spark.lidar.site import Site

SETTINGS = LayerSettings(lag_s=1800, reset_gap_s=1800)
HEIGHT_M = (np.arange(500) + 0.5) * 10.0


def growing(hours: float = 2.0, cadence_s: float = 60.0) -> Profiles:
    """A layer that grows from 600 m by 300 m/h under a residual layer at 1.8 km, with noise and a passing cloud."""
    num = round(hours * 3600 / cadence_s)
    tops_m = 600.0 + 300.0 * np.arange(num) * cadence_s / 3600
    beta = np.stack([erf_profile(HEIGHT_M, top_m, above=6e-7) for top_m in tops_m])
    beta += erf_profile(HEIGHT_M, 1800.0, below=4e-7, above=0.0)[None, :]
    beta += 2e-8 * np.random.default_rng(3).standard_normal(beta.shape) * (HEIGHT_M / 1000) ** 2
    bases = np.full((num, 1), np.nan, np.float32)
    bases[num // 2 : num // 2 + 4] = 950.0
    beta[num // 2 : num // 2 + 4, 95:] = 5e-5
    return profiles_of(beta, cadence_s=cadence_s, cloud_base_m=bases)


DAY = growing()
MORNING = profiles_of(  # 01:00 to 06:00 UTC: a nocturnal layer that hardly grows, and a strong drop at 1.3 km
    np.tile(erf_profile(HEIGHT_M, 400.0, below=1e-6, above=0.0) + erf_profile(HEIGHT_M, 1300.0, below=1e-6), (300, 1)),
    start=np.datetime64("2021-06-15T01:00", "us"),
    cadence_s=60.0,
)
WHOLE = retrieve([DAY], MUNICH, SETTINGS)


def final_of(parts: Iterable[Layers]) -> Layers:
    """Final rows, in time order; no time may be final twice."""
    layers = Layers.concatenate(list(parts))
    rows = np.flatnonzero(~layers.provisional)
    assert len(np.unique(layers.time[rows])) == len(rows)
    rows = rows[np.argsort(layers.time[rows])]
    return Layers(*(getattr(layers, name)[rows] for name in Layers.__dataclass_fields__))


def streamed(batches: Iterable[list[Profiles]], site: Site = MUNICH, settings: LayerSettings = SETTINGS) -> Layers:
    """Final heights of batches of files; the site goes through bytes after each."""
    held = StreamedSite(site, settings)
    parts = [held.take(batch) for batch in batches]
    return final_of([*parts, held.fall_silent()])


QUANTUM_M = 0.25  # tops are kept in quarters of a metre: other sums of the same profiles may fall on the next one


def assert_same(one: Layers, other: Layers, *, tolerance: float = 1e-3) -> None:
    np.testing.assert_array_equal(one.time, other.time)
    np.testing.assert_allclose(one.mixing_height_m, other.mixing_height_m, atol=tolerance)
    # The spread of neighbouring tops, each on the next quarter, stands in the uncertainty as well.
    np.testing.assert_allclose(one.uncertainty_m, other.uncertainty_m, rtol=5e-3, atol=4 * tolerance)
    np.testing.assert_array_equal(one.quality, other.quality)
    np.testing.assert_array_equal(one.num_profiles, other.num_profiles)


def test_the_growing_layer_is_followed() -> None:
    hours = (WHOLE.time - NOON) / np.timedelta64(1, "h")
    error_m = WHOLE.mixing_height_m - (600.0 + 300.0 * hours)

    assert len(WHOLE) == 24
    assert np.sqrt(np.nanmean(error_m**2)) < 30.0
    assert np.isfinite(error_m).mean() > 0.95


@settings(max_examples=25)
@given(st.lists(st.integers(1, len(DAY) - 1), max_size=30), st.data())
def test_any_split_into_files_and_batches_gives_the_final_heights_of_the_whole(
    cuts: list[int], data: st.DataObject
) -> None:
    files = pieces_of(DAY, cuts)
    ends = data.draw(st.lists(st.integers(1, len(files)), max_size=8))
    bounds = [0, *sorted(set(ends)), len(files)]
    batches = [files[a:b] for a, b in itertools.pairwise(bounds)]

    assert_same(streamed(batches), WHOLE, tolerance=QUANTUM_M)


@settings(max_examples=15)
@given(st.lists(st.integers(1, 39), max_size=6))
def test_the_same_files_in_any_batches_give_the_very_same_final_heights(ends: list[int]) -> None:
    files = pieces_of(DAY, range(3, len(DAY), 3))
    bounds = [0, *sorted(set(ends)), len(files)]

    assert_same(
        streamed(files[a:b] for a, b in itertools.pairwise(bounds)), streamed([file] for file in files), tolerance=0.0
    )


@settings(max_examples=15)
@given(st.lists(st.integers(1, 23), max_size=6))
def test_closed_intervals_in_any_batches_give_the_final_heights_of_the_whole(ends: list[int]) -> None:
    averages = averages_of(DAY, SETTINGS.averaging_s)
    raw, parts = LayerTracker(MUNICH, SETTINGS).to_bytes(), []
    for start, stop in itertools.pairwise([0, *sorted(set(ends)), len(averages)]):
        tracker = LayerTracker.from_bytes(raw, MUNICH, SETTINGS)
        parts.append(tracker.step(averages[start:stop], ()))
        raw = tracker.to_bytes()

    assert_same(final_of([*parts, LayerTracker.from_bytes(raw, MUNICH, SETTINGS).flush()]), WHOLE)


@settings(max_examples=15)
@given(cuts=st.lists(st.integers(1, 299), max_size=12))
def test_a_morning_under_a_residual_layer_is_the_same_in_any_pieces(cuts: list[int]) -> None:
    whole = retrieve([MORNING], MUNICH, SETTINGS)
    layers = streamed([piece] for piece in pieces_of(MORNING, cuts))

    assert np.nanmax(whole.mixing_height_m) < 1000.0  # the ceiling opens past the residual layer at 05:12
    assert_same(layers, whole, tolerance=QUANTUM_M)


@settings(max_examples=15)
@given(st.data())
def test_files_that_come_twice_change_nothing(data: st.DataObject) -> None:
    files = pieces_of(DAY, range(4, len(DAY), 4))
    again = data.draw(st.lists(st.integers(0, len(files) - 1), max_size=6))
    batches = []
    for at, file in enumerate(files):
        batches.append([file])
        batches += [[files[old]] for old in again if old == at or old == at - 1]

    assert_same(streamed(batches), WHOLE, tolerance=QUANTUM_M)


@settings(max_examples=15)
@given(st.randoms())
def test_files_out_of_order_within_the_window_are_merged(random: Any) -> None:
    files = pieces_of(DAY, range(5, len(DAY), 5))
    jumbled = sorted(range(len(files)), key=lambda at: at + random.uniform(0.0, 1.9))

    assert_same(streamed([[files[at]] for at in jumbled]), WHOLE, tolerance=QUANTUM_M)


@settings(max_examples=15)
@given(st.integers(0, len(DAY)))
def test_bytes_bring_back_the_tracker(stop: int) -> None:
    held = StreamedSite(MUNICH, SETTINGS)
    held.take([rows_of(DAY, slice(0, stop))])
    _, raw = held.raw
    back = LayerTracker.from_bytes(raw, MUNICH, SETTINGS)

    assert back.to_bytes() == raw
    assert_same(final_of([back.flush()]), final_of([LayerTracker.from_bytes(raw, MUNICH, SETTINGS).flush()]))


def test_what_the_stream_holds_of_a_site_is_compact() -> None:
    held = StreamedSite(MUNICH)
    sizes = []
    for file in pieces_of(steady(num_profiles=800), range(4, 800, 4)):
        held.take([file])
        sizes.append(sum(map(len, held.raw)))

    assert max(sizes) < 8_000


def test_state_of_another_version_grid_or_length_is_refused() -> None:
    raw = LayerTracker(MUNICH, SETTINGS).to_bytes()

    with pytest.raises(ValueError, match="version 99"):
        LayerTracker.from_bytes(b"\x63" + raw[1:], MUNICH, SETTINGS)
    with pytest.raises(ValueError, match="height nodes"):
        LayerTracker.from_bytes(raw, Site("other", 48.0, 11.0, max_height_m=2000.0), SETTINGS)
    with pytest.raises(ValueError, match="its head says"):
        LayerTracker.from_bytes(raw + b"x", MUNICH, SETTINGS)
    with pytest.raises(ValueError, match="0 bytes"):
        LayerTracker.from_bytes(b"", MUNICH, SETTINGS)


def test_a_provisional_height_comes_with_the_first_profile_and_is_replaced_at_the_lag() -> None:
    held = StreamedSite(MUNICH, SETTINGS)
    first = held.take([rows_of(DAY, slice(0, 1))])
    told: dict[np.datetime64, list[bool]] = {}
    for file in pieces_of(rows_of(DAY, slice(1, None)), range(4, len(DAY), 4)):
        layers = held.take([file])
        for time, provisional, quality in zip(layers.time, layers.provisional, layers.quality, strict=True):
            told.setdefault(time, []).append(bool(provisional))
            assert bool(quality & Quality.PROVISIONAL) == bool(provisional)

    assert list(first.provisional) == [True]
    assert first.mixing_height_m[0] == pytest.approx(600.0, abs=60.0)
    finals = [time for time, flags in told.items() if not all(flags)]
    # Once a chain has begun, an interval closes with its last profile.
    assert len(finals) == 24 - SETTINGS.lag_intervals
    for flags in told.values():
        assert flags == sorted(flags, reverse=True)  # provisional first, final last, and never back


def test_every_interval_of_a_backlog_gets_a_height_at_once() -> None:
    layers = StreamedSite(MUNICH, SETTINGS).take([DAY])

    assert len(np.unique(layers.time)) == 24


@settings(max_examples=10)
@given(st.integers(31, 240))
def test_a_silent_sites_heights_become_final_and_what_follows_is_as_after_any_gap(gap_min: int) -> None:
    pause = np.timedelta64(gap_min, "m")
    after = dataclasses.replace(DAY, time=DAY.time + (DAY.time[-1] - DAY.time[0]) + pause)
    whole = retrieve([DAY, after], MUNICH, SETTINGS)

    held = StreamedSite(MUNICH, SETTINGS)
    parts = [held.take([piece]) for piece in pieces_of(DAY, [40, 80])]
    flushed = held.fall_silent()
    assert len(flushed) > 0
    assert not flushed.provisional.any()
    assert len(held.fall_silent()) == 0
    held.take([DAY])
    assert (held.added.num_late, held.added.num_duplicate) == (0, len(DAY))  # they have been used: nothing is lost
    parts += [flushed, held.take([after])]

    assert_same(final_of([*parts, held.fall_silent()]), whole, tolerance=QUANTUM_M)


def test_late_profiles_are_counted_and_change_nothing() -> None:
    held = StreamedSite(MUNICH, SETTINGS)
    held.take([rows_of(DAY, slice(8, None))])
    before = held.raw

    layers = held.take([rows_of(DAY, slice(0, 4))])

    assert (len(layers), held.added.num_late) == (0, 4)
    assert held.raw == before


def test_a_repeated_file_is_not_late() -> None:
    held = StreamedSite(MUNICH, SETTINGS)
    files = pieces_of(DAY, range(5, len(DAY), 5))
    for file in files:
        held.take([file])

    for file in files[-6:]:
        held.take([file])
        assert (held.added.num_late, held.added.num_duplicate) == (0, len(file))


def test_after_a_long_gap_the_path_starts_anew() -> None:
    morning = steady(900.0, num_profiles=60, cadence_s=60.0)
    evening = steady(2100.0, num_profiles=60, cadence_s=60.0, start=NOON + np.timedelta64(4, "h"))
    alone = retrieve([evening], MUNICH, SETTINGS)
    after = retrieve([morning, evening], MUNICH, SETTINGS)

    assert_same(final_of([after]), final_of([retrieve([morning], MUNICH, SETTINGS), alone]))
    assert not (after.quality & Quality.GAP_FILLED).any()
    assert_same(streamed([[morning], [evening]]), after, tolerance=QUANTUM_M)


def test_over_a_short_gap_the_path_is_carried_and_says_so() -> None:
    first = steady(900.0, num_profiles=20, cadence_s=60.0)
    second = steady(1000.0, num_profiles=20, cadence_s=60.0, start=NOON + np.timedelta64(40, "m"))
    layers = retrieve([first, second], MUNICH, SETTINGS)

    assert [bool(quality & Quality.GAP_FILLED) for quality in layers.quality] == [False] * 4 + [True] + [False] * 3


@given(st.integers(-6, 6), st.floats(800.0, 1800.0))
def test_a_layer_shifted_by_gates_is_found_shifted_by_gates(gates: int, top_m: float) -> None:
    here, there = (retrieve([steady(m, num_profiles=4, num_gates=500)], MUNICH) for m in (top_m, top_m + 10 * gates))

    assert there.mixing_height_m[0] - here.mixing_height_m[0] == pytest.approx(10.0 * gates, abs=0.1)


@given(st.floats(0.05, 1.5))
def test_scaled_backscatter_has_the_same_heights(scale: float) -> None:
    scaled = dataclasses.replace(DAY, beta=(DAY.beta * np.float32(scale)))

    # a weak signal stands less out of what the electronics leave in it, so that its edges count less beside the path
    np.testing.assert_allclose(retrieve([scaled], MUNICH, SETTINGS).mixing_height_m, WHOLE.mixing_height_m, atol=5.0)


def test_clear_gates_above_change_nothing() -> None:
    taller = np.pad(DAY.beta, ((0, 0), (0, 300)), constant_values=6e-7)
    far = dataclasses.replace(DAY, beta=taller, range_m=(np.arange(800) + 0.5) * 10.0)
    layers = retrieve([far], MUNICH, SETTINGS)

    np.testing.assert_allclose(layers.mixing_height_m, WHOLE.mixing_height_m, atol=1.0)


@given(st.integers(30, 280), st.integers(5, 60))
def test_a_height_never_lies_in_missing_gates(first: int, num: int) -> None:
    profiles = steady(1200.0, num_profiles=4, num_gates=500)
    profiles.beta[:, first : first + num] = np.nan
    layers = retrieve([profiles], MUNICH)

    for height_m in [*layers.mixing_height_m, *layers.candidates_m.ravel()]:
        assert not first * 10.0 < height_m < (first + num) * 10.0


@pytest.mark.parametrize("cadence_s", [3.0, 15.0, 65.0])
@pytest.mark.parametrize(("instrument", "gates", "resolution_m"), [("Vaisala CL61", 3276, 4.8), ("Vaisala CL31", 385, 20.0), ("Lufft CHM15k", 511, 30.0)])  # fmt: skip  # noqa: E501
def test_any_gates_and_cadence_give_the_height(
    cadence_s: float, instrument: str, gates: int, resolution_m: float
) -> None:
    num = round(900 / cadence_s)
    profiles = steady(
        1200.0, num_profiles=num, num_gates=gates, resolution_m=resolution_m, cadence_s=cadence_s,
        instrument=instrument, noise=0.05,
    )  # fmt: skip
    layers = retrieve([profiles], MUNICH)

    np.testing.assert_allclose(layers.mixing_height_m, 1200.0, atol=30.0)


def test_a_tilted_beam_gives_the_vertical_height() -> None:
    tilted = steady(1200.0 / np.cos(np.radians(15.0)), tilt_deg=np.full(80, 15.0, np.float32))

    np.testing.assert_allclose(retrieve([tilted], MUNICH).mixing_height_m, 1200.0, atol=12.0)


@pytest.mark.parametrize("gates", [1, 2, 8, 30])
def test_too_few_gates_give_no_height_and_no_error(gates: int) -> None:
    layers = retrieve([steady(num_gates=gates)], MUNICH)

    assert np.isnan(layers.mixing_height_m).all()


def test_a_profile_of_noise_gives_no_height() -> None:
    draws = np.random.default_rng(0).standard_normal((240, 770)) * 1e-5 * ((np.arange(770) + 0.5) / 150) ** 2
    layers = retrieve([profiles_of(draws)], MUNICH)

    assert np.isnan(layers.mixing_height_m).mean() > 0.9
    silent = np.isnan(layers.mixing_height_m)
    assert (layers.quality[silent] & int(Quality.LOW_SNR | Quality.NEAR_RANGE_EDGE) > 0).all()


def test_every_missing_height_says_why_and_every_height_its_uncertainty() -> None:
    reasons = int(
        Quality.FOG | Quality.PRECIPITATION | Quality.LOW_SNR | Quality.NEAR_RANGE_EDGE | Quality.AMBIGUOUS
        | Quality.RESIDUAL_LAYER | Quality.NO_EDGE
    )  # fmt: skip
    has_height = np.isfinite(WHOLE.mixing_height_m)

    assert (WHOLE.quality[~has_height] & reasons > 0).all()
    assert (np.isfinite(WHOLE.uncertainty_m) == has_height).all()
    assert (WHOLE.uncertainty_m[has_height] >= 15.0).all()


def test_rain_that_the_instrument_reports_gives_a_flag_and_no_height() -> None:
    layers = retrieve([steady(is_precipitation=np.ones(80, bool))], MUNICH)

    assert np.isnan(layers.mixing_height_m).all()
    assert (layers.quality & Quality.PRECIPITATION > 0).all()


def test_fog_needs_evidence_in_the_profile_and_not_a_lone_visibility() -> None:
    said = np.ones(80, bool)
    alone = retrieve([steady(is_fog=said, vertical_visibility_m=np.full(80, 150.0, np.float32))], MUNICH)
    thick = steady(is_fog=said)
    thick.beta[:] = np.where((np.arange(770) + 0.5) * 10.0 < 150.0, 2e-5, 1e-9)
    seen = retrieve([thick], MUNICH)

    np.testing.assert_allclose(alone.mixing_height_m, 1200.0, atol=20.0)
    assert not (alone.quality & Quality.FOG).any()
    assert np.isnan(seen.mixing_height_m).all()
    assert (seen.quality & Quality.FOG > 0).all()


def test_rain_as_bright_as_fog_is_rain_alone_unless_the_instrument_says_fog() -> None:
    bright = profiles_of(np.full((80, 500), 5e-5))
    rain = retrieve([bright], MUNICH)
    both = retrieve([dataclasses.replace(bright, is_fog=np.ones(80, bool))], MUNICH)

    assert (rain.quality & (Quality.FOG | Quality.PRECIPITATION) == Quality.PRECIPITATION).all()
    assert (both.quality & Quality.FOG > 0).all()


def test_an_elevated_plume_above_clean_air_is_not_the_mixing_layer() -> None:
    height_m = (np.arange(500) + 0.5) * 10.0
    plume = erf_profile(height_m, 900.0) + 4e-6 * np.exp(-(((height_m - 2500.0) / 200.0) ** 2))
    layers = retrieve([profiles_of(np.tile(plume, (40, 1)))], MUNICH)

    np.testing.assert_allclose(layers.mixing_height_m, 900.0, atol=20.0)
    assert (np.abs(layers.candidates_m - 2670.0) < 100.0).any()


def test_a_layer_too_low_to_be_seen_gives_no_height_rather_than_the_residual_layer() -> None:
    height_m = (np.arange(500) + 0.5) * 10.0
    night = erf_profile(height_m, 90.0, below=3e-6, above=0.0, s_m=40.0) + erf_profile(height_m, 1500.0, below=1e-6)
    midnight = np.datetime64("2021-06-15T00:00", "us")
    layers = retrieve([profiles_of(np.tile(night, (40, 1)), start=midnight)], MUNICH)

    assert np.isnan(layers.mixing_height_m).all()
    np.testing.assert_allclose(np.nanmax(layers.candidates_m, axis=1), 1500.0, atol=20.0)


def test_a_deck_on_a_mixed_layer_caps_it_at_its_base() -> None:
    beta = np.full((80, 500), 2e-6)
    beta[:, 120:] = 1e-4
    layers = retrieve([profiles_of(beta, cloud_base_m=np.full((80, 1), 1200.0, np.float32))], MUNICH)

    np.testing.assert_allclose(layers.mixing_height_m, 1200.0, atol=1.0)
    assert (layers.quality & Quality.CLOUD_CAPPED > 0).all()
    assert (layers.uncertainty_m >= 100.0).all()


@pytest.mark.parametrize(("cloudy", "is_told"), [(1, False), (10, True)])
def test_at_night_nothing_is_said_to_lie_below_a_deck_on_air_like_the_grounds(cloudy: int, is_told: bool) -> None:
    beta = np.full((120, 500), 2e-6)
    beta[::cloudy, 60:] = 1e-4
    deck_m = np.full((120, 1), np.nan, np.float32)
    deck_m[::cloudy] = 600.0
    midnight = np.datetime64("2021-06-15T00:00", "us")
    layers = retrieve([profiles_of(beta, start=midnight, cloud_base_m=deck_m)], MUNICH)

    assert np.isnan(layers.mixing_height_m).all()
    assert np.isfinite(layers.below_m).any() == is_told  # what cools at the cloud's top may mix down to the ground
    assert is_told or (layers.quality & Quality.AMBIGUOUS > 0).all()


def test_a_cloud_over_clean_air_is_no_layer_top() -> None:
    height_m = (np.arange(500) + 0.5) * 10.0
    beta = np.tile(erf_profile(height_m, 800.0, above=1e-7), (80, 1))
    beta[:, 280:] = 1e-4
    layers = retrieve([profiles_of(beta, cloud_base_m=np.full((80, 1), 2800.0, np.float32))], MUNICH)

    np.testing.assert_allclose(layers.mixing_height_m, 800.0, atol=20.0)


def test_a_site_without_coordinates_says_so() -> None:
    layers = retrieve([steady()], Site("nowhere", float("nan"), float("nan")))

    assert (layers.quality & Quality.NO_SUN > 0).all()
    np.testing.assert_allclose(layers.mixing_height_m, 1200.0, atol=20.0)


def test_raw_signal_of_an_instrument_says_so_unless_the_site_knows_its_calibration() -> None:
    raw = steady(instrument="Lufft CHM15k", is_calibrated=False)
    raw = dataclasses.replace(raw, beta=raw.beta / np.float32(3e-12))
    known = dataclasses.replace(MUNICH, calibration=3e-12)

    assert (retrieve([raw], MUNICH).quality & Quality.UNCALIBRATED > 0).all()
    assert not (retrieve([raw], known).quality & Quality.UNCALIBRATED).any()
    np.testing.assert_allclose(retrieve([raw], known).mixing_height_m, 1200.0, atol=20.0)


def test_a_change_of_gates_within_the_day_is_no_interruption() -> None:
    coarse = steady(1200.0, num_profiles=40, num_gates=250, resolution_m=20.0)
    fine = steady(1200.0, num_profiles=40, start=NOON + np.timedelta64(10, "m"))
    layers = retrieve([coarse, fine], MUNICH)

    assert len(layers) == 4
    np.testing.assert_allclose(layers.mixing_height_m, 1200.0, atol=20.0)


def test_no_profiles_give_no_layers() -> None:
    held = StreamedSite(MUNICH)

    assert len(retrieve([], MUNICH)) == len(held.take([])) == len(held.fall_silent()) == 0
