"""`ipdsf stream`: the streaming job on this machine; `main` is the same for spark-submit."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import asdict

from ipdsf_spark.config import load
from ipdsf_spark.errors import ConfigError, IpdsfError

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
    parser.add_argument("--config", action="append", default=[], metavar="FILE", help="configuration file, may repeat")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="override, may repeat")
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
    parser = argparse.ArgumentParser(
        prog="stream_profiles",
        description="Kafka files to tracked boundary layer heights",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_arguments(parser)
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("py4j").setLevel(logging.WARNING)  # it reports every call into the JVM
    try:
        return run(args)
    except IpdsfError as error:
        print(f"stream_profiles: {error}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
