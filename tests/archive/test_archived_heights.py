"""Archived heights as series for a forecast."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from records import product, record
from written_tables import append

from ipdsf_spark.archive.heights import series_of_archive
from ipdsf_spark.archive.tables import Record
from ipdsf_spark.errors import InputError
from ipdsf_spark.forecast.series import CAPPED, INTERVAL_S
from ipdsf_spark.lidar.site import Site

SITES = {"oslo": Site("oslo", 59.94, 10.72)}
NOON = 1_782_043_200 // INTERVAL_S  # number of the interval that begins at 2026-06-21 12:00 UTC


def published(offset: int, site: str, interval: int, height_m: float | None, *, provisional: bool) -> Record:
    """A height in the middle of an interval after noon."""
    moment = np.datetime64("2026-06-21T12:02:30") + np.timedelta64(5 * interval, "m")
    _, value = product(site, 0, height_m, time=f"{moment}Z", provisional=provisional, below_m=None)
    return record((f"{site}|layers|{moment}Z", value), offset=offset)


def test_the_network_sees_what_was_provisional_and_shall_foretell_what_is_final(tmp_path: Path) -> None:
    append(
        tmp_path,
        published(0, "oslo", 0, 500.0, provisional=True),
        published(1, "oslo", 0, 510.0, provisional=True),
        published(2, "oslo", 3, None, provisional=True),
        published(3, "oslo", 0, 540.0, provisional=False),
        published(4, "rome", 1, 900.0, provisional=False),
    )

    series = series_of_archive(tmp_path, SITES)

    assert series.sites == ("oslo", "rome")
    assert series.start == NOON and len(series) == 4
    np.testing.assert_array_equal(series.observed.height_m[:, 0], [510.0, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(series.target_m[:, 0], [540.0, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(series.observed.has_data[:, 0], [True, False, False, True])
    assert series.observed.flags[3, 0] == CAPPED
    assert series.observed.height_m[1, 1] == 900.0
    assert np.isnan(series.latitude_deg[1]) and series.latitude_deg[0] == 59.94


def test_heights_of_other_intervals_are_refused(tmp_path: Path) -> None:
    append(tmp_path, record(product("oslo", 0, 500.0), offset=0))

    with pytest.raises(InputError, match="needs heights by five minutes"):
        series_of_archive(tmp_path, SITES)


def test_a_time_without_heights_is_named(tmp_path: Path) -> None:
    append(tmp_path, published(0, "oslo", 0, 500.0, provisional=False))

    with pytest.raises(InputError, match="holds no heights in this time"):
        series_of_archive(tmp_path, SITES, since="2026-06-22")


def test_a_height_that_does_not_say_whether_it_is_final_is_seen_and_is_no_truth_to_learn_from(tmp_path: Path) -> None:
    append(tmp_path, published(0, "oslo", 0, 500.0, provisional=False))
    _, value = product("oslo", 0, 650.0, time="2026-06-21T12:07:30Z", provisional=None)
    append(tmp_path, record(("oslo|layers|2026-06-21T12:07:30Z", value), offset=1))

    series = series_of_archive(tmp_path, SITES)

    np.testing.assert_array_equal(series.observed.height_m[:, 0], [500.0, 650.0])
    np.testing.assert_array_equal(series.target_m[:, 0], [500.0, np.nan])
