"""A day of the archive as CF netCDF: heights with backscatter beside them, calibrated, interval by interval."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from ipdsf_spark.archive import averages
from ipdsf_spark.archive.delta.write import commit, write_file
from ipdsf_spark.archive.export import netcdf_of
from ipdsf_spark.archive.tables import PARTITION, TABLES, Record, file_schema
from ipdsf_spark.lidar.averages.build import averages_of
from ipdsf_spark.lidar.layers.mixing_height import retrieve
from ipdsf_spark.lidar.layers.settings import LayerSettings
from ipdsf_spark.lidar.products.records import products_of
from ipdsf_spark.lidar.profiles import Profiles
from ipdsf_spark.lidar.simulator import simulate_day
from ipdsf_spark.lidar.site import Site

DAY = date(2026, 6, 21)
SITE = Site("oslo", 59.94, 10.72, instrument="Vaisala CL51", calibration=2.0, wigos_id="0-20000-0-01492")


@pytest.fixture(scope="module")
def profiles() -> Profiles:
    rng = np.random.default_rng(5)
    return simulate_day(SITE, DAY, rng=rng, instrument="cl51", scenario="clear", cadence_s=60.0).profiles


@pytest.fixture(scope="module")
def archive(profiles: Profiles, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the stream would have archived of the day; averages of two hours are missing."""
    folder = tmp_path_factory.mktemp("archive")
    rows = [{"kind": "layers", **row} for row in products_of("oslo", retrieve([profiles], SITE))]
    kept = [average for average in averages_of(profiles, 300) if not 120 <= average.index % 288 < 144]
    values = {
        "products": [json.dumps(row).encode() for row in rows],
        "averages": [averages.to_message("oslo", average, interval_s=300) for average in kept],
    }
    for kind in TABLES:
        records = [Record(b"%d" % n, value, 1_782_043_200_000, 0, n) for n, value in enumerate(values[kind.name])]
        by_day, faults = kind.rows(records)
        assert faults == []
        table = folder / kind.name
        adds = [write_file(table, each, file_schema(kind.schema), {PARTITION: day}) for day, each in by_day.items()]
        commit(table, schema=kind.schema, partition_columns=[PARTITION], adds=adds, transactions={}, operation="WRITE")
    return folder


def test_backscatter_stands_beside_the_heights_at_their_times(archive: Path, profiles: Profiles) -> None:
    raw = netcdf_of(archive, SITE, DAY, settings=LayerSettings())
    file = netCDF4.Dataset("memory.nc", memory=raw)

    beta = file["attenuated_backscatter"]
    assert beta.dimensions == ("time", "height")
    assert len(file["time"]) == len(file["pblh"]) == beta.shape[0]
    seen = np.ma.filled(beta[:].astype(float), np.nan)
    has_any = np.isfinite(seen).any(axis=1)
    # 10:00 to 12:00 has no averages; everywhere else there is backscatter.
    hours = (file["time"][:] % 86_400) / 3600
    assert has_any.tolist() == [not 10 <= hour < 12 for hour in hours]
    at_noon = int(np.argmin(np.abs(hours - 13.04)))
    (expected,) = [average for average in averages_of(profiles, 300) if average.index % 288 == 156]
    np.testing.assert_allclose(seen[at_noon], 2.0 * expected.block_mean(), rtol=1e-5)
    assert file.wigos_station_id == "0-20000-0-01492"


def test_every_layer_of_the_records_is_exported(archive: Path) -> None:
    file = netCDF4.Dataset("memory.nc", memory=netcdf_of(archive, SITE, DAY, settings=LayerSettings()))

    for name in ("nocturnal_layer_height", "entrainment_zone_thickness"):
        assert np.ma.count(file[name][:]) > 0
