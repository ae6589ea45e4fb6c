"""`ipdsf score`: layer heights of any tool against a reference, by the hours of the sun."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np

from ipdsf_spark.cli.arguments import add_configuration
from ipdsf_spark.cli.inputs import bytes_of, files_of
from ipdsf_spark.cli.sited_files import position_of
from ipdsf_spark.config import load
from ipdsf_spark.errors import ConfigError, InputError
from ipdsf_spark.lidar.heights.comparison import COLUMNS, Pairs, hour_classes, num_failures, paired, scores, table_rows
from ipdsf_spark.lidar.heights.series import Heights, joined, read_heights
from ipdsf_spark.sites import listed_site, load_sites, sites_of

EXAMPLES: Final = """examples:
  ipdsf score out/oslo_20210909.nc --reference truth/oslo.csv --site oslo
  ipdsf score ceilpblht/*.nc --reference pblhtsonde1mcfarl/*.cdf --every 1800 --latitude 36.6 --longitude -97.5
  ipdsf score chm15k/*.nc --reference ecmwf.nc --every 3600 --site bucharest -o score
  ipdsf score L3_*.his --reference mine.csv --variable my_height --json

Read are CSV and netCDF of this project, ARM (ceilpblht, pblhtmpl1sawyerli, pblhtsonde1mcfarl), kabl, BL-View (.his),
E-PROFILE, models, truth files of `ipdsf simulate`, and the maker's own layers in an instrument's files; --variable
names what is not known by its name. The reference decides which times count. The netCDF of `ipdsf layers` says where
its site stands; for all else --site, or --latitude and --longitude, tell the hours of the sun apart.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.epilog = EXAMPLES
    parser.add_argument("paths", nargs="+", metavar="FILE", help="heights to judge: file, folder or glob pattern")
    parser.add_argument("--reference", nargs="+", required=True, metavar="FILE", help="heights to judge by")
    parser.add_argument("--variable", default="", metavar="NAME", help="variable or column of the heights to judge")
    parser.add_argument("--reference-variable", default="", metavar="NAME", help="the same of the reference")
    parser.add_argument("--every", type=int, default=300, metavar="S", help="length of a common time (default: 300 s)")
    parser.add_argument("--site", metavar="ID", help="site of the table: its sun tells the hours apart")
    parser.add_argument("--sites", metavar="FILE", help="table of sites (default: the configuration's)")
    parser.add_argument("--latitude", type=float, metavar="DEG", help="north positive, instead of a site")
    parser.add_argument("--longitude", type=float, metavar="DEG", help="east positive")
    parser.add_argument("-o", "--output", metavar="DIR", help="write score.csv, score.json and score.png")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout instead of the table")
    add_configuration(parser)


def run(args: argparse.Namespace) -> int:
    """Judge, print and write."""
    if args.every < 1:
        raise ConfigError(f"--every is a number of seconds of at least 1, got {args.every}")
    place = _place(args)
    heights = _read(args.paths, args.variable)
    reference = _read(args.reference, args.reference_variable)
    if not all(map(np.isfinite, place)):
        place = heights.latitude_deg, heights.longitude_deg  # the site's, where this project wrote the file
    pairs = paired(heights, reference, args.every)
    found = scores(pairs, *place)
    rows = table_rows(found)
    told: dict[str, Any] = {
        "heights": heights.source,
        "reference": reference.source,
        "every_s": args.every,
        "failures": num_failures(pairs),
        "scores": rows,
    }
    if args.json:
        print(json.dumps(told))
    else:
        print(f"{heights.source} against {reference.source}, means of {args.every} s")
        print(table_of(rows))
        if not all(map(np.isfinite, place)):
            print("hours are not told apart: give --site, or --latitude and --longitude")
        elif place == (heights.latitude_deg, heights.longitude_deg):
            print(f"hours by the sun at {place[0]:.2f} {place[1]:.2f}, where the file says that its site stands")
    if args.output:
        for path in _write(Path(args.output), told, pairs, place):
            print(f"wrote {path}", file=sys.stderr)
    return 0


def _place(args: argparse.Namespace) -> tuple[float, float]:
    position = position_of(args)
    if position is not None:
        return position
    if args.site:
        sites = load_sites(args.sites) if args.sites else sites_of(load(*args.config, overrides=args.set))
        site = listed_site(sites, args.site)
        return site.latitude_deg, site.longitude_deg
    return float("nan"), float("nan")


def _read(paths: list[str], variable: str) -> Heights:
    """All files as one series; those that hold no heights are named and left out."""
    parts: list[Heights] = []
    reasons: list[str] = []
    for path in files_of(paths):
        try:
            parts.append(read_heights(bytes_of(path), path, variable))
        except InputError as error:
            reasons.append(str(error))
    for reason in reasons[:10] if parts else []:
        print(f"ipdsf score: left out: {reason}", file=sys.stderr)
    if not parts:
        raise InputError(reasons[0] if reasons else f"no file in {' '.join(paths)}")
    return joined(parts)


def table_of(rows: list[dict[str, Any]]) -> str:
    """The table for a terminal."""
    lines = [("hours", "times", "with height", "bias", "RMSE", "r²", "p90 step", "≤ 1 σ", "≤ 2 σ")]
    for row in rows:
        metres = [_cell(row[name], "{:+z.0f} m" if name == "bias_m" else "{:.0f} m") for name in ("bias_m", "rmse_m")]
        shares = [_cell(row[f"within_{n}_sigma"], "{:.0%}") for n in (1, 2)]
        step = _cell(row["p90_step_m"], "{:.0f} m")
        lines.append((row["hours"], str(row["num"]), _cell(row["available"], "{:.0%}"), *metres,
                      _cell(row["r2"], "{:.2f}"), step, *shares))  # fmt: skip
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(_line(line, widths) for line in lines)


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    padded = zip(cells[1:], widths[1:], strict=True)
    return "  ".join([cells[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in padded)])


def _cell(value: float | None, layout: str) -> str:
    return "–" if value is None else layout.format(value)


def _write(folder: Path, told: dict[str, Any], pairs: Pairs, place: tuple[float, float]) -> list[Path]:
    from ipdsf_spark.plots.score import score_figure  # a second of imports that other outputs do not need
    from ipdsf_spark.plots.style import save

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "score.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(told["scores"])
    (folder / "score.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    drawn = score_figure(pairs, hour_classes(pairs.time, *place), scores(pairs, *place), title=told["heights"])
    return [folder / "score.csv", folder / "score.json", save(drawn, folder / "score.png")]
