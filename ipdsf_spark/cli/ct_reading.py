"""What every `ipdsf ct` verb that reads volumes may be told about them: --accept, --series and --as; and their remarks.

A verb calls `add_choices(parser)`, or `add_reading_arguments(parser)` where names are those of files unless --as says
otherwise; then, for each `path, name in named(args, args.paths)`,
`read_volume(path, study=name, **reading_choices(args))`, and shows `remarks_of(volume)` or `print_remarks(volume)`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ipdsf_spark.errors import InputError

if TYPE_CHECKING:
    from ipdsf_spark.ct.volume import Volume

ACCEPT_HELP: Final = (
    "take volumes in spite of a serious remark, by the kind that `ipdsf ct info` names; missing and uneven slices are "
    "interpolated, a tilt is undone, unreadable and foreign slices are left out; several with commas, may repeat"
)
MAX_NAME: Final = 64


def add_choices(parser: argparse.ArgumentParser) -> None:
    """--accept and --series."""
    parser.add_argument("--accept", action="append", default=[], metavar="REMARK", help=ACCEPT_HELP)
    parser.add_argument(
        "--series", metavar="UID|NUMBER", help="SeriesInstanceUID or SeriesNumber to take where there are several"
    )


def add_reading_arguments(parser: argparse.ArgumentParser) -> None:
    """--accept, --series and --as."""
    add_choices(parser)
    parser.add_argument(
        "--as",
        dest="names",
        action="append",
        default=[],
        metavar="NAME",
        help="name of the volume instead of that of its file or folder; for several paths once each, in their order",
    )


def reading_choices(args: argparse.Namespace) -> dict[str, Any]:
    """Keywords of `read_volume` and, without `accept`, of `survey`.

    Raises:
        InputError: a remark that does not exist or is none to be accepted.
    """
    from ipdsf_spark.ct.volume import SERIOUS  # a training from cubes needs none of the libraries behind it

    accept = tuple(kind.strip() for said in args.accept for kind in said.split(",") if kind.strip())
    unknown = sorted(set(accept) - SERIOUS)
    if unknown:
        raise InputError(f"--accept {', '.join(unknown)}: there is no such remark; known: {', '.join(sorted(SERIOUS))}")
    return {"accept": accept, "series": args.series}


def named(args: argparse.Namespace, paths: Sequence[str | Path]) -> list[tuple[str | Path, str]]:
    """Each path with the name of its volume.

    Raises:
        InputError: names do not fit the paths, or a name is empty, too long or holds what a file name cannot.
    """
    from ipdsf_spark.ct.reading import study_name

    if not args.names:
        return [(path, study_name(Path(path))) for path in paths]
    if len(args.names) != len(paths):
        raise InputError(f"--as was given {len(args.names)} time(s) for {len(paths)} path(s): once each, in order")
    for name in args.names:
        if not 0 < len(name) <= MAX_NAME or "/" in name or not name.isprintable() or name.strip(" .") != name:
            raise InputError(f"--as {name!r}: a name has 1 to {MAX_NAME} printable characters without / and outer dots")
    return list(zip(paths, args.names, strict=True))


def remarks_of(volume: Volume) -> list[dict[str, Any]]:
    """The remarks of a volume for `--json`."""
    return [
        {"kind": p.kind, "is_serious": p.is_serious, "text": p.text, "files": list(p.files)} for p in volume.problems
    ]


def print_remarks(volume: Volume) -> None:
    """The remarks of a volume on standard error, one line each."""
    for problem in volume.problems:
        print(f"{volume.study}: {problem.kind}: {problem}", file=sys.stderr)
