"""Heights of the archive as CF netCDF, a file per site and day."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.dataset as ds

from ipdsf_spark.archive.delta.log import snapshot
from ipdsf_spark.archive.reading import read_averages, read_products, scan
from ipdsf_spark.archive.tables import AVERAGES, LAYERS_KIND, PARTITION, PRODUCTS
from ipdsf_spark.errors import InputError
from ipdsf_spark.lidar.layers.product import Layers
from ipdsf_spark.lidar.layers.screening import calibration
from ipdsf_spark.lidar.layers.settings import LayerSettings
from ipdsf_spark.lidar.products import cf
from ipdsf_spark.lidar.products.quality import Quality
from ipdsf_spark.lidar.site import Site

NUM_CANDIDATES = 5


def sites_of_day(directory: Path, day: date) -> list[str]:
    """Sites that have heights on that day.

    Raises:
        InputError: there is no archive.
    """
    rows = scan(
        directory,
        PRODUCTS,
        columns=["site"],
        filters=ds.field("kind") == LAYERS_KIND,
        since=day.isoformat(),
        until=day.isoformat(),
    )
    return sorted(site for site in rows.column("site").unique().to_pylist() if site)


def netcdf_of(
    directory: Path, site: Site, day: date, *, settings: LayerSettings, command: str = "ipdsf archive export"
) -> bytes:
    """The heights of a site on a UTC day as a CF netCDF file.

    Args:
        directory: of the archive.
        site: whose.
        day: which.
        settings: of the retrieval, for the provenance.
        command: that asks for it, for the history.

    Raises:
        InputError: there is no archive, or it has no height of that site and day.
    """
    rows = read_products(directory, site=site.id, since=day.isoformat(), until=day.isoformat())
    if rows.empty:
        raise InputError(f"the archive in {directory} has no heights of {site.id} on {day}")
    history = f"{datetime.now(UTC).isoformat(timespec='seconds')} {command}"
    layers = layers_of(rows)
    return cf.to_netcdf(
        layers,
        site,
        instrument=instrument_of(directory, site, day),
        settings=settings,
        history=history,
        curtain=curtain_of(directory, site, day, layers, settings.averaging_s),
    )


def curtain_of(directory: Path, site: Site, day: date, layers: Layers, interval_s: int) -> cf.Curtain | None:
    """Backscatter of the archived averages at the times of the heights; None where there is none.

    The day's most frequent geometry counts; intervals of another one stay empty.
    """
    if not snapshot(directory / AVERAGES).exists:
        return None
    rows = read_averages(directory, site=site.id, since=day.isoformat(), until=day.isoformat())
    rows = rows[rows["beta"].map(lambda beta: beta is not None and len(beta) > 0)]
    rows = rows.dropna(subset=["block_first_m", "block_length_m"])
    if rows.empty:
        return None
    shapes = [
        (round(float(first), 2), round(float(step), 3), len(beta), round(float(tilt)))
        for first, step, beta, tilt in zip(
            rows["block_first_m"], rows["block_length_m"], rows["beta"], rows["tilt_deg"].fillna(0.0), strict=True
        )
    ]
    first_m, step_m, num, tilt_deg = usual = max(set(shapes), key=shapes.count)
    height_m = (first_m + step_m * np.arange(num)) * np.cos(np.radians(tilt_deg))
    half = np.timedelta64(interval_s * 500_000, "us")
    line = {moment: number for number, moment in enumerate((layers.time - half).tolist())}
    beta = np.full((len(layers), num), np.nan, np.float32)
    starts = rows["start"].to_numpy().astype("datetime64[us]").tolist()
    told = zip(starts, shapes, rows["beta"], rows["instrument"], rows["is_calibrated"], strict=True)
    for start, shape, values, instrument, is_calibrated in told:
        if shape == usual and start in line:
            factor, _ = calibration(instrument or "", site.calibration, is_calibrated=bool(is_calibrated))
            beta[line[start]] = factor * np.asarray(values, np.float32)
    return cf.Curtain(height_m, beta)


def layers_of(rows: pd.DataFrame) -> Layers:
    """Rows of `read_products` as the retrieval gave them, to the decimals of the records."""
    flags = {str(flag.name).lower(): int(flag) for flag in Quality}
    quality = [sum(flags.get(name, 0) for name in _list(names)) for names in rows["quality"]]
    return Layers(
        time=rows["time"].to_numpy().astype("datetime64[us]"),
        mixing_height_m=rows["mixing_height_m"].to_numpy(float),
        uncertainty_m=rows["uncertainty_m"].to_numpy(float),
        provisional=rows["provisional"].eq(True).to_numpy(bool),
        quality=np.array(quality, np.uint16),
        candidates_m=_padded(rows["candidates_m"]),
        candidate_strength=_padded(rows["candidate_strength"]),
        cloud_base_m=rows["cloud_base_m"].to_numpy(float),
        num_profiles=rows["num_profiles"].fillna(0).to_numpy(np.int32),
        **{
            name: rows[name].to_numpy(float)
            for name in ("below_m", "residual_height_m", "nocturnal_height_m", "entrainment_m")
            if name in rows
        },
    )


def instrument_of(directory: Path, site: Site, day: date) -> str:
    """Maker and model as the files of that day said, the site's own word where nothing is archived of them."""
    if snapshot(directory / AVERAGES).exists:
        noon = datetime.combine(day, time(12), UTC)
        rows = scan(
            directory,
            AVERAGES,
            columns=["instrument", PARTITION],
            filters=ds.field("site") == site.id,
            since=noon.date().isoformat(),
            until=noon.date().isoformat(),
        )
        named = [name for name in rows.column("instrument").unique().to_pylist() if name]
        if named:
            return ", ".join(sorted(named))
    return site.instrument or "ceilometer"


def _list(values: Any) -> list[Any]:
    return [] if values is None or (isinstance(values, float) and np.isnan(values)) else list(values)


def _padded(column: pd.Series[Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    padded = np.full((len(column), NUM_CANDIDATES), np.nan)
    for line, values in enumerate(column):
        found = _list(values)[:NUM_CANDIDATES]
        padded[line, : len(found)] = found
    return padded
