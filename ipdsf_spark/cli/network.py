"""`ipdsf network`: the network as a tensor, a Spark query of its own; `main` is the same for spark-submit."""

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
  ipdsf network                                        beside `ipdsf stream`, on the averages that it publishes
  ipdsf network --config conf/cluster.toml --set network.rank=8
  ipdsf network --set network.wait_intervals=12 --json slices wait an hour for sites that send late
  ipdsf network --acknowledge oslo                     its window was cleaned: take it as it is from now on

Products of the kinds network, network_components, network_site, network_alarm and network_fill go to the topic of
products; docs/air-and-tensor.md says what they hold. SIGTERM or Ctrl-C finishes the batch in progress; the next start
continues there, with everything that was learnt.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.epilog = EPILOG
    parser.add_argument("--config", action="append", default=[], metavar="FILE", help="configuration file, may repeat")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="override, may repeat")
    parser.add_argument("--json", action="store_true", help="one JSON object per batch on standard output")
    parser.add_argument(
        "--acknowledge",
        action="append",
        default=[],
        metavar="SITE",
        help="end the alarm of a site and learn it anew; the running query follows. May repeat",
    )


def run(args: argparse.Namespace) -> int:
    """Run the query until it is stopped."""
    from ipdsf_spark.sites import site_named, sites_of
    from ipdsf_spark.stream import network_query

    config = load(*args.config, overrides=args.set)
    logger.info("configuration: %s", config)
    if args.acknowledge:
        known = sites_of(config)
        path = network_query.acknowledge(config, [site_named(known, name).id for name in args.acknowledge])
        print(f"noted in {path}; the running query follows with its next batch", file=sys.stderr)
        return 0

    def say(batch: network_query.NetworkBatch) -> None:
        if args.json:
            print(json.dumps(asdict(batch)), flush=True)
            return
        state = f"{batch.num_alarmed} under alarm" if batch.is_warm else "warming up"
        print(
            f"batch {batch.id}: {batch.num_averages} averages of {batch.num_sites} sites, {batch.num_slices} slices "
            f"to {batch.newest or '-'}, {batch.num_open} open, {batch.num_refused} refused, {batch.num_rows} products, "
            f"{state}",
            file=sys.stderr,
            flush=True,
        )

    last = network_query.run(config, on_batch=say)
    print(f"stopped after batch {last}", file=sys.stderr)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the Spark job."""
    parser = argparse.ArgumentParser(
        prog="network_tensor",
        description="averages of all sites to components, alarms and filled gaps of their network",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_arguments(parser)
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("py4j").setLevel(logging.WARNING)  # it reports every call into the JVM
    try:
        return run(args)
    except IpdsfError as error:
        print(f"network_tensor: {error}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
