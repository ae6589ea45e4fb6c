"""`ipdsf edge`: the agent beside the instrument."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from ipdsf_spark.cli import replay
from ipdsf_spark.cli.arguments import add_configuration
from ipdsf_spark.cli.edge_config import commented
from ipdsf_spark.config import Config, load
from ipdsf_spark.devkafka import resolve_bootstrap
from ipdsf_spark.edge.agent import EdgeAgent
from ipdsf_spark.edge.metrics import serve_metrics
from ipdsf_spark.edge.status import plan_of, status_of
from ipdsf_spark.errors import ConfigError
from ipdsf_spark.sites import check_site_id
from ipdsf_spark.storage.alone import alone

EPILOG = """examples:
  ipdsf edge --watch /data/cl51 --site oslo              send every file once it is complete
  ipdsf edge --watch /data/cl51 --site oslo --every 300  ... every five minutes
  ipdsf edge --watch /data/cl51 --site oslo --dry-run    what would be taken, sent, kept, deleted
  ipdsf edge --site oslo --status --json                 what waits, since when, what went, disk used
  ipdsf edge --watch /data/cl51 --site oslo --generate-config
                                                         a commented configuration of this node, to keep in a file
  ipdsf edge --config edge.toml
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.epilog = EPILOG
    parser.add_argument("--watch", metavar="DIR", help="folder the instrument writes to (default: edge.watch)")
    parser.add_argument("--site", help="site id: the key of every record (default: edge.site)")
    parser.add_argument("--every", type=float, metavar="SECONDS", help="send that often; 0 = at once")
    do = parser.add_mutually_exclusive_group()
    do.add_argument("--once", action="store_true", help="take in and send what is there, then end")
    do.add_argument("--status", action="store_true", help="say what waits, went and is kept, then end")
    do.add_argument("--dry-run", action="store_true", help="say what would be taken, sent, kept and deleted, then end")
    do.add_argument("--generate-config", action="store_true", help="write a commented configuration of this node")
    network = parser.add_argument_group("replay (the same as `ipdsf replay DIR`)")
    network.add_argument("--replay", metavar="DIR", help="recorded files, one folder per site")
    replay.add_options(network)
    add_configuration(parser)
    parser.add_argument("--json", action="store_true", help="machine-readable answer")


def run(args: argparse.Namespace) -> int:
    """Run the agent, or say what it knows."""
    overrides = [f"edge.watch={json.dumps(args.watch)}"] if args.watch else []
    overrides += [f"edge.site={json.dumps(args.site)}"] if args.site else []
    overrides += [f"edge.every_s={float(args.every)}"] if args.every is not None else []
    config = load(*args.config, overrides=[*args.set, *overrides])
    if args.replay:
        return replay.send(args, config, args.replay)
    if args.generate_config:
        print(commented(config), end="")
        return 0
    site = config.edge.site
    if not site:
        raise ConfigError("--site is missing: which site's files are these? (or edge.site in a configuration file)")
    check_site_id(site)
    if args.status:
        status = status_of(config.edge, site)
        print(json.dumps(status.as_json()) if args.json else status.as_text())
        return 0
    if args.dry_run:
        plan = plan_of(config.edge, site, config.kafka.max_message_bytes)
        print(json.dumps(asdict(plan)) if args.json else plan.as_text())
        return 0
    root = Path(config.edge.directory).expanduser() / site
    # Two would number and send the same files, and clear away each other's copies.
    with alone(root, f"another agent sends the files of {site} from {root}"):
        return _agent(args, config, site)


def _agent(args: argparse.Namespace, config: Config, site: str) -> int:
    agent = EdgeAgent(config.edge, config.kafka, resolve_bootstrap(config), site)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if args.once:
        is_done = _once(agent, config.edge.settle_s, stop)
        counts = agent.journal.counts()
        agent.close()
        _say(args, counts)
        return 0 if is_done and not counts["missing"] else 1
    print(f"watching {agent.watched} for {site}", file=sys.stderr)
    server = serve_metrics(config, site)
    try:
        agent.run(stop)
    finally:
        if server is not None:
            server.close()
    return _say(args, status_of(config.edge, site).as_json() if args.json else {"stopped": site})


def _once(agent: EdgeAgent, settle_s: float, stop: threading.Event) -> bool:
    """Take in and send what is there; files that have just changed get the time to settle."""
    agent.prune()
    agent.take_in()
    deadline = time.monotonic() + settle_s
    while agent.intake.num_waiting and time.monotonic() < deadline and not stop.wait(min(0.1, settle_s)):
        agent.take_in()
    agent.take_in()
    return agent.send_pending(should_stop=stop.is_set)


def _say(args: argparse.Namespace, answer: Mapping[str, object]) -> int:
    print(json.dumps(answer) if args.json else ", ".join(f"{name} {value}" for name, value in answer.items()))
    return 0
