"""The simulator: what a day must look like for its truth to be a truth."""

from __future__ import annotations

import dataclasses
from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipdsf_spark.lidar.signal import noise_at_unit_range
from ipdsf_spark.lidar.simulator import (
    INSTRUMENTS,
    SCENARIOS,
    DayPlan,
    Instrument,
    Spell,
    draw_plan,
    instrument_named,
    reference_plan,
    simulate,
    simulate_day,
)
from ipdsf_spark.lidar.simulator.column import molecular
from ipdsf_spark.lidar.simulator.evolution import middle_of, weather_at
from ipdsf_spark.lidar.site import Site

MUNICH = Site("munich", 48.15, 11.57, 539.0)
DAY = "2026-06-15"


def generator(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def hours(first: float, last: float, step_s: int = 60) -> np.ndarray:
    seconds = np.arange(int(first * 3600), int(last * 3600), step_s)
    return np.datetime64(DAY, "us") + seconds.astype("timedelta64[s]")


def without_ripple(name: str) -> Instrument:
    return dataclasses.replace(INSTRUMENTS[name], ripple=0.0)


def test_the_same_seed_gives_the_same_day_and_another_seed_another() -> None:
    one, same, other = (
        simulate_day(MUNICH, DAY, rng=generator(seed), scenario="mixed", cadence_s=300) for seed in (7, 7, 8)
    )

    np.testing.assert_array_equal(one.profiles.beta, same.profiles.beta)
    assert one.plan == same.plan
    assert not np.array_equal(one.true_mixing_height_m, other.true_mixing_height_m)


def test_a_window_of_a_day_is_cut_from_the_same_day() -> None:
    plan = draw_plan(generator(3), "mixed")
    whole = simulate(MUNICH, hours(0, 24), rng=generator(), plan=plan, noise=0.0)
    window = simulate(MUNICH, hours(10, 12), rng=generator(), plan=plan, noise=0.0)
    here = slice(600, 720)

    np.testing.assert_allclose(window.true_mixing_height_m, whole.true_mixing_height_m[here], rtol=1e-9)
    np.testing.assert_allclose(window.profiles.beta, whole.profiles.beta[here], rtol=1e-4)


def test_detector_noise_grows_with_range_squared() -> None:
    quiet = simulate_day(MUNICH, DAY, rng=generator(), plan=reference_plan(), noise=0.0, cadence_s=60)
    noisy = simulate_day(MUNICH, DAY, rng=generator(), plan=reference_plan(), noise=0.05, cadence_s=60)
    sigma = (noisy.profiles.beta - quiet.profiles.beta).std(axis=0)
    range_m = noisy.profiles.range_m

    near, far = np.abs(range_m - 1500).argmin(), np.abs(range_m - 6000).argmin()
    assert sigma[far] / sigma[near] == pytest.approx((range_m[far] / range_m[near]) ** 2, rel=0.1)


@pytest.mark.parametrize("relative", [0.02, 0.05, 0.10])
def test_a_relative_noise_level_is_that_of_a_five_minute_mean_at_1500_m(relative: float) -> None:
    quiet = simulate_day(MUNICH, DAY, rng=generator(), plan=reference_plan(), noise=0.0)
    noisy = simulate_day(MUNICH, DAY, rng=generator(), plan=reference_plan(), noise=relative)
    difference = (noisy.profiles.beta - quiet.profiles.beta).reshape(288, 20, -1).mean(axis=1)
    gates = np.abs(noisy.profiles.range_m - 1500.0) < 60.0

    assert difference[:, gates].std() == pytest.approx(relative * reference_plan().backscatter, rel=0.1)


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_the_genuine_noise_is_what_the_kernels_measure_at_night(name: str) -> None:
    night = simulate(MUNICH, hours(0, 2, 15), rng=generator(), plan=reference_plan(), instrument=name)

    measured = np.median(noise_at_unit_range(night.profiles.beta, night.profiles.range_m)) * 1500.0**2

    assert measured == pytest.approx(INSTRUMENTS[name].night_noise, rel=0.1)


def test_daylight_adds_noise() -> None:
    def level(first: float) -> float:
        day = simulate(MUNICH, hours(first, first + 1, 15), rng=generator(), plan=reference_plan())
        return float(np.median(noise_at_unit_range(day.profiles.beta, day.profiles.range_m)))

    assert level(11) > 1.8 * level(0)


def test_a_layer_grows_after_sunrise_stands_and_collapses_around_sunset() -> None:
    day = simulate_day(MUNICH, DAY, rng=generator(), plan=reference_plan(), cadence_s=60)
    hour = np.arange(1440) / 60.0
    height_m = day.true_mixing_height_m

    # Munich, 15 June: sunrise 03:13, sunset 19:15 UTC
    np.testing.assert_allclose(height_m[hour < 4.7], 215.0)
    assert (np.diff(height_m[(hour > 4.8) & (hour < 10.5)]) > 0).all()
    np.testing.assert_allclose(height_m[(hour > 10.8) & (hour < 18.7)], 1615.0)
    np.testing.assert_allclose(height_m[hour > 19.8], 215.0)


def test_the_steepest_drop_of_a_clear_day_is_the_true_mixing_height() -> None:
    day = simulate(MUNICH, hours(6, 18), rng=generator(), plan=reference_plan(), noise=0.0, instrument="cl31")
    flat = day.profiles.beta / INSTRUMENTS["cl31"].overlap_error()
    boundaries_m = day.instrument.edge_m[1:-1]
    height_m = day.true_mixing_height_m

    below = boundaries_m[None, :] < np.minimum(height_m[:, None] + 300.0, 1400.0)
    found_m = boundaries_m[np.where(below, np.diff(flat, axis=1), np.inf).argmin(axis=1)]

    growing = height_m < 1200.0
    np.testing.assert_allclose(found_m[growing], height_m[growing], atol=20.0)


def test_where_the_sun_does_not_rise_the_layer_stays_nocturnal() -> None:
    station = Site("eureka", 80.0, -86.0)
    day = simulate_day(station, "2026-12-21", rng=generator(), plan=DayPlan(), cadence_s=600)

    np.testing.assert_allclose(day.true_mixing_height_m, DayPlan().nocturnal_height_m)
    assert middle_of(date(2026, 12, 21), station)[1] == 0.0


def test_days_with_plans_of_their_own_join_without_a_jump() -> None:
    def plans(day: date) -> DayPlan:
        return draw_plan(np.random.default_rng(day.toordinal()), "clear")

    days = simulate(MUNICH, hours(0, 96), rng=generator(), plan=plans, noise=0.0, cadence_s=60)

    steps_m = np.abs(np.diff(days.true_mixing_height_m))
    hour = np.arange(len(steps_m)) / 60.0 % 24
    assert steps_m.max() < 60.0
    assert steps_m[(hour > 21) | (hour < 3.2)].max() < 3.0
    assert np.unique(np.round(days.true_mixing_height_m.reshape(4, 1440).max(axis=1))).size == 4


@given(
    latitude=st.floats(-90, 90),
    longitude=st.floats(-180, 180),
    day=st.dates(date(2000, 1, 1), date(2050, 12, 31)),
    scenario=st.sampled_from(sorted(SCENARIOS)),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_place_and_day_has_a_mixing_height(
    latitude: float, longitude: float, day: date, scenario: str, seed: int
) -> None:
    site = Site("anywhere", latitude, longitude)
    plan = draw_plan(generator(seed), scenario, middle_of(day, site)[1] / 3600.0)
    times = np.datetime64(day, "us") + np.arange(0, 86_400, 600).astype("timedelta64[s]")

    height_m = weather_at(times, site, lambda _: plan).mixing_height_m

    assert np.isfinite(height_m).all()
    assert (height_m > 50.0).all()
    assert (height_m < 3000.0).all()


@pytest.mark.parametrize(
    ("scenario", "mask"), [("fog", "is_fog"), ("rain", "is_rain"), ("cumulus", "is_cloud"), ("stratus", "is_cloud")]
)
def test_a_scenario_brings_its_weather_and_clear_brings_none(scenario: str, mask: str) -> None:
    with_weather = simulate_day(MUNICH, DAY, rng=generator(), scenario=scenario, cadence_s=60)
    without = simulate_day(MUNICH, DAY, rng=generator(), scenario="clear", cadence_s=60)

    assert 0.02 < getattr(with_weather, mask).mean() < 0.9
    assert not getattr(without, mask).any()


def test_a_cloud_base_is_reported_within_a_few_gates_of_the_true_one() -> None:
    day = simulate_day(MUNICH, DAY, rng=generator(), scenario="cumulus", instrument="cl51")
    seen = day.is_cloud

    assert np.isfinite(day.profiles.cloud_base_m[seen, 0]).all()
    assert np.isnan(day.profiles.cloud_base_m[~seen]).all()
    assert np.abs(day.profiles.cloud_base_m[seen, 0] - day.weather.cloud_base_m[seen]).max() < 50.0


def test_fog_is_reported_as_vertical_visibility_and_no_cloud_base() -> None:
    day = simulate_day(MUNICH, DAY, rng=generator(), scenario="fog", instrument="cl31", cadence_s=60)

    assert np.isfinite(day.profiles.vertical_visibility_m[day.is_fog]).all()
    assert np.isnan(day.profiles.cloud_base_m[day.is_fog]).all()
    assert np.isnan(day.profiles.vertical_visibility_m[~day.is_fog]).all()


def test_fog_hides_the_cloud_above_it_from_the_instrument() -> None:
    fog = Spell("fog", -12 * 3600, 12 * 3600, 0.0, 100.0, 0.03)
    cloud = Spell("liquid", -12 * 3600, 12 * 3600, 1500.0, 200.0, 0.02)
    day = simulate(MUNICH, hours(6, 7), rng=generator(), plan=DayPlan(spells=(fog, cloud)))

    assert day.is_cloud.all()
    assert np.isnan(day.profiles.cloud_base_m).all()


def test_particles_take_their_light_twice_on_the_way_up_and_down() -> None:
    plan = DayPlan(background=0.0, residual=0.0, entrainment_m=20.0)
    noon = simulate(MUNICH, hours(12, 12.1), rng=generator(), plan=plan, noise=0.0, instrument="chm15k")
    air = molecular(noon.profiles.range_m, 1064.0)
    far = np.abs(noon.profiles.range_m - 4000.0) < 100.0

    optical_depth = 50.0 * (plan.backscatter - air[0]) * plan.daytime_height_m
    np.testing.assert_allclose(
        noon.profiles.beta[:, far], np.broadcast_to(air[far] * np.exp(-2 * optical_depth), (6, far.sum())), rtol=0.03
    )


def test_only_an_instrument_that_tells_rain_tells_rain() -> None:
    by_name = {
        name: simulate_day(MUNICH, DAY, rng=generator(), scenario="rain", instrument=name, cadence_s=120)
        for name in ("cl31", "chm15k")
    }

    assert by_name["cl31"].is_rain.any()
    assert not by_name["cl31"].profiles.is_precipitation.any()
    np.testing.assert_array_equal(by_name["chm15k"].profiles.is_precipitation, by_name["chm15k"].is_rain)


def test_an_overlap_error_ripples_near_the_ground_and_fades() -> None:
    for instrument in INSTRUMENTS.values():
        error = np.abs(instrument.overlap_error() - 1.0)
        assert error[instrument.range_m < 300].max() > 0.05
        assert error[instrument.range_m > 1500].max() < 1e-3


def test_fog_hides_the_layer_above() -> None:
    fog = Spell("fog", -12 * 3600, 12 * 3600, 0.0, 150.0, 0.03)
    foggy, clear = (
        simulate(
            MUNICH,
            hours(10, 11),
            rng=generator(),
            plan=DayPlan(spells=spells),
            noise=0.0,
            instrument=without_ripple("cl31"),
        )
        for spells in ((fog,), ())
    )
    above = foggy.profiles.range_m > 200.0

    # two ways through 150 m of 0.03 m-1, of which multiple scattering gives back 30 %
    transmitted = np.exp(-2 * 0.7 * 0.03 * 150.0)
    np.testing.assert_allclose(foggy.profiles.beta[:, above], clear.profiles.beta[:, above] * transmitted, rtol=1e-3)


def test_truth_is_interpolated_to_product_times() -> None:
    day = simulate_day(MUNICH, DAY, rng=generator(), plan=reference_plan(), cadence_s=60)
    between = day.truth_time[600] + np.timedelta64(30, "s")

    expected = day.true_mixing_height_m[600:602].mean()

    assert day.truth_at(np.array([between]))[0] == pytest.approx(expected)


def test_what_cannot_be_simulated_is_refused_with_what_can() -> None:
    with pytest.raises(ValueError, match="there are clear, cumulus"):
        draw_plan(generator(), "hurricane")
    with pytest.raises(ValueError, match="did you mean 'cl51'"):
        instrument_named("cl52")
    with pytest.raises(ValueError, match="time is empty"):
        simulate(MUNICH, np.empty(0, "datetime64[us]"), rng=generator())
