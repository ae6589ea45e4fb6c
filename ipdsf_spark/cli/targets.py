"""`ipdsf targets`: what the beam met, gate by gate, and cloud bases of our own, without Spark."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np

from ipdsf_spark.cli.arguments import add_configuration, add_top, check_top, picture_at
from ipdsf_spark.cli.inputs import add_clock_arguments, clock_of, present
from ipdsf_spark.cli.sited_files import (
    add_place_arguments,
    by_site,
    for_each_site,
    no_profile,
    profiles_of,
    report_rejected,
)
from ipdsf_spark.errors import ConfigError
from ipdsf_spark.lidar.averages.build import averages_of_all
from ipdsf_spark.lidar.files import FileReader
from ipdsf_spark.lidar.profiles import Profiles
from ipdsf_spark.lidar.site import Site
from ipdsf_spark.lidar.targets import cf
from ipdsf_spark.lidar.targets.classes import Target, TargetFlag
from ipdsf_spark.lidar.targets.series import Series, series_of_averages, series_of_profiles

EXAMPLES: Final = """examples:
  ipdsf targets day/*.nc --plot day.png             classes of every profile as a picture, below the backscatter
  ipdsf targets C5061800.DAT -o targets.nc          as CF netCDF
  ipdsf targets day/*.nc --json                     one JSON object per profile: stretches of equal class, clouds
  ipdsf targets day/*.nc --average 300 --json       per five minutes on gates of about 50 m, as the stream does it
  ipdsf targets day/*.nc --temperature -5           where the phase is not measured: temperature near the ground [°C]

Classes: clear, liquid, ice, drizzle_or_rain, fog, aerosol, attenuated (the beam is lost below), clipped, undetermined.
Without depolarisation ice is told by the temperature of the standard atmosphere, and "quality" says so. A signal that
has no absolute value gives no class: give --calibration, or the site's in the table.
docs/quality.md explains the words of "quality".
"""
KELVIN: Final = 273.15
TOPS_M: Final = (2000.0, 4000.0, 6000.0, 9000.0, 12_000.0, 15_000.0)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.epilog = EXAMPLES
    parser.add_argument("paths", nargs="+", metavar="FILE", help="file, folder or glob pattern, of any maker")
    place = add_place_arguments(parser)
    add_clock_arguments(place)
    place.add_argument("--temperature", type=float, metavar="C", help="near the ground [°C] (standard atmosphere)")
    parser.add_argument("--average", type=int, metavar="S", help="classify averages over so many seconds instead")
    output = parser.add_argument_group("output")
    output.add_argument("--plot", metavar="PNG", help="write a picture")
    output.add_argument("-o", "--output", metavar="NC", help="write CF netCDF")
    output.add_argument("--json", action="store_true", help="one JSON object per profile and line on stdout")
    add_top(output, "the picture")
    add_configuration(parser)


def run(args: argparse.Namespace) -> int:
    """Classify, print and write the files of every site; 1 if a site gave nothing."""
    if args.average is not None and not 10 <= args.average <= 3600:
        raise ConfigError(f"--average is 10 to 3600 seconds, not {args.average}")
    if args.temperature is not None and not -90.0 <= args.temperature <= 60.0:
        raise ConfigError(f"--temperature is in °C, -90 to 60, not {args.temperature}")
    check_top(args)
    picture = picture_at(args.plot) if args.plot else None
    groups = by_site(args, args.paths)
    if len(groups) > 1 and (args.plot or args.output):
        raise ConfigError(
            f"--plot and --output are of one site, the files belong to {', '.join(site.id for site, _ in groups)}; "
            "give one site at a time"
        )
    return for_each_site(groups, lambda site, paths: _one_site(site, paths, args, picture), _say)


def _one_site(site: Site, paths: Sequence[str], args: argparse.Namespace, picture: Path | None) -> None:
    reader = FileReader(clock=clock_of(args, site), now=present())
    kept: list[Profiles] = []
    found = _classified(site, _read(reader, paths, site, kept if picture else None), args)
    report_rejected(reader, site.id, _say)
    if not found:
        raise no_profile(reader, paths)
    series = found[0]
    if len(found) > 1:
        others = sum(map(len, found[1:]))
        _say(f"{site.id}: {others} profile(s) have other gates and are left out of --plot and --output")
    written = _write(site, series, kept, paths, args, picture)
    if args.json:
        for each in found:
            for stamp, record in zip(each.time, each.records, strict=True):
                print(json.dumps({"site": site.id, "time": f"{np.datetime_as_string(stamp, unit='s')}Z"} | record))
    else:
        print(summary_of(site, series))
        for path in written:
            print(f"  wrote        {path}")
    sys.stdout.flush()


def _classified(site: Site, blocks: Iterator[Profiles], args: argparse.Namespace) -> list[Series]:
    temperature_k = None if args.temperature is None else args.temperature + KELVIN
    if args.average is None:
        return series_of_profiles(blocks, site, surface_temperature_k=temperature_k, with_records=args.json)
    averages = averages_of_all(blocks, args.average)
    return series_of_averages(
        averages, site, interval_s=args.average, surface_temperature_k=temperature_k, with_records=args.json
    )


def _read(reader: FileReader, paths: Sequence[str], site: Site, kept: list[Profiles] | None) -> Iterator[Profiles]:
    """Profiles of all files; keeps what a picture needs."""
    for block in profiles_of(reader, paths, site.id):
        if kept is not None:
            kept.append(dataclasses.replace(block, depolarisation=None))
        yield block


def _write(
    site: Site,
    series: Series,
    kept: Sequence[Profiles],
    paths: Sequence[str],
    args: argparse.Namespace,
    picture: Path | None,
) -> list[str]:
    written = []
    if args.output:
        history = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} ipdsf targets"
        Path(args.output).parent.mkdir(parents=True, exist_ok=True)
        raw = cf.to_netcdf(series, site, history=history, inputs=[Path(path).name for path in paths])
        Path(args.output).write_bytes(raw)
        written.append(args.output)
    if picture:
        from ipdsf_spark.plots import save  # a second of imports that other outputs do not need
        from ipdsf_spark.plots.targets import targets_figure

        top_m = args.top or _top_m(series)
        save(targets_figure(kept, series, site=site.id, top_m=top_m, calibration=site.calibration), picture)
        written.append(str(picture))
    return written


def _top_m(series: Series) -> float:
    """A round height above all that was seen."""
    told = (Target.CLEAR, Target.ATTENUATED, Target.CLIPPED, Target.UNDETERMINED)
    seen = ~np.isin(series.classes, [int(target) for target in told])
    share = seen.mean(axis=0)
    gates = np.flatnonzero(share > 0.01)
    highest_m = float(series.edges_m[gates[-1] + 1]) if gates.size else 0.0
    return next((top for top in TOPS_M if top > 1.15 * highest_m), TOPS_M[-1])


def summary_of(site: Site, series: Series) -> str:
    """A paragraph for a person."""
    lines = [
        site.id,
        f"  instrument   {series.instrument}, {len(series)} profiles",
        f"  period       {series.time[0].astype('datetime64[s]')}Z to {series.time[-1].astype('datetime64[s]')}Z",
    ]
    shares = {target: float((series.classes == target).mean()) for target in Target}
    told = ", ".join(f"{target.name.lower()} {100 * share:.1f}" for target, share in shares.items() if share)
    lines.append(f"  gates        {told} %")
    has_base, is_said = np.isfinite(series.base_m), np.isfinite(series.maker_base_m)
    if has_base.any():
        lowest, highest = series.base_m[has_base].min(), series.base_m[has_base].max()
        lines.append(f"  cloud        in {has_base.sum()} profiles, bases {lowest:.0f} to {highest:.0f} m")
    if is_said.any():
        both = has_base & is_said
        away = np.abs(series.base_m[both] - series.maker_base_m[both])
        median = f", {np.median(away):.0f} m away (median)" if both.any() else ""
        lines.append(
            f"  instrument   reports a base in {is_said.sum()}, {both.sum()} of them found here as well{median}"
        )
    counts = {str(flag.name).lower(): int((series.flags & int(flag) > 0).sum()) for flag in TargetFlag}
    lines.append("  quality      " + (", ".join(f"{name} {n}" for name, n in counts.items() if n) or "no flag set"))
    return "\n".join(lines)


def _say(message: str) -> None:
    print(f"ipdsf targets: {message}", file=sys.stderr)
