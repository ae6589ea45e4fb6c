"""Files grouped by the site they belong to, and read one site after the other; for verbs without Spark."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from ipdsf_spark.cli.inputs import bytes_of, check_is_there, files_of
from ipdsf_spark.config import Config, load
from ipdsf_spark.errors import ConfigError, InputError
from ipdsf_spark.lidar.files import FileReader
from ipdsf_spark.lidar.profiles import Profiles
from ipdsf_spark.lidar.site import Site
from ipdsf_spark.progress import progress_bar
from ipdsf_spark.sites import DEFAULT, check_number, listed_site, load_sites, sites_of

MOST_LISTED: Final = 10
# Arguments that say what the table of sites would, and its keys.
NUMBERS: Final = {
    "altitude": "altitude_m",
    "calibration": "calibration",
    "min_height": "min_height_m",
    "max_height": "max_height_m",
}
BESIDE: Final = (".csv", ".toml", ".json", ".png")  # tables and pictures that lie beside the files


def add_place_arguments(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Arguments that say what is known of an instrument and where it stands."""
    place = parser.add_argument_group("the instrument")
    place.add_argument("--site", metavar="ID", help="site of the table; not given: the folder a file lies in names it")
    place.add_argument("--sites", metavar="FILE", help="table of sites (default: the configuration's)")
    place.add_argument("--calibration", type=float, metavar="FACTOR", help="from the file's unit to m-1 sr-1")
    place.add_argument("--altitude", type=float, metavar="M", help="of the station above sea level")
    place.add_argument("--min-height", type=float, metavar="M", help="lowest trustworthy height above the instrument")
    return place


def add_position_arguments(place: argparse._ArgumentGroup) -> None:
    """Where it stands, instead of a site of the table."""
    place.add_argument("--latitude", type=float, metavar="DEG", help="north positive; instead of a site of the table")
    place.add_argument("--longitude", type=float, metavar="DEG", help="east positive")


def position_of(args: argparse.Namespace) -> tuple[float, float] | None:
    """Latitude and longitude of the command line, None if not given.

    Raises:
        ConfigError: one without the other, or no place on Earth.
    """
    if (args.latitude is None) != (args.longitude is None):
        raise ConfigError("--latitude and --longitude go together")
    if args.latitude is None:
        return None
    if not (-90 <= args.latitude <= 90 and -180 <= args.longitude <= 180):
        raise ConfigError(f"no such place: latitude {args.latitude}, longitude {args.longitude}")
    return args.latitude, args.longitude


def by_site(args: argparse.Namespace, paths: Sequence[str]) -> list[tuple[Site, list[str]]]:
    """The files of every site; a folder that no table lists is a site without a place.

    Raises:
        ConfigError: the table of sites is not right, or `--site` is not in it.
        InputError: there is no file.
    """
    files = list(dict.fromkeys(files_of(paths)))
    sites = load_sites(args.sites) if args.sites else sites_of(load(*args.config, overrides=args.set))
    listed = {name: site for name, site in sites.items() if name != DEFAULT}
    if args.site:
        return [(_adjusted(listed_site(sites, args.site), args), files)]
    groups: dict[str, list[str]] = {}
    for path in files:
        if path.lower().endswith(BESIDE):
            continue
        parts = Path(path).resolve().parent.parts
        name = next((part for part in reversed(parts) if part in listed), parts[-1])
        groups.setdefault(name, []).append(path)
    if not groups:
        raise _nothing(paths)
    nowhere = Site("", float("nan"), float("nan"))
    return [
        (_adjusted(listed.get(name, dataclasses.replace(nowhere, id=name)), args), files)
        for name, files in groups.items()
    ]


def by_placed_site(args: argparse.Namespace, config: Config) -> list[tuple[Site, list[str]]]:
    """The files of every site, for verbs that need the sun: a folder that no table lists is refused.

    Raises:
        ConfigError: nobody says where an instrument stands, or the table of sites is not right.
        InputError: there is no file.
    """
    paths = list(dict.fromkeys(files_of(args.paths)))
    position = position_of(args)
    if position is not None:
        return [(_adjusted(Site(args.site or "site", *position), args), paths)]
    sites = load_sites(args.sites) if args.sites else sites_of(config)
    listed = {name: site for name, site in sites.items() if name != DEFAULT}
    if args.site:
        return [(_adjusted(listed_site(sites, args.site), args), paths)]
    groups: dict[str, list[str]] = {}
    for path in paths:
        if path.lower().endswith((".csv", ".toml")) and Path(path).parent.name not in listed:
            continue  # tables that lie beside the folders of the sites, as those of ipdsf simulate
        name = next((part for part in reversed(Path(path).resolve().parent.parts) if part in listed), None)
        if name is None:
            check_is_there(path)  # a name that was mistyped stands nowhere
            raise ConfigError(
                f"where does the instrument of {path} stand? Give --site (known: {', '.join(sorted(listed))}) or "
                "--latitude and --longitude, or name its folder after the site"
            )
        groups.setdefault(name, []).append(path)
    if not groups:
        raise _nothing(args.paths)
    return [(_adjusted(listed[name], args), files) for name, files in groups.items()]


def for_each_site(
    groups: Sequence[tuple[Site, list[str]]], handle: Callable[[Site, list[str]], None], say: Callable[[str], None]
) -> int:
    """Handle one site after the other; 1 if one of several gave nothing, which is said and costs no other.

    Raises:
        InputError: the only site gave nothing.
    """
    has_failed = False
    for site, paths in groups:
        try:
            handle(site, paths)
        except InputError as error:
            if len(groups) == 1:
                raise
            has_failed = True
            say(f"{site.id}: {error}")
    return int(has_failed)


def profiles_of(reader: FileReader, paths: Sequence[str], site_id: str) -> Iterator[Profiles]:
    """Profiles of all files, with progress.

    Raises:
        InputError: the files are of more than one instrument.
    """
    progress = progress_bar(paths, unit="file", desc=site_id, disable=not sys.stderr.isatty(), leave=False)
    for block in reader.blocks((path, bytes_of(path)) for path in progress):
        if len(reader.files_by_instrument) > 1:
            listed = "; ".join(f"{name}: {files[0]}" for name, files in reader.files_by_instrument.items())
            raise InputError(f"files of more than one instrument at {site_id} ({listed}); give one at a time")
        yield block


def report_rejected(reader: FileReader, site_id: str, say: Callable[[str], None]) -> None:
    """Say what gave no profile: the first stretches, and how many there are."""
    for stretch in reader.rejected[:MOST_LISTED]:
        say(f"{stretch.file} at byte {stretch.offset}: {stretch.reason}")
    if len(reader.rejected) > MOST_LISTED:
        say(f"... and {len(reader.rejected) - MOST_LISTED} more stretches; ipdsf inspect lists them")
    if reader.rejected:
        say(f"{site_id}: {len(reader.rejected)} stretch(es) gave no profile")


def no_profile(reader: FileReader, paths: Sequence[str]) -> InputError:
    """The error to raise where not one profile was read."""
    why = f": {reader.rejected[0].reason}" if reader.rejected else ""
    return InputError(f"no profile in {len(paths)} file(s){why}")


def _nothing(paths: Sequence[str]) -> InputError:
    return InputError(f"no instrument's file in {' '.join(paths)}: tables and pictures are passed over")


def _adjusted(site: Site, args: argparse.Namespace) -> Site:
    """The site with the numbers of the command line.

    Raises:
        ConfigError: the table of sites would refuse one.
    """
    told = {key: getattr(args, option, None) for option, key in NUMBERS.items()}
    given = {key: value for key, value in told.items() if value is not None}
    for option, key in NUMBERS.items():
        if key in given:
            check_number(f"--{option.replace('_', '-')}", key, given[key])
    return dataclasses.replace(site, **given)
