"""The `ipdsf` command: one verb per task.

A verb is a module with `add_arguments(parser)` and `run(args) -> int`; its help line stands here, so that
`ipdsf --help` loads no engine. Exit codes: 0 done, 1 a named error, 2 wrong usage or configuration, 130 interrupted,
128 and its number for another signal that ended the verb.
"""

from __future__ import annotations

import argparse
import importlib
import io
import logging
import os
import sys
from collections.abc import Sequence
from typing import Final

from ipdsf_spark import __version__
from ipdsf_spark.cli.arguments import begin_logging
from ipdsf_spark.cli.ending import ended_as_by_ctrl_c
from ipdsf_spark.cli.full_disk import file_of
from ipdsf_spark.errors import ConfigError, IpdsfError, PrerequisiteError

VERBS: Final[dict[str, tuple[str, str]]] = {
    "inspect": ("ipdsf_spark.cli.inspect", "say what is in ceilometer files of any maker"),
    "layers": ("ipdsf_spark.cli.layers", "boundary layer heights of files, without Spark: CSV, netCDF, picture, JSON"),
    "air": ("ipdsf_spark.cli.air", "PM2.5 and air quality indices of files, indicative, without Spark"),
    "targets": ("ipdsf_spark.cli.targets", "cloud, fog, rain, ice, aerosol gate by gate, without Spark: picture, CF"),
    "calibrate": ("ipdsf_spark.cli.calibrate", "factor to m-1 sr-1 by day, from liquid clouds and clear nights"),
    "score": ("ipdsf_spark.cli.score", "judge layer heights of any tool by a reference, by the hours of the sun"),
    "edges": ("ipdsf_spark.cli.edges", "edges of the time-height image of files, without Spark: JSON, CSV, picture"),
    "forecast": ("ipdsf_spark.cli.forecast", "foretell the mixing height: train an LSTM, judge it, show its forecasts"),
    "simulate": ("ipdsf_spark.cli.simulate", "write days of genuine instrument files with known heights"),
    "broker": ("ipdsf_spark.cli.broker", "start, stop or ask a real Kafka on this machine"),
    "security": ("ipdsf_spark.cli.security", "certificates, users and access rights of a Kafka"),
    "edge": ("ipdsf_spark.cli.edge", "run beside the instrument: keep a copy, send every file once"),
    "replay": ("ipdsf_spark.cli.replay", "send recorded files as a live network"),
    "stream": ("ipdsf_spark.cli.stream", "run the Spark job on this machine: Kafka in, tracked heights out"),
    "doctor": ("ipdsf_spark.cli.doctor", "check set-up, Kafka, checkpoint, clock and disks, one line each"),
    "checkpoint": ("ipdsf_spark.cli.checkpoint", "how far the stream has come, and what it remembers"),
    "network": ("ipdsf_spark.cli.network", "run the Spark query on all sites at once: components, alarms, filled gaps"),
    "sites": (
        "ipdsf_spark.cli.sites",
        "what the stream last said of every site, and whether all profiles add up",
    ),
    "quarantine": ("ipdsf_spark.cli.quarantine", "list, show or replay what could not be read"),
    "drill": ("ipdsf_spark.cli.drill", "faults really done to a network on this machine, and what they cost"),
    "archive": ("ipdsf_spark.cli.archive", "look after the tables: inspect, compact, rebuild, export as CF netCDF"),
    "ct": ("ipdsf_spark.cli.ct", "CT volumes: look, pack into cubes, train a 3-D GAN, generate, evaluate"),
    "bench": ("ipdsf_spark.cli.bench", "repeat the experiments of the IPDSF presentation on this machine, one page"),
    "demo": ("ipdsf_spark.cli.demo", "the whole flow on this machine, ending in a page of pictures"),
}

TRAINING_PACKAGES: Final = frozenset(
    {"SimpleITK", "horovod", "nibabel", "petastorm", "pydicom", "skimage", "torch"}
)  # of the extra [training]; every other engine comes with [streaming]

EXAMPLES: Final = """examples:
  ipdsf inspect station/*.DAT --json          what is in these files
  ipdsf layers day/*.nc --site oslo -o out    heights, uncertainty and a picture of the day
  ipdsf broker start                          a real Kafka on this laptop
  ipdsf edge --help                           every verb explains itself, with examples
"""


def parser_for(verb: str | None) -> argparse.ArgumentParser:
    """The argument parser, with the arguments of `verb` loaded (all verbs are listed)."""
    parser = argparse.ArgumentParser(
        prog="ipdsf",
        description="Ceilometer networks tracked in stream and 3-D CT networks trained in parallel, on Apache Spark.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"ipdsf {__version__}")
    parser.add_argument("-v", "--verbose", action="store_true", help="log what happens, with a traceback on errors")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, (module, help_line) in VERBS.items():
        sub = verbs.add_parser(
            name, help=help_line, description=help_line, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        if name == verb:
            importlib.import_module(module).add_arguments(sub)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names of files may hold bytes that no encoding knows
            stream.reconfigure(errors="backslashreplace")
    verb = next((word for word in arguments if word in VERBS), None)
    is_verbose = False
    try:
        args = parser_for(verb).parse_args(arguments)
        is_verbose = args.verbose
        begin_logging(args, otherwise="info" if is_verbose else "warning")
        with ended_as_by_ctrl_c():
            return int(importlib.import_module(VERBS[args.verb][0]).run(args))
    except (IpdsfError, ModuleNotFoundError) as error:
        named = _missing_engine(error) if isinstance(error, ModuleNotFoundError) else error
        if is_verbose:
            logging.exception("failed")
        print(f"ipdsf {verb}: {named}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output (head, less) has gone: that is its right, not an error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except MemoryError as error:
        if is_verbose:
            logging.exception("failed")
        print(
            f"ipdsf {verb}: this machine has too little memory for that ({error or 'no more is told'})", file=sys.stderr
        )
        return 1
    except OSError as error:  # a full disk, a folder that may not be written, a file in the place of a folder
        if is_verbose:
            logging.exception("failed")
        print(f"ipdsf {verb}: {_spoken(error)}", file=sys.stderr)
        return 1


def _spoken(error: OSError) -> str:
    where = error.filename2 or error.filename or file_of(error)
    why = error.strerror or str(error) or type(error).__name__
    if isinstance(error, FileExistsError) and where is not None and os.path.isfile(where):
        why = "a file lies there, and a folder is needed"
    return f"{os.fsdecode(where)}: {why}" if isinstance(where, str | bytes) else why


def _missing_engine(error: ModuleNotFoundError) -> PrerequisiteError:
    """On the light base an engine may be missing: name it with what installs it; a module of ours is our mistake."""
    package = (error.name or "").partition(".")[0]
    if package in {"", "ipdsf_spark"}:
        raise error
    # pip alone cannot install [training]: Horovod is compiled against torch, Petastorm's metadata contradict it.
    is_training = package in TRAINING_PACKAGES
    install = "make setup, in a checkout" if is_training else "pip install 'ipdsf-spark[streaming]'"
    return PrerequisiteError(f"needs {package}; install it with: {install}")


def entry() -> None:
    """Console script."""
    sys.exit(main())


if __name__ == "__main__":
    entry()
