"""Years of a simulated network, and what is seen of them."""

from __future__ import annotations

from datetime import date

import numpy as np

from ipdsf_spark.forecast.network_years import FIRST_YEAR, simulated_series
from ipdsf_spark.forecast.observation import measured_tables, observe
from ipdsf_spark.forecast.series import FOG, RAIN
from ipdsf_spark.forecast.simulated import CHUNK_DAYS, SitePlans, draw_site, site_years
from ipdsf_spark.lidar.site import Site

SITE = Site("munich", 48.1, 11.6)


def test_a_site_depends_on_the_seed_and_its_number_alone() -> None:
    many, one = simulated_series(3, range(4), FIRST_YEAR, 4), simulated_series(3, range(2, 3), FIRST_YEAR, 4)

    np.testing.assert_array_equal(many.target_m[:, 2], one.target_m[:, 0])
    np.testing.assert_array_equal(many.observed.height_m[:, 2], one.observed.height_m[:, 0])
    assert many.sites[2] == one.sites[0]


def test_days_follow_one_another_without_a_seam() -> None:
    years = site_years(SITE, date(2023, 5, 1), 2 * CHUNK_DAYS, np.random.default_rng(1))
    step_m = np.abs(np.diff(years.height_m))
    seam = CHUNK_DAYS * 288 - 1

    assert step_m[seam] <= np.percentile(step_m, 99.9)


def test_a_day_resembles_the_day_before() -> None:
    pairs = []
    for seed in range(12):
        plans = SitePlans(SITE, date(2023, 6, 1), np.random.default_rng(seed))
        tops = np.log([plans(date(2023, 6, day)).daytime_height_m for day in range(1, 29)])
        pairs.append(np.corrcoef(tops[1:], tops[:-1])[0, 1])

    assert np.mean(pairs) > 0.15


def test_nothing_is_seen_in_rain_and_fog_and_the_reason_is_told(rng: np.random.Generator) -> None:
    years = site_years(draw_site(rng, 1), date(2023, 10, 1), 60, rng)

    seen = observe(years, measured_tables(), rng)

    hidden = (years.rain | years.fog) & seen.has_data
    assert hidden.any()
    assert np.isnan(seen.height_m[years.rain | years.fog]).all()
    assert ((seen.flags[hidden] & (RAIN | FOG)) > 0).all()


def test_what_is_seen_is_near_the_truth_but_for_rare_mistakes(rng: np.random.Generator) -> None:
    years = site_years(SITE, date(2023, 4, 1), 60, rng)

    error_m = observe(years, measured_tables(), rng).height_m - years.height_m

    assert 0.4 < np.isfinite(error_m).mean() < 0.95
    assert np.nanmedian(np.abs(error_m)) < 60.0
