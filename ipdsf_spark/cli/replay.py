"""`ipdsf replay`: recorded files sent as a live network, for demonstrations and load tests."""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path

from ipdsf_spark.cli.arguments import add_configuration
from ipdsf_spark.config import Config, load
from ipdsf_spark.config.checks import require
from ipdsf_spark.config.edge import PARTITIONINGS
from ipdsf_spark.devkafka import resolve_bootstrap
from ipdsf_spark.errors import InputError
from ipdsf_spark.kafka import ensure_files_topic
from ipdsf_spark.loadgen.replay import feeds_of, replay, schedule
from ipdsf_spark.progress import progress_bar

EPILOG = """examples:
  ipdsf replay recorded/                                 every site's next file every 60 s
  ipdsf replay recorded/ --interval 60 --speed 60        ... sixty times faster
  ipdsf replay recorded/ --rate 200 --sites 3000 --count 18000
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.epilog = EPILOG
    parser.add_argument("directory", metavar="DIR", help="recorded files, one folder per site")
    add_options(parser)
    add_configuration(parser)
    parser.add_argument("--json", action="store_true", help="machine-readable answer")


def add_options(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """What `ipdsf replay` and `ipdsf edge --replay` have in common."""
    parser.add_argument("--sites", type=int, help="sites of the network (default: those recorded)")
    parser.add_argument("--rate", type=float, help="files per second of the whole network")
    parser.add_argument("--interval", type=float, default=60.0, help="seconds between two files of a site (default 60)")
    parser.add_argument("--speed", type=float, default=1.0, help="how much faster than that (default 1)")
    parser.add_argument("--count", type=int, help="files to send; feeds start over (default: every file once)")
    parser.add_argument("--partitioning", choices=PARTITIONINGS, help="default: edge.partitioning")


def run(args: argparse.Namespace) -> int:
    """Send."""
    return send(args, load(*args.config, overrides=args.set), args.directory)


def _check(args: argparse.Namespace) -> None:
    for name in ("sites", "count"):
        number = getattr(args, name)
        require(number is None or number >= 1, f"--{name}", "at least 1", number)
    for name in ("rate", "interval", "speed"):
        number = getattr(args, name)
        require(number is None or 0 < number < math.inf, f"--{name}", "a number above 0", number)


def send(args: argparse.Namespace, config: Config, directory: str) -> int:
    """Send the files below `directory` as a network.

    Raises:
        ConfigError: a number says nothing that can be done.
        InputError: there is nothing to send.
    """
    _check(args)
    if not directory:
        raise InputError("the name of the folder to replay is empty")
    feeds = feeds_of(Path(directory).expanduser())
    num_sites = args.sites or len(feeds)
    rate = args.rate or num_sites / args.interval * args.speed
    bootstrap = resolve_bootstrap(config)
    num_partitions = ensure_files_topic(config.kafka, bootstrap)
    total = args.count or sum(1 for _ in schedule(feeds, num_sites, None))
    with progress_bar(total=total, unit="file", desc=f"{num_sites} site(s) at {rate:.3g}/s", disable=args.json) as bar:

        def report(sent: int, failed: int) -> None:
            bar.update(sent - bar.n)
            if failed:
                bar.set_postfix(failed=failed)

        done = replay(
            feeds,
            config.kafka,
            bootstrap,
            rate=rate,
            num_sites=num_sites,
            count=args.count,
            partitioning=args.partitioning or config.edge.partitioning,
            num_partitions=num_partitions,
            on_sent=report,
        )
    answer = {"sent": done.sent, "failed": done.failed, "bytes": done.bytes, "seconds": round(done.seconds, 2)}
    print(json.dumps(answer) if args.json else ", ".join(f"{name} {value}" for name, value in answer.items()))
    if done.failed:
        print(f"ipdsf replay: {done.failed} of {done.sent} files were not taken: {done.reason}", file=sys.stderr)
    return 0 if not done.failed else 1
