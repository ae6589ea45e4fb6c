"""`ipdsf broker fetch|start|stop|restart|status`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

from ipdsf_spark.cli.arguments import add_configuration
from ipdsf_spark.config import Config, KafkaConfig, load
from ipdsf_spark.devkafka import daemon, fetch
from ipdsf_spark.devkafka.nodes import Node, Protection, Tokens, bootstrap_of, inner_bootstrap_of, recorded
from ipdsf_spark.errors import BrokerError, ConfigError
from ipdsf_spark.kafka import topics
from ipdsf_spark.kafka.health import Health, health
from ipdsf_spark.security import rights
from ipdsf_spark.security.certificates import BOTH
from ipdsf_spark.security.folder import OAUTH, SecurityFolder
from ipdsf_spark.security.roles import ADMIN, BROKER, SUPER

MOST_COPIES: Final = 3
CATCHES_UP_S: Final = 60.0
SECURED_BY: Final = "security-folder"  # beside the data: where its certificates lie
SHOWN: Final = 10  # partitions named to a person; --json names all

EPILOG = """examples:
  ipdsf broker start                    one node, topics made, runs until stopped
  ipdsf broker start --brokers 2        two brokers and a controller, every topic twice: one broker may die
  ipdsf broker stop --node 1            ... like this
  ipdsf broker status                   names partitions without leader or copy; exit code 1 if there are any
  ipdsf broker start --node 1           ... and it catches up
  ipdsf broker status --json            where it listens
  ipdsf broker start --secure FOLDER    mutual TLS, passwords and ACLs; `ipdsf security init FOLDER` before
  ipdsf broker stop
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.epilog = EPILOG
    actions = ["fetch", "start", "stop", "restart", "status"]
    parser.add_argument("action", choices=actions, help="fetch only gets the jars")
    parser.add_argument("--brokers", type=int, choices=[1, 2, 3], help="brokers (default: broker.brokers)")
    parser.add_argument("--node", type=int, metavar="N", help="start, stop or restart this node of the cluster only")
    parser.add_argument("--directory", metavar="DIR", help="data, settings and logs (default: broker.directory)")
    parser.add_argument("--secure", metavar="FOLDER", help="certificates and users made by `ipdsf security init`")
    parser.add_argument(
        "--partitions", type=int, metavar="N", help="partitions of the files topic (default: kafka.partitions)"
    )
    add_configuration(parser)
    parser.add_argument("--json", action="store_true", help="machine-readable answer")


def run(args: argparse.Namespace) -> int:
    """Do it."""
    overrides = [*args.set, *([f"broker.brokers={args.brokers}"] if args.brokers else [])]
    overrides += [f"kafka.partitions={args.partitions}"] if args.partitions else []
    config = load(*args.config, overrides=overrides)
    if args.node is not None and args.action in ("fetch", "status"):
        raise ConfigError(f"--node goes with start, stop and restart, not with {args.action}")
    directory = Path(args.directory or config.broker.directory).expanduser()
    if args.action == "fetch":
        return _say(args, {"jars": str(fetch.fetch())}, f"Kafka {fetch.KAFKA_VERSION} is in {fetch.fetch()}")
    if args.action in ("start", "restart"):
        security = _security(directory, args.secure)
        protection = protection_of(security, config) if security else None  # refused before anything is stopped
    if args.action in ("stop", "restart"):
        stopped = _stop(directory, args.node)
        if args.action == "stop":
            text = f"stopped {stopped} process(es)" if stopped else "no broker runs there"
            return _say(args, {"stopped": stopped}, text)
    if args.action in ("start", "restart"):
        if security is not None:
            _note(directory, security)
        _start(config, directory, args.node, security, protection)
    return _status(args, config, directory)


def _stop(directory: Path, node: int | None) -> int:
    return daemon.stop_daemon(directory) if node is None else daemon.stop_node(directory, node)


def _start(
    config: Config, directory: Path, node: int | None, security: SecurityFolder | None, protection: Protection | None
) -> None:
    if node is not None:
        print(f"starting Kafka node {node} ...", file=sys.stderr)
        daemon.start_node(directory, node, heap_mb=config.broker.heap_mb, protection=protection)
        with _ended_by(lambda: daemon.stop_node(directory, node)):
            _await_copies(config, directory)
        return
    print("starting Kafka ...", file=sys.stderr)
    brokers = config.broker.brokers
    nodes = daemon.start_daemon(directory, brokers=brokers, heap_mb=config.broker.heap_mb, protection=protection)
    # As many copies as there are brokers: one copy on two brokers would lose half the partitions with either of them.
    copies = max(config.kafka.replication_factor, min(brokers, MOST_COPIES))
    kafka = _administered(replace(config.kafka, replication_factor=copies), security)
    with _ended_by(lambda: daemon.stop_daemon(directory)):
        topics.ensure_topics(kafka, inner_bootstrap_of(nodes))
        if security is not None:
            rights.bring(security, kafka, inner_bootstrap_of(nodes))


@contextmanager
def _ended_by(stop: Callable[[], object]) -> Iterator[None]:
    """Who interrupts a start wants nothing of it, also where the broker runs and topics are being made."""
    try:
        yield
    except KeyboardInterrupt:
        stop()
        raise


def _security(directory: Path, named: str | None) -> SecurityFolder | None:
    """The security folder of a cluster: the one named now, or the one it was started with; none if it is open.

    Raises:
        InputError: the folder holds no certificates.
    """
    if named is not None:
        return SecurityFolder.at(named)
    note = directory / SECURED_BY
    return SecurityFolder.at(note.read_text()) if note.exists() else None


def _note(directory: Path, folder: SecurityFolder) -> None:
    """The next start without --secure is protected as this one."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / SECURED_BY).write_text(str(folder.path))


def protection_of(folder: SecurityFolder, config: Config) -> Protection:
    """What the embedded broker needs of a security folder.

    Raises:
        ConfigError: its users log in with tokens, and how these are checked is not configured.
    """
    tokens = tokens_of(config) if folder.mechanism == OAUTH else None
    return Protection(folder.path / "ca.pem", folder.path / BROKER / BOTH, folder.path / ADMIN, SUPER, tokens)


def tokens_of(config: Config) -> Tokens:
    """How the embedded broker checks tokens.

    Raises:
        ConfigError: what is needed for it is not set; a token of anybody, for anybody, would do.
    """
    asked = config.broker
    needed = ("oauth_jwks_url", "oauth_issuer", "oauth_audience", "oauth_user_claim")
    if missing := [f"broker.{name}" for name in needed if not getattr(asked, name)]:
        raise ConfigError(f"users of this security folder log in with tokens, but {', '.join(missing)} is not set")
    trusted = config.kafka.oauth_ca_location
    ca = Path(trusted).absolute() if trusted else None
    return Tokens(asked.oauth_jwks_url, asked.oauth_issuer, asked.oauth_audience, asked.oauth_user_claim, ca)


def _administered(kafka: KafkaConfig, security: SecurityFolder | None) -> KafkaConfig:
    """Login of the administrator at the inner listener; none for an open cluster."""
    if security is None:
        return replace(kafka, security_protocol="PLAINTEXT")
    return replace(security.certified(kafka, ADMIN), topic_per_site=security.is_per_site)


def _await_copies(config: Config, directory: Path) -> None:
    """Give a node that was down the time to catch up, unless another one is down as well."""
    deadline = time.monotonic() + CATCHES_UP_S
    while not daemon.stopped_nodes(directory) and time.monotonic() < deadline:
        nodes = daemon.running_nodes(directory)
        if _health(config, directory, nodes, nodes).is_sound:
            return
        time.sleep(0.2)


def _status(args: argparse.Namespace, config: Config, directory: Path) -> int:
    nodes = daemon.running_nodes(directory)
    down = daemon.stopped_nodes(directory)
    answer: dict[str, object] = {
        "running": bool(nodes),
        "bootstrap_servers": bootstrap_of(nodes),
        "nodes": [asdict(node) for node in nodes],
        "stopped_nodes": [node.id for node in down],
        "leaderless": [],
        "under_replicated": [],
    }
    if not any(node.is_broker for node in nodes):
        _say(args, answer, f"no broker runs in {directory}")
        return 1
    found = _health(config, directory, nodes, recorded(directory))
    answer |= {"leaderless": list(found.leaderless), "under_replicated": list(found.under_replicated)}
    lines = [f"Kafka runs at {bootstrap_of(nodes)} (data in {directory})"]
    lines += [f"node {node.id} is stopped: `ipdsf broker start --node {node.id}`" for node in down]
    lines += _named("without leader, nobody can use them", found.leaderless)
    lines += _named("with fewer copies than they should have", found.under_replicated)
    _say(args, answer, "\n".join(lines))
    return 0 if found.is_sound and not down else 1


def _health(config: Config, directory: Path, nodes: list[Node], all_nodes: list[Node]) -> Health:
    """What Kafka says of its partitions; the last broker alone knows less than the processes tell."""
    try:
        kafka = _administered(config.kafka, _security(directory, None))
        return health(kafka, inner_bootstrap_of([node for node in nodes if node.is_broker]))
    except BrokerError:
        if len(nodes) == len(all_nodes):
            raise
        return Health((), ())


def _named(what: str, partitions: tuple[str, ...]) -> list[str]:
    if not partitions:
        return []
    more = f" and {len(partitions) - SHOWN} more" if len(partitions) > SHOWN else ""
    return [f"{len(partitions)} partition(s) {what}: {', '.join(partitions[:SHOWN])}{more}"]


def _say(args: argparse.Namespace, answer: dict[str, object], text: str) -> int:
    print(json.dumps(answer) if args.json else text)
    return 0
