"""What CF-1.8 asks of a file of one time series, checked in structure, and what our heights become in it."""

from __future__ import annotations

import json
import re
from typing import Any

import netCDF4
import numpy as np
import pytest

from ipdsf_spark.lidar.layers.mixing_height import Layers, LayerSettings
from ipdsf_spark.lidar.products import cf
from ipdsf_spark.lidar.products.quality import Quality
from ipdsf_spark.lidar.site import Site

OSLO = Site("oslo", 59.942, 10.720, 96.0)

# Standard name → canonical unit, from version 83 of the CF table (only the names that are used).
STANDARD_NAMES = {
    "time": None,
    "latitude": "degrees_north",
    "longitude": "degrees_east",
    "altitude": "m",
    "height": "m",
    "atmosphere_boundary_layer_thickness": "m",
    "altitude_at_top_of_atmosphere_boundary_layer_defined_by_ambient_aerosol_particles_backwards_scattering_"
    "by_ranging_instrument": "m",
    "cloud_base_altitude": "m",
    "quality_flag": "1",
    "status_flag": "1",
    "volume_attenuated_backwards_scattering_function_in_air": "m-1 sr-1",
    "number_of_observations": "1",
}
MODIFIERS = {"standard_error", "detection_minimum", "status_flag"}
TYPES_OF_1_8 = {"S1", "int8", "int16", "int32", "float32", "float64"}  # unsigned and 64-bit integers came with CF-1.9


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


def breaches(file: Any) -> list[str]:
    """Sentences that name every breach of CF-1.8 that can be told from the file's structure."""
    found = []
    if not re.fullmatch(r"CF-1\.\d+(, ACDD-1\.3)?", getattr(file, "Conventions", "")):
        found.append("Conventions is not CF-1.x")
    for name in ("title", "source", "history", "references", "comment"):
        if not str(getattr(file, name, "")).strip():
            found.append(f"global attribute {name} is missing")
    bounds = {v.bounds for v in file.variables.values() if hasattr(v, "bounds")}
    roles = [v for v in file.variables.values() if getattr(v, "cf_role", "") == "timeseries_id"]
    if getattr(file, "featureType", "") != "timeSeries" or len(roles) != 1:
        found.append(f"no timeSeries: {len(roles)} variables have the cf_role timeseries_id")
    for name, variable in file.variables.items():
        found += [f"{name}: {breach}" for breach in _variable_breaches(file, variable, is_bounds=name in bounds)]
    return found


def _variable_breaches(file: Any, variable: Any, *, is_bounds: bool) -> list[str]:
    found = []
    attributes = {key: variable.getncattr(key) for key in variable.ncattrs()}
    is_text = variable.dtype is str
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", variable.name):
        found.append("name has other signs than letters, digits and underscores")
    if not is_text and str(variable.dtype) not in TYPES_OF_1_8:
        found.append(f"type {variable.dtype} is not of CF-1.8")
    if is_bounds:
        return found + [f"bounds carry {key}" for key in attributes if key not in ("_FillValue",)]
    if not {"long_name", "standard_name"} & set(attributes):
        found.append("neither long_name nor standard_name")
    if not is_text and "units" not in attributes:
        found.append("no units")
    if "standard_name" in attributes:
        words = str(attributes["standard_name"]).split()
        if words[0] not in STANDARD_NAMES or not set(words[1:]) <= MODIFIERS:
            found.append(f"standard name {attributes['standard_name']!r} is not in the table")
        elif (unit := STANDARD_NAMES[words[0]]) is not None and attributes["units"] != unit:
            found.append(f"unit {attributes['units']!r} where the table says {unit!r}")
    if "_FillValue" in attributes and np.asarray(attributes["_FillValue"]).dtype != variable.dtype:
        found.append("_FillValue has another type")
    if "_FillValue" in attributes and variable.dimensions == (variable.name,):
        found.append("a coordinate has no missing values")
    own = {*variable.dimensions, *str(attributes.get("coordinates", "")).split()} & set(file.variables)
    vertical = sorted(name for name in own if getattr(file[name], "positive", "") or name == "altitude")
    if len(vertical) > 1:
        found.append(f"has several vertical coordinates: {', '.join(vertical)}")
    for key in ("flag_masks", "flag_values"):
        if key in attributes:
            flags = np.atleast_1d(attributes[key])
            if flags.dtype != variable.dtype:
                found.append(f"{key} has another type than the variable")
            if len(flags) != len(str(attributes["flag_meanings"]).split()):
                found.append(f"{key} and flag_meanings differ in number")
            if key == "flag_masks" and (len(set(flags.tolist())) != len(flags) or not flags.all()):
                found.append("flag_masks are not distinct bits")
    for key in ("coordinates", "ancillary_variables"):
        found += [
            f"{key} names {other}" for other in str(attributes.get(key, "")).split() if other not in file.variables
        ]
    if "bounds" in attributes:
        of = file.variables.get(attributes["bounds"])
        if of is None or of.dimensions[:-1] != variable.dimensions or of.shape[-1] != 2:
            found.append("bounds do not fit")
    if "cell_methods" in attributes and not re.fullmatch(
        r"(\w+: (mean|minimum|maximum|sum) ?)+", variable.cell_methods
    ):
        found.append(f"cell_methods {variable.cell_methods!r}")
    if attributes.get("axis") == "T" and not re.match(r"\w+ since \d{4}-\d\d-\d\d", attributes["units"]):
        found.append("time units have no reference date")
    return found


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
