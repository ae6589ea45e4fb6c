"""A day of the archive as CF netCDF: heights with backscatter beside them, calibrated, interval by interval."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from datetime import UTC, date, datetime, tzinfo
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest

from ipdsf_spark.archive import averages
from ipdsf_spark.archive.delta.write import commit, write_file
from ipdsf_spark.archive.export import curtain_of, layers_of, netcdf_of
from ipdsf_spark.archive.reading import read_products
from ipdsf_spark.archive.tables import PARTITION, TABLES, Record, file_schema
from ipdsf_spark.cli.main import main
from ipdsf_spark.lidar.averages.average import Average
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
    rows = [{"kind": "layers", **row} for row in products_of("oslo", retrieve([profiles], SITE))]
    kept = [average for average in averages_of(profiles, 300) if not 120 <= average.index % 288 < 144]
    return archived(tmp_path_factory.mktemp("archive"), rows, kept)


def archived(folder: Path, rows: list[dict[str, Any]], kept: list[Average]) -> Path:
    """The archive of these records."""
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


def test_backscatter_of_a_tilted_beam_stands_at_its_height_and_other_gates_are_left_out(
    profiles: Profiles, tmp_path: Path
) -> None:
    early, tilted = averages_of(profiles, 300)[:6], replace(profiles, tilt_deg=np.full(len(profiles), 12.0, np.float32))
    kept = [*averages_of(tilted, 300)[:6], *(replace(each, index=each.index + 6) for each in early[:2])]
    rows = [{"kind": "layers", **row} for row in products_of("oslo", retrieve([profiles], SITE))[:8]]
    archive = archived(tmp_path, rows, kept)

    found = curtain_of(archive, SITE, DAY, layers_of(read_products(archive)), 300)

    assert found is not None
    np.testing.assert_allclose(found.height_m, early[0].block_range_m * np.cos(np.radians(12.0)), rtol=1e-6)
    assert np.isfinite(found.beta).any(axis=1).tolist() == [True] * 6 + [False] * 2
    np.testing.assert_allclose(found.beta[3], 2.0 * kept[3].block_mean(), rtol=1e-5)


def exported(archive: Path, output: Path, *dates: str, sites: tuple[str, ...] = ()) -> int:
    """`ipdsf archive export`, with a table of sites beside the archive."""
    table = archive / "sites.toml"
    table.write_text("[oslo]\nlatitude_deg = 59.94\nlongitude_deg = 10.72\n")
    asked = [*(f"--date={day}" for day in dates), *(f"--site={site}" for site in sites)]
    return main(["archive", "export", *asked, "--directory", str(archive), "-o", str(output),
                 "--set", f'sites.file="{table}"'])  # fmt: skip


def test_what_is_asked_for_twice_is_written_once(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exported(archive, tmp_path, str(DAY), "2026-W25-7", sites=("oslo", "oslo")) == 0
    assert capsys.readouterr().out.splitlines() == [str(tmp_path / "oslo_20260621.nc")]


def test_yesterday_is_the_day_before_in_utc(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Morning(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Morning:
            return cls(2026, 6, 22, 0, 30, tzinfo=UTC).astimezone(tz)

    monkeypatch.setattr("ipdsf_spark.cli.archive.datetime", Morning)

    assert exported(archive, tmp_path, "yesterday") == 0
    assert capsys.readouterr().out.splitlines() == [str(tmp_path / "oslo_20260621.nc")]


def test_a_disk_that_fills_leaves_no_part_of_a_file(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fills(path: Path, raw: bytes) -> int:
        with path.open("wb") as file:
            file.write(raw[:1000])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(Path, "write_bytes", fills)

    assert exported(archive, tmp_path, str(DAY)) == 1
    assert "No space left on device" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    assert exported(archive, tmp_path / "cf" / "2026", str(DAY)) == 1
    assert not list(tmp_path.iterdir())  # nor a folder that was made for it


def test_an_export_that_finds_nothing_makes_no_folder(archive: Path, tmp_path: Path) -> None:
    assert exported(archive, tmp_path / "cf", "1999-01-01") == 1
    assert not (tmp_path / "cf").exists()


def test_a_file_in_the_place_of_the_folder_is_named_with_what_is_needed(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cf").write_text("something else")

    assert exported(archive, tmp_path / "cf", str(DAY)) == 1
    assert f"{tmp_path / 'cf'}: a file lies there, and a folder is needed" in capsys.readouterr().err


def test_every_layer_of_the_records_is_exported(archive: Path) -> None:
    file = netCDF4.Dataset("memory.nc", memory=netcdf_of(archive, SITE, DAY, settings=LayerSettings()))

    for name in ("nocturnal_layer_height", "entrainment_zone_thickness"):
        assert np.ma.count(file[name][:]) > 0
