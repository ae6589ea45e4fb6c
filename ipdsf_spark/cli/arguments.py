"""What the parsers of several verbs share."""

from __future__ import annotations

import argparse
import contextlib
from datetime import date
from pathlib import Path
from typing import Any, Final

from ipdsf_spark import logs
from ipdsf_spark.config import MonitoringConfig, load
from ipdsf_spark.errors import ConfigError, IpdsfError
from ipdsf_spark.storage.location import location_of

PICTURES: Final = (".png", ".svg", ".pdf")
TOPS_M: Final = (100.0, 30_000.0)


def add_configuration(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """The arguments by which every verb is configured."""
    parser.add_argument("--config", action="append", default=[], metavar="FILE", help="configuration file, may repeat")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="override, may repeat")


def begin_logging(args: argparse.Namespace, *, otherwise: str) -> None:
    """Log as the configuration says, if the verb has one; one that cannot be used is the verb's to tell.

    Args:
        args: of the verb.
        otherwise: level where nothing is said.
    """
    files, overrides = getattr(args, "config", None), getattr(args, "set", None)
    told = MonitoringConfig()
    if isinstance(files, list) and isinstance(overrides, list):
        with contextlib.suppress(IpdsfError):
            told = load(*files, overrides=overrides).monitoring
    logs.begin(told.log_format, told.log_level or otherwise)


def seed(text: str) -> int:
    """The type of a seed: generators take no number below 0.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"a seed is a whole number of at least 0, not {text}")
    return int(text)


def here(text: str) -> Path:
    """The type of a path of this machine, or one that it has mounted; a `file://` URL is one, any other URL is none.

    Raises:
        argparse.ArgumentTypeError: it is on another machine: as a path it would be a folder called `s3:`.
    """
    if "://" not in text:
        return Path(text)
    try:
        place = location_of(text)
    except IpdsfError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if place.path is None:
        raise argparse.ArgumentTypeError(f"{place} is no path of this machine, nor one that it has mounted")
    return place.path


def add_top(parser: argparse.ArgumentParser | argparse._ArgumentGroup, what: str) -> None:
    """How high a picture reaches."""
    parser.add_argument("--top", type=float, metavar="M", help=f"highest height of {what}")


def check_top(args: argparse.Namespace) -> None:
    """Refuse a height that no picture can reach, before anything is read.

    Raises:
        ConfigError: it is none.
    """
    low, high = TOPS_M
    if args.top is not None and not low <= args.top <= high:  # not a number is refused as well
        raise ConfigError(f"--top is {low:.0f} to {high:.0f} m, not {args.top}")


def picture_at(name: str) -> Path:
    """Where a picture is written; its ending says the format, and none means PNG.

    Raises:
        ConfigError: it is a folder, or of another format.
    """
    path = Path(name)
    if path.is_dir():
        raise ConfigError(f"--plot names a file, and {name} is a folder; say {path / 'picture.png'}")
    if not path.suffix:
        path = path.with_name(f"{path.name}.png")
    if path.suffix.lower() not in PICTURES:
        raise ConfigError(f"--plot writes {', '.join(PICTURES)}, not {path.suffix} ({name})")
    return path


def check_days(args: argparse.Namespace) -> None:
    """Refuse days of an archive that no calendar has, that end before they begin, or that no archive is named for.

    Raises:
        ConfigError: they are such.
    """
    told = {f"--{name}": getattr(args, name) for name in ("since", "until") if getattr(args, name) is not None}
    if told and not args.archive:
        raise ConfigError(f"{' and '.join(told)} chooses days of an archive: name it with --archive DIR")
    for option, text in told.items():
        try:
            is_day = date.fromisoformat(text).isoformat() == text
        except ValueError:
            is_day = False
        if not is_day:
            raise ConfigError(f"{option} must be a day like 2026-06-21, is {text!r}")
    if len(told) == 2 and args.since > args.until:
        raise ConfigError(f"--since must not be after --until, is {args.since} and {args.until}")


def examples_for(epilog: str, *words: str) -> str:
    """Of the examples of a verb those of one action below it, with the paragraphs that end the epilog."""
    examples, gap, rest = epilog.partition("\n\n")
    own: list[str] = []
    is_own = False
    for line in examples.splitlines()[1:]:
        if line.startswith("  ipdsf "):
            is_own = line.split()[1 : 1 + len(words)] == list(words)
        own += [line] if is_own else []
    return "\n".join(["examples:", *own]) + (f"{gap}{rest}" if rest else "\n")


def add_verb(verbs: Any, name: str, help_line: str, examples: str) -> argparse.ArgumentParser:
    """The parser of a verb below a verb."""
    parser: argparse.ArgumentParser = verbs.add_parser(
        name,
        help=help_line,
        description=help_line,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return parser
