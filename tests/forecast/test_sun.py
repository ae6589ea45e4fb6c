"""The sun by formula against the ephemeris of astral."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
from astral import Observer
from astral.sun import elevation

from ipdsf_spark.forecast.sun import sun_at


def test_the_sun_stands_where_the_ephemeris_says_within_two_hundredths_of_a_degree(rng: np.random.Generator) -> None:
    for _ in range(100):
        latitude, longitude, second = rng.uniform(-65, 65), rng.uniform(-180, 180), rng.uniform(1.5e9, 1.9e9)
        stated = elevation(Observer(latitude, longitude), datetime.fromtimestamp(second, UTC), with_refraction=False)

        found = np.degrees(np.arcsin(sun_at(second, latitude, longitude).elevation_sine))

        assert abs(found - stated) < 0.02


def test_the_sun_does_not_rise_in_polar_night_and_does_not_set_in_polar_day() -> None:
    june, december = 1_781_956_800.0, 1_797_768_000.0  # 2026-06-20, 2026-12-20

    assert sun_at(june, 78.0, 15.0).half_day == np.pi
    assert sun_at(december, 78.0, 15.0).half_day == 0.0


def test_an_unknown_place_has_an_unknown_sun() -> None:
    assert np.isnan(sun_at(1.78e9, np.nan, np.nan).elevation_sine)
