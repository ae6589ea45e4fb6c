"""What CF-1.8 asks of a file of one time series, checked in structure, and what our heights become in it."""

from __future__ import annotations

import json
from typing import Any

import netCDF4
import numpy as np
import pytest
from cf_rules import breaches

from ipdsf_spark.lidar.layers.mixing_height import Layers, LayerSettings
from ipdsf_spark.lidar.products import cf
from ipdsf_spark.lidar.products.quality import Quality
from ipdsf_spark.lidar.site import Site

OSLO = Site("oslo", 59.942, 10.720, 96.0)


def layers_of(heights_m: list[float], quality: list[int] | None = None) -> Layers:
    num = len(heights_m)
    height_m = np.array(heights_m, float)
    candidates_m = np.full((num, 5), np.nan)
    candidates_m[:, 0] = height_m
    return Layers(
        time=np.datetime64("2021-09-09T00:02:30", "us") + (300 * np.arange(num)).astype("timedelta64[s]"),
        mixing_height_m=height_m,
        uncertainty_m=np.where(np.isnan(height_m), np.nan, 40.0),
        provisional=np.zeros(num, bool),
        quality=np.array(quality or [0] * num, np.uint16),
        candidates_m=candidates_m,
        candidate_strength=np.where(np.isnan(candidates_m), np.nan, 0.3),
        cloud_base_m=np.full(num, np.nan),
        num_profiles=np.full(num, 20, np.int32),
    )


def opened(layers: Layers, **more: Any) -> netCDF4.Dataset:
    raw = cf.to_netcdf(layers, OSLO, instrument="Lufft CHM15k", **more)
    return netCDF4.Dataset("memory.nc", memory=raw)


@pytest.mark.parametrize("heights", [[800.0, 820.0, np.nan], [500.0], []])
def test_a_file_of_heights_breaks_no_rule_of_cf(heights: list[float]) -> None:
    assert breaches(opened(layers_of(heights))) == []


def test_backscatter_beside_the_heights_breaks_no_rule_of_cf() -> None:
    curtain = cf.Curtain(np.array([10.0, 20.0]), np.full((2, 2), 1e-6, np.float32))

    assert breaches(opened(layers_of([800.0, 820.0]), curtain=curtain)) == []


def test_an_unknown_position_is_left_out_and_settings_are_json() -> None:
    nowhere = Site("new", float("nan"), float("nan"))
    raw = cf.to_netcdf(layers_of([500.0]), nowhere, instrument="Lufft CHM15k")
    file = netCDF4.Dataset("x.nc", memory=raw)

    assert breaches(file) == []
    assert not {"latitude", "longitude"} & set(file.variables)
    assert file["pblh"].coordinates == "station altitude"
    assert json.loads(file.site_settings, parse_constant=pytest.fail)["latitude_deg"] is None


def test_an_altitude_that_nobody_told_is_said_to_be_assumed() -> None:
    untold, told = (
        netCDF4.Dataset("x.nc", memory=cf.to_netcdf(layers_of([500.0]), site, instrument="Lufft CHM15k"))
        for site in (Site("oslo", 59.942, 10.720), OSLO)
    )

    for name in ("altitude", "pblh_altitude", "cloud_base_altitude"):
        assert "0 m above sea level, told so or assumed where no altitude is told" in untold[name].comment
        assert not hasattr(told[name], "comment")
    assert breaches(untold) == []


def test_the_check_names_what_is_wrong() -> None:
    file = netCDF4.Dataset("wrong.nc", "w", memory=1024)
    file.Conventions, file.featureType = "COARDS", "timeSeries"
    file.createDimension("time", 2)
    flags = file.createVariable("qc-flag", "u2", ("time",))
    flags.setncatts({"long_name": "x", "units": "1", "flag_masks": np.array([1, 1], "i4"), "flag_meanings": "a b c"})
    heights = file.createVariable("h", "f4", ("time",))
    heights.setncatts({"standard_name": "cloud_base_height", "units": "m", "ancillary_variables": "nothing"})

    named = " | ".join(breaches(file))

    for sign in ("Conventions", "title", "timeseries_id", "other signs", "uint16", "another type", "in number"):
        assert sign in named
    for sign in ("distinct", "cloud_base_height", "names nothing"):
        assert sign in named


def test_heights_uncertainties_and_flags_come_back_from_the_file() -> None:
    layers = layers_of([800.0, np.nan, 1234.5], [0, int(Quality.FOG), int(Quality.AMBIGUOUS | Quality.CLOUD_CAPPED)])
    file = opened(layers)

    np.testing.assert_allclose(file["pblh"][:].filled(np.nan), layers.mixing_height_m)
    np.testing.assert_allclose(file["pblh_altitude"][:].filled(np.nan), layers.mixing_height_m + 96.0)
    np.testing.assert_allclose(file["pblh_uncertainty"][:].filled(np.nan), layers.uncertainty_m)
    np.testing.assert_array_equal(file["pblh_qc"][:], layers.quality)
    np.testing.assert_array_equal(file["pblh_method"][:], [1, 0, 1])
    times = netCDF4.num2date(file["time"][:], file["time"].units, only_use_cftime_datetimes=False)
    assert [f"{time:%Y-%m-%dT%H:%M:%S}" for time in times] == [str(t.astype("datetime64[s]")) for t in layers.time]


def test_the_flag_masks_are_the_quality_bits_by_name() -> None:
    qc = opened(layers_of([800.0]))["pblh_qc"]

    by_name = dict(zip(qc.flag_meanings.split(), qc.flag_masks.tolist(), strict=True))

    assert by_name == {str(flag.name).lower(): int(flag) for flag in Quality}
    assert by_name["cloud_capped"] == 1 and by_name["provisional"] == 128  # as published in the science notes


def test_time_bounds_hold_the_averaging_interval() -> None:
    file = opened(layers_of([800.0, 900.0]), settings=LayerSettings(averaging_s=300))

    np.testing.assert_allclose(file["time_bounds"][:, 1] - file["time_bounds"][:, 0], 300.0)
    np.testing.assert_allclose(file["time_bounds"][:].mean(axis=1), file["time"][:])
    np.testing.assert_allclose(file["time_bounds"][1, 0], file["time_bounds"][0, 1])


def test_a_file_says_where_it_comes_from() -> None:
    file = opened(layers_of([800.0]), history="today ipdsf layers", inputs=["a.nc", "b.nc"])

    assert file.history == "today ipdsf layers"
    assert file.input_files == "a.nc b.nc"
    assert '"dilations_m"' in file.retrieval_settings
    assert "Lufft CHM15k" in file.source
    assert str(file["station"][...]) == "oslo"


def test_catalogues_and_arms_tools_find_what_they_look_for() -> None:
    site = Site("oslo", 59.942, 10.720, 96.0, wigos_id="0-20000-0-01492")
    bits = [int(Quality.PRECIPITATION), int(Quality.CLOUD_CAPPED), 0]
    raw = cf.to_netcdf(layers_of([np.nan, 900.0, 950.0], bits), site, instrument="Lufft CHM15k")
    file = netCDF4.Dataset("memory.nc", memory=raw)

    checks = file["qc_pblh"]
    bad = sum(
        int(mask)
        for mask, word in zip(checks.flag_masks, checks.flag_assessments.split(), strict=True)
        if word == "Bad"
    )
    assert [bool(int(value) & bad) for value in checks[:]] == [True, False, False]
    assert checks.bit_2_description == "precipitation"
    assert checks.bit_2_assessment == "Bad"
    assert "qc_pblh" in file["pblh"].ancillary_variables.split()
    assert file.Conventions == "CF-1.8, ACDD-1.3"
    assert file.wigos_station_id == "0-20000-0-01492"
    assert file.geospatial_lat_min == file.geospatial_lat_max == 59.942
    assert (file.time_coverage_start, file.time_coverage_end) == ("2021-09-09T00:00:00Z", "2021-09-09T00:15:00Z")
    assert breaches(file) == []
