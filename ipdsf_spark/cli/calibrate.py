"""`ipdsf calibrate`: the factor from a file's backscatter to m-1 sr-1, day by day, without Spark."""

from __future__ import annotations

import argparse
import csv
import dataclasses
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from ipdsf_spark.cli.arguments import add_configuration, picture_at
from ipdsf_spark.cli.inputs import add_clock_arguments, bytes_of, clock_of, present
from ipdsf_spark.cli.sited_files import (
    add_place_arguments,
    add_position_arguments,
    by_site,
    for_each_site,
    no_profile,
    position_of,
    profiles_of,
    report_rejected,
)
from ipdsf_spark.errors import ConfigError
from ipdsf_spark.lidar.averages.build import averages_of_all
from ipdsf_spark.lidar.calibration.operator import finish, step
from ipdsf_spark.lidar.files import FileReader
from ipdsf_spark.lidar.instruments import decode
from ipdsf_spark.lidar.operators import Row
from ipdsf_spark.lidar.site import Site

EXAMPLES: Final = """examples:
  ipdsf calibrate year/*.nc --site oslo             factor by day, filtered over all days
  ipdsf calibrate day/*.DAT --water-vapour 15       at 910 nm: precipitable water of the column [mm]
  ipdsf calibrate year/*.nc --site oslo --csv > factor.csv
                                                    a line per day, for a spreadsheet
  ipdsf calibrate year/*.nc --plot factor.png --json
                                                    picture; one JSON object per day on stdout

factor times the file's backscatter is in m-1 sr-1: put it into the table of sites as "calibration". A day's value comes
from opaque liquid cloud between 500 and 2400 m, or from the return of air on a clear night (not at 910 nm); a day
without either has none and says so. At 910 nm without water vapour the factor is too large, and "quality" says so.
docs/quality.md explains the words of "quality".
"""
INTERVALS_S: Final = (60, 120, 300, 600, 900)  # the shortest that holds a profile is used
COLUMNS: Final = (
    *("site", "day", "factor", "sigma", "day_factor", "day_sigma", "mean_90_days", "num_cloud_intervals"),
    *("num_clear_nights", "num_days", "laser_percent", "window_percent", "alarm", "quality"),
)
US_PER_DAY: Final = 86_400_000_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.epilog = EXAMPLES
    parser.add_argument("paths", nargs="+", metavar="FILE", help="file, folder or glob pattern, of any maker")
    place = add_place_arguments(parser)
    add_clock_arguments(place)
    add_position_arguments(place)
    place.add_argument("--water-vapour", type=float, metavar="MM", help="precipitable water of the column (site table)")
    parser.add_argument(
        "--average", type=int, metavar="S", help="averages that are looked at (default: 60, or a profile's length)"
    )
    output = parser.add_argument_group("output")
    output.add_argument("--plot", metavar="PNG", help="write a picture")
    form = output.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON object per day and line on stdout")
    form.add_argument("--csv", action="store_true", help="CSV on stdout, a line per day")
    add_configuration(parser)


def run(args: argparse.Namespace) -> int:
    """Calibrate every site; 1 if a site gave no profile."""
    if args.average is not None and not 10 <= args.average <= 3600:
        raise ConfigError(f"--average is 10 to 3600 seconds, not {args.average}")
    if args.water_vapour is not None and not 0.0 <= args.water_vapour <= 100.0:
        raise ConfigError(f"--water-vapour is 0 to 100 mm, not {args.water_vapour}")
    position_of(args)
    picture = picture_at(args.plot) if args.plot else None
    groups = by_site(args, args.paths)
    if len(groups) > 1 and args.plot:
        raise ConfigError(f"--plot is of one site, the files belong to {', '.join(site.id for site, _ in groups)}")
    first = groups[0][0]
    return for_each_site(
        groups,
        lambda site, paths: _one_site(_placed(site, args), paths, args, picture, is_first=site is first),
        _say,
    )


def _placed(site: Site, args: argparse.Namespace) -> Site:
    given: dict[str, float] = {}
    if (position := position_of(args)) is not None:
        given |= {"latitude_deg": position[0], "longitude_deg": position[1]}
    if args.water_vapour is not None:
        given |= {"precipitable_water_mm": args.water_vapour, "precipitable_water_amplitude_mm": 0.0}
    return dataclasses.replace(site, **given)  # type: ignore[arg-type]


def _one_site(
    site: Site, paths: Sequence[str], args: argparse.Namespace, picture: Path | None, *, is_first: bool
) -> None:
    reader = FileReader(clock=clock_of(args, site), now=present())
    interval_s = args.average or _interval_s(paths)
    averages = averages_of_all(profiles_of(reader, paths, site.id), interval_s)
    report_rejected(reader, site.id, _say)
    if not averages:
        raise no_profile(reader, paths)
    rows, state = step(site, averages, b"", interval_s=interval_s)
    last, _ = finish(site, state, interval_s=interval_s)
    days = [row for row in [*rows, *last] if "provisional" not in row.values["quality"]]
    if picture:
        from ipdsf_spark.plots import save  # a second of imports that other outputs do not need
        from ipdsf_spark.plots.calibration import calibration_figure

        save(calibration_figure(days, title=site.id), picture)
    if args.json:
        for row in days:
            print(json.dumps({"site": site.id, "day": day_of(row)} | dict(row.values)))
    elif args.csv:
        print(to_csv(site, days, header=is_first), end="")
    else:
        print(summary_of(site, next(iter(reader.files_by_instrument)), days))
        if picture:
            print(f"  wrote        {picture}")
    sys.stdout.flush()


def _interval_s(paths: Sequence[str]) -> int:
    """The shortest usual interval that holds a profile, by the first file with two of them."""
    for path in paths:
        times = [block.time for block in decode(bytes_of(path), name=path).blocks if len(block) > 1]
        steps = np.concatenate(
            [np.empty(0), *(np.diff(time).astype("timedelta64[us]").astype(float) for time in times)]
        )
        steps = steps[steps > 0.0]
        if steps.size:
            step_s = float(np.median(steps)) / 1e6
            return next((each for each in INTERVALS_S if each >= 0.95 * step_s), INTERVALS_S[-1])
    return INTERVALS_S[0]


def to_csv(site: Site, days: Sequence[Row], *, header: bool) -> str:
    """A line per day: the values of its record, flags parted by blanks, nothing where there is no value."""
    text = io.StringIO()
    rows = [{"site": site.id, "day": day_of(row), **row.values, "alarm": int(row.values["alarm"]),
             "quality": " ".join(row.values["quality"])} for row in days]  # fmt: skip
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    if header:
        writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def day_of(row: Row) -> str:
    """The UTC day of a row."""
    return str(np.datetime64(row.time_us // US_PER_DAY, "D"))


def summary_of(site: Site, instrument: str, days: Sequence[Row]) -> str:
    """A line per day for a person, and what to write into the table of sites."""
    lines = [
        site.id,
        f"  instrument   {instrument}, {len(days)} day(s)",
        "  day          of the day         filtered           clouds  nights  quality",
    ]
    for row in days:
        values = row.values
        own, filtered = _told(values["day_factor"], values["day_sigma"]), _told(values["factor"], values["sigma"])
        counts = f"{values['num_cloud_intervals']:6d}  {values['num_clear_nights']:6d}"
        alarm = " ALARM" if values["alarm"] else ""
        lines.append(f"  {day_of(row)}   {own:<17}  {filtered:<17}  {counts}  {', '.join(values['quality'])}{alarm}")
    newest = days[-1].values
    if newest["factor"] is not None:
        lines.append(f"  table        calibration = {newest['factor']:.4g}    # of [{site.id}] in the table of sites")
    return "\n".join(lines)


def _told(factor: Any, sigma: Any) -> str:
    return "none" if factor is None else f"{factor:.4g} ± {100 * sigma:.0f} %"


def _say(message: str) -> None:
    print(f"ipdsf calibrate: {message}", file=sys.stderr)
