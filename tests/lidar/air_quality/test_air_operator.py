"""The operator: hours, completeness, provisional rows, and a state that fits anywhere."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from ipdsf_spark.lidar.aerosol.flags import AirFlag
from ipdsf_spark.lidar.aerosol.inversion import attenuated_backscatter
from ipdsf_spark.lidar.aerosol.molecular import molecular_profiles
from ipdsf_spark.lidar.aerosol.near_surface import AerosolInterval
from ipdsf_spark.lidar.air_quality import records
from ipdsf_spark.lidar.air_quality.mass import AirSettings
from ipdsf_spark.lidar.air_quality.operator import AirRow, finish, measure, step
from ipdsf_spark.lidar.air_quality.us_index import index_of
from ipdsf_spark.lidar.products.plain import rounded
from ipdsf_spark.lidar.site import Site

SITE = Site("munich", 48.15, 11.57)
HEIGHT_M = (np.arange(40) + 0.5) * 10.0
AIR = molecular_profiles(1064.0, HEIGHT_M)
MIDNIGHT = np.datetime64("2026-06-15T00:00", "s")
PER_MASS = AirSettings().kind.efficiency_at(1064.0) * 1e-6  # extinction of 1 µg/m3 in dry air


def interval(number: int, mass: float = 20.0, **changed: object) -> AerosolInterval:
    """The five minutes `number` after midnight, with that mass of dry particles."""
    beta = attenuated_backscatter(np.full(HEIGHT_M.size, mass * PER_MASS), 50.0, *AIR, HEIGHT_M)
    made = AerosolInterval(
        start=MIDNIGHT + np.timedelta64(300 * number, "s"),
        beta=beta,
        variance=np.full(HEIGHT_M.size, 1e-18),
        height_m=HEIGHT_M,
        wavelength_nm=1064.0,
        relative_humidity=0.3,
    )
    return replace(made, **changed)  # type: ignore[arg-type]


def run(intervals: list[AerosolInterval], pieces: int = 1) -> list[AirRow]:
    """All final rows, the intervals given in `pieces` calls."""
    state, rows = b"", []
    for part in np.array_split(np.arange(len(intervals)), pieces):
        new, state = step(SITE, [intervals[at] for at in part], state)
        rows += new
    rows += finish(SITE, state)[0]
    return [row for row in rows if not row.flags & AirFlag.PROVISIONAL]


def test_an_hour_of_steady_air_is_that_air_with_its_indices() -> None:
    rows = run([interval(number) for number in range(36)])

    assert [str(row.time.astype("datetime64[h]")) for row in rows] == [f"2026-06-15T0{hour}" for hour in range(3)]
    assert all(row.pm2p5 == pytest.approx(20.0, abs=0.01) for row in rows)
    assert rows[0].us is None and rows[0].flags & AirFlag.NO_NOWCAST
    assert rows[2].us == index_of(20.0)
    assert rows[2].european is not None and rows[2].european.level == 3


@settings(max_examples=15, phases=(Phase.generate,))
@given(st.lists(st.integers(0, 47), unique=True, min_size=1, max_size=40), st.integers(1, 20))
def test_any_split_into_batches_gives_the_same_rows(numbers: list[int], pieces: int) -> None:
    intervals = [interval(number, mass=5.0 + number) for number in sorted(numbers)]

    whole, parts = run(intervals), run(intervals, pieces)
    assert [records.record_of(row) for row in parts] == [records.record_of(row) for row in whole]


def test_a_batch_that_comes_twice_changes_nothing() -> None:
    intervals = [interval(number) for number in range(18)]
    first, state = step(SITE, intervals, b"")
    again, same = step(SITE, intervals, state)

    assert len(first) == 2
    assert again == []
    assert same == state


@pytest.mark.parametrize(("num_valid", "has_mean"), [(12, True), (9, True), (8, False), (0, False)])
def test_an_hour_needs_three_quarters_of_its_intervals(num_valid: int, has_mean: bool) -> None:
    rainy = {"is_precipitation": True}
    (row,) = run([interval(number, **({} if number < num_valid else rainy)) for number in range(12)])

    assert (row.pm2p5 is not None) == has_mean
    assert bool(row.flags & AirFlag.INCOMPLETE) != has_mean
    assert bool(row.flags & AirFlag.PRECIPITATION) != has_mean
    assert row.num_intervals == num_valid


def test_the_open_hour_is_told_provisionally_and_then_replaced() -> None:
    rows, state = step(SITE, [interval(number) for number in range(5)], b"")
    later, _ = step(SITE, [interval(number, mass=40.0) for number in range(5, 12)], state)

    assert len(rows) == 1 and rows[0].flags & AirFlag.PROVISIONAL
    assert rows[0].pm2p5 == pytest.approx(20.0, abs=0.01)
    assert len(later) == 1 and not later[0].flags & AirFlag.PROVISIONAL
    assert later[0].time == rows[0].time
    assert later[0].pm2p5 == pytest.approx((5 * 20.0 + 7 * 40.0) / 12, abs=0.01)


def test_hours_without_data_are_missing_hours_of_the_nowcast() -> None:
    hours = [interval(number, mass=30.0) for number in range(24)]
    after_two_days = [interval(number + 12 * 48, mass=10.0) for number in range(24)]
    rows = run(hours + after_two_days)

    assert rows[1].nowcast == pytest.approx(30.0, abs=0.01)
    assert rows[2].nowcast is None
    assert rows[3].nowcast == pytest.approx(10.0, abs=0.01)


def test_the_state_stays_below_a_kilobyte_however_long_it_runs() -> None:
    state = b""
    for number in range(0, 600, 7):
        _, state = step(SITE, [interval(number)], state)
        assert len(state) < 200


@pytest.mark.parametrize("raw", [b"\x00", b"\x01short", bytes(500)])
def test_a_state_of_another_version_is_refused_by_name(raw: bytes) -> None:
    with pytest.raises(ValueError, match="version"):
        step(SITE, [], raw)


def test_an_interval_without_a_time_is_left_out() -> None:
    rows, _ = step(SITE, [interval(0, start=np.datetime64("NaT", "s"))], b"")

    assert rows == []


def test_every_record_says_what_it_is_and_csv_says_the_same() -> None:
    rows = run([interval(number) for number in range(24)])
    record = records.record_of(rows[1])

    assert record["note"] == "indicative, estimated from lidar"
    assert record["us_aqi_version"] == "2024-05-06" and "2024" in record["european_aqi_version"]
    assert record["time"] == "2026-06-15T01:00:00Z"
    assert record["completeness"] == 1.0
    assert "without_regression" in record["quality"]
    assert tuple(record) == records.CSV_COLUMNS
    assert len(records.to_csv(rows).splitlines()) == 3


def test_a_record_comes_back_as_the_row_that_it_tells() -> None:
    hours = run([interval(number) for number in range(50)])
    foggy = run([interval(number, is_fog=True) for number in range(12)])
    told = [records.record_of(row) for row in [*hours, *foggy]]

    assert [records.record_of(records.row_of(record)) for record in told] == told


def test_a_missing_mean_is_none_and_never_nan_in_a_record() -> None:
    (row,) = run([interval(number, is_fog=True) for number in range(12)])
    record = records.record_of(row)

    assert record["pm2p5_ug_m3"] is None and record["us_aqi"] is None and record["european_aqi"] is None
    assert {"fog", "incomplete", "no_nowcast"} <= set(record["quality"])
    assert not any(isinstance(value, float) and np.isnan(value) for value in record.values())


@pytest.mark.parametrize("silent_after", [14, 19, 23, 24])
def test_a_site_that_falls_silent_within_an_hour_and_goes_on_in_it_tells_the_hour_as_if_it_never_had(
    silent_after: int,
) -> None:
    mass = [10.0 + number % 7 + 10.0 * (number // 12) for number in range(48)]
    intervals = [interval(number, mass[number]) for number in range(48)]
    known: dict[np.datetime64, AirRow] = {}
    rows, state = step(SITE, intervals[:silent_after], b"")
    last, state = finish(SITE, state)
    again, state = finish(SITE, state)
    more, state = step(SITE, intervals[silent_after:], state)
    for row in [*rows, *last, *again, *more]:
        known[row.time] = row

    assert again == []
    assert [records.record_of(row) for row in known.values()] == [records.record_of(row) for row in run(intervals)]


def test_an_hour_told_when_its_site_fell_silent_is_not_told_again_when_it_goes_on_later() -> None:
    _, state = step(SITE, [interval(number) for number in range(18)], b"")
    last, state = finish(SITE, state)
    more, _ = step(SITE, [interval(number) for number in range(36, 48)], state)

    assert [row.time for row in last] == [MIDNIGHT + np.timedelta64(1, "h")]
    assert [row.time for row in more] == [MIDNIGHT + np.timedelta64(3, "h")]
    assert more[0].us is None and more[0].flags & AirFlag.NO_NOWCAST


def test_within_an_hour_noise_averages_out_and_what_is_systematic_does_not() -> None:
    noisy = [interval(number, variance=np.full(HEIGHT_M.size, 1e-14)) for number in range(12)]
    mass = measure(SITE, noisy[0], AirSettings())[1]
    assert mass is not None and mass.noise > 0.02 * mass.systematic
    rows = {num: run(noisy[12 - num :])[0] for num in (12, 9)}

    for num, row in rows.items():
        assert row.uncertainty == pytest.approx(np.sqrt(mass.noise**2 / num + mass.systematic**2), rel=1e-9)


def test_extinction_and_humidity_of_an_hour_are_means_of_the_intervals_that_have_them() -> None:
    dry, unknown, foggy = {"relative_humidity": 0.2}, {"relative_humidity": float("nan")}, {"is_fog": True}
    kinds = [dry] * 3 + [{}] * 3 + [unknown] * 4 + [foggy] * 2
    (row,) = run([interval(number, **kind) for number, kind in enumerate(kinds)])

    assert row.extinction == pytest.approx(20.0 * PER_MASS, rel=1e-6)
    assert row.relative_humidity == pytest.approx((0.2 + 0.3) / 2)
    assert (row.num_intervals, row.num_expected) == (10, 12)
    assert row.flags & AirFlag.NO_HUMIDITY and not row.flags & AirFlag.FOG


@pytest.mark.parametrize(("num_rainy", "has_mean"), [(1, True), (2, False)])
def test_an_open_hour_needs_three_quarters_of_the_intervals_that_have_passed(num_rainy: int, has_mean: bool) -> None:
    intervals = [interval(number, is_precipitation=number < num_rainy) for number in range(4)]
    (row,), _ = step(SITE, intervals, b"")

    assert row.flags & AirFlag.PROVISIONAL
    assert (row.pm2p5 is not None) == has_mean


def test_intervals_of_a_batch_may_come_in_any_order_and_those_of_the_past_are_left_out(
    rng: np.random.Generator,
) -> None:
    intervals = [interval(number, mass=5.0 + number) for number in range(24)]
    in_order, state = step(SITE, intervals, b"")
    shuffled, same = step(SITE, [intervals[at] for at in rng.permutation(24)], b"")

    assert list(map(records.record_of, shuffled)) == list(map(records.record_of, in_order))
    assert same == state
    assert step(SITE, [interval(3, mass=400.0)], state) == ([], state)


def test_the_layer_near_the_ground_ends_at_300_metres_unless_the_site_says_otherwise() -> None:
    usual, lower = (measure(SITE, interval(0), AirSettings(**top))[0] for top in ({}, {"layer_top_m": 200.0}))

    assert (usual.top_m, lower.top_m) == (295.0, 195.0)


def test_a_mass_of_nothing_below_zero_is_written_as_zero_without_a_sign() -> None:
    row = replace(run([interval(number) for number in range(36)])[0], pm2p5=-0.004, nowcast=-0.0004, extinction=-0.0)

    record = records.record_of(row)

    assert "-0.0" not in json.dumps(record)
    assert "-0.0" not in records.to_csv([row])


@pytest.mark.parametrize(("value", "digits", "told"), [(-0.04, 1, "0.0"), (-0.06, 1, "-0.1"), (0.04, 1, "0.0")])
def test_no_number_of_a_product_is_a_negative_zero(value: float, digits: int, told: str) -> None:
    assert str(rounded(value, digits)) == told
    assert rounded(float("nan"), digits) is None
