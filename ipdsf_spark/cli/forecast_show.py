"""`ipdsf forecast show`: what a model foretells from files or from the archive, as text, JSON and a picture."""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ipdsf_spark.cli.arguments import add_configuration, check_days, picture_at
from ipdsf_spark.cli.inputs import add_clock_arguments, clock_of, present
from ipdsf_spark.cli.layers import watched
from ipdsf_spark.cli.sited_files import (
    add_place_arguments,
    add_position_arguments,
    by_placed_site,
    for_each_site,
    report_rejected,
)
from ipdsf_spark.config import Config, load
from ipdsf_spark.errors import ConfigError, InputError
from ipdsf_spark.lidar import tables
from ipdsf_spark.lidar.site import Site

if TYPE_CHECKING:
    from ipdsf_spark.forecast.foretold import Foretold
    from ipdsf_spark.forecast.model import ForecastModel
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

    if bool(args.paths) == bool(args.archive):
        raise ConfigError("name files, or --archive DIR with --site ID")
    check_days(args)
    config = load(*args.config, overrides=args.set)
    folder = Path(args.model or config.forecast.model or shipped_folder()).expanduser()
    model = load_model(folder, "" if args.model else config.forecast.sha256)
    at = _time(args.at)
    picture = picture_at(args.plot) if args.plot else None
    if args.archive:
        series, highest_m = _archived(args, config)
        _show(series, model, at, highest_m, picture, is_json=args.json)
        return 0
    groups = by_placed_site(args, config)
    first = groups[0][0]

    def handle(site: Site, paths: list[str]) -> None:
        of_site = picture
        if picture and site is not first:
            of_site = picture.with_stem(f"{picture.stem}_{site.id}")
        series = _of_files(site, paths, args, config)
        _show(series, model, at, site.max_height_m, of_site, is_json=args.json)

    return for_each_site(groups, handle, _say)


def _show(
    series: Series,
    model: ForecastModel,
    at: np.datetime64 | None,
    highest_m: float,
    picture: Path | None,
    *,
    is_json: bool,
) -> None:
    """The forecast of one site, as text or JSON and as a picture."""
    from ipdsf_spark.forecast.foretold import foretold

    site = series.sites[0]
    try:
        found = foretold(series, model, at, highest_m)
    except ValueError as error:
        raise InputError(f"{site}: {error}") from error
    if is_json:
        print(json.dumps({"site": site, "time": f"{found.time}Z"} | dict(found.values)))
    else:
        print(_readable(site, found))
    if picture:
        from ipdsf_spark.plots import save  # a second of imports that other outputs do not need
        from ipdsf_spark.plots.forecast_fan import forecast_fan

        save(forecast_fan(found.fan, title=site), picture)
        print(f"  wrote        {picture}", file=sys.stderr)
    sys.stdout.flush()


def _time(text: str | None) -> np.datetime64 | None:
    if text is None:
        return None
    at = tables.instant(text)
    if np.isnat(at):
        raise ConfigError(f"--at must be a time such as 2026-06-21T09:00, not {text!r}")
    return at


def _of_files(site: Site, paths: list[str], args: argparse.Namespace, config: Config) -> Series:
    from ipdsf_spark.forecast.rows import series_of_layers
    from ipdsf_spark.lidar.files import FileReader
    from ipdsf_spark.lidar.layers.replay import replay
    from ipdsf_spark.sites import layer_settings

    reader = FileReader(clock=clock_of(args, site), now=present())
    found = replay(watched(reader, paths, site, None, _say), site, layer_settings(config))
    report_rejected(reader, site.id, _say)
    if not len(found.issued):
        why = f": {reader.rejected[0].reason}" if reader.rejected else ""
        raise InputError(f"no height in {len(paths)} file(s) of {site.id}{why}")
    return series_of_layers(site, found.issued, found.latest)


def _archived(args: argparse.Namespace, config: Config) -> tuple[Series, float]:
    """Of the site that is named: its series, and its `max_height_m`, infinite where it is in no table of sites."""
    from ipdsf_spark.archive.heights import series_of_archive
    from ipdsf_spark.forecast.stored_series import part_of
    from ipdsf_spark.sites import load_sites, sites_of

    if not args.site:
        raise ConfigError("of which site? Say --site ID")
    sites: dict[str, Site] = load_sites(args.sites) if args.sites else sites_of(config)
    series = series_of_archive(args.archive, sites, since=args.since, until=args.until)
    if args.site not in series.sites:
        raise InputError(f"the archive holds no heights of {args.site}; it has {', '.join(series.sites)}")
    highest_m = sites[args.site].max_height_m if args.site in sites else math.inf
    return part_of(series, np.array([series.sites.index(args.site)]), 0, len(series)), highest_m


def _say(message: str) -> None:
    print(f"ipdsf forecast: {message}", file=sys.stderr)


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
