"""`ipdsf air`: PM2.5 and air quality indices of ceilometer files, and a site's regression, without Spark."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from ipdsf_spark.cli.arguments import add_configuration
from ipdsf_spark.cli.inputs import add_clock_arguments, bytes_of, clock_of, outputs, present
from ipdsf_spark.cli.sited_files import (
    add_place_arguments,
    by_site,
    for_each_site,
    no_profile,
    profiles_of,
    report_rejected,
)
from ipdsf_spark.errors import ConfigError, InputError
from ipdsf_spark.lidar import tables
from ipdsf_spark.lidar.aerosol.flags import AirFlag
from ipdsf_spark.lidar.aerosol.near_surface import AerosolInterval, known_humidity
from ipdsf_spark.lidar.aerosol.types import AEROSOL_TYPES
from ipdsf_spark.lidar.air_quality import records
from ipdsf_spark.lidar.air_quality.adapter import interval_of
from ipdsf_spark.lidar.air_quality.making import Making
from ipdsf_spark.lidar.air_quality.mass import AirSettings
from ipdsf_spark.lidar.air_quality.monitor import Monitor, read_humidity, read_monitor
from ipdsf_spark.lidar.air_quality.operator import AirRow, finish, step
from ipdsf_spark.lidar.air_quality.regression import Judged, SiteLine, fit_site
from ipdsf_spark.lidar.averages.average import Average
from ipdsf_spark.lidar.averages.build import averages_of
from ipdsf_spark.lidar.calibration import operator as calibration
from ipdsf_spark.lidar.files import FileReader
from ipdsf_spark.lidar.profiles import Float64, Time
from ipdsf_spark.lidar.site import Site

EXAMPLES: Final = """examples:
  ipdsf air day/*.nc --site oslo --csv              hourly PM2.5, US and European index of a day
  ipdsf air day/*.nc --humidity met.csv -o out      with relative humidity by hour; CSV, JSON and picture in out/
  ipdsf air network/ --sites network/sites.toml --json
                                                    folders called like sites of the table, each on its own
  ipdsf air day/*.nc --calibrate --csv              calibrated by its own clouds or clear nights first
  ipdsf air fit year/*.nc --site oslo --monitor pm25.csv -o out
                                                    a line from estimate to a monitor's PM2.5, judged on unseen days
  ipdsf air day/*.nc --site oslo --line out/oslo_line.json --csv
                                                    with the site's line

Every value is indicative, estimated from lidar: no regulatory measurement. "quality" says what is assumed, and why a
value is missing. A signal without a calibration to m-1 sr-1 gives no mass: give --calibration, or the site's in the
table. Monitor and humidity are CSV with a header; a unit may stand in brackets behind a column's name, or in a column
"unit"; a column "flag" may hold flags of ACTRIS and EBAS.
docs/quality.md explains the words of "quality".
"""
FIT: Final = "fit"
INTERVAL_S: Final = 300
LARGEST_SHARE: Final = 1.1  # a humidity up to here is one of 0 to 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.epilog = EXAMPLES
    parser.add_argument(
        "paths", nargs="+", metavar="FILE", help="file, folder or glob pattern; first fit: see examples"
    )
    place = add_place_arguments(parser)
    add_clock_arguments(place)
    place.add_argument(
        "--calibrate", action="store_true", help="find the factor in the files themselves, as ipdsf calibrate does"
    )
    air = parser.add_argument_group("the air")
    air.add_argument(
        "--aerosol", default="continental", help=f"type: {', '.join(AEROSOL_TYPES)} (default: continental)"
    )
    air.add_argument("--lidar-ratio", type=float, metavar="SR", help="measured at the site, instead of the type's")
    air.add_argument("--growth", default="gamma", help="growth with humidity: gamma or kappa (default: gamma)")
    air.add_argument("--humidity", metavar="CSV|PERCENT", help="relative humidity by hour, or one for all hours")
    air.add_argument("--line", metavar="JSON", help="the site's regression, written by ipdsf air fit")
    fit = parser.add_argument_group("ipdsf air fit")
    fit.add_argument(
        "--monitor", metavar="CSV", help="hourly PM2.5 of a monitor beside the instrument, µg/m3 if no unit is said"
    )
    fit.add_argument("--time-column", metavar="NAME", help="of the monitor's file (default: one of the usual names)")
    fit.add_argument("--value-column", metavar="NAME", help="of the monitor's file (default: one of the usual names)")
    output = parser.add_argument_group("output")
    output.add_argument("-o", "--output", metavar="DIR", help="write CSV, JSON and picture per site; fit: the line")
    form = output.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON object per hour and line on stdout")
    form.add_argument("--csv", action="store_true", help="CSV on stdout")
    add_configuration(parser)


def run(args: argparse.Namespace) -> int:
    """Estimate, print and write the hours of every site, or fit a line; 1 if a site gave nothing."""
    is_fit = args.paths[0] == FIT and not Path(FIT).exists()
    if is_fit and (not args.monitor or len(args.paths) < 2):
        raise ConfigError("ipdsf air fit needs files and --monitor CSV")
    if args.calibrate and args.calibration is not None:
        raise ConfigError("--calibrate finds what --calibration gives: one of the two")
    if args.monitor and not is_fit:
        raise ConfigError("--monitor belongs to: ipdsf air fit FILES --monitor CSV")
    settings = _settings(args)
    humidity = _humidity(args.humidity)
    groups = by_site(args, args.paths[1:] if is_fit else args.paths)
    if is_fit and len(groups) > 1:
        raise ConfigError(f"a monitor stands at one site, the files belong to {', '.join(s.id for s, _ in groups)}")
    first = groups[0][0]

    def handle(site: Site, paths: list[str]) -> None:
        if is_fit:
            _fit(site, paths, args, settings, humidity)
        else:
            _one_site(site, paths, args, settings, humidity, is_first=site is first)

    return for_each_site(groups, handle, _say)


def _settings(args: argparse.Namespace) -> AirSettings:
    line = None
    if args.line:
        try:
            line = SiteLine.from_json(bytes_of(args.line).decode("utf-8", "replace"))
        except ValueError as error:
            raise ConfigError(f"{args.line}: {error}") from error
    try:
        return AirSettings(
            aerosol=args.aerosol,
            lidar_ratio_sr=args.lidar_ratio,
            growth=args.growth,
            interval_s=INTERVAL_S,
            line=line,
        )
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _humidity(given: str | None) -> Mapping[int, float] | float:
    """By hour since 1970, or one for all, 0 to 1; NaN where none is given."""
    if given is None:
        return float("nan")
    try:
        percent = float(given)
    except ValueError:
        return read_humidity(tables.decoded(bytes_of(given)), name=given)
    if not 0.0 <= percent <= 100.0:
        raise ConfigError(f"--humidity is a file or a percentage from 0 to 100, not {given}")
    if percent == 0.0:
        raise ConfigError("--humidity: no air outdoors is at 0 %; leave it out where it is not known")
    if 0.0 < percent <= LARGEST_SHARE:
        raise ConfigError(f"--humidity is a percentage, and no air is as dry as {given} %: say {100 * percent:g}?")
    return percent / 100.0


def _intervals(
    site: Site, paths: Sequence[str], humidity: Mapping[int, float] | float, args: argparse.Namespace
) -> tuple[list[AerosolInterval], FileReader]:
    """Five-minute means of all files, in time order."""
    reader = FileReader(clock=clock_of(args, site), now=present())
    averages: dict[int, Average] = {}
    wavelength_nm = float("nan")
    for block in profiles_of(reader, paths, site.id):
        wavelength_nm = float(block.wavelength_nm)
        for average in averages_of(block, INTERVAL_S):
            known = averages.get(average.index)
            averages[average.index] = average if known is None else known.merge(average)
    report_rejected(reader, site.id, _say)
    if not reader.num_profiles:
        raise no_profile(reader, paths)
    if not averages:
        raise InputError(f"none of {reader.num_profiles} profiles carries a time")

    if args.calibrate:
        site = _calibrated(site, [averages[index] for index in sorted(averages)])

    def at(index: int) -> float:
        if isinstance(humidity, float):
            return humidity
        return humidity.get(index * INTERVAL_S // 3600, float("nan"))

    intervals = [
        interval_of(
            averages[index], site, interval_s=INTERVAL_S, wavelength_nm=wavelength_nm, relative_humidity=at(index)
        )
        for index in sorted(averages)
    ]
    return intervals, reader


def _calibrated(site: Site, averages: Sequence[Average]) -> Site:
    """The site with the factor that its own liquid clouds and clear nights give."""
    rows, state = calibration.step(site, averages, b"", interval_s=INTERVAL_S)
    rows += calibration.finish(site, state, interval_s=INTERVAL_S)[0]
    newest = rows[-1].values
    if newest["factor"] is None:
        raise InputError(
            f"the files of {site.id} give no calibration ({', '.join(newest['quality'])}); see ipdsf calibrate"
        )
    _say(f"{site.id}: calibration {newest['factor']:.4g} ± {100 * newest['sigma']:.0f} %, from the files themselves")
    return dataclasses.replace(site, calibration=newest["factor"])


def _hours(site: Site, intervals: Sequence[AerosolInterval], settings: AirSettings) -> list[AirRow]:
    """Final rows; the last hour is closed as it stands."""
    rows, state = step(site, intervals, b"", settings)
    rows += finish(site, state, settings)[0]
    return [row for row in rows if not row.flags & AirFlag.PROVISIONAL]


def _one_site(
    site: Site,
    paths: Sequence[str],
    args: argparse.Namespace,
    settings: AirSettings,
    humidity: Mapping[int, float] | float,
    *,
    is_first: bool,
) -> None:
    intervals, reader = _intervals(site, paths, humidity, args)
    if settings.line and settings.line.made_of and intervals:
        differences = settings.line.made_of.differences(_making(site, intervals, settings))
        if differences:
            raise InputError(
                f"{args.line} was fitted to other estimates: {'; '.join(differences)}; fit a line to these"
            )
    rows = _hours(site, intervals, settings)
    written = _write(site, rows, Path(args.output)) if args.output else []
    if args.json:
        for row in rows:
            print(json.dumps(records.record_of(row)))
    elif args.csv:
        print(records.to_csv(rows, header=is_first), end="")
    else:
        print(summary_of(site, next(iter(reader.files_by_instrument)), reader.num_profiles, rows))
        for path in written:
            print(f"  wrote        {path}")
    sys.stdout.flush()


def _making(site: Site, intervals: Sequence[AerosolInterval], settings: AirSettings) -> Making:
    """How these estimates are made: what a line's file tells of those that it was fitted to."""
    return Making(
        site.id,
        intervals[0].wavelength_nm,
        settings.aerosol,
        settings.lidar_ratio_sr,
        settings.growth,
        intervals[0].calibration,
        has_humidity=any(np.isfinite(known_humidity(each.relative_humidity)) for each in intervals),
    )


def _write(site: Site, rows: Sequence[AirRow], folder: Path) -> list[str]:
    from ipdsf_spark.plots import save  # a second of imports that other outputs do not need
    from ipdsf_spark.plots.air_quality import air_figure

    table, lines, picture = outputs(folder, f"{site.id}_air", ".csv", ".jsonl", ".png")
    table.write_text(records.to_csv(rows), encoding="utf-8")
    lines.write_text("".join(json.dumps(records.record_of(row)) + "\n" for row in rows), encoding="utf-8")
    save(air_figure(rows, title=site.id), picture)
    return [str(path) for path in (table, lines, picture)]


def _fit(
    site: Site,
    paths: Sequence[str],
    args: argparse.Namespace,
    settings: AirSettings,
    humidity: Mapping[int, float] | float,
) -> None:
    text = tables.decoded(bytes_of(args.monitor))
    monitor = read_monitor(text, time=args.time_column, value=args.value_column, name=args.monitor)
    if args.humidity is None and np.isfinite(monitor.relative_humidity).any():
        hours = monitor.time.astype("datetime64[h]").astype(np.int64)
        known = np.isfinite(monitor.relative_humidity)
        humidity = dict(zip(hours[known].tolist(), monitor.relative_humidity[known].tolist(), strict=True))
    intervals, _ = _intervals(site, paths, humidity, args)
    rows = _hours(site, intervals, dataclasses.replace(settings, line=None))
    time, estimate, measured = paired(rows, monitor)
    try:
        line, judged = fit_site(time, estimate, measured)
    except ValueError as error:
        spans = f"estimates {_span([row.time for row in rows if row.pm2p5 is not None])}, monitor {_span(monitor.time)}"
        raise InputError(f"no line for {site.id}: {error} ({spans})") from error
    line = dataclasses.replace(line, made_of=_making(site, intervals, settings))
    if args.json:
        print(json.dumps(json.loads(line.to_json(site.id)) | {"judged": [dataclasses.asdict(each) for each in judged]}))
    else:
        print(fit_summary(site, line, judged, monitor))
    if args.output:
        path = Path(args.output) / f"{site.id}_line.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(line.to_json(site.id), encoding="utf-8")
        if not args.json:
            print(f"  wrote        {path}")


def _span(time: Sequence[np.datetime64] | Time) -> str:
    """From when to when, so that a wrong year or zone is seen."""
    if not len(time):
        return "of no hour"
    return " to ".join(f"{np.datetime_as_string(each, unit='h')}Z" for each in (time[0], time[-1]))


def paired(rows: Sequence[AirRow], monitor: Monitor) -> tuple[Time, Float64, Float64]:
    """Hours that both have, with estimate and measurement [µg/m3]."""
    of_hour = dict(zip(monitor.time.astype("datetime64[h]"), monitor.pm2p5, strict=True))
    common = [row for row in rows if row.pm2p5 is not None and row.time.astype("datetime64[h]") in of_hour]
    time = np.array([row.time for row in common], "datetime64[us]")
    estimate = np.array([row.pm2p5 for row in common], np.float64)
    return time, estimate, np.array([of_hour[row.time.astype("datetime64[h]")] for row in common], np.float64)


def summary_of(site: Site, instrument: str, num_profiles: int, rows: Sequence[AirRow]) -> str:
    """A paragraph for a person."""
    known = [row for row in rows if row.pm2p5 is not None]
    lines = [
        site.id,
        f"  instrument   {instrument}, {num_profiles} profiles",
        f"  period       {rows[0].time.astype('datetime64[s]')}Z to {rows[-1].time.astype('datetime64[s]')}Z",
        f"  hours        {len(known)} of {len(rows)} with a mean of PM2.5",
    ]
    if known:
        mass = np.array([row.pm2p5 for row in known], np.float64)
        sigma = np.array([row.uncertainty for row in known])
        lines.append(
            f"  PM2.5        {mass.min():z.1f} to {mass.max():z.1f} µg/m3, median {np.median(mass):z.1f} ± "
            f"{np.median(sigma):.1f}"
        )
        for row in reversed(rows):
            if row.us is not None:
                lines.append(
                    f"  US AQI       {row.us.value}, {row.us.category}, at {row.time.astype('datetime64[h]')}Z"
                )
                break
        newest = known[-1]
        if newest.european is not None:
            lines.append(f"  European     {newest.european.name}, at {newest.time.astype('datetime64[h]')}Z")
    counts = {str(flag.name).lower(): sum(bool(row.flags & flag) for row in rows) for flag in AirFlag}
    lines.append("  quality      " + ", ".join(f"{name} {count}" for name, count in counts.items() if count))
    lines.append(f"  note         {records.NOTE}")
    return "\n".join(lines)


def fit_summary(site: Site, line: SiteLine, judged: Sequence[Judged], monitor: Monitor) -> str:
    """The line and its rivals, for a person."""
    lines = [
        site.id,
        f"  monitor      {monitor.num_rows} rows, {monitor.num_invalid} excluded by flags or fill values, "
        f"{monitor.num_unreadable} unreadable",
        f"  line         PM2.5 = {line.slope:.3f} x estimate {line.intercept:+.2f}, {line.num_hours} hours, "
        f"r2 {line.r2:.2f}",
        f"  period       {line.first} to {line.last}",
        "  on days that were not fitted, µg/m3:       MAE    RMSE    bias",
    ]
    lines += [f"    {each.name:<38} {each.mae:7.2f} {each.rmse:7.2f} {each.bias:7.2f}" for each in judged]
    if line.rmse >= judged[0].rmse:
        lines.append(
            "  note         on unseen days this line is no better than the mean of the monitor: it tells nothing"
        )
    return "\n".join(lines)


def _say(message: str) -> None:
    print(f"ipdsf air: {message}", file=sys.stderr)
