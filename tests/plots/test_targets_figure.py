"""The curtain of classes and the factor by day: drawn for any gates, gaps and lengths, and never for nothing."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from ipdsf_spark.lidar.instruments.netcdf import rows
from ipdsf_spark.lidar.operators import Row
from ipdsf_spark.lidar.profiles import Profiles
from ipdsf_spark.lidar.simulator import simulate_day
from ipdsf_spark.lidar.site import Site
from ipdsf_spark.lidar.targets.series import series_of_profiles
from ipdsf_spark.plots.calibration import calibration_figure
from ipdsf_spark.plots.targets import COLORS, targets_figure

SITE = Site("munich", 48.1, 11.6, calibration=1.0)


@pytest.fixture(scope="module")
def profiles() -> Profiles:
    """Two hours of a simulated CL51."""
    day = simulate_day(SITE, date(2026, 6, 21), rng=np.random.default_rng(1), instrument="cl51", scenario="clear")
    return rows(day.profiles, np.arange(len(day.profiles)) < 240)


@pytest.mark.parametrize("top_m", [500.0, 4000.0, 40_000.0])
def test_classes_are_drawn_to_any_height(profiles: Profiles, top_m: float) -> None:
    (series,) = series_of_profiles([profiles], SITE)
    drawn = targets_figure([profiles], series, site="munich", top_m=top_m)

    above, below = drawn.axes[0], drawn.axes[1]
    assert below.get_ylim() == above.get_ylim() == (0.0, top_m)
    drawn.canvas.draw()


def test_a_gap_is_left_open_and_a_single_profile_is_drawn(profiles: Profiles) -> None:
    kept = np.ones(len(profiles), bool)
    kept[60:200] = False
    broken = rows(profiles, kept)
    (series,) = series_of_profiles([broken], SITE)
    (one,) = series_of_profiles([rows(profiles, np.arange(len(profiles)) == 3)], SITE)

    assert len(targets_figure([broken], series, site="munich", top_m=3000.0).axes[1].collections) == 2
    assert len(targets_figure([broken], one, site="munich", top_m=3000.0).axes[1].collections) == 1


def test_every_class_has_a_colour_of_its_own() -> None:
    assert len(set(COLORS.values())) == len(COLORS) == 9


def test_days_that_gave_no_factor_are_the_axis_and_say_why() -> None:
    values = dict.fromkeys(("factor", "sigma", "day_factor", "day_sigma", "mean_90_days"))
    told = values | {"alarm": False, "quality": ["no_suitable_cloud", "no_clear_night", "young"]}
    drawn = calibration_figure([Row("calibration", 86_400_000_000 * day, told) for day in (20_000, 20_001)], title="x")
    (axes,) = drawn.axes

    assert axes.get_xlim() == (20_000.0, 20_002.0)
    assert [text.get_text() for text in axes.texts] == ["no day gave a factor: no suitable cloud, no clear night"]
    assert not axes.get_yticks().size


def test_a_factor_of_a_single_day_is_drawn_by_its_date_and_its_power_of_ten_stands_in_the_label() -> None:
    values = {"factor": 2.3e-12, "sigma": 0.1, "day_factor": 2.3e-12, "day_sigma": 0.1, "mean_90_days": 2.3e-12}
    told = values | {"alarm": False, "quality": ["young"]}
    drawn = calibration_figure([Row("calibration", 86_400_000_000 * 20_625, told)], title="x")
    (axes,) = drawn.axes
    drawn.canvas.draw()

    assert [label.get_text() for label in axes.get_xticklabels()] == ["21 Jun 2026"]
    assert "10$^{-12}$" in axes.get_ylabel()
    assert axes.get_ylim()[0] < 2.3 < axes.get_ylim()[1]
    assert axes.yaxis.get_offset_text().get_text() == ""


def test_the_factor_is_drawn_with_days_that_have_none_and_alarms() -> None:
    values = {
        "factor": 1.5,
        "sigma": 0.05,
        "day_factor": None,
        "day_sigma": None,
        "mean_90_days": 1.4,
        "alarm": True,
        "quality": [],
    }
    drawn = calibration_figure([Row("calibration", 86_400_000_000 * day, values) for day in range(5)], title="munich")

    legend = drawn.axes[0].get_legend()
    assert legend is not None
    assert "alarm" in {text.get_text() for text in legend.get_texts()}
    drawn.canvas.draw()
    with pytest.raises(ValueError, match="no day to draw"):
        calibration_figure([], title="munich")
