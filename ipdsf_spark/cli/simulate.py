"""`ipdsf simulate`: a network of instruments that write genuine files, with the heights that they should give."""

from __future__ import annotations

import argparse
import csv
import json
import math
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np

from ipdsf_spark.cli.arguments import seed
from ipdsf_spark.config import toml
from ipdsf_spark.errors import ConfigError, InputError
from ipdsf_spark.lidar.profiles import Time
from ipdsf_spark.lidar.simulator import INSTRUMENTS, SCENARIOS, DayPlan, SimulatedDay, draw_plan, instrument_named
from ipdsf_spark.lidar.simulator import simulate as simulate_times
from ipdsf_spark.lidar.simulator.bank import file_name, profiles_between
from ipdsf_spark.lidar.simulator.evolution import middle_of
from ipdsf_spark.lidar.site import Site
from ipdsf_spark.progress import progress_bar

EXAMPLES: Final = """examples:
  ipdsf simulate --sites 4 -o network                          four sites, one day, all instruments, all weathers
  ipdsf simulate --sites 1 --instrument cl51 --scenario clear --date 2026-06-21 -o day
  ipdsf simulate --sites 50 --hours 2 --minutes 1 -o load      two hours of one-minute files for a load test
  ipdsf simulate --sites 2 --noise 0.05 --seed 7 -o check      the noise level of the literature, always the same files

Below -o: SITE/ with files as the instrument writes them, truth/SITE.csv with the known heights, and sites.toml, so
that `ipdsf layers DIR --sites DIR/sites.toml -o out` retrieves what this simulated. In a folder that was simulated
before, other days and other sites stay; files and heights of the same time are replaced.
"""
# Places of the mid-latitudes, one after the other: the sun of every site differs.
PLACES: Final = (
    (59.9, 10.7, 96.0),
    (48.1, 11.6, 539.0),
    (44.3, 26.0, 70.0),
    (41.7, -88.0, 230.0),
    (35.7, 139.7, 40.0),
    (-33.9, 18.5, 42.0),
    (51.5, -0.1, 25.0),
    (19.4, -99.1, 2240.0),
)
YEARS: Final = range(1985, 2200)  # those of ceilometers, as readers take them, and some to come
TOLD: Final = ("latitude_deg", "longitude_deg", "altitude_m", "instrument", "calibration")  # of a site in its table
TRUTH_EVERY: Final = np.timedelta64(60, "s")
TABLE: Final = "sites.toml"
TRUTH_COLUMNS: Final = ("time", "mixing_height_m", "residual_height_m", "cloud_base_m", "is_rain", "is_fog")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.epilog = EXAMPLES
    parser.add_argument("-o", "--output", required=True, metavar="DIR", help="folder to write; made if it is not there")
    parser.add_argument("--sites", type=int, default=4, metavar="N", help="number of sites (default: 4)")
    parser.add_argument("--instrument", default="mix", help=f"{', '.join(INSTRUMENTS)}, or mix in turn (default: mix)")
    parser.add_argument("--scenario", default="mix", help=f"{', '.join(SCENARIOS)}, or mix in turn (default: mix)")
    parser.add_argument("--date", metavar="YYYY-MM-DD", help="first UTC day (default: yesterday)")
    parser.add_argument("--start", default="00:00", metavar="HH:MM", help="first hour and minute, UTC (default: 00:00)")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--days", type=int, metavar="N", help="length in days (default: 1)")
    length.add_argument("--hours", type=float, metavar="H", help="length in hours")
    parser.add_argument("--minutes", type=int, default=5, metavar="M", help="length of one file, 1 to 60 (default: 5)")
    parser.add_argument("--cadence", type=float, default=15.0, metavar="S", help="seconds per profile (default: 15)")
    parser.add_argument(
        "--noise",
        type=float,
        help="standard deviation of a five-minute mean at 1500 m, relative to the "
        "mixing layer (0.02, 0.05, 0.10 in the literature; default: the genuine noise of the instrument)",
    )
    parser.add_argument("--seed", type=seed, default=0, help="the same seed writes the same files (default: 0)")
    parser.add_argument("--json", action="store_true", help="one JSON object per site and line on stdout")


@dataclass(frozen=True)
class Simulated:
    """What was written for one site."""

    site: str
    instrument: str
    scenario: str
    files: int
    profiles: int
    bytes: int
    directory: str


def run(args: argparse.Namespace) -> int:
    """Write the network."""
    start, length = _period(args)
    _check(args)
    root = Path(args.output)
    earlier = _simulated_before(root / TABLE)
    sites = [_site(number, args) for number in range(args.sites)]
    _check_instruments(root, earlier, sites)
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write to {root}: {error.strerror or error}") from error
    slots = math.ceil(length / np.timedelta64(args.minutes, "m"))
    written = []
    with progress_bar(total=slots * len(sites), unit="file", disable=not sys.stderr.isatty()) as progress:
        for number, site in enumerate(sites):
            scenario = _in_turn(args.scenario, tuple(SCENARIOS), number)
            folder = root / site.id
            folder.mkdir(exist_ok=True)
            progress.set_description(site.id)
            written.append(_write_site(site, scenario, folder, start, length, args, progress))
            if args.json:
                print(json.dumps(vars(written[-1])), flush=True)
    now = {site.id for site in sites}
    others = [Site(id=name, **told) for name, told in earlier.items() if name not in now]
    (root / TABLE).write_text(sites_table(sorted([*others, *sites], key=lambda site: site.id)), encoding="utf-8")
    if not args.json:
        total = sum(each.files for each in written)
        size = sum(each.bytes for each in written) / 1e6
        print(f"{total} files ({size:.1f} MB) of {len(sites)} site(s) in {root}, known heights in truth/, sites.toml")
    return 0


def _period(args: argparse.Namespace) -> tuple[np.datetime64, np.timedelta64]:
    try:
        day = date.fromisoformat(args.date) if args.date else (datetime.now(UTC) - timedelta(days=1)).date()
        clock = datetime.strptime(args.start, "%H:%M")
    except ValueError as error:
        raise ConfigError(f"--date must be YYYY-MM-DD and --start HH:MM: {error}") from error
    if day.year not in YEARS:
        raise ConfigError(f"--date must lie in the years {YEARS[0]} to {YEARS[-1]}, is {args.date}")
    hours = args.hours if args.hours is not None else 24.0 * (args.days if args.days is not None else 1)
    if not 0 < hours <= 24 * 366:
        raise ConfigError(f"length must be more than nothing and at most a year, got {hours:g} hours")
    minutes = clock.hour * 60 + clock.minute
    return np.datetime64(day, "us") + np.timedelta64(minutes, "m"), np.timedelta64(round(hours * 3600), "s")


def _check(args: argparse.Namespace) -> None:
    """Refuse what cannot be simulated, before anything is written."""
    if args.sites < 1:
        raise ConfigError(f"--sites must be 1 or more, got {args.sites}")
    if not 1 <= args.minutes <= 60:
        raise ConfigError(f"--minutes must be 1 to 60, got {args.minutes}")
    if not 1 <= args.cadence <= 60 * args.minutes:
        raise ConfigError(f"--cadence must be from one second to the length of a file, got {args.cadence:g}")
    if args.noise is not None and not 0 <= args.noise <= 10:
        raise ConfigError(f"--noise must be 0 to 10, got {args.noise:g}")
    try:
        if args.instrument != "mix":
            instrument_named(args.instrument)
        if args.scenario != "mix" and args.scenario not in SCENARIOS:
            raise ValueError(f"unknown scenario {args.scenario!r}; there are {', '.join(SCENARIOS)}, or mix")
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _simulated_before(table: Path) -> dict[str, dict[str, Any]]:
    """The sites that were simulated into the folder before: they go on standing in its table.

    Raises:
        InputError: the table holds places that nobody simulated: it would be written over.
    """
    try:
        listed = toml.parsed(toml.text_of(table, "the table of sites"), str(table))
    except ConfigError as error:
        if isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
            return {}
        raise InputError(f"{table} would be written over, and is none of simulate's: {error}") from error

    def is_simulated(name: str) -> bool:
        return (
            bool(re.fullmatch(r"sim-\d+", name))
            and isinstance(listed[name], dict)
            and set(TOLD[:3]) <= set(listed[name])
        )

    if others := [name for name in listed if not is_simulated(name)]:
        raise InputError(
            f"{table} would be written over, and holds {', '.join(others[:3])}: name another folder with -o"
        )
    return {name: {key: told[key] for key in TOLD if key in told} for name, told in listed.items()}


def _check_instruments(root: Path, earlier: Mapping[str, Mapping[str, Any]], sites: Sequence[Site]) -> None:
    """Refuse files of another instrument in the folder of a site: those of before stay, and no verb reads both."""
    for site in sites:
        before = earlier.get(site.id, {}).get("instrument", site.instrument)
        if before != site.instrument:
            raise InputError(
                f"{root / site.id} holds files of a {before}, and a {site.instrument} would write beside them: name "
                "another folder with -o, or the same instrument"
            )


def _in_turn(wanted: str, all_of_them: Sequence[str], number: int) -> str:
    return all_of_them[number % len(all_of_them)] if wanted == "mix" else wanted


def _site(number: int, args: argparse.Namespace) -> Site:
    latitude, longitude, altitude = PLACES[number % len(PLACES)]
    # Sites that share a place stand a little apart, so that no two have the same sun.
    apart = 0.05 * (number // len(PLACES))
    instrument = instrument_named(_in_turn(args.instrument, tuple(INSTRUMENTS), number))
    return Site(
        id=f"sim-{number + 1:0{max(2, len(str(args.sites)))}d}",
        latitude_deg=round(latitude + 0.3 * math.sin(apart), 4),
        longitude_deg=round(longitude + apart if abs(longitude + apart) <= 180 else longitude, 4),
        altitude_m=altitude,
        instrument=instrument.name,
        calibration=instrument.calibration,
    )


def _write_site(
    site: Site,
    scenario: str,
    folder: Path,
    start: np.datetime64,
    length: np.timedelta64,
    args: argparse.Namespace,
    progress: Any,
) -> Simulated:
    """Files and truth of one site, a day at a time."""
    num_files = num_profiles = num_bytes = 0
    plans = _Plans(site, scenario, args.seed)
    known = folder.parent / "truth" / f"{site.id}.csv"  # not beside the files: an edge agent would send it
    known.parent.mkdir(exist_ok=True)
    before, after = _known_before(known, start, start + length)
    with known.open("w", encoding="utf-8", newline="") as truth:
        table = csv.writer(truth, lineterminator="\n")
        table.writerow(TRUTH_COLUMNS)
        table.writerows(before)
        for times in _days(start, start + length, args.cadence):
            noise = np.random.default_rng([args.seed, _number_of(site), int(times[0].astype(np.int64)) // 10**6])
            day = simulate_times(site, times, rng=noise, noise=args.noise, cadence_s=args.cadence, plan=plans)
            for name, raw, count in _files(day, args.minutes):
                (folder / name).write_bytes(raw)
                num_files, num_profiles, num_bytes = num_files + 1, num_profiles + count, num_bytes + len(raw)
                progress.update()
            table.writerows(truth_rows(day))
        table.writerows(after)
    return Simulated(site.id, day.instrument.name, scenario, num_files, num_profiles, num_bytes, str(folder))


def _known_before(known: Path, start: np.datetime64, stop: np.datetime64) -> tuple[list[list[str]], list[list[str]]]:
    """Rows of an earlier truth before and after a period: files of other days stay, and so do their heights."""
    if not known.exists():
        return [], []
    with known.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    if not rows or tuple(rows.pop(0)) != TRUTH_COLUMNS:
        return [], []
    first, last = (f"{np.datetime_as_string(time, unit='s')}Z" for time in (start, stop))
    return [row for row in rows if row[0] < first], [row for row in rows if row[0] >= last]


@dataclass(frozen=True)
class _Plans:
    """The plan of every solar day of a site; seeded by the day, so that any two periods of the site agree."""

    site: Site
    scenario: str
    seed: int

    def __call__(self, day: date) -> DayPlan:
        rng = np.random.default_rng([self.seed, _number_of(self.site), day.toordinal()])
        return draw_plan(rng, self.scenario, middle_of(day, self.site)[1] / 3600.0)


def _number_of(site: Site) -> int:
    return int(site.id.rpartition("-")[2])


def _days(start: np.datetime64, stop: np.datetime64, cadence_s: float) -> Iterator[Time]:
    """Profile times, cut at midnight."""
    steps = np.arange(math.ceil((stop - start) / np.timedelta64(round(cadence_s * 1e6), "us")))
    times = start + (steps * round(cadence_s * 1e6)).astype("timedelta64[us]")
    cuts = np.flatnonzero(np.diff(times.astype("datetime64[D]")) > np.timedelta64(0, "D")) + 1
    yield from np.split(times, cuts)


def _files(day: SimulatedDay, minutes: int) -> Iterator[tuple[str, bytes, int]]:
    """Name, bytes and number of profiles of every file of a day."""
    length = np.timedelta64(minutes, "m")
    times = day.profiles.time
    midnight = times[0].astype("datetime64[D]")
    for slot in range(int((times[0] - midnight) // length), int((times[-1] - midnight) // length) + 1):
        part = profiles_between(day.profiles, slot * length, (slot + 1) * length)
        if len(part):
            begin = midnight + slot * length
            yield file_name(day, day.site.id, max(begin, times[0])), day.instrument.encode(part), len(part)


def truth_rows(day: SimulatedDay) -> Iterator[tuple[str, str, str, str, int, int]]:
    """What a perfect retrieval would say, once a minute."""
    minutes = day.profiles.time.astype("datetime64[m]")
    weather = day.weather
    for row in np.flatnonzero(np.diff(minutes, prepend=minutes[0] - TRUTH_EVERY)):
        yield (
            f"{np.datetime_as_string(day.profiles.time[row], unit='s')}Z",
            f"{weather.mixing_height_m[row]:.1f}",
            f"{weather.residual_height_m[row]:.1f}",
            "" if np.isnan(weather.cloud_base_m[row]) else f"{weather.cloud_base_m[row]:.1f}",
            int(weather.is_rain[row]),
            int(weather.is_fog[row]),
        )


def sites_table(sites: Sequence[Site]) -> str:
    """The sites as a table that the other verbs read."""
    tables = []
    for site in sites:
        lines = [
            f"[{site.id}]",
            f"latitude_deg = {site.latitude_deg}",
            f"longitude_deg = {site.longitude_deg}",
            f"altitude_m = {site.altitude_m}",
            f'instrument = "{site.instrument}"',
        ]
        if site.calibration is not None:
            lines.append(f"calibration = {site.calibration:g}")
        tables.append("\n".join(lines))
    return "\n\n".join(tables) + "\n"
