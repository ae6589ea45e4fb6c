"""The diurnal ceiling follows the sun of the site, wherever the site is."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest
from astral import Observer
from astral.sun import sunrise, sunset
from hypothesis import given
from hypothesis import strategies as st

from ipdsf_spark.lidar.layers.ceiling import Ceiling, ceiling_m, course_of_day, daylight

SHAPE = Ceiling()
LATITUDES, LONGITUDES = st.floats(-90.0, 90.0), st.floats(-180.0, 180.0)


def over_a_day(day: str, latitude_deg: float, longitude_deg: float, max_height_m: float = 4000.0) -> np.ndarray:
    times = np.datetime64(day, "us") + np.arange(0, 86_400, 60).astype("timedelta64[s]")
    return ceiling_m(times, latitude_deg, longitude_deg, SHAPE, max_height_m)


@pytest.mark.parametrize("latitude_deg", [-45.0, 0.0, 30.0, 48.0, 60.0])
@pytest.mark.parametrize("day", [date(2021, 3, 20), date(2021, 6, 21), date(2021, 12, 21)])
def test_the_sun_rises_and_sets_when_the_almanac_says(latitude_deg: float, day: date) -> None:
    rise, fall = daylight(day, latitude_deg, 10.0)  # type: ignore[misc]
    place = Observer(latitude_deg, 10.0)

    assert abs(rise - sunrise(place, day).replace(tzinfo=None)) < timedelta(minutes=4)
    assert abs(fall - sunset(place, day).replace(tzinfo=None)) < timedelta(minutes=4)


@pytest.mark.parametrize("longitude_deg", range(-180, 181, 30))
@pytest.mark.parametrize("latitude_deg", [-60.0, 0.0, 48.0, 64.0])
def test_no_solar_day_of_the_year_is_lost_where_sunrise_drifts_over_midnight(
    latitude_deg: float, longitude_deg: float
) -> None:
    spans = [daylight(date(2021, 1, 1) + timedelta(days=n), latitude_deg, longitude_deg) for n in range(366)]
    middles = [begin + (end - begin) / 2 for begin, end in filter(None, spans)]

    assert len(middles) == 366
    assert all(abs(later - earlier - timedelta(days=1)) < timedelta(minutes=5) for earlier, later in pairwise(middles))


def test_the_ceiling_opens_after_sunrise_and_closes_after_sunset() -> None:
    height = over_a_day("2021-06-15", 48.15, 11.57)
    rise, fall = daylight(date(2021, 6, 15), 48.15, 11.57)  # type: ignore[misc]
    at = {name: int((moment - datetime(2021, 6, 15)).total_seconds() // 60) for name, moment in
          {"rise": rise, "fall": fall}.items()}  # fmt: skip

    assert height[at["rise"] + 58] == 800.0
    assert height[at["rise"] + 120] == pytest.approx(1400.0, abs=12.0)
    assert height[at["fall"] + 58] == 4000.0
    assert height[at["fall"] + 62] == 800.0


@given(LATITUDES, LONGITUDES, st.dates(date(2000, 1, 1), date(2050, 12, 31)), st.floats(300.0, 6000.0))
def test_anywhere_and_any_day_it_lies_between_night_and_the_site_limit(
    latitude_deg: float, longitude_deg: float, day: date, max_height_m: float
) -> None:
    height = over_a_day(day.isoformat(), latitude_deg, longitude_deg, max_height_m)

    assert (height >= min(800.0, max_height_m)).all()
    assert (height <= max_height_m).all()


@given(LATITUDES, LONGITUDES, st.dates(date(2000, 1, 1), date(2050, 12, 31)))
def test_it_rises_steadily_and_falls_at_once(latitude_deg: float, longitude_deg: float, day: date) -> None:
    steps = np.diff(over_a_day(day.isoformat(), latitude_deg, longitude_deg))

    assert (steps[steps > 0] <= SHAPE.growth_m_per_h / 60 + 1e-6).all()
    assert (steps < 0).sum() <= 2


def test_in_polar_night_it_stays_low_and_in_polar_day_it_opens_every_day() -> None:
    assert (over_a_day("2021-12-21", 78.2, 15.6) == 800.0).all()
    summer = over_a_day("2021-06-21", 78.2, 15.6)
    assert summer.min() == 800.0
    assert summer.max() == 4000.0


def test_a_low_winter_sun_lets_the_layer_grow_slowly() -> None:
    winter, summer = (over_a_day(day, 59.9, 10.7).max() for day in ("2021-12-21", "2021-06-21"))

    assert winter < 2000.0
    assert summer == 4000.0


def test_without_coordinates_there_is_no_diurnal_ceiling() -> None:
    assert (over_a_day("2021-06-21", float("nan"), 10.0) == 4000.0).all()


def test_day_begins_late_in_the_morning_and_ends_with_dusk_before_sunset() -> None:
    times = np.datetime64("2021-06-21", "us") + np.arange(288) * np.timedelta64(5, "m")
    sun = course_of_day(times, 48.15, 11.57, SHAPE, 4000.0)
    hour = (times - times[0]) / np.timedelta64(1, "h")
    rise, fall = daylight(date(2021, 6, 21), 48.15, 11.57)

    assert not (sun.is_day & sun.is_dusk).any()
    assert hour[sun.is_day].min() == pytest.approx(rise.hour + rise.minute / 60 + 0.8 * 8.05, abs=0.15)
    assert hour[sun.is_dusk].min() == pytest.approx(fall.hour + fall.minute / 60 - 1.0, abs=0.1)
    assert hour[sun.is_dusk].max() == pytest.approx(fall.hour + fall.minute / 60 + 1.0, abs=0.1)


def test_an_unknown_place_has_no_dusk() -> None:
    sun = course_of_day(np.array(["2021-06-21T19:00"], "datetime64[us]"), np.nan, np.nan, SHAPE, 4000.0)

    assert (sun.ceiling_m[0], sun.is_dusk[0], sun.is_day[0]) == (4000.0, False, True)
