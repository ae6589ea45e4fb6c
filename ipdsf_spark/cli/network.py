"""`ipdsf network`: the network as a tensor, a Spark query of its own; `main` is the same for spark-submit."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ipdsf_spark.cli.arguments import add_configuration
from ipdsf_spark.cli.spark_job import run_job
from ipdsf_spark.config import Config, load
from ipdsf_spark.errors import ConfigError, InputError

if TYPE_CHECKING:
    from ipdsf_spark.stream.network_query import NetworkBatch

logger = logging.getLogger(__name__)

EPILOG = """examples:
  ipdsf network                                        beside `ipdsf stream`, on the averages that it publishes
  ipdsf network --config conf/cluster.toml --set network.rank=8
  ipdsf network --set network.wait_intervals=12        slices wait an hour for sites that send late
  ipdsf network --map network.svg                      sites, weights, alarms as the archive knows them
  ipdsf network --acknowledge oslo                     its window was cleaned: take it as it is from now on

Products of the kinds network, network_components, network_site, network_alarm and network_fill go to the topic of
products; docs/air-and-tensor.md says what they hold. SIGTERM or Ctrl-C finishes the batch in progress; the next start
continues there, with everything that was learnt.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.epilog = EPILOG
    add_configuration(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object per batch on standard output")
    parser.add_argument(
        "--acknowledge",
        action="append",
        default=[],
        metavar="SITE",
        help="end the alarm of a site and learn it anew; the running query follows. May repeat",
    )
    parser.add_argument("--map", metavar="FILE", help="write the newest state of the network as SVG, and run nothing")
    parser.add_argument("--component", type=int, default=1, metavar="N", help="whose weights the map shows (1)")


def run(args: argparse.Namespace) -> int:
    """Run the query until it is stopped."""
    from ipdsf_spark.sites import site_named, sites_of

    config = load(*args.config, overrides=args.set)
    logger.info("configuration: %s", config)
    if args.map:
        path = _draw(config, Path(args.map), args.component)
        print(path)
        return 0
    from ipdsf_spark.stream import network_query

    if args.acknowledge:
        known = sites_of(config)
        path = network_query.acknowledge(config, [site_named(known, name).id for name in args.acknowledge])
        print(f"noted in {path}; the running query follows with its next batch", file=sys.stderr)
        return 0

    def say(batch: NetworkBatch) -> None:
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


def _draw(config: Config, path: Path, component: int) -> Path:
    """The map of what the archive holds of the network.

    Raises:
        InputError: it holds nothing of it.
        ConfigError: there is no such component.
    """
    from ipdsf_spark.archive.network import network_now
    from ipdsf_spark.archive.tables import archive_directory
    from ipdsf_spark.plots.network_map import MapSite, network_map
    from ipdsf_spark.sites import site_named, sites_of

    directory, known = archive_directory(config), sites_of(config)
    state = network_now(directory, config.network.name)
    if state is None:
        raise InputError(f"the archive in {directory} holds no network that has warmed up; `ipdsf network` makes one")
    drawn = []
    for each in state.sites:
        if not 1 <= component <= len(each.weights):
            raise ConfigError(f"--component is a number from 1 to {len(each.weights)}, got {component}")
        try:
            site = site_named(known, each.site)
        except ConfigError:
            continue  # the table of sites knows it no more
        place = (site.latitude_deg, site.longitude_deg)
        drawn.append(MapSite(site.id, *place, each.weights[component - 1], each.alarms))
    path.parent.mkdir(parents=True, exist_ok=True)
    svg = network_map(drawn, state.strengths, component=component - 1, title=state.title)
    path.write_text(svg, encoding="utf-8")
    return path


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the Spark job."""
    return run_job(
        "network_tensor",
        "averages of all sites to components, alarms and filled gaps of their network",
        add_arguments,
        run,
        argv,
    )
