"""Heights of real files beside what is known of them: the maker's layers, a forecast model, the weather.

    python tests/bench/bench_real_days.py [--record results.jsonl]

Needs the real files of $IPDSF_DATA or ../shared/data.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

import netCDF4
import numpy as np
from recording import append, entry_of

from ipdsf_spark.lidar import instruments
from ipdsf_spark.lidar.layers.mixing_height import Layers, retrieve
from ipdsf_spark.lidar.products.quality import Quality, names
from ipdsf_spark.lidar.profiles import Profiles
from ipdsf_spark.sites import load_sites

REPOSITORY = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("IPDSF_DATA", REPOSITORY.parent / "shared" / "data"), "ceilometer")
SITES = load_sites(REPOSITORY / "conf" / "sites.toml")
NO_HEIGHT = int(Quality.FOG | Quality.PRECIPITATION)
DAYS = {
    "oslo": "L2_0-20000-001492_A20210909.nc",
    "norunda": "20220729_norunda_cl51.nc",
    "munich": "raw_chm15k_lidar.nc",
    "hyytiala": "20210911_hyytiala_cl61d_clu-generated-daily.nc",
    "kenttarova": "live_20230730_*.nc",
}


def blocks_of(pattern: str) -> list[Profiles]:
    return [
        block
        for path in sorted(DATA.rglob(pattern))
        for block in instruments.decode(path.read_bytes(), name=path.name).blocks
    ]


def told(name: str, value: float, unit: str) -> dict[str, float]:
    print(f"{name:<64} {value:9.2f} {unit}", flush=True)
    return {name: round(float(value), 3)}


def days() -> dict[str, float]:
    """Share of dry intervals with a height, and how the height moves."""
    found: dict[str, float] = {}
    for site, pattern in DAYS.items():
        layers = retrieve(blocks_of(pattern), SITES[site])
        is_dry = layers.quality & NO_HEIGHT == 0
        found |= told(f"{site}: intervals", len(layers), "")
        found |= told(f"{site}: intervals outside fog and rain", int(is_dry.sum()), "")
        if is_dry.any():
            found |= told(
                f"{site}: of these with a height", float(np.isfinite(layers.mixing_height_m[is_dry]).mean()), ""
            )
        steps_m = np.abs(np.diff(layers.mixing_height_m))
        if np.isfinite(steps_m).any():
            found |= told(f"{site}: 5-minute step, 90th percentile", float(np.nanpercentile(steps_m, 90)), "m")
            found |= told(f"{site}: largest step", float(np.nanmax(steps_m)), "m")
    return found


def bucharest() -> Iterator[tuple[Layers, float]]:
    for path in sorted(DATA.rglob("00100_A20*.nc")):
        blocks = instruments.decode(path.read_bytes(), name=path.name).blocks
        yield retrieve(blocks, SITES["bucharest"]), float(np.nanmedian(blocks[0].maker_layer_height_m[:, 0]))


def against_maker() -> dict[str, float]:
    """Every Bucharest interval beside the maker's lowest layer and, on the day of the model run, the model's height."""
    with netCDF4.Dataset(next(DATA.rglob("20200402_bucharest_ecmwf.nc"))) as file:
        day = np.datetime64(str(file["time"].units).split("since ")[1][:10])
        hours, model_m = np.asarray(file["time"][:]), np.asarray(file["sfc_bl_height"][:])
    print(f"{'Bucharest':20} {'height':>8} {'sigma':>6} {'maker':>7} {'model':>6}  quality, candidates [m]")
    error = []
    for layers, maker_m in bucharest():
        for line, moment in enumerate(layers.time):
            hour = (moment - day) / np.timedelta64(1, "h")
            model = float(np.interp(hour, hours, model_m)) if 0 <= hour <= 24.1 else np.nan
            height_m, sigma_m = layers.mixing_height_m[line], layers.uncertainty_m[line]
            stamp = np.datetime_as_string(moment, unit="m")
            print(
                f"{stamp:20} {height_m:8.0f} {sigma_m:6.0f} {maker_m:7.0f} {model:6.0f}"
                f"  {' '.join(names(int(layers.quality[line])))}, {layers.candidates_m[line].round()}"
            )
            error.append(height_m - maker_m)
    has_height = np.isfinite(error)
    difference = np.array(error)[has_height]
    found = told("bucharest: intervals", len(error), "")
    found |= told("bucharest: with a height", int(has_height.sum()), "")
    found |= told("bucharest: median difference from the maker's lowest layer", float(np.median(difference)), "m")
    found |= told("bucharest: within 60 m of it", float((np.abs(difference) <= 60).mean()), "")
    return found


def main() -> None:
    """Print a table, and append it as one JSON line to the file given by --record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", type=Path, help="append the results as one JSON line")
    args = parser.parse_args()
    if not DATA.is_dir():
        parser.exit(0, f"the real files are not here: {DATA} does not exist, and IPDSF_DATA names no other folder\n")
    results = days() | against_maker()
    if args.record:
        append(args.record, entry_of("real_days", results=results))


if __name__ == "__main__":
    main()
