"""What the beam meets: classes of gates and cloud bases, on profiles with a known answer and on real files."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipdsf_spark.lidar import instruments
from ipdsf_spark.lidar.averages.build import averages_of
from ipdsf_spark.lidar.operators import News, Parameters, operator_named
from ipdsf_spark.lidar.profiles import Float64, Profiles
from ipdsf_spark.lidar.site import Site
from ipdsf_spark.lidar.targets.classes import Target, TargetFlag
from ipdsf_spark.lidar.targets.column import column_of_averages, column_of_profiles
from ipdsf_spark.lidar.targets.records import classes_of, edges_of, stretches
from ipdsf_spark.lidar.targets.rules import Targets, classify

SITE = Site("anywhere", 50.0, 10.0)
GATE_M = 10.0
RANGE_M = GATE_M * (np.arange(1200) + 0.5)
NOISE = 3e-15  # at unit range


def aerosol(top_m: float = 1200.0, beta: float = 1.2e-6) -> Float64:
    return np.where(top_m > RANGE_M, beta, 2e-8)


def with_cloud(beta: Float64, base_m: float, *, peak: float = 2e-4, depth_m: float = 120.0) -> Float64:
    """A cloud that lets nothing through: its return rises within 30 m and falls exponentially."""
    inside = RANGE_M - base_m
    shape = np.minimum(np.maximum(inside, 0.0) / 30.0, 1.0) * np.exp(-np.maximum(inside - 30.0, 0.0) / (depth_m / 4.0))
    return np.where(inside > 0.0, peak * shape, beta)


def profiles_of(
    beta: Float64, *, num: int = 12, rng: int = 0, instrument: str = "Lufft CHM15k", **more: Any
) -> Profiles:
    """The same profile `num` times, 15 s apart, with the noise of a ceilometer."""
    noise = np.random.default_rng(rng).normal(0.0, NOISE, (num, beta.size)) * np.square(RANGE_M[: beta.size])
    nothing = np.full((num, 3), np.nan, np.float32)
    values: dict[str, Any] = {
        "instrument": instrument,
        "message_type": "made",
        "time": np.datetime64("2026-06-15T12:00:00", "us") + np.arange(num) * np.timedelta64(15, "s"),
        "range_m": RANGE_M[: beta.size],
        "range_resolution_m": GATE_M,
        "beta": (beta + noise).astype(np.float32),
        "is_calibrated": True,
        "wavelength_nm": 1064.0,
        "cloud_base_m": nothing,
        "vertical_visibility_m": np.full(num, np.nan, np.float32),
        "maker_layer_height_m": nothing,
        "sky_cover_octas": nothing,
        "sky_base_m": nothing,
        "is_precipitation": np.zeros(num, bool),
        "is_fog": np.zeros(num, bool),
        "tilt_deg": np.zeros(num, np.float32),
    }
    return Profiles(**(values | more))


def classes_of_profile(profiles: Profiles, site: Site = SITE, **more: Any) -> Targets:
    return classify(column_of_profiles([profiles], site, **more))


def at(targets: Targets, height_m: float, row: int = 5) -> Target:
    return Target(int(targets.classes[row, int(height_m / GATE_M)]))


def test_a_cloud_on_haze_is_liquid_above_aerosol_and_hides_what_is_above() -> None:
    targets = classes_of_profile(profiles_of(with_cloud(aerosol(), 1500.0)))

    assert at(targets, 600.0) is Target.AEROSOL
    assert at(targets, 1350.0) is Target.CLEAR
    assert at(targets, 1535.0) is Target.LIQUID
    assert {at(targets, height) for height in (2500.0, 6000.0, 11_000.0)} == {Target.ATTENUATED}


def test_clear_air_above_aerosol_is_clear_and_not_attenuated() -> None:
    targets = classes_of_profile(profiles_of(aerosol()))

    assert at(targets, 600.0) is Target.AEROSOL
    assert at(targets, 3000.0) is Target.CLEAR
    assert not np.isfinite(targets.base_m).any()


@settings(deadline=None, max_examples=25)
@given(gates=st.integers(-60, 400), instrument=st.sampled_from(["Lufft CHM15k", "Campbell CS135", "Vaisala CL51"]))
def test_a_cloud_that_is_moved_by_some_gates_has_its_base_moved_by_as_many(gates: int, instrument: str) -> None:
    clean = np.full(RANGE_M.size, 2e-8)
    here, there = (
        classes_of_profile(profiles_of(with_cloud(clean, base_m), instrument=instrument)).base_m[5]
        for base_m in (1500.0, 1500.0 + GATE_M * gates)
    )

    assert there - here == pytest.approx(GATE_M * gates, abs=3.0)


def test_the_base_of_a_lufft_is_where_the_return_begins_and_that_of_a_vaisala_lies_inside() -> None:
    beta = with_cloud(np.full(RANGE_M.size, 2e-8), 1500.0)
    lufft, vaisala = (
        classes_of_profile(profiles_of(beta, instrument=each)).base_m[5] for each in ("Lufft CHM15k", "Vaisala CL51")
    )

    assert lufft == pytest.approx(1505.0, abs=GATE_M)
    assert 1525.0 < vaisala < 1570.0


@settings(deadline=None, max_examples=25)
@given(base_m=st.floats(700.0, 4000.0))
def test_a_cl61_puts_the_base_of_high_cloud_where_the_return_has_fallen_to_two_fifths(base_m: float) -> None:
    beta = with_cloud(np.full(RANGE_M.size, 2e-8), base_m)
    fallen_m = base_m + 30.0 + 30.0 * np.log(1.0 / 0.41)

    found = classes_of_profile(profiles_of(beta, instrument="Vaisala CL61")).base_m[5]

    assert found == pytest.approx(fallen_m, abs=GATE_M)


def test_a_base_along_a_tilted_beam_is_given_vertically() -> None:
    profiles = profiles_of(with_cloud(aerosol(), 1500.0))
    tilted = classes_of_profile(dataclasses.replace(profiles, tilt_deg=np.full(12, 30.0, np.float32)))
    upright = classes_of_profile(profiles)

    assert tilted.base_m[5] == pytest.approx(upright.base_m[5] * np.cos(np.radians(30.0)), rel=1e-6)


@settings(deadline=None, max_examples=20)
@given(power=st.floats(-3.0, 3.0))
def test_a_signal_in_another_unit_gives_the_same_classes_with_its_calibration(power: float) -> None:
    beta = with_cloud(aerosol(), 1800.0)
    known = profiles_of(beta)
    other = dataclasses.replace(known, beta=(known.beta / np.float32(10.0**power)), is_calibrated=False)

    same = classes_of_profile(other, dataclasses.replace(SITE, calibration=10.0**power))
    expected = classes_of_profile(known, dataclasses.replace(SITE, calibration=1.0))

    assert np.mean(same.classes == expected.classes) > 0.999


def test_gates_that_are_added_above_change_nothing_below() -> None:
    beta = with_cloud(aerosol(), 1500.0)
    short, whole = classes_of_profile(profiles_of(beta[:800])), classes_of_profile(profiles_of(beta))

    np.testing.assert_allclose(short.base_m, whole.base_m, atol=1.0)
    assert np.mean(short.classes[:, :600] == whole.classes[:, :600]) > 0.999


def test_a_cloud_that_lets_light_through_leaves_the_layer_above_it_visible() -> None:
    thin = with_cloud(aerosol(), 1500.0, peak=4e-5, depth_m=60.0)
    thin = np.where((RANGE_M > 2500.0) & (RANGE_M < 3200.0), 1e-6, thin)
    targets = classes_of_profile(profiles_of(thin))

    assert at(targets, 1530.0) is Target.LIQUID
    assert at(targets, 2800.0) is Target.AEROSOL
    assert at(targets, 5000.0) is Target.CLEAR


def test_faint_aerosol_is_seen_in_means_over_height_and_neighbouring_profiles_and_noise_is_not() -> None:
    faint = np.where((RANGE_M > 6500.0) & (RANGE_M < 7500.0), 2.5e-7, aerosol())
    targets = classes_of_profile(profiles_of(faint, num=200, rng=3))

    layer, above = slice(655, 745), slice(765, 1200)
    assert np.mean(targets.classes[:, layer] == Target.AEROSOL) > 0.95
    assert not (targets.classes[:, above] == Target.AEROSOL).any()


def test_fog_is_seen_in_the_profile() -> None:
    fog = 3e-4 * np.exp(-RANGE_M / 25.0) + 1e-9
    targets = classes_of_profile(profiles_of(fog))

    assert at(targets, 15.0) is Target.FOG
    assert at(targets, 400.0) is Target.ATTENUATED
    assert (targets.flags & TargetFlag.FOG).all()


def test_what_a_receiver_shows_after_opaque_fog_is_not_taken_for_aerosol() -> None:
    fog = 6e-4 * np.exp(-RANGE_M / 30.0) + 8e-7 * np.exp(-(((RANGE_M - 2000.0) / 800.0) ** 2))
    targets = classes_of_profile(profiles_of(fog))

    assert at(targets, 15.0) is Target.FOG
    assert {at(targets, height) for height in (1000.0, 2000.0, 5000.0)} == {Target.ATTENUATED}


def test_fog_and_rain_that_only_the_instrument_speaks_of_are_neither() -> None:
    said = profiles_of(aerosol(), is_fog=np.ones(12, bool), is_precipitation=np.ones(12, bool))
    targets = classes_of_profile(said)

    assert not np.isin(targets.classes, [Target.FOG, Target.DRIZZLE_OR_RAIN]).any()
    assert not (targets.flags & (TargetFlag.FOG | TargetFlag.PRECIPITATION)).any()


def test_a_distortion_of_the_first_gates_is_no_fog_where_air_is_seen_above() -> None:
    targets = classes_of_profile(profiles_of(aerosol() + 5e-3 * np.exp(-RANGE_M / 8.0), instrument="Campbell CS135"))

    assert at(targets, 15.0) is Target.UNDETERMINED
    assert at(targets, 600.0) is Target.AEROSOL


def test_a_distortion_of_the_first_gates_is_no_fog_where_a_cloud_is_seen_above() -> None:
    beta = with_cloud(5e-3 * np.exp(-RANGE_M / 20.0) + 1e-9, 1800.0)
    targets = classes_of_profile(profiles_of(beta, instrument="Campbell CS135"))

    assert at(targets, 15.0) is Target.UNDETERMINED
    assert targets.base_m[5] == pytest.approx(1805.0, abs=GATE_M)


def test_a_bright_layer_that_the_beam_comes_through_is_no_liquid() -> None:
    dust = np.where((RANGE_M > 2000.0) & (RANGE_M < 2700.0), 3e-5, aerosol())
    targets = classes_of_profile(profiles_of(dust))

    assert at(targets, 2300.0) is Target.AEROSOL
    assert at(targets, 4000.0) is Target.CLEAR
    assert not np.isfinite(targets.base_m).any()


def test_rain_fills_the_column_below_its_cloud() -> None:
    rain = with_cloud(np.where(RANGE_M < 1800.0, 2e-5, 2e-8), 1800.0)
    targets = classes_of_profile(profiles_of(rain))

    assert {at(targets, height) for height in (300.0, 900.0, 1600.0)} == {Target.DRIZZLE_OR_RAIN}
    assert at(targets, 1830.0) is Target.LIQUID
    assert (targets.flags & TargetFlag.PRECIPITATION).all()


def test_a_streak_that_evaporates_below_a_cloud_is_drizzle_above_aerosol() -> None:
    streak = np.where((RANGE_M > 1200.0) & (RANGE_M < 1800.0), 1.5e-5, aerosol(1200.0, 6e-7))
    targets = classes_of_profile(profiles_of(with_cloud(streak, 1800.0)))

    assert at(targets, 1500.0) is Target.DRIZZLE_OR_RAIN
    assert at(targets, 600.0) is Target.AEROSOL


@pytest.mark.parametrize(("strength", "target"), [(2e-5, Target.DRIZZLE_OR_RAIN), (6e-6, Target.AEROSOL)])
def test_below_a_low_cloud_only_a_strong_column_is_rain(strength: float, target: Target) -> None:
    """Between 10^-5.5 and 10^-5 m-1 sr-1 it is rain below a cloud of 1.3 km and more, and haze below a lower one."""
    targets = classes_of_profile(profiles_of(with_cloud(np.where(RANGE_M < 700.0, strength, 2e-8), 700.0)))

    assert {at(targets, height) for height in (300.0, 500.0)} == {target}
    assert at(targets, 730.0) is Target.LIQUID


def test_above_rain_without_a_cloud_nothing_is_known() -> None:
    targets = classes_of_profile(profiles_of(np.where(RANGE_M < 2500.0, 1e-5, 1e-9)))

    assert {at(targets, height) for height in (300.0, 1500.0, 2400.0)} == {Target.DRIZZLE_OR_RAIN}
    assert {at(targets, height) for height in (2600.0, 5000.0, 11_000.0)} == {Target.ATTENUATED}


def test_ice_that_reaches_the_ground_is_ice_and_no_fog() -> None:
    dust = np.where(RANGE_M < 600.0, 5e-6, 2e-8)
    targets = classes_of_profile(profiles_of(dust), surface_temperature_k=245.0)

    assert {at(targets, height) for height in (15.0, 300.0, 550.0)} == {Target.ICE}
    assert not (targets.flags & TargetFlag.FOG).any()


@pytest.mark.parametrize("beside", [(4000.0, 4600.0), (4620.0, 5400.0)], ids=["below", "above"])
def test_ice_that_hangs_together_with_a_liquid_layer_does_not_take_its_gates(beside: tuple[float, float]) -> None:
    ice = np.where((beside[0] < RANGE_M) & (beside[1] > RANGE_M), 4e-6, aerosol())
    shape = 8e-5 * np.exp(-(((RANGE_M - 4600.0) / 35.0) ** 2))
    targets = classes_of_profile(profiles_of(ice + shape, instrument="Lufft CHM15k"))

    (liquid,) = (each for each in targets.clouds[5] if each.is_liquid)
    (frozen,) = (each for each in targets.clouds[5] if not each.is_liquid)
    assert frozen.last == liquid.first - 1 if beside[0] < 4600.0 else frozen.first == liquid.last + 1
    assert at(targets, 4600.0) is Target.LIQUID
    assert at(targets, sum(beside) / 2) is Target.ICE


def test_haze_that_brightens_towards_the_ground_is_no_rain() -> None:
    haze = 1e-4 * np.exp(-RANGE_M / 350.0) + 1e-8
    targets = classes_of_profile(profiles_of(with_cloud(haze, 700.0)))

    assert at(targets, 300.0) is Target.AEROSOL
    assert not (targets.flags & TargetFlag.PRECIPITATION).any()


def test_cirrus_is_ice_and_without_depolarisation_the_phase_is_said_to_be_assumed() -> None:
    cirrus = np.where((RANGE_M > 8000.0) & (RANGE_M < 9000.0), 6e-6, aerosol())
    targets = classes_of_profile(profiles_of(cirrus))

    assert at(targets, 8500.0) is Target.ICE
    assert targets.base_m[5] == pytest.approx(8000.0, abs=30.0)
    assert (targets.flags & TargetFlag.PHASE_BY_TEMPERATURE).all()
    assert at(targets, 10_000.0) is Target.CLEAR


def test_depolarisation_tells_ice_from_droplets_at_the_same_height() -> None:
    beta = with_cloud(aerosol(), 3300.0)
    found = {}
    for ratio in (0.03, 0.35):
        depolarisation = np.full((12, beta.size), ratio, np.float32)
        profiles = profiles_of(beta, instrument="Vaisala CL61", depolarisation=depolarisation)
        targets = classes_of_profile(profiles, surface_temperature_k=275.0)
        found[ratio] = at(targets, 3330.0)
        assert not (targets.flags & TargetFlag.PHASE_BY_TEMPERATURE).any()

    assert found == {0.03: Target.LIQUID, 0.35: Target.ICE}


def test_below_forty_percent_of_laser_power_depolarisation_is_not_used() -> None:
    beta = with_cloud(aerosol(), 3300.0)
    profiles = profiles_of(
        beta,
        instrument="Vaisala CL61",
        depolarisation=np.full((12, beta.size), 0.35, np.float32),
        health={"laser_energy_percent": np.full(12, 35.0)},
    )
    targets = classes_of_profile(profiles, surface_temperature_k=275.0)

    assert at(targets, 3330.0) is Target.LIQUID
    assert (targets.flags & TargetFlag.LOW_LASER).all()


def test_nothing_is_liquid_where_droplets_freeze_by_themselves() -> None:
    targets = classes_of_profile(profiles_of(with_cloud(aerosol(), 9500.0, peak=3e-4)))

    assert not (targets.classes == Target.LIQUID).any()


def test_clipped_gates_are_clipped_and_not_clear() -> None:
    beta = aerosol()
    clipped = dataclasses.replace(profiles_of(beta), clipped_from_m=np.full(12, 3000.0, np.float32))
    targets = classes_of_profile(clipped)

    assert at(targets, 2500.0) is Target.CLEAR
    assert at(targets, 3500.0) is Target.CLIPPED


def test_a_signal_without_absolute_value_gives_no_class_and_says_so() -> None:
    raw = dataclasses.replace(profiles_of(aerosol(), instrument="somebody's"), is_calibrated=False)
    targets = classes_of_profile(raw)

    assert set(np.unique(targets.classes)) == {Target.UNDETERMINED}
    assert (targets.flags & TargetFlag.NO_LEVEL).all()


def test_missing_wavelength_short_range_and_empty_profiles_are_named() -> None:
    short = profiles_of(aerosol()[:300], wavelength_nm=float("nan"))
    short.beta[3] = np.nan
    targets = classes_of_profile(short)

    assert (targets.flags & TargetFlag.NO_WAVELENGTH).all()
    assert (targets.flags & TargetFlag.SHORT_RANGE).all()
    assert targets.flags[3] & TargetFlag.NO_GATE
    assert set(np.unique(targets.classes[3])) == {Target.UNDETERMINED}


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    gates=st.integers(1, 60),
    spacing_m=st.sampled_from([4.8, 15.0, 100.0, 2000.0]),
    kind=st.sampled_from(["noise", "zeros", "holes", "huge", "constant"]),
)
def test_whatever_stands_in_a_profile_gets_a_class_and_no_exception(
    seed: int, gates: int, spacing_m: float, kind: str
) -> None:
    rng = np.random.default_rng(seed)
    beta = 10.0 ** rng.uniform(-9.0, -3.0, (4, gates)) * rng.choice([-1.0, 1.0], (4, gates), p=[0.2, 0.8])
    beta = {
        "noise": beta,
        "zeros": np.where(rng.random((4, gates)) < 0.7, 0.0, beta),
        "holes": np.where(rng.random((4, gates)) < 0.5, np.nan, beta),
        "huge": beta * 1e12,
        "constant": np.full((4, gates), 1e-6),
    }[kind]
    profiles = dataclasses.replace(
        profiles_of(aerosol()[:gates], num=4),
        beta=beta.astype(np.float32),
        range_m=spacing_m * (np.arange(gates) + 0.5),
        range_resolution_m=spacing_m,
    )
    targets = classes_of_profile(profiles)

    assert targets.classes.shape == (4, gates)
    assert np.isin(targets.classes, [int(target) for target in Target]).all()
    assert (np.isnan(targets.base_m) | (targets.base_m >= 0.0)).all()
    for name in ("targets", "calibration"):
        made = operator_named(name, Parameters())
        rows, state = made.step(SITE, News(closed=averages_of(profiles, 300)), b"")
        json.dumps([row.values for row in rows], allow_nan=False)
        made.step(SITE, News(is_silent=True), state)


def test_averages_on_their_coarse_blocks_say_the_same_as_profiles() -> None:
    profiles = profiles_of(with_cloud(aerosol(), 1500.0), num=20)
    fine = classes_of_profile(profiles)
    column = column_of_averages(averages_of(profiles, 300), SITE, interval_s=300)
    coarse = classify(column)

    assert coarse.base_m[0] == pytest.approx(fine.base_m[5], abs=50.0)
    for height_m, target in ((700.0, Target.AEROSOL), (1525.0, Target.LIQUID), (5000.0, Target.ATTENUATED)):
        block = int(np.searchsorted(edges_of(column), height_m)) - 1
        assert Target(int(coarse.classes[0, block])) is target


@given(st.lists(st.sampled_from([int(target) for target in Target]), min_size=1, max_size=60))
def test_stretches_of_equal_class_hold_all_that_the_gates_do(classes: list[int]) -> None:
    edges_m = 47.3 * np.arange(len(classes) + 1)
    found = stretches(np.array(classes, np.int8), edges_m)

    np.testing.assert_array_equal(classes_of(found, edges_m), classes)
    assert all(this[1] == following[0] for this, following in itertools.pairwise(found))


def test_the_operator_gives_a_row_for_every_complete_interval_and_remembers_nothing() -> None:
    averages = averages_of(profiles_of(with_cloud(aerosol(), 1500.0), num=60), 300)
    targets = operator_named("targets", Parameters())

    rows, state = targets.step(SITE, News(closed=averages), b"")

    assert state == b""
    assert [row.time_us for row in rows] == [average.index * 300_000_000 for average in averages]
    values = rows[0].values
    assert {name for _, _, name in values["classes"]} >= {"aerosol", "liquid", "attenuated"}
    assert values["cloud_base_m"] == pytest.approx(1505.0, abs=50.0)
    assert values["clouds"][0]["phase"] == "liquid"


def real_bases(folder: Path) -> Iterator[tuple[str, float, float, list[float]]]:
    """Instrument, gate, the instrument's lowest base and our own, of every profile that has one and a signal."""
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.suffix in {".csv", ".bi"}:
            continue
        for block in instruments.decode(path.read_bytes(), name=path.name).blocks:
            lowest = np.nanmin(
                np.where(np.isfinite(block.vertical_base_m), block.vertical_base_m, np.inf), axis=1, initial=np.inf
            )
            if not np.isfinite(lowest).any():
                continue
            column = column_of_profiles([block], SITE)
            targets = classify(column)
            for row in np.flatnonzero(np.isfinite(lowest) & np.isfinite(block.beta).any(axis=1)).tolist():
                own = [cloud.base_m * column.slant for cloud in targets.clouds[row]]
                yield block.instrument, float(block.range_m[1] - block.range_m[0]), float(lowest[row]), own


def test_own_bases_lie_within_two_gates_of_those_that_real_instruments_report(real_ceilometer_data: Path) -> None:
    found = list(real_bases(real_ceilometer_data))
    near = [any(abs(base - said) <= 2.0 * gate + 0.1 for base in own) for _, gate, said, own in found]
    lowest_near = [bool(own) and abs(own[0] - said) <= 2.0 * gate + 0.1 for _, gate, said, own in found]

    assert len(found) > 700
    assert np.mean(near) >= 0.9
    assert np.mean(lowest_near) >= 0.89
