"""`ipdsf broker fetch|start|stop|status`."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from ipdsf_spark.config import load
from ipdsf_spark.devkafka import embedded, fetch
from ipdsf_spark.kafka import topics

EPILOG = """examples:
  ipdsf broker start                    one node, topics made, runs until stopped
  ipdsf broker start --brokers 2        two brokers and a controller: one broker may die
  ipdsf broker status --json            where it listens
  ipdsf broker stop
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.epilog = EPILOG
    parser.add_argument("action", choices=["fetch", "start", "stop", "status"], help="fetch only gets the jars")
    parser.add_argument("--brokers", type=int, choices=[1, 2, 3], help="brokers (default: broker.brokers)")
    parser.add_argument("--directory", help="data, settings and logs (default: broker.directory)")
    parser.add_argument("--partitions", type=int, help="partitions of the files topic (default: kafka.partitions)")
    parser.add_argument("--config", action="append", default=[], metavar="FILE", help="configuration file, may repeat")
    parser.add_argument("--json", action="store_true", help="machine-readable answer")


def run(args: argparse.Namespace) -> int:
    """Do it."""
    overrides = [f"broker.brokers={args.brokers}"] if args.brokers else []
    overrides += [f"kafka.partitions={args.partitions}"] if args.partitions else []
    config = load(*args.config, overrides=overrides)
    directory = Path(args.directory or config.broker.directory).expanduser()
    if args.action == "fetch":
        return _say(args, {"jars": str(fetch.fetch())}, f"Kafka {fetch.KAFKA_VERSION} is in {fetch.fetch()}")
    if args.action == "stop":
        stopped = embedded.stop_daemon(directory)
        return _say(args, {"stopped": stopped}, f"stopped {stopped} process(es)" if stopped else "no broker runs there")
    if args.action == "start":
        print("starting Kafka ...", file=sys.stderr)
        nodes = embedded.start_daemon(directory, brokers=config.broker.brokers, heap_mb=config.broker.heap_mb)
        topics.ensure_topics(config.kafka, _bootstrap(nodes))
    nodes = embedded.running_nodes(directory)
    answer = {"running": bool(nodes), "bootstrap_servers": _bootstrap(nodes), "nodes": [asdict(node) for node in nodes]}
    text = f"Kafka runs at {_bootstrap(nodes)} (data in {directory})" if nodes else f"no broker runs in {directory}"
    _say(args, answer, text)
    return 0 if nodes else 1


def _bootstrap(nodes: list[embedded.Node]) -> str:
    return ",".join(f"localhost:{node.port}" for node in nodes if node.is_broker)


def _say(args: argparse.Namespace, answer: dict[str, object], text: str) -> int:
    print(json.dumps(answer) if args.json else text)
    return 0
