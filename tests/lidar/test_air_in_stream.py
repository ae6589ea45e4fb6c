"""Air quality as an operator: hourly rows, final when the hour has ended or the site is silent."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from functools import lru_cache
from pathlib import Path

import numpy as np

from ipdsf_spark.lidar.aerosol.flags import AirFlag
from ipdsf_spark.lidar.air_quality.adapter import interval_of
from ipdsf_spark.lidar.air_quality.mass import AirSettings
from ipdsf_spark.lidar.air_quality.operator import measure
from ipdsf_spark.lidar.averages.average import Average
from ipdsf_spark.lidar.averages.build import averages_of, averages_of_all
from ipdsf_spark.lidar.instruments import decode
from ipdsf_spark.lidar.operators import News, Parameters, operator_named
from ipdsf_spark.lidar.simulator import simulate_day
from ipdsf_spark.lidar.site import Site

SITE = Site("munich", 48.1, 11.6, calibration=1.0)


@lru_cache(maxsize=1)
def clear_day() -> list[Average]:
    """Five-minute averages of a simulated day without rain."""
    rng = np.random.default_rng(1)
    day = simulate_day(SITE, date(2026, 6, 21), rng=rng, instrument="cl51", scenario="clear")
    return averages_of(day.profiles, 300)


def test_hours_of_a_day_are_final_once_and_the_last_one_when_the_site_falls_silent() -> None:
    averages = clear_day()[: 12 * 5 + 4]
    air = operator_named("air_quality", Parameters())
    state, rows = b"", []

    for average in averages:
        found, state = air.step(SITE, News(closed=[average]), state)
        rows += found
    found, state = air.step(SITE, News(is_silent=True), state)
    rows += found

    final = [row for row in rows if not row.values["provisional"]]
    hours = [row.time_us // 3_600_000_000 for row in final]
    assert len(hours) == len(set(hours)) == 6
    assert all(row.kind == "air_quality" for row in rows)
    assert all(row.values["note"].startswith("indicative") for row in rows)
    assert len(state) < 1_000
    with_value = [row.values for row in final if row.values["pm2p5_ug_m3"] is not None]
    assert all("humidity_assumed" in " ".join(values["quality"]) or values["quality"] for values in with_value)


def test_an_exchanged_instrument_begins_a_new_hour() -> None:
    first, second = clear_day()[:2]
    air = operator_named("air_quality", Parameters())
    _, state = air.step(SITE, News(closed=[first]), b"")

    rows, _ = air.step(SITE, News(closed=[second], has_new_source=True), state)

    assert rows[-1].values["num_intervals"] <= 1


def test_a_mass_whose_noise_nobody_knows_says_so() -> None:
    seen = clear_day()[0]
    air = operator_named("air_quality", Parameters())

    (known,), _ = air.step(SITE, News(closed=[seen]), b"")
    (unknown,), _ = air.step(SITE, News(closed=[replace(seen, variance=0.0, num_noise=0)]), b"")

    assert known.values["pm2p5_ug_m3"] == unknown.values["pm2p5_ug_m3"] is not None
    assert "noise_unknown" not in known.values["quality"]
    assert "noise_unknown" in unknown.values["quality"]


def test_rain_that_the_instrument_does_not_tell_is_no_particulate_matter() -> None:
    day = simulate_day(SITE, date(2026, 6, 21), rng=np.random.default_rng(3), instrument="cl51", scenario="rain")
    averages = averages_of(day.profiles, 300)
    assert not day.profiles.is_precipitation.any()  # a CL51 has no word for it
    wet = set(day.profiles.time[day.weather.is_rain].astype("datetime64[h]").astype(np.int64).tolist())
    air = operator_named("air_quality", Parameters())
    state, rows = b"", []

    for average in averages:
        found, state = air.step(SITE, News(closed=[average]), state)
        rows += [row for row in found if not row.values["provisional"]]

    inside = [row.values for row in rows if row.time_us // 3_600_000_000 in wet]
    assert inside
    assert all(values["pm2p5_ug_m3"] is None or values["pm2p5_ug_m3"] < 50.0 for values in inside)
    assert any("precipitation" in values["quality"] for values in inside)


def test_a_real_cl31_under_stratus_and_drizzle_gives_no_particle_mass(real_ceilometer_data: Path) -> None:
    """Kauniainen: before drizzle below a low base was told from haze, these profiles gave 244 µg/m³."""
    (path,) = real_ceilometer_data.rglob("kauniainen_cl31.dat")
    (average,) = averages_of_all(decode(path.read_bytes(), name=path.name).blocks, 300)
    interval = interval_of(average, SITE, interval_s=300, wavelength_nm=average.wavelength_nm)

    found, mass = measure(SITE, interval, AirSettings())

    assert mass is None
    assert found.flags & (AirFlag.DROPLETS | AirFlag.CLOUD)


def test_an_average_becomes_what_the_inversion_needs_up_to_a_kilometre_above_the_lowest_height() -> None:
    seen = clear_day()[100]
    tilted = replace(seen, tilt_sum_deg=20.0 * seen.num_profiles)
    site = replace(SITE, min_height_m=150.0)

    found = interval_of(tilted, site, interval_s=300, wavelength_nm=910.0)

    range_m = seen.first_m + seen.resolution_m * np.arange(found.height_m.size)
    assert range_m[-1] < 1150.0 <= range_m[-1] + seen.resolution_m
    assert found.start == np.datetime64("2026-06-21T08:20")
    assert found.min_height_m == 150.0
    np.testing.assert_allclose(found.height_m, range_m * np.cos(np.radians(20.0)))
    # noise of a range-corrected signal grows with the square of the range, its variance with the fourth power
    np.testing.assert_allclose(found.variance, (seen.sigma_unit * range_m**2) ** 2)
    np.testing.assert_allclose(found.beta, seen.mean()[: range_m.size])


def test_only_a_makers_own_scale_is_doubted_by_half_and_a_raw_signal_has_none() -> None:
    seen = clear_day()[0]
    uncalibrated = replace(SITE, calibration=None)

    def told(site: Site, **changed: object) -> tuple[float | None, float, bool]:
        average = replace(seen, **changed)  # type: ignore[arg-type]
        found = interval_of(average, site, interval_s=300, wavelength_nm=910.0)
        return found.calibration, found.calibration_sigma, bool(found.flags & AirFlag.FACTORY_CALIBRATION)

    assert told(SITE) == (1.0, 0.1, False)
    assert told(uncalibrated) == (1.0, 0.5, True)
    assert told(uncalibrated, instrument="Lufft CHM15k", is_calibrated=False) == (None, 0.1, False)
    assert told(replace(SITE, calibration=2.5), instrument="Lufft CHM15k", is_calibrated=False) == (2.5, 0.1, False)


def test_the_wavelength_of_the_site_goes_before_that_of_the_file_and_the_lowest_cloud_counts() -> None:
    seen = replace(clear_day()[0], cloud_base_m=np.array([800.0, 950.0], np.float32))

    of_file = interval_of(seen, SITE, interval_s=300, wavelength_nm=905.0)
    of_site = interval_of(seen, replace(SITE, wavelength_nm=910.55), interval_s=300, wavelength_nm=905.0)

    assert (of_file.wavelength_nm, of_site.wavelength_nm) == (905.0, 910.55)
    assert of_file.cloud_base_m == 800.0
