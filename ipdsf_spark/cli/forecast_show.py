"""`ipdsf forecast show`: what a model foretells from files or from the archive, as text, JSON and a picture."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ipdsf_spark.cli.arguments import add_configuration, picture_at
from ipdsf_spark.cli.inputs import add_clock_arguments, clock_of, present
from ipdsf_spark.cli.layers import watched
from ipdsf_spark.cli.sited_files import add_place_arguments, add_position_arguments, by_placed_site
from ipdsf_spark.config import Config, load
from ipdsf_spark.errors import ConfigError, InputError
from ipdsf_spark.lidar.site import Site

if TYPE_CHECKING:
    from ipdsf_spark.forecast.foretold import Foretold
    from ipdsf_spark.forecast.series import Series

HELP: Final = "what a model foretells from files or from an archive, without Spark"
EXAMPLES: Final = """examples:
  ipdsf forecast show today/ --site oslo                    what is foretold from the last interval of these files
  ipdsf forecast show day/ --site oslo --at 2026-06-21T09:00 --plot fan.png
  ipdsf forecast show --archive ~/.local/share/ipdsf/stream/archive --site oslo --json

Heights are metres above the instrument. The interval holds the height eight times in ten. Where no height was seen,
what is told as "now" is filled in, and marked so.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the action."""
    parser.add_argument("paths", nargs="*", metavar="FILE", help="file, folder or glob pattern, of any maker")
    parser.add_argument("--archive", metavar="DIR", help="of `ipdsf stream`, instead of files; needs --site")
    parser.add_argument("--since", metavar="YYYY-MM-DD", help="first day of the archive")
    parser.add_argument("--until", metavar="YYYY-MM-DD", help="last day of it")
    place = add_place_arguments(parser)
    add_position_arguments(place)
    add_clock_arguments(place)
    parser.add_argument("--model", metavar="FOLDER", help="(default: forecast.model, else the one of the package)")
    parser.add_argument("--at", metavar="TIME", help="UTC, when the forecast is made (default: the last interval)")
    parser.add_argument("--plot", metavar="FILE", help="picture of the forecast fan: PNG, SVG or PDF")
    parser.add_argument("--json", action="store_true", help="one JSON object per site on standard output")
    add_configuration(parser)


def run(args: argparse.Namespace) -> int:
    """Foretell."""
    from ipdsf_spark.forecast.folder import load_model, shipped_folder
    from ipdsf_spark.forecast.foretold import foretold

    if bool(args.paths) == bool(args.archive):
        raise ConfigError("name files, or --archive DIR with --site ID")
    config = load(*args.config, overrides=args.set)
    folder = Path(args.model or config.forecast.model or shipped_folder()).expanduser()
    model = load_model(folder, "" if args.model else config.forecast.sha256)
    at = _time(args.at)
    picture = picture_at(args.plot) if args.plot else None
    for number, series in enumerate(_archived(args, config) if args.archive else _of_files(args, config)):
        try:
            found = foretold(series, model, at)
        except ValueError as error:
            raise InputError(f"{series.sites[0]}: {error}") from error
        if args.json:
            print(json.dumps({"site": series.sites[0], "time": f"{found.time}Z"} | dict(found.values)))
        else:
            print(_readable(series.sites[0], found))
        if picture:
            from ipdsf_spark.plots import save  # a second of imports that other outputs do not need
            from ipdsf_spark.plots.forecast_fan import forecast_fan

            path = picture if not number else picture.with_stem(f"{picture.stem}_{series.sites[0]}")
            save(forecast_fan(found.fan, title=series.sites[0]), path)
            print(f"  wrote        {path}", file=sys.stderr)
    return 0


def _time(text: str | None) -> np.datetime64 | None:
    if text is None:
        return None
    try:
        return np.datetime64(text.removesuffix("Z"), "us")
    except ValueError as error:
        raise ConfigError(f"--at must be a time such as 2026-06-21T09:00, not {text!r}") from error


def _of_files(args: argparse.Namespace, config: Config) -> Iterator[Series]:
    from ipdsf_spark.forecast.rows import series_of_layers
    from ipdsf_spark.lidar.files import FileReader
    from ipdsf_spark.lidar.layers.replay import replay
    from ipdsf_spark.sites import layer_settings

    settings = layer_settings(config)
    for site, paths in by_placed_site(args, config):
        reader = FileReader(clock=clock_of(args, site), now=present())
        found = replay(watched(reader, paths, site, None), site, settings)
        if not len(found.issued):
            why = f": {reader.rejected[0].reason}" if reader.rejected else ""
            raise InputError(f"no height in {len(paths)} file(s) of {site.id}{why}")
        yield series_of_layers(site, found.issued, found.latest)


def _archived(args: argparse.Namespace, config: Config) -> Iterator[Series]:
    from ipdsf_spark.archive.heights import series_of_archive
    from ipdsf_spark.forecast.stored_series import part_of
    from ipdsf_spark.sites import load_sites, sites_of

    if not args.site:
        raise ConfigError("of which site? Say --site ID")
    sites: dict[str, Site] = load_sites(args.sites) if args.sites else sites_of(config)
    series = series_of_archive(args.archive, sites, since=args.since, until=args.until)
    if args.site not in series.sites:
        raise InputError(f"the archive holds no heights of {args.site}; it has {', '.join(series.sites)}")
    yield part_of(series, np.array([series.sites.index(args.site)]), 0, len(series))


def _readable(site: str, found: Foretold) -> str:
    values: dict[str, Any] = dict(found.values)
    now = f"{values['mixing_height_m']:.0f} m"
    if values["is_filled"]:
        filled = values["filled"]
        now += f", filled ({', '.join(values['filled_because'])}): {filled['p10_m']:.0f} to {filled['p90_m']:.0f} m"
    lines = [site, f"  made at      {found.time}Z, model {values['model']}", f"  now          {now}"]
    lines += [
        f"  {at['lead_min']:>3} min      {at['p50_m']:6.0f} m   ({at['p10_m']:.0f} to {at['p90_m']:.0f} m)"
        for at in values["forecast"]
    ]
    if not values["is_warm"]:
        lines.append("  note         less than a day is known of this site")
    return "\n".join(lines)
