"""What the parsers of several verbs share."""

from __future__ import annotations

import argparse
from typing import Any


def add_configuration(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """The arguments by which every verb is configured."""
    parser.add_argument("--config", action="append", default=[], metavar="FILE", help="configuration file, may repeat")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="override, may repeat")


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
