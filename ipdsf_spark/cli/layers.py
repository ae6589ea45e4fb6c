"""`ipdsf layers`: boundary layer heights of files, by the kernels of the stream but without Spark."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np

from ipdsf_spark.cli.arguments import add_configuration, add_top, check_top
from ipdsf_spark.cli.inputs import add_clock_arguments, clock_of, outputs, present
from ipdsf_spark.cli.sited_files import (
    add_place_arguments,
    add_position_arguments,
    by_placed_site,
    for_each_site,
    no_profile,
    profiles_of,
    report_rejected,
)
from ipdsf_spark.config import Config, load
from ipdsf_spark.lidar.files import FileReader
from ipdsf_spark.lidar.layers.ceiling import Ceiling
from ipdsf_spark.lidar.layers.mixing_height import Layers, retrieve
from ipdsf_spark.lidar.layers.replay import replay
from ipdsf_spark.lidar.products import cf
from ipdsf_spark.lidar.products import records as products
from ipdsf_spark.lidar.products.quality import Quality
from ipdsf_spark.lidar.profiles import Profiles
from ipdsf_spark.lidar.site import Site
from ipdsf_spark.sites import layer_settings

EXAMPLES: Final = """examples:
  ipdsf layers day/*.nc --site oslo -o out          CSV, CF netCDF and a picture for every day, in out/
  ipdsf layers C5061800.DAT --latitude 60.2 --longitude 24.9 --json
                                                    one JSON object per product time on stdout
  ipdsf layers network/ --sites network/sites.toml -o out
                                                    folders called like sites of the table, each on its own
  ipdsf layers today/ --site munich --live --csv    as the stream stands now: the last hour provisional

Heights are metres above the instrument, times UTC and the middle of the averaging interval. Where there is no height,
"quality" says why; docs/quality.md explains its words. What could not be read is listed on stderr, with --json as one
JSON object; the rest is used.
"""
FAR_DEG: Final = 0.5  # between a file's own position and the site's


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.epilog = EXAMPLES
    parser.add_argument("paths", nargs="+", metavar="FILE", help="file, folder or glob pattern, of any maker")
    place = add_place_arguments(parser)
    add_position_arguments(place)
    add_clock_arguments(place)
    output = parser.add_argument_group("output")
    output.add_argument("-o", "--output", metavar="DIR", help="write CSV, netCDF and picture per site and day")
    form = output.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON object per product time and line on stdout")
    form.add_argument("--csv", action="store_true", help="CSV on stdout")
    add_top(output, "the pictures")
    output.add_argument("--live", action="store_true", help="as the stream stands at the end: the newest provisional")
    add_configuration(parser)


def run(args: argparse.Namespace) -> int:
    """Retrieve, print and write the heights of every site; 1 if a site gave nothing."""
    check_top(args)
    config = load(*args.config, overrides=args.set)
    groups = by_placed_site(args, config)
    first = groups[0][0]
    return for_each_site(groups, lambda site, paths: _one_site(site, paths, args, config, is_first=site is first), _say)


def _one_site(site: Site, paths: Sequence[str], args: argparse.Namespace, config: Config, *, is_first: bool) -> None:
    settings = layer_settings(config)
    reader = FileReader(clock=clock_of(args, site), now=present())
    kept: list[Profiles] = []
    blocks = watched(reader, paths, site, kept if args.output else None, _say)
    layers = replay(blocks, site, settings).latest if args.live else retrieve(blocks, site, settings)
    report_rejected(reader, site.id, _say)
    if args.json:
        _print_left_out(site, reader)
    if not reader.num_profiles:
        raise no_profile(reader, paths)
    instrument = next(iter(reader.files_by_instrument))
    written = []
    if args.output:
        history = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} ipdsf layers"
        names = [Path(path).name for path in paths]
        for day in np.unique(layers.time.astype("datetime64[D]")):
            rows = layers.time.astype("datetime64[D]") == day
            of_day = Layers(*(getattr(layers, name)[rows] for name in Layers.__dataclass_fields__))
            stem = f"{site.id}_{str(day).replace('-', '')}"
            table, heights, picture = outputs(args.output, stem, ".csv", ".nc", ".png")
            raw = cf.to_netcdf(of_day, site, instrument=instrument, settings=settings, history=history, inputs=names)
            heights.write_bytes(raw)
            table.write_text(products.to_csv(site.id, of_day), encoding="utf-8")
            _draw(kept, of_day, day, site, picture, ceiling=settings.ceiling, top_m=args.top)
            written += [str(path) for path in (table, heights, picture)]
    if args.json:
        for product in products.products_of(site.id, layers):
            print(json.dumps(product))
    elif args.csv:
        print(products.to_csv(site.id, layers, header=is_first), end="")
    else:
        print(summary_of(site, instrument, reader, layers))
        for path in written:
            print(f"  wrote        {path}")
    sys.stdout.flush()


def watched(
    reader: FileReader, paths: Sequence[str], site: Site, kept: list[Profiles] | None, say: Callable[[str], None]
) -> Iterator[Profiles]:
    """Profiles of all files; says what does not fit the table of sites, and keeps what a picture needs."""
    is_first = True
    for block in profiles_of(reader, paths, site.id):
        if is_first:
            is_first = False
            _check(site, block, say)
        if kept is not None:
            kept.append(_below(block, 2.0 * site.max_height_m))
        yield block


def _check(site: Site, block: Profiles, say: Callable[[str], None]) -> None:
    """Say what does not fit between the table of sites and the file."""
    if site.instrument and site.instrument != block.instrument:
        say(f"{site.id} should have a {site.instrument}, the files are of a {block.instrument}")
    off_deg = max(abs(block.latitude_deg - site.latitude_deg), abs(block.longitude_deg - site.longitude_deg))
    if off_deg > FAR_DEG and (block.latitude_deg, block.longitude_deg) != (0.0, 0.0):
        say(
            f"{site.id} stands at {site.latitude_deg:.3f} {site.longitude_deg:.3f}, the files say "
            f"{block.latitude_deg:.3f} {block.longitude_deg:.3f}; the site's position is used"
        )


def _below(block: Profiles, top_m: float) -> Profiles:
    """The gates a picture can show, so that months of files fit the memory."""
    count = max(2, int(np.searchsorted(block.range_m, top_m)))
    depolarisation = None
    return dataclasses.replace(
        block, range_m=block.range_m[:count], beta=block.beta[:, :count].copy(), depolarisation=depolarisation
    )


def _draw(
    kept: Sequence[Profiles],
    layers: Layers,
    day: np.datetime64,
    site: Site,
    path: Path,
    *,
    ceiling: Ceiling,
    top_m: float | None,
) -> None:
    from ipdsf_spark import plots  # a second of imports that other outputs do not need

    blocks = [part for part in (_on_day(block, day) for block in kept) if len(part)]
    drawn = plots.curtain(
        blocks, layers, site=site.id, place=site, ceiling=ceiling, calibration=site.calibration, top_m=top_m
    )
    plots.save(drawn, path)


def _on_day(block: Profiles, day: np.datetime64) -> Profiles:
    from ipdsf_spark.lidar.instruments.netcdf import rows

    return rows(block, block.time.astype("datetime64[D]") == day)


def _print_left_out(site: Site, reader: FileReader) -> None:
    """One JSON object on stderr, beside the products on stdout: how much was left out, where and why."""
    rejected = [{"file": each.file, "offset": each.offset, "reason": each.reason} for each in reader.rejected]
    told = {"site": site.id, "profiles": reader.num_profiles, "left_out": len(rejected), "rejected": rejected}
    print(json.dumps(told), file=sys.stderr)


def summary_of(site: Site, instrument: str, reader: FileReader, layers: Layers) -> str:
    """A paragraph for a person."""
    has_height = np.isfinite(layers.mixing_height_m)
    is_wet = (layers.quality & int(Quality.FOG | Quality.PRECIPITATION)) > 0
    dry = max(int((~is_wet).sum()), 1)
    lines = [
        f"{site.id}",
        f"  instrument   {instrument}, {reader.num_profiles} profiles",
        f"  period       {layers.time[0].astype('datetime64[s]')}Z to {layers.time[-1].astype('datetime64[s]')}Z",
        f"  heights      {int(has_height.sum())} of {len(layers)} product times "
        f"({100 * int((has_height & ~is_wet).sum()) / dry:.0f} % outside fog and rain)",
    ]
    if has_height.any():
        height_m, sigma_m = layers.mixing_height_m[has_height], layers.uncertainty_m[has_height]
        span = f"{height_m.min():.0f} to {height_m.max():.0f} m"
        lines.append(f"  range        {span}, median uncertainty {np.median(sigma_m):.0f} m")
    counts = {str(flag.name).lower(): int((layers.quality & int(flag) > 0).sum()) for flag in Quality}
    told = ", ".join(f"{name} {count}" for name, count in counts.items() if count)
    lines.append(f"  quality      {told or 'no flag set'}")
    return "\n".join(lines)


def _say(message: str) -> None:
    print(f"ipdsf layers: {message}", file=sys.stderr)
