"""What CF-1.8 asks of a file of classes and cloud heights, checked in structure."""

from __future__ import annotations

import netCDF4
import numpy as np
import pytest
from cf_rules import breaches

from ipdsf_spark.lidar.site import Site
from ipdsf_spark.lidar.targets import cf
from ipdsf_spark.lidar.targets.series import Series


def series_of(num: int) -> Series:
    heights = np.where(np.arange(num) % 2, np.nan, 800.0)
    return Series(
        instrument="Lufft CHM15k",
        time=np.datetime64("2021-09-09T00:02:30", "us") + (300 * np.arange(num)).astype("timedelta64[s]"),
        edges_m=np.array([0.0, 30.0, 60.0]),
        classes=np.zeros((num, 2), np.int8),
        flags=np.zeros(num, np.int32),
        base_m=heights,
        bottom_m=heights - 10.0,
        top_m=heights + 100.0,
        maker_base_m=heights,
        records=(),
    )


@pytest.mark.parametrize(
    "site",
    [Site("oslo", 59.942, 10.720, 96.0), Site("nowhere", float("nan"), float("nan"))],
    ids=["placed", "without a place"],
)
@pytest.mark.parametrize("num", [4, 1])
def test_a_file_of_classes_breaks_no_rule_of_cf(num: int, site: Site) -> None:
    file = netCDF4.Dataset("memory.nc", memory=cf.to_netcdf(series_of(num), site))

    assert breaches(file, feature_type="") == []
