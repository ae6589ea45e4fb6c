"""What the parsers of several verbs share."""

from __future__ import annotations

import argparse
import contextlib
from typing import Any

from ipdsf_spark import logs
from ipdsf_spark.config import MonitoringConfig, load
from ipdsf_spark.errors import IpdsfError


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
