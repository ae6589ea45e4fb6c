"""The picture of air quality shows its uncertainty whole, and says why there is nothing to show."""

from __future__ import annotations

import numpy as np

from ipdsf_spark.lidar.aerosol.flags import AirFlag
from ipdsf_spark.lidar.air_quality.operator import AirRow
from ipdsf_spark.plots.air_quality import air_figure


def row(hour: int, mass: float | None, sigma: float, flags: int = 0) -> AirRow:
    time = np.datetime64("2026-06-21T00", "us") + np.timedelta64(hour, "h")
    nothing = float("nan")
    return AirRow("oslo", time, mass, sigma, nothing, nothing, 12, 12, None, None, None, AirFlag(flags))


def test_the_band_of_one_sigma_is_not_cut_off() -> None:
    mass = air_figure([row(0, 10.0, 7.0), row(1, 12.0, 8.0)], title="oslo").axes[0]

    assert mass.get_ylim()[1] > 20.0


def test_one_wild_sigma_does_not_decide_the_scale() -> None:
    mass = air_figure([row(0, 10.0, 7.0), row(1, 12.0, 800.0)], title="oslo").axes[0]

    assert mass.get_ylim()[1] < 30.0


def test_hours_without_a_mean_say_why() -> None:
    mass = air_figure(
        [
            row(0, None, float("nan"), AirFlag.UNCALIBRATED | AirFlag.INCOMPLETE),
            row(1, None, float("nan"), AirFlag.FOG),
        ],
        title="oslo",
    ).axes[0]

    assert [text.get_text() for text in mass.texts] == ["no hour has a mean: uncalibrated, fog"]
    assert not mass.get_yticks().size


def test_the_last_time_lies_within_the_picture() -> None:
    drawn = air_figure([row(hour, 10.0, 2.0) for hour in range(24)], title="oslo")
    drawn.canvas.draw()
    labels = [label for label in drawn.axes[1].get_xticklabels() if label.get_text()]

    assert labels[-1].get_window_extent().x1 <= drawn.bbox.x1
