"""A site's line on estimates that were made otherwise, and histories that no line belongs to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ipdsf_spark.lidar.aerosol.inversion import LayerExtinction
from ipdsf_spark.lidar.air_quality.making import Making
from ipdsf_spark.lidar.air_quality.mass import AirSettings, mass_of
from ipdsf_spark.lidar.air_quality.regression import SiteLine, fit_site

OSLO = Making("oslo", 1064.0, "continental", None, "gamma", 3e-12, has_humidity=True)
LINE = SiteLine(2.0, 0.5, 500, 0.6, 1.0, 0.8, 0.0, 40.0, "2026-01-01T00:00Z", "2026-03-01T00:00Z", OSLO)
HOURS = np.datetime64("2026-01-01T00", "us") + np.arange(240) * np.timedelta64(1, "h")
HAZE = LayerExtinction(20e-6, 1e-6, 8e-6, 2e-6)


def test_a_line_tells_in_its_file_what_it_was_fitted_to() -> None:
    assert SiteLine.from_json(LINE.to_json("oslo")) == LINE


@pytest.mark.parametrize("made_of", ["{}", '"x"', '{"site": "oslo"}'])
def test_a_line_that_does_not_tell_it_rightly_is_refused(made_of: str) -> None:
    text = replace(LINE, made_of=None).to_json("oslo").replace('"made_of": null', f'"made_of": {made_of}')
    with pytest.raises(ValueError, match="made_of"):
        SiteLine.from_json(text)


def test_a_line_of_before_which_does_not_tell_it_is_read() -> None:
    text = replace(LINE, made_of=None).to_json("oslo")

    assert SiteLine.from_json(text.replace(',\n  "made_of": null', "")).made_of is None


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"site": "munich"}, "site oslo, here munich"),
        ({"wavelength_nm": 910.0}, "wavelength 1064 nm, here 910 nm"),
        ({"aerosol": "dust"}, "aerosol continental, here dust"),
        ({"lidar_ratio_sr": 40.0}, "lidar ratio none, here 40"),
        ({"growth": "kappa"}, "growth gamma, here kappa"),
        ({"calibration": 4e-12}, "calibration 3e-12, here 4e-12"),
        ({"calibration": None}, "calibration 3e-12, here none"),
    ],
)
def test_what_was_made_otherwise_is_named(other: dict[str, object], said: str) -> None:
    assert OSLO.differences(replace(OSLO, **other)) == [said]  # type: ignore[arg-type]


def test_a_calibration_within_the_scatter_of_calibrations_and_humidity_make_no_other_estimate() -> None:
    assert OSLO.differences(replace(OSLO, calibration=3.2e-12, has_humidity=False)) == []


def test_an_hour_without_humidity_is_less_certain_by_a_line_that_was_fitted_with_it() -> None:
    known, unknown = (mass_of(HAZE, 1064.0, rh, AirSettings(line=LINE)) for rh in (0.7, float("nan")))

    assert known.systematic == pytest.approx(LINE.rmse)
    of_humidity = 0.35 * (unknown.value - LINE.intercept)
    assert unknown.systematic == pytest.approx(np.hypot(LINE.rmse, of_humidity))


def test_a_monitor_that_falls_where_the_estimate_rises_has_no_line(rng: np.random.Generator) -> None:
    estimate = rng.gamma(3.0, 5.0, HOURS.size)
    with pytest.raises(ValueError, match=r"fall where the estimates rise \(slope -0.4.*\)"):
        fit_site(HOURS, estimate, 30.0 - 0.4 * estimate + rng.normal(0.0, 0.1, HOURS.size))


def test_a_monitor_that_says_one_number_has_no_line(rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match="monitor says the same in all hours"):
        fit_site(HOURS, rng.gamma(3.0, 5.0, HOURS.size), np.full(HOURS.size, 10.0))
