"""`ipdsf inspect`: what is in ceilometer files of any maker, as a paragraph or one JSON object per file."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import numpy as np
from tqdm import tqdm

from ipdsf_spark.cli.inputs import add_clock_arguments, bytes_of, clock_of, files_of, present
from ipdsf_spark.config import load
from ipdsf_spark.errors import InputError
from ipdsf_spark.lidar import instruments
from ipdsf_spark.lidar.profiles import Decoded, Float32, Profiles, Time
from ipdsf_spark.lidar.site import Site
from ipdsf_spark.progress import progress_bar
from ipdsf_spark.sites import listed_site, load_sites, sites_of

EXAMPLES: Final = """examples:
  ipdsf inspect C5061800.DAT                     a paragraph a person can read
  ipdsf inspect station/ --json                  every file of a folder and its folders, one JSON object a line
  ipdsf inspect 'day/*.nc' --json                any glob, also quoted

Heights are metres above the instrument, times UTC; what gave no profile stands in "rejected" with offset and reason.
Exit code 1 if a path could not be read; the others are printed all the same.
"""
MOST_LISTED: Final = 20  # rejections of one reason that a person reads one by one


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.epilog = EXAMPLES
    parser.add_argument("paths", nargs="+", metavar="FILE", help="file, folder or glob pattern")
    parser.add_argument("--json", action="store_true", help="one JSON object per file and line on stdout")
    parser.add_argument("--site", metavar="ID", help="site of the table, for the zone and date order of its logger")
    parser.add_argument("--sites", metavar="FILE", help="table of sites (default: the configuration's)")
    add_clock_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print what is in each file; 1 if any could not be read."""
    has_failed = False
    clock, now = clock_of(args, _site(args)), present()
    paths = list(files_of(args.paths))
    if not paths:
        raise InputError(f"no file in {' '.join(args.paths)}")
    for path in progress_bar(paths, unit="file", disable=len(paths) < 20 or not sys.stderr.isatty()):
        try:
            decoded = instruments.decode(bytes_of(path), name=Path(path).name, clock=clock, now=now, is_alone=True)
            summary = summary_of(decoded, file=path)
        except InputError as error:
            has_failed = True
            print(f"ipdsf inspect: {error}", file=sys.stderr)
            summary = {"file": path, "error": str(error)}
        with tqdm.external_write_mode(file=sys.stdout):
            print(json.dumps(summary) if args.json else paragraph(summary), flush=True)
    return int(has_failed)


def summary_of(decoded: Decoded, *, file: str) -> dict[str, Any]:
    """One JSON-ready object about one file.

    Args:
        decoded: what the file gave.
        file: its name, as the user gave it.
    """
    blocks = decoded.blocks
    largest = max(blocks, key=len, default=None)
    stamps = _stamps(blocks)
    bases = _lowest(block.cloud_base_m for block in blocks)
    visibilities = _lowest(block.vertical_visibility_m[:, None] for block in blocks)
    layers = _lowest((block.maker_layer_height_m for block in blocks), only_first=True)
    return {
        "file": file,
        "instrument": decoded.instrument,
        "message_type": largest.message_type if largest else None,
        "profiles": decoded.num_profiles,
        "gates": len(largest.range_m) if largest else None,
        "range_resolution_m": round(float(largest.range_resolution_m), 3) if largest else None,
        "first_time": _iso(stamps[:1]),
        "last_time": _iso(stamps[-1:]),
        "cloud_base_count": len(bases),
        "cloud_base_min_m": _metres(bases, np.min),
        "cloud_base_max_m": _metres(bases, np.max),
        "vertical_visibility_count": len(visibilities),
        "maker_layer_heights_m": {
            "count": len(layers),
            "min": _metres(layers, np.min),
            "max": _metres(layers, np.max),
        },
        "clipped_profiles": sum(
            int(np.isfinite(block.clipped_from_m).sum()) for block in blocks if block.clipped_from_m is not None
        ),
        "rejected": [
            {
                "offset": stretch.offset,
                "reason": stretch.reason,
                **({"member": stretch.member} if stretch.member else {}),
            }
            for stretch in decoded.rejected
        ],
    }


def _site(args: argparse.Namespace) -> Site | None:
    if not args.site:
        return None
    return listed_site(load_sites(args.sites) if args.sites else sites_of(load()), args.site)


def paragraph(summary: dict[str, Any]) -> str:
    """A summary for a person."""
    if "error" in summary:
        return f"{summary['file']}\n  could not be read: {summary['error']}\n"
    lines = [summary["file"], f"  {summary['instrument']}"]
    if summary["profiles"]:
        lines[1] += f", message {summary['message_type']}"
        lines.append(
            f"  {summary['profiles']} profiles of {summary['gates']} gates of {summary['range_resolution_m']:g} m, "
            f"{summary['first_time'] or 'no time'} to {summary['last_time'] or 'no time'}"
        )
        lines.append(f"  cloud base   {_spread(summary, 'cloud_base')}")
        lines.append(f"  visibility   vertical visibility in {summary['vertical_visibility_count']} profiles")
        layers = summary["maker_layer_heights_m"]
        told = f"in {layers['count']} profiles, {layers['min']:g} to {layers['max']:g} m" if layers["count"] else "none"
        lines.append(f"  maker layer  {told}")
        if summary["clipped_profiles"]:
            lines.append(f"  clipped      signal cut off in {summary['clipped_profiles']} profiles")
    for stretch in summary["rejected"][:MOST_LISTED]:
        where = f"{stretch['member']}, " if "member" in stretch else ""
        lines.append(f"  rejected     {where}at byte {stretch['offset']}: {stretch['reason']}")
    if len(summary["rejected"]) > MOST_LISTED:
        lines.append(f"  rejected     {len(summary['rejected'])} in all; --json lists every one")
    return "\n".join(lines) + "\n"


def _spread(summary: dict[str, Any], key: str) -> str:
    count = summary[f"{key}_count"]
    if not count:
        return "none"
    return f"in {count} profiles, {summary[f'{key}_min_m']:g} to {summary[f'{key}_max_m']:g} m"


def _stamps(blocks: tuple[Profiles, ...]) -> Time:
    times: Time = np.concatenate([np.empty(0, "datetime64[us]"), *(block.time for block in blocks)])
    return times[~np.isnat(times)]


def _lowest(tables: Iterable[Float32], *, only_first: bool = False) -> Float32:
    """The lowest finite value of every row that has one, or its first column where finite."""
    columns = []
    for table in tables:
        if not table.shape[1]:
            continue
        column = table[:, 0] if only_first else np.nanmin(np.where(np.isfinite(table), table, np.inf), axis=1)
        columns.append(column[np.isfinite(column)])
    return np.concatenate(columns) if columns else np.empty(0, np.float32)


def _metres(values: Float32, reduce: Any) -> float | None:
    return round(float(reduce(values)), 2) if len(values) else None


def _iso(stamp: Time) -> str | None:
    if not len(stamp):
        return None
    has_fraction = stamp[0] != stamp[0].astype("datetime64[s]")
    return f"{stamp[0].astype('datetime64[ms]' if has_fraction else 'datetime64[s]')}Z"
