"""Files grouped by the site they belong to, for verbs that need no position."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from ipdsf_spark.cli.inputs import files_of
from ipdsf_spark.config import load
from ipdsf_spark.errors import ConfigError, InputError
from ipdsf_spark.lidar.site import Site
from ipdsf_spark.sites import DEFAULT, load_sites, site_named, sites_of

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
        return [(_adjusted(site_named(listed, args.site), args), files)]
    groups: dict[str, list[str]] = {}
    for path in files:
        if path.endswith(BESIDE):
            continue
        parts = Path(path).resolve().parent.parts
        name = next((part for part in reversed(parts) if part in listed), parts[-1])
        groups.setdefault(name, []).append(path)
    if not groups:
        raise InputError(f"no file in {' '.join(paths)}")
    nowhere = Site("", float("nan"), float("nan"))
    return [
        (_adjusted(listed.get(name, dataclasses.replace(nowhere, id=name)), args), files)
        for name, files in groups.items()
    ]


def _adjusted(site: Site, args: argparse.Namespace) -> Site:
    given = {"altitude_m": args.altitude, "calibration": args.calibration, "min_height_m": args.min_height}
    if args.calibration is not None and not 0.0 < args.calibration < np.inf:
        raise ConfigError(f"--calibration is a factor above 0, not {args.calibration}")
    return dataclasses.replace(site, **{name: value for name, value in given.items() if value is not None})
