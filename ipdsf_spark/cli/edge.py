"""`ipdsf edge`: the agent beside the instrument, and recorded files replayed as a live network."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from pathlib import Path

from tqdm import tqdm

from ipdsf_spark.config import Config, load
from ipdsf_spark.config.edge import PARTITIONINGS
from ipdsf_spark.devkafka import resolve_bootstrap
from ipdsf_spark.edge.agent import EdgeAgent
from ipdsf_spark.edge.journal import Journal
from ipdsf_spark.errors import ConfigError
from ipdsf_spark.kafka import ensure_topics
from ipdsf_spark.loadgen.replay import feeds_of, replay, schedule

EPILOG = """examples:
  ipdsf edge --watch /data/cl51 --site oslo              send every file once it is complete
  ipdsf edge --watch /data/cl51 --site oslo --every 300  ... every five minutes
  ipdsf edge --site oslo --status --json                 what is pending, delivered, refused
  ipdsf edge --replay recorded/ --rate 200 --sites 3000 --count 18000
  ipdsf edge --replay recorded/ --interval 60 --speed 60 every site's next file every 60 s, sixty times faster
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.epilog = EPILOG
    agent = parser.add_argument_group("agent")
    agent.add_argument("--watch", metavar="DIR", help="folder the instrument writes to")
    agent.add_argument("--site", help="site id: the key of every record")
    agent.add_argument("--every", type=float, metavar="SECONDS", help="send that often; 0 = at once")
    agent.add_argument("--once", action="store_true", help="take in and send what is there, then end")
    agent.add_argument("--status", action="store_true", help="say what the journal knows, then end")
    network = parser.add_argument_group("replay")
    network.add_argument("--replay", metavar="DIR", help="recorded files, one folder per site")
    network.add_argument("--sites", type=int, help="sites of the network (default: those recorded)")
    network.add_argument("--rate", type=float, help="files per second of the whole network")
    network.add_argument(
        "--interval", type=float, default=60.0, help="seconds between two files of a site (default 60)"
    )
    network.add_argument("--speed", type=float, default=1.0, help="how much faster than that (default 1)")
    network.add_argument("--count", type=int, help="files to send; feeds start over (default: every file once)")
    network.add_argument("--partitioning", choices=PARTITIONINGS, help="default: edge.partitioning")
    parser.add_argument("--config", action="append", default=[], metavar="FILE", help="configuration file, may repeat")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="override, may repeat")
    parser.add_argument("--json", action="store_true", help="machine-readable answer")


def run(args: argparse.Namespace) -> int:
    """Run the agent, the replay, or say the status."""
    config = load(*args.config, overrides=args.set)
    if args.replay:
        return _replay(args, config)
    if not args.site:
        raise ConfigError("--site is missing: which site's files are these?")
    if args.status:
        return _status(args, config)
    overrides = [f'edge.watch="{args.watch}"'] if args.watch else []
    overrides += [f"edge.every_s={float(args.every)}"] if args.every is not None else []
    config = load(*args.config, overrides=[*args.set, *overrides])
    agent = EdgeAgent(config.edge, config.kafka, resolve_bootstrap(config), args.site)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if args.once:
        agent.take_in()
        is_done = agent.send_pending()
        _say(args, agent.journal.counts())
        return 0 if is_done else 1
    print(f"watching {agent.watched} for {args.site}", file=sys.stderr)
    agent.run(stop)
    return _say(args, agent.journal.counts())


def _status(args: argparse.Namespace, config: Config) -> int:
    path = Path(config.edge.directory).expanduser() / args.site / "journal.sqlite"
    if not path.exists():
        raise ConfigError(f"no agent has run for site {args.site!r}: there is no journal at {path}")
    journal = Journal(path)
    refused = [{"file": name, "reason": reason} for name, reason in journal.refused()]
    return _say(args, {**journal.counts(), "refused_files": refused})


def _replay(args: argparse.Namespace, config: Config) -> int:
    feeds = feeds_of(Path(args.replay).expanduser())
    num_sites = args.sites or len(feeds)
    rate = args.rate or num_sites / args.interval * args.speed
    bootstrap = resolve_bootstrap(config)
    ensure_topics(config.kafka, bootstrap)
    total = args.count or sum(1 for _ in schedule(feeds, num_sites, None))
    with tqdm(total=total, unit="file", desc=f"{num_sites} sites at {rate:.1f}/s", disable=args.json) as bar:

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
            on_sent=report,
        )
    return _say(
        args, {"sent": done.sent, "failed": done.failed, "bytes": done.bytes, "seconds": round(done.seconds, 2)}
    )


def _say(args: argparse.Namespace, answer: dict[str, object] | dict[str, int] | dict[str, float]) -> int:
    print(json.dumps(answer) if args.json else ", ".join(f"{name} {value}" for name, value in answer.items()))
    return 0
