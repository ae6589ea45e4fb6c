"""Pictures from records alone: what the stream publishes comes back as the columns that pictures are drawn from."""

from __future__ import annotations

from datetime import date
from functools import cache
from typing import Any

import numpy as np
import pytest

from ipdsf_spark.archive.averages import row_of as average_record
from ipdsf_spark.forecast.foretold import fan_of_records
from ipdsf_spark.lidar.averages.average import Average
from ipdsf_spark.lidar.averages.build import averages_of
from ipdsf_spark.lidar.edges.lines import lines_of, lines_of_records, newest_rows
from ipdsf_spark.lidar.edges.records import record_of
from ipdsf_spark.lidar.edges.settings import EdgeSettings
from ipdsf_spark.lidar.edges.tracker import EdgeTracker
from ipdsf_spark.lidar.instruments.netcdf import rows
from ipdsf_spark.lidar.profiles import Profiles
from ipdsf_spark.lidar.simulator import simulate_day
from ipdsf_spark.lidar.site import Site
from ipdsf_spark.lidar.targets.series import series_of_averages, series_of_records
from ipdsf_spark.plots.network_course import alarm_spans, network_course
from ipdsf_spark.plots.raster import raster, raster_of_averages

SITE = Site("munich", 48.1, 11.6, calibration=1.0)


@cache
def profiles() -> Profiles:
    """Four morning hours of a simulated CL51, a profile a minute."""
    day = simulate_day(
        SITE, date(2026, 6, 21), rng=np.random.default_rng(1), instrument="cl51", scenario="mixed", cadence_s=60.0
    )
    hour = (day.profiles.time - day.profiles.time[0]) / np.timedelta64(1, "h")
    return rows(day.profiles, (hour >= 8) & (hour < 12))


@cache
def averages() -> list[Average]:
    return averages_of(profiles(), 300)


def test_classes_come_back_from_their_records() -> None:
    (known,) = series_of_averages(averages(), SITE, interval_s=300, with_records=True)
    records = [record | {"time": f"{time}Z"} for record, time in zip(known.records, known.time, strict=True)]

    found = series_of_records(records, instrument=known.instrument)

    middle_m = (known.edges_m[1:] + known.edges_m[:-1]) / 2
    at = np.searchsorted(found.edges_m, middle_m, side="right") - 1
    np.testing.assert_array_equal(found.classes[:, at], known.classes)
    np.testing.assert_array_equal(found.time, known.time)
    np.testing.assert_array_equal(found.flags, known.flags)
    np.testing.assert_allclose(found.base_m, known.base_m, atol=0.05)


def test_edges_come_back_from_their_records() -> None:
    tracker = EdgeTracker(SITE, EdgeSettings())
    kept = newest_rows([*tracker.step(averages()), *tracker.flush()])

    known = lines_of(kept, 300)
    found = lines_of_records(record_of("munich", row, 300) for row in kept)

    assert [(line.id, line.sign, len(line.time)) for line in found] == [(x.id, x.sign, len(x.time)) for x in known]
    assert known
    for one, other in zip(found, known, strict=True):
        np.testing.assert_array_equal(one.time, other.time)
        np.testing.assert_allclose(one.height_m, other.height_m, atol=0.05)


def test_the_curtain_of_averages_has_the_means_of_the_profiles() -> None:
    records = [average_record("munich", each, interval_s=300) for each in averages()]
    records = [record | {"start": np.datetime64(record["start"], "us")} for record in records]
    cells = raster_of_averages(records, 2000.0, calibration=1.0)

    of_profiles = raster([profiles()], 2000.0, calibration=1.0)
    middle_m = (cells.height_edges_m[1:] + cells.height_edges_m[:-1]) / 2
    row = int(np.searchsorted(middle_m, 600.0))
    inside = (of_profiles.height_edges_m[:-1] >= cells.height_edges_m[row] - 1e-6) & (
        of_profiles.height_edges_m[1:] <= cells.height_edges_m[row + 1] + 1e-6
    )

    assert cells.beta.shape[1] == len(averages()) == 48
    assert np.nanmean(cells.beta[row]) == pytest.approx(np.nanmean(of_profiles.beta[inside]), rel=0.02)


def test_a_gap_between_averages_stays_empty() -> None:
    records: list[dict[str, Any]] = [
        {"start": np.datetime64("2026-06-21T00:00", "us") + np.timedelta64(minute, "m"), "interval_s": 300,
         "instrument": "Vaisala CL51", "is_calibrated": True, "tilt_deg": 0.0, "block_first_m": 25.0,
         "block_length_m": 50.0, "beta": [1e-6] * 10}
        for minute in (0, 5, 20)
    ]  # fmt: skip
    cells = raster_of_averages(records, 500.0)

    np.testing.assert_array_equal(np.isnan(cells.beta[0]), [False, False, True, True, False])
    assert cells.height_edges_m[[0, -1]].tolist() == [0.0, 500.0]


def test_a_fan_shows_what_was_seen_filled_foretold_and_what_came() -> None:
    def forecast(minute: int, height_m: float, *, is_filled: bool = False) -> dict[str, Any]:
        time = np.datetime64("2026-06-21T00:02:30") + np.timedelta64(minute, "m")
        quantiles = {"p10_m": height_m - 50, "p50_m": height_m, "p90_m": height_m + 50}
        ahead = [{"time": f"{time + np.timedelta64(lead, 'm')}Z"} | quantiles for lead in (10, 30, 60, 180)]
        return {"time": f"{time}Z", "mixing_height_m": height_m, "is_filled": is_filled,
                "filled": quantiles if is_filled else None, "forecast": ahead}  # fmt: skip

    fan = fan_of_records([forecast(0, 500.0), forecast(5, 520.0, is_filled=True), forecast(10, 540.0)], 1)

    np.testing.assert_array_equal(fan.seen_m, [500.0, np.nan])
    np.testing.assert_array_equal(fan.filled_m[1], [470.0, 520.0, 570.0])
    np.testing.assert_array_equal(fan.ahead - fan.ahead[0], np.array([0, 10, 30, 60, 180], "timedelta64[m]"))
    np.testing.assert_array_equal(fan.later_m, [540.0])


def test_an_alarm_lasts_until_it_ends_or_until_now() -> None:
    def alarm(site: str, hour: int, *, is_standing: bool) -> dict[str, Any]:
        return {"site": site, "time": f"2026-06-21T{hour:02}:00:00Z", "is_standing": is_standing}

    told = [
        alarm("oslo", 3, is_standing=True),
        alarm("oslo", 4, is_standing=True),
        alarm("bonn", 5, is_standing=True),
        alarm("oslo", 7, is_standing=False),
    ]
    spans = alarm_spans(told, np.datetime64("2026-06-21T09:00"))

    hours = {site: [((x - np.datetime64("2026-06-21")) / np.timedelta64(1, "h")).tolist() for x in those]
             for site, those in spans.items()}  # fmt: skip
    assert hours == {"oslo": [[3.0, 7.0]], "bonn": [[5.0, 9.0]]}


def test_a_network_that_has_not_warmed_up_has_no_picture() -> None:
    cold = {"time": "2026-06-21T00:00:00Z", "is_warm": False, "strengths": None}

    with pytest.raises(ValueError, match="not warmed up"):
        network_course([cold], {"heights_m": [], "profiles_log10": []}, title="x")


def test_the_keys_of_a_networks_components_lie_on_no_line_and_the_axis_has_a_date() -> None:
    times = [np.datetime64("2026-06-20T18:00:00") + np.timedelta64(minute, "m") for minute in range(0, 300, 60)]
    slices = [{"time": f"{time}Z", "is_warm": True, "strengths": [float(n) for n in range(8)]} for time in times]
    components = {"heights_m": [100.0, 200.0], "profiles_log10": [[-1.0, 0.25]] * 8}
    figure = network_course(slices, components, title="x")
    course, shapes, under = figure.axes
    figure.canvas.draw()

    legend = course.get_legend()
    assert legend is not None
    lowest = course.transData.inverted().transform(legend.get_window_extent())[0, 1]
    assert lowest > 7.0  # the highest strength
    assert len(shapes.get_xticks()) <= 5
    assert under.get_xlabel() == "UTC, 2026-06-20"
