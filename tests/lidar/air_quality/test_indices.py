"""US and European indices, and the NowCast, against the tables and vectors of those who define them."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipdsf_spark.lidar.air_quality.european_index import UPPER_LIMITS, european_index
from ipdsf_spark.lidar.air_quality.nowcast import nowcast
from ipdsf_spark.lidar.air_quality.us_index import INDEX_BANDS, POLLUTANTS, index_of, truncated


@pytest.mark.parametrize(
    ("pm2p5", "index"),
    [
        (0, 0), (4.5, 25), (9.0, 50), (9.05, 50), (9.1, 51), (12.0, 56), (35.4, 100), (35.49, 100), (35.5, 101),
        (55.5, 151), (100, 182), (125.4, 200), (225.4, 300), (325.4, 500), (400, 649),
    ],
)  # fmt: skip
def test_the_us_index_of_pm2p5_is_that_of_the_2024_table(pm2p5: float, index: int) -> None:
    found = index_of(pm2p5)

    assert found is not None
    assert found.value == index
    assert (found.scheme, found.version) == ("US EPA AQI", "2024-05-06")


@pytest.mark.parametrize(
    ("pm10", "index"), [(54, 50), (54.9, 50), (55, 51), (154, 100), (254.99, 150), (354, 200), (424, 300), (604, 500)]
)
def test_the_us_index_of_pm10_truncates_to_whole_micrograms(pm10: float, index: int) -> None:
    found = index_of(pm10, "pm10")

    assert found is not None and found.value == index


def test_a_float_that_missed_its_decimal_by_a_bit_keeps_its_tenth() -> None:
    # 4.6 * 10 is 45.99999999999999 in binary; as float32 4.6 it is 4.599999904
    assert truncated(4.6, Fraction(1, 10)) == Fraction(46, 10)
    assert truncated(np.float32(4.6), Fraction(1, 10)) == Fraction(46, 10)
    assert truncated(Decimal("35.49"), Fraction(1, 10)) == Fraction(354, 10)
    for tenths in range(4000):
        assert truncated(tenths / 10, Fraction(1, 10)) == Fraction(tenths, 10)


@given(st.integers(0, 6000), st.sampled_from(["pm2p5", "pm10"]))
def test_the_us_index_rises_with_concentration_and_stays_in_its_band(units: int, pollutant: str) -> None:
    step = POLLUTANTS[pollutant].step
    here, next_up = index_of(units * step, pollutant), index_of((units + 1) * step, pollutant)

    assert here is not None and next_up is not None
    assert next_up.value >= here.value
    band = [low <= units <= high for low, high in POLLUTANTS[pollutant].bands]
    if any(band):
        low, high = INDEX_BANDS[band.index(True)]
        assert low <= here.value <= high


@pytest.mark.parametrize("missing", [None, float("nan"), float("inf"), np.float32("nan")])
def test_without_a_value_there_is_no_index(missing: float | None) -> None:
    assert index_of(missing) is None
    assert european_index(missing) is None


def test_negative_noise_of_a_monitor_counts_as_zero() -> None:
    found = index_of(-3.0)

    assert found is not None and found.value == 0 and found.category == "good"


@pytest.mark.parametrize(
    ("pm2p5", "level", "name"),
    [
        (0, 1, "good"), (5, 1, "good"), (5.01, 2, "fair"), (15, 2, "fair"), (50, 3, "moderate"), (50.1, 4, "poor"),
        (90, 4, "poor"), (140, 5, "very poor"), (140.5, 6, "extremely poor"),
    ],
)  # fmt: skip
def test_a_value_on_a_boundary_belongs_to_the_lower_european_band(pm2p5: float, level: int, name: str) -> None:
    found = european_index(pm2p5)

    assert found is not None
    assert (found.level, found.name) == (level, name)
    assert "2024" in found.version


@pytest.mark.parametrize("pollutant", UPPER_LIMITS)
def test_every_european_band_can_be_reached(pollutant: str) -> None:
    levels = {found.level for value in range(400) if (found := european_index(value, pollutant))}

    assert levels == {1, 2, 3, 4, 5, 6}


def test_the_nowcast_of_the_known_twelve_hours_is_28_4() -> None:
    # oldest to newest; worked example of the R package AirMonitor, eleven hours and one missing
    hours = [34.9, 43, 50, 64.9, 69.2, 66.2, 53.7, 48.6, 49.2, 35, None, 21]
    found = nowcast(hours[::-1])

    assert found is not None
    assert float(found) == pytest.approx(28.4098, abs=5e-5)
    index = index_of(found)
    assert index is not None and (index.concentration, index.value) == (28.4, 87)


@pytest.mark.parametrize(
    ("newest_three", "is_valid"),
    [
        ((1.0, 2.0, 3.0), True), ((1.0, 2.0, None), True), ((1.0, None, 3.0), True), ((None, 2.0, 3.0), True),
        ((None, None, 3.0), False), ((1.0, None, None), False), ((None, None, None), False),
    ],
)  # fmt: skip
def test_a_nowcast_needs_two_of_the_newest_three_hours(newest_three: tuple[float | None, ...], is_valid: bool) -> None:
    assert (nowcast([*newest_three, *[5.0] * 9]) is not None) == is_valid


@given(st.integers(-50, 5000), st.integers(2, 15))
def test_the_nowcast_of_steady_air_is_exactly_that_air(tenths: int, hours: int) -> None:
    assert nowcast([tenths / 10] * hours) == Fraction(tenths, 10)


@given(st.lists(st.none() | st.integers(-20, 5000).map(lambda tenths: tenths / 10), min_size=12, max_size=20))
def test_a_nowcast_lies_between_its_hours_and_ignores_the_thirteenth(hours: list[float | None]) -> None:
    found = nowcast(hours)
    known = [value for value in hours[:12] if value is not None]

    assert found == nowcast(hours[:12])
    if found is not None:
        assert min(known) - 1e-9 <= float(found) <= max(known) + 1e-9


def test_a_quick_fall_is_followed_within_an_hour_or_two() -> None:
    # weights halve: the newest hour counts as much as all older ones together
    found = nowcast([0.0, *[100.0] * 11])

    assert found is not None
    assert float(found) == pytest.approx(50.0, abs=0.1)


def test_slow_changes_are_weighted_by_the_ratio_of_the_extremes() -> None:
    # w = 6 / 8: (6 + 3/4 * 8) / (1 + 3/4)
    assert nowcast([6.0, 8.0]) == Fraction(48, 7)
