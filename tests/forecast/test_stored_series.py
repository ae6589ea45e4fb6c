"""Series that somebody measured: one file, split by site and time, gaps planted."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from ipdsf_spark.errors import InputError
from ipdsf_spark.forecast.network_years import simulated_series
from ipdsf_spark.forecast.series import Series
from ipdsf_spark.forecast.stored_series import (
    load_series,
    part_of,
    save_series,
    share_of_sites,
    split_by_site_and_time,
    with_planted_gaps,
)


@pytest.fixture(scope="module")
def series() -> Series:
    return simulated_series(1, range(5), date(2024, 5, 1), 8)


def test_a_series_comes_back_from_its_file(series: Series, tmp_path: Path) -> None:
    save_series(tmp_path / "series.npz", series)

    found, sha256 = load_series(tmp_path / "series.npz")

    assert found.sites == series.sites and found.start == series.start and len(sha256) == 64
    np.testing.assert_allclose(found.observed.height_m, series.observed.height_m, rtol=1e-6)
    np.testing.assert_array_equal(found.observed.flags, series.observed.flags)


def test_what_is_no_series_is_named(tmp_path: Path) -> None:
    for raw in (b"PK\x03\x04 but no more", b"no archive at all"):
        (tmp_path / "series.npz").write_bytes(raw)

        with pytest.raises(InputError, match=r"series\.npz holds no series of heights") as told:
            load_series(tmp_path / "series.npz")
        assert "pickle" not in str(told.value)


def test_no_site_and_no_time_is_trained_and_judged_on(series: Series) -> None:
    train, judged = split_by_site_and_time(series)

    assert not set(train.sites) & set(judged.sites)
    assert train.start + len(train) == judged.start
    assert set(train.sites) | set(judged.sites) == set(series.sites)


def test_too_short_an_archive_is_refused(series: Series) -> None:
    with pytest.raises(InputError, match=r"2 day\(s\) of heights are too few to train on; 8 are needed"):
        split_by_site_and_time(part_of(series, np.arange(5), 0, 600))


def test_every_worker_gets_as_many_sites(series: Series) -> None:
    shares = [share_of_sites(series, rank, 2).sites for rank in (0, 1)]

    assert [len(share) for share in shares] == [2, 2]
    with pytest.raises(InputError, match=r"5 site\(s\) cannot be shared among 6 workers"):
        share_of_sites(series, 0, 6)


def test_planted_gaps_hide_heights_and_leave_the_targets(series: Series) -> None:
    whole = replace(series, observed=replace(series.observed, height_m=series.target_m))

    planted = with_planted_gaps(whole)

    hidden = np.isnan(planted.observed.height_m)
    assert 0.03 < hidden.mean() < 0.15
    np.testing.assert_array_equal(planted.target_m, whole.target_m)
    np.testing.assert_array_equal(planted.observed.height_m[~hidden], whole.observed.height_m[~hidden])
