"""`ipdsf stream`: the streaming job on this machine; `main` is the same for spark-submit."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import asdict

from ipdsf_spark.cli.arguments import add_configuration
from ipdsf_spark.cli.spark_job import run_job
from ipdsf_spark.config import load

logger = logging.getLogger(__name__)

EPILOG = """examples:
  ipdsf stream                                         the embedded broker, this machine's cores
  ipdsf stream --config conf/cluster.toml --set kafka.partitions=150
  ipdsf stream --set stream.starting_offsets=latest --json

SIGTERM or Ctrl-C finishes the batch in progress; the next start continues there. The Spark UI is at http://localhost:4040.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.epilog = EPILOG
    add_configuration(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object per batch on standard output")


def run(args: argparse.Namespace) -> int:
    """Run the job until it is stopped."""
    from ipdsf_spark.monitoring.progress import Batch, Totals, line_of
    from ipdsf_spark.stream import job

    config = load(*args.config, overrides=args.set)
    logger.info("configuration: %s", config)

    def say(batch: Batch, totals: Totals) -> None:
        if args.json:
            print(json.dumps(asdict(batch) | {"totals": asdict(totals)}), flush=True)
        else:
            print(line_of(batch, totals), file=sys.stderr, flush=True)

    totals = job.run(config, on_batch=say)
    print(f"stopped after {totals.read} files, {totals.products} products", file=sys.stderr)
    return 0 if totals.is_balanced else 1


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the Spark job."""
    return run_job("stream_profiles", "Kafka files to tracked boundary layer heights", add_arguments, run, argv)
