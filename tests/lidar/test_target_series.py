"""Classes of many files as one series: in any pieces, in time order, every profile once."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from erf_profiles import pieces_of
from test_targets import RANGE_M, SITE, aerosol, profiles_of, with_cloud

from ipdsf_spark.lidar.averages.build import averages_of
from ipdsf_spark.lidar.profiles import Profiles
from ipdsf_spark.lidar.targets import series
from ipdsf_spark.lidar.targets.classes import Target
from ipdsf_spark.lidar.targets.column import column_of_profiles
from ipdsf_spark.lidar.targets.rules import classify
from ipdsf_spark.lidar.targets.series import Series, series_of_averages, series_of_profiles, series_of_records


@pytest.fixture(scope="module")
def whole() -> Profiles:
    """An hour with a cloud of which the instrument reports three bases in every fifth profile."""
    bases = np.full((60, 3), np.nan, np.float32)
    bases[::5] = [2500.0, 1505.0, np.nan]
    return profiles_of(with_cloud(aerosol(), 1500.0), num=60, cloud_base_m=bases)


def assert_same(one: Series, other: Series) -> None:
    for name in ("time", "edges_m", "classes", "flags", "base_m", "bottom_m", "top_m", "maker_base_m"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


def test_a_series_holds_the_classes_of_its_profiles_and_the_lowest_base_that_the_instrument_reports(
    whole: Profiles,
) -> None:
    (found,) = series_of_profiles([whole], SITE)
    targets = classify(column_of_profiles([whole], SITE))

    assert len(found) == 60
    np.testing.assert_array_equal(found.classes, targets.classes)
    np.testing.assert_array_equal(found.base_m, targets.base_m)
    np.testing.assert_array_equal(found.maker_base_m, np.where(np.arange(60) % 5 == 0, 1505.0, np.nan))
    np.testing.assert_allclose(np.diff(found.edges_m), 10.0)
    assert found.records == ()


def test_faint_signal_of_files_that_follow_one_another_is_seen_as_in_one() -> None:
    faint = np.where((RANGE_M > 6500.0) & (RANGE_M < 7500.0), 2.5e-7, aerosol())
    made = profiles_of(faint, num=60, rng=3)
    layer = slice(655, 745)

    (one,), (pieced,) = (series_of_profiles(blocks, SITE) for blocks in ([made], pieces_of(made, [*range(1, 60)])))

    assert_same(pieced, one)
    assert np.mean(one.classes[:, layer] == Target.AEROSOL) > 0.9
    alone = series_of_profiles(pieces_of(made, [1])[:1], SITE)[0].classes[0, layer]
    assert np.mean(alone == Target.AEROSOL) < 0.5


def test_files_that_come_twice_and_out_of_order_count_once_in_time_order(
    whole: Profiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(series, "MOST_PROFILES", 20)  # classified twenty at a time
    first, second, third = pieces_of(whole, [20, 40])
    nothing = pieces_of(whole, [])[0].with_columns(range_m=np.empty(0), beta=np.empty((60, 0), np.float32))

    (found,) = series_of_profiles([third, nothing, first, second, first], SITE)

    np.testing.assert_array_equal(found.time, whole.time)
    expected = [row for piece in (first, second, third) for row in series_of_profiles([piece], SITE)[0].classes]
    np.testing.assert_array_equal(found.classes, expected)


def test_each_instrument_and_set_of_gates_has_a_series_the_longest_first(whole: Profiles) -> None:
    short = profiles_of(aerosol()[:800], num=3)
    other = profiles_of(aerosol(), num=7, instrument="Vaisala CL51")

    found = series_of_profiles([short, other, whole, short], SITE)

    told = [(each.instrument, len(each), each.classes.shape[1]) for each in found]
    assert told == [("Lufft CHM15k", 60, 1200), ("Vaisala CL51", 7, 1200), ("Lufft CHM15k", 3, 800)]


def test_records_give_back_the_classes_flags_and_heights_that_they_were_made_of(whole: Profiles) -> None:
    made = series_of_averages(averages_of(whole, 300), SITE, interval_s=300, with_records=True)[0]
    told = [{**record, "time": f"{time}Z"} for record, time in zip(made.records, made.time, strict=True)]

    back = series_of_records(told, instrument=made.instrument)

    assert len(back) == len(made) == 3
    np.testing.assert_array_equal(back.time, made.time)
    np.testing.assert_array_equal(back.flags, made.flags)
    np.testing.assert_allclose(back.base_m, made.base_m, atol=0.51)
    middles_m = (back.edges_m[:-1] + back.edges_m[1:]) / 2
    np.testing.assert_array_equal(back.classes, made.classes[:, np.searchsorted(made.edges_m, middles_m) - 1])
    assert (made.classes[:, 30] == Target.LIQUID).any(), "the cloud is there"


def test_the_base_of_an_interval_is_the_median_of_those_that_its_profiles_report(whole: Profiles) -> None:
    bases = whole.cloud_base_m.copy()
    bases[:20, 0] = np.nan
    bases[[3, 7, 9], 0] = [900.0, 1000.0, 1300.0]
    bases[:20, 1] = np.nan
    averages = averages_of(dataclasses.replace(whole, cloud_base_m=bases), 300)
    empty = dataclasses.replace(averages[0], index=averages[0].index - 1, block_total=np.empty(0, np.float32))

    (found,) = series_of_averages([empty, *averages], SITE, interval_s=300)

    assert found.maker_base_m.tolist() == [1000.0, 1505.0, 1505.0]
