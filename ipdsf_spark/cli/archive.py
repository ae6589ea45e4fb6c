"""`ipdsf archive inspect|compact|rebuild|export|follow`."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import threading
import uuid
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from ipdsf_spark.cli.arguments import add_configuration, add_verb, examples_for
from ipdsf_spark.config import Config, load
from ipdsf_spark.errors import ConfigError, InputError

EPILOG = """examples:
  ipdsf archive inspect                                    tables, days, bytes, and what cannot be read
  ipdsf archive inspect --whole                            ... every row read: finds what a disk has damaged inside
  ipdsf archive compact --keep-h 48                        join small files, renew the newest view, remove old files
  ipdsf archive rebuild                                    make damaged or missing tables whole from the topics
  ipdsf archive export --site oslo --date 2026-06-21 -o cf  CF netCDF of a day
  ipdsf archive export --date yesterday -o cf              ... of every site, from cron, every morning
  ipdsf archive follow                                     write the archive here, beside a stream that runs elsewhere
"""
YESTERDAY = "yesterday"
ACTIONS = {
    "inspect": "what the tables hold, and what cannot be read",
    "compact": "join small files, make the newest view anew, remove what nobody reads any more",
    "rebuild": "make damaged or missing tables whole from the topics and from their own files",
    "export": "heights as CF netCDF, a file per site and day",
    "follow": "write the archive until stopped, without Spark",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.epilog = EPILOG
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, purpose in ACTIONS.items():
        _add_action(add_verb(actions, name, purpose, examples_for(EPILOG, "archive", name)), name)


def _add_action(parser: argparse.ArgumentParser, name: str) -> None:
    parser.add_argument("--directory", metavar="DIR", help="of the archive; as configured by default")
    if name == "inspect":
        parser.add_argument("--whole", action="store_true", help="read every row, not only the end of every file")
    if name == "compact":
        parser.add_argument("--keep-h", type=int, metavar="H", help="remove replaced files older than so many hours")
    if name == "export":
        parser.add_argument(
            "--site", action="append", default=[], metavar="ID", help="may repeat; all sites of the day by default"
        )
        parser.add_argument(
            "--date", action="append", required=True, metavar="DAY", help="UTC day, or yesterday; may repeat"
        )
        parser.add_argument("-o", "--output", required=True, metavar="DIR", help="folder of the files")
    add_configuration(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object per line")


def run(args: argparse.Namespace) -> int:
    """Look after the archive."""
    from ipdsf_spark.archive.tables import archive_directory

    config = load(*args.config, overrides=args.set)
    directory = Path(args.directory).expanduser() if args.directory else archive_directory(config)
    if args.action == "inspect":
        return _inspect(directory, args)
    if args.action == "compact":
        return _compact(directory, config, args)
    if args.action == "rebuild":
        return _rebuild(directory, config, args)
    if args.action == "export":
        return _export(directory, config, args)
    return _follow(config, args)


def _inspect(directory: Path, args: argparse.Namespace) -> int:
    from ipdsf_spark.archive.inspection import inspect

    tables = list(inspect(directory, is_whole=args.whole))
    if not tables:
        raise InputError(f"no archive at {directory}; `ipdsf stream` writes it, `ipdsf archive rebuild` makes it anew")
    for table in tables:
        if args.json:
            print(json.dumps(asdict(table)))
            continue
        print(
            f"{table.name}: version {table.version}, {table.num_rows} rows from {table.first_day or '-'} to "
            f"{table.last_day or '-'} in {table.num_files} files, {table.num_bytes / 1e6:.1f} MB; "
            f"{table.num_stale} replaced file(s) not removed yet"
        )
        for problem in table.problems:
            print(f"  damaged: {problem}; `ipdsf archive rebuild` makes the table whole from the topics")
    return 1 if any(table.problems for table in tables) else 0


def _compact(directory: Path, config: Config, args: argparse.Namespace) -> int:
    from ipdsf_spark.archive.upkeep import compact

    keep_h = config.stream.archive_keep_versions_h if args.keep_h is None else args.keep_h
    if keep_h < 0:
        raise ConfigError(f"--keep-h must be at least 0, is {keep_h}")
    if not directory.is_dir():
        raise InputError(f"no archive at {directory}; `ipdsf stream` writes it")
    done = compact(directory, keep_h=keep_h)
    if args.json:
        print(json.dumps(asdict(done)))
    else:
        print(
            f"joined {done.num_joined} files into {done.num_written}, made {done.num_days} day(s) of the newest view "
            f"anew, removed {done.num_removed} file(s) of {done.removed_bytes / 1e6:.1f} MB older than {keep_h} h"
        )
        for problem in done.problems:
            print(f"  damaged: {problem}; its day is left as it is, `ipdsf archive rebuild` makes the table whole")
    return 1 if done.problems else 0


def _rebuild(directory: Path, config: Config, args: argparse.Namespace) -> int:
    from ipdsf_spark.archive.rebuild import rebuild
    from ipdsf_spark.devkafka import resolve_bootstrap

    for told in rebuild(config, resolve_bootstrap(config), directory):
        if args.json:
            print(json.dumps(asdict(told)))
        else:
            print(
                f"{told.name}: {told.num_damaged} damaged file(s) set aside; {told.num_fed} new and "
                f"{told.num_filled} missing row(s) from the topic, {told.num_salvaged} from damaged files"
            )
    return 0


def _export(directory: Path, config: Config, args: argparse.Namespace) -> int:
    from ipdsf_spark.archive.export import netcdf_of, sites_of_day
    from ipdsf_spark.sites import layer_settings, site_named, sites_of

    sites, settings = sites_of(config), layer_settings(config)
    folder = Path(args.output)
    if folder.exists():
        folder.mkdir(exist_ok=True)  # says what else it is
    num_missing = 0
    for day in dict.fromkeys(map(_day, args.date)):
        names = list(dict.fromkeys(args.site)) or sites_of_day(directory, day)
        if not names:
            num_missing += 1
            print(f"ipdsf archive: the archive in {directory} has no heights of any site on {day}", file=sys.stderr)
        for name in names:
            try:
                raw = netcdf_of(directory, site_named(sites, name), day, settings=settings)
            except (InputError, ConfigError) as error:
                num_missing += 1
                print(f"ipdsf archive: {error}", file=sys.stderr)
                continue
            path = folder / f"{name}_{day.strftime('%Y%m%d')}.nc"
            _write(path, raw)
            print(json.dumps({"site": name, "date": str(day), "file": str(path)}) if args.json else path)
    return 1 if num_missing else 0


def _day(text: str) -> date:
    if text.lower() == YESTERDAY:
        return datetime.now(UTC).date() - timedelta(days=1)
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"--date must be like 2026-06-21, or {YESTERDAY}, is {text!r}") from error


def _write(path: Path, raw: bytes) -> None:
    """Whole or not at all; what a full disk left of it is removed, and folders that were made for it."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4()}.tmp")
    made = [folder for folder in path.parents if not folder.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(raw)
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # something else lies in one of them by now
            for folder in made:
                folder.rmdir()
        raise


def _follow(config: Config, args: argparse.Namespace) -> int:
    from ipdsf_spark.archive.keeper import ArchiveKeeper
    from ipdsf_spark.config import with_overrides
    from ipdsf_spark.devkafka import resolve_bootstrap

    if args.directory:
        config = with_overrides(config, [f"stream.archive_directory={json.dumps(args.directory)}"])
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    keeper = ArchiveKeeper(config, resolve_bootstrap(config)).start()
    while not stopped.wait(config.stream.archive_every_s):
        for line in keeper.lines:
            told = {"table": line.kind.name, "records": line.num_records, "lag": line.lag, "problem": line.problem}
            now = datetime.now(UTC).isoformat(timespec="seconds")
            to_come = "unknown" if line.lag is None else line.lag
            text = f"{now} {line.kind.name}: {line.num_records} records, {to_come} to come{line.problem and '; '}"
            print(json.dumps(told) if args.json else text + line.problem, flush=True)
    keeper.stop()
    return 0
