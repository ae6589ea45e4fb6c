"""The retrieval on files of real instruments."""

from __future__ import annotations

from pathlib import Path

import netCDF4
import numpy as np
import pytest

from ipdsf_spark.lidar.instruments import decode
from ipdsf_spark.lidar.layers.mixing_height import Layers, LayerSettings, retrieve
from ipdsf_spark.lidar.products.quality import Quality
from ipdsf_spark.lidar.profiles import Profiles
from ipdsf_spark.lidar.site import Site

NO_HEIGHT = int(Quality.FOG | Quality.PRECIPITATION)
WHY = int(Quality.LOW_SNR | Quality.NEAR_RANGE_EDGE | Quality.AMBIGUOUS | Quality.RESIDUAL_LAYER | Quality.NO_EDGE)
OSLO, NORUNDA = Site("oslo", 59.942, 10.72), Site("norunda", 60.086, 17.479)
MUNICH, BUCHAREST = Site("munich", 48.148, 11.573), Site("bucharest", 44.345, 26.012)
HYYTIALA = Site("hyytiala", 61.844, 24.29)


def blocks_of(folder: Path, pattern: str) -> list[Profiles]:
    paths = sorted(path for path in folder.glob(pattern) if path.is_file())
    assert paths, f"no file {pattern} under {folder}"
    return [block for path in paths for block in decode(path.read_bytes(), name=path.name).blocks]


def layers_of(folder: Path, pattern: str, site: Site) -> Layers:
    return retrieve(blocks_of(folder, pattern), site)


@pytest.fixture(scope="module")
def oslo(real_ceilometer_data: Path) -> Layers:
    return layers_of(real_ceilometer_data, "*/**/L2_0-20000-001492_A20210909.nc", OSLO)


def test_oslo_has_a_height_for_more_than_half_of_the_profiles_outside_fog_and_rain(oslo: Layers) -> None:
    is_dry = oslo.quality & NO_HEIGHT == 0

    assert len(oslo) == 273
    assert is_dry.sum() > 130
    assert np.isfinite(oslo.mixing_height_m[is_dry]).mean() > 0.58


def test_oslo_moves_from_profile_to_profile_as_a_layer_can(oslo: Layers) -> None:
    steps_m = np.abs(np.diff(oslo.mixing_height_m))

    assert np.nanpercentile(steps_m, 90) <= 150.0


def test_oslo_stays_below_the_aerosol_aloft_and_out_of_the_night_fog(oslo: Layers) -> None:
    hour = (oslo.time - np.datetime64("2021-09-09", "us")) / np.timedelta64(1, "h")

    assert np.nanmax(oslo.mixing_height_m) < 1600.0  # the plumes at 2 to 3.5 km lie over cleaner air
    assert np.isnan(oslo.mixing_height_m[(hour > 1.0) & (hour < 9.0)]).all()
    afternoon = oslo.mixing_height_m[(hour > 13.0) & (hour < 15.5)]
    assert 1000.0 < np.nanmedian(afternoon) < 1300.0  # the drop that the eye sees in the curtain


def test_the_residual_layer_over_oslo_lies_no_higher_than_the_day_has_mixed(oslo: Layers) -> None:
    highest_m = np.nanmax(oslo.mixing_height_m + 2.0 * oslo.uncertainty_m)

    assert np.isfinite(oslo.residual_height_m).sum() > 20
    assert np.nanmax(oslo.residual_height_m) < highest_m


@pytest.mark.parametrize("averaging_s", [300, 900, 3600])
def test_norunda_has_no_layer_top_to_see_at_night_and_none_is_made_up(
    real_ceilometer_data: Path, averaging_s: int
) -> None:
    blocks = blocks_of(real_ceilometer_data, "*/**/20220729_norunda_cl51.nc")
    layers = retrieve(blocks, NORUNDA, LayerSettings(averaging_s=averaging_s))
    mean = np.mean([block.beta.mean(axis=0, dtype=float) for block in blocks], axis=0)
    low = mean[10:160].reshape(-1, 10).mean(axis=1)  # 100 to 1600 m in steps of 100 m

    # Two hours together: air as clean aloft as near the ground. Longer averages lower the noise and find no drop: W is
    # half the difference, and a candidate needs 0.05 of the mean.
    assert np.diff(low).min() / 2 > -LayerSettings().min_strength * low.mean()
    assert len(layers) >= 2
    assert np.isnan(layers.mixing_height_m).all()
    assert (layers.quality & WHY > 0).all()


def test_munich_fog_gives_the_flag_and_no_height(real_ceilometer_data: Path) -> None:
    layers = layers_of(real_ceilometer_data, "*/**/raw_chm15k_lidar.nc", MUNICH)

    assert len(layers) >= 1
    assert np.isnan(layers.mixing_height_m).all()
    assert (layers.quality & Quality.FOG > 0).all()


@pytest.mark.parametrize("name", ["20210911_hyytiala_cl61d_clu-generated-daily.nc", "HYYlive_20210911_191440.nc"])
def test_hyytiala_fog_and_cloud_on_the_ground_give_no_height(real_ceilometer_data: Path, name: str) -> None:
    layers = layers_of(real_ceilometer_data, f"*/**/{name}", HYYTIALA)

    assert np.isnan(layers.mixing_height_m).all()
    assert (layers.quality & Quality.FOG > 0).all()


@pytest.mark.parametrize("name", ["live_20230730_001125.nc", "live_20230730_020625.nc", "live_20230730_052625.nc"])
def test_kenttarova_rain_gives_no_height(real_ceilometer_data: Path, name: str) -> None:
    layers = layers_of(real_ceilometer_data, f"*/**/{name}", Site("kenttarova", 67.988, 24.243))

    assert np.isnan(layers.mixing_height_m).all()
    assert (layers.quality & Quality.PRECIPITATION > 0).all()


@pytest.mark.parametrize(
    "name",
    ["00100_A202010092355", "00100_A202010100000", "00100_A202010221900", "00100_A202010222015", "00100_A202004030000"],
)
def test_bucharest_alone_in_the_night_agrees_with_the_maker_or_says_why_not(
    real_ceilometer_data: Path, name: str
) -> None:
    blocks = blocks_of(real_ceilometer_data, f"*/**/{name}*.nc")
    maker_m = np.nanmedian(blocks[0].maker_layer_height_m[:, 0])
    layers = retrieve(blocks, BUCHAREST)
    has_height = np.isfinite(layers.mixing_height_m)

    # five minutes in the night, without a history: the drop that the maker reports may be a residual layer's
    assert (np.nanmin(np.abs(layers.candidates_m - maker_m), axis=1) < 60.0).all()
    np.testing.assert_allclose(layers.mixing_height_m[has_height], maker_m, atol=60.0)
    assert (layers.quality[~has_height] & WHY > 0).all()


def test_bucharest_by_night_names_the_residual_layer_but_does_not_call_it_mixed(real_ceilometer_data: Path) -> None:
    blocks = blocks_of(real_ceilometer_data, "*/**/00100_A202004022125*.nc")
    maker_m = np.nanmedian(blocks[0].maker_layer_height_m[:, 0])
    layers = retrieve(blocks, BUCHAREST)

    # the maker reports 1.4 km; the forecast model's boundary layer at that hour is 91 to 110 m deep
    assert maker_m > 1300.0
    assert (np.nanmin(np.abs(layers.candidates_m - maker_m), axis=1) < 100.0).all()
    assert np.isnan(layers.mixing_height_m).all()


def test_bucharest_over_all_files_is_never_higher_than_the_maker(real_ceilometer_data: Path) -> None:
    found = []
    for path in sorted(real_ceilometer_data.rglob("00100_A20*.nc")):
        blocks = decode(path.read_bytes(), name=path.name).blocks
        layers = retrieve(blocks, BUCHAREST)
        maker_m = np.nanmedian(blocks[0].maker_layer_height_m[:, 0])
        found += [height_m - maker_m for height_m in layers.mixing_height_m if np.isfinite(height_m)]

    # By night the maker's lowest layer is the same drop; higher would be the residual layer
    assert max(found, default=0.0) <= 60.0


def test_bucharest_on_the_evening_of_the_model_run_gives_no_height_where_the_model_has_a_shallow_layer(
    real_ceilometer_data: Path,
) -> None:
    (model_path,) = real_ceilometer_data.rglob("20200402_bucharest_ecmwf.nc")
    with netCDF4.Dataset(model_path) as file:
        model_m = np.interp(21.5, np.asarray(file["time"][:]), np.asarray(file["sfc_bl_height"][:]))
    layers = layers_of(real_ceilometer_data, "*/**/00100_A20200402*.nc", BUCHAREST)

    assert model_m < 250.0  # too low for a CHM15k to see
    assert len(layers) >= 2
    assert np.isnan(layers.mixing_height_m).all()
