"""The files a user names: single ones, folders, glob patterns; and those that are written for them."""

from __future__ import annotations

import argparse
import glob
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np

from ipdsf_spark.errors import InputError
from ipdsf_spark.lidar.instruments.stamps import Clock
from ipdsf_spark.lidar.site import Site

LARGEST_FILE_BYTES: Final = 1 << 30
WILDCARDS: Final = frozenset("*?[")


def files_of(paths: Iterable[str]) -> Iterator[str]:
    """Every file that `paths` name, folders with all that lies below them, in order of name.

    Raises:
        InputError: a name is empty.
    """
    for path in paths:
        if not path:  # a variable of a shell that is not set: not the folder one stands in
            raise InputError("the name of a file or folder is empty")
        if Path(path).is_dir():
            yield from (str(inner) for inner in sorted(Path(path).rglob("*")) if inner.is_file())
        elif WILDCARDS & set(path) and not Path(path).exists():
            yield from sorted(glob.glob(path, recursive=True)) or [path]
        else:
            yield path


def bytes_of(path: str) -> bytes:
    """The bytes of one file.

    Raises:
        InputError: it cannot be read, or is far too large for a ceilometer's.
    """
    try:
        size = Path(path).stat().st_size
        if size > LARGEST_FILE_BYTES:
            raise InputError(f"{path} has {size} bytes; a ceilometer file has at most {LARGEST_FILE_BYTES}")
        with Path(path).open("rb") as file:  # a device or a pipe has no size, and may have no end
            raw = file.read(LARGEST_FILE_BYTES + 1)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    if len(raw) > LARGEST_FILE_BYTES:
        raise InputError(f"{path} goes on after {LARGEST_FILE_BYTES} bytes; a ceilometer file has no more")
    return raw


def check_is_there(path: str) -> None:
    """Whether there is such a file.

    Raises:
        InputError: there is none, or nobody may look.
    """
    try:
        Path(path).stat()
    except OSError as error:
        raise InputError(f"cannot read {path or repr(path)}: {error.strerror or error}") from error


def outputs(folder: str | Path, stem: str, *endings: str) -> list[Path]:
    """The files to write, one for each ending, in a folder that is made; a dot in a site's id is no ending."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    return [Path(folder) / f"{stem}{ending}" for ending in endings]


def add_clock_arguments(parser: argparse._ArgumentGroup | argparse.ArgumentParser) -> None:
    """Arguments that say how a logger's clock is set."""
    parser.add_argument("--timezone", metavar="ZONE", help="of stamps without a zone: Europe/Berlin, +01:00 (UTC)")
    parser.add_argument(
        "--date-order", metavar="ORDER", help="day_first, month_first or year_first, if files leave it open"
    )
    parser.add_argument("--stamps", metavar="PLACE", help="before or behind their messages, if files leave it open")


def clock_of(args: argparse.Namespace, site: Site | None = None) -> Clock:
    """The logger's clock: what the command line says, and else what the table of sites does.

    Raises:
        ConfigError: there is no such zone, order or place of stamps.
    """
    stated = site.clock if site is not None else Clock()
    told = {"zone": args.timezone, "date_order": args.date_order, "stamps": args.stamps}
    return replace(stated, **{key: value for key, value in told.items() if value is not None})


def present() -> np.datetime64:
    """The present (UTC), beyond which no time of a file is believed."""
    return np.datetime64(datetime.now(UTC).replace(tzinfo=None), "us")
