"""A cluster that outlives the process that started it: `ipdsf broker`."""

from __future__ import annotations

import signal
import time
from dataclasses import replace
from pathlib import Path

from ipdsf_spark.config import Config
from ipdsf_spark.devkafka import fetch
from ipdsf_spark.devkafka.embedded import STOP_TIMEOUT_S, EmbeddedKafka, await_node
from ipdsf_spark.devkafka.nodes import STATE_FILE, Node, Protection, bootstrap_of, recorded, remember
from ipdsf_spark.devkafka.processes import end, is_running, launch, send_signal
from ipdsf_spark.errors import BrokerError


def start_daemon(
    directory: str | Path, *, brokers: int, heap_mb: int, protection: Protection | None = None
) -> list[Node]:
    """Start a cluster that outlives this process.

    Raises:
        BrokerError: one runs already in this directory, or it did not come up.
    """
    if running := running_nodes(directory):
        raise BrokerError(
            f"a broker runs already in {directory} (pid {running[0].pid}); stop it with `ipdsf broker stop`"
        )
    kafka = EmbeddedKafka(directory, brokers=brokers, heap_mb=heap_mb, protection=protection)
    kafka.start(is_daemon=True)
    return kafka.nodes


def stop_daemon(directory: str | Path) -> int:
    """Stop what `start_daemon` started; returns the number of processes stopped."""
    nodes = running_nodes(directory)
    for node in sorted(nodes, key=lambda node: not node.is_broker):
        _end(node)
    (Path(directory).expanduser() / STATE_FILE).unlink(missing_ok=True)
    return len(nodes)


def stop_node(directory: str | Path, node_id: int) -> int:
    """Stop one node, so that the others show what they do without it; returns the number of processes stopped.

    Raises:
        BrokerError: there is no such node.
    """
    node = _named(directory, node_id)
    if not is_running(node):
        return 0
    _end(node)
    return 1


def start_node(directory: str | Path, node_id: int, *, heap_mb: int, protection: Protection | None = None) -> None:
    """Start one node again and wait until it answers; one that does not is ended.

    Raises:
        BrokerError: there is no such node, it runs, or it did not come up.
    """
    path = Path(directory).expanduser()
    node = _named(directory, node_id)
    if is_running(node):
        raise BrokerError(f"node {node_id} in {directory} runs already (pid {node.pid})")
    process = launch(node, fetch.class_path(), heap_mb, is_daemon=True)
    try:
        remember(path, [replace(each, pid=process.pid) if each.id == node_id else each for each in recorded(path)])
        await_node(node, lambda: process.poll() is None, protection)
    except BaseException:
        send_signal(process.pid, signal.SIGTERM)
        end(process, STOP_TIMEOUT_S)
        raise


def _named(directory: str | Path, node_id: int) -> Node:
    nodes = recorded(Path(directory).expanduser())
    if not nodes:
        raise BrokerError(f"no cluster runs in {directory}: start one with `ipdsf broker start`")
    for node in nodes:
        if node.id == node_id:
            return node
    raise BrokerError(f"no node {node_id} in {directory}; there are {', '.join(str(node.id) for node in nodes)}")


def _end(node: Node) -> None:
    send_signal(node.pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while is_running(node) and time.monotonic() < deadline:
        time.sleep(0.1)
    if is_running(node):
        send_signal(node.pid, signal.SIGKILL)


def stopped_nodes(directory: str | Path) -> list[Node]:
    """The nodes of a cluster in `directory` that should run and do not."""
    return [node for node in recorded(Path(directory).expanduser()) if not is_running(node)]


def running_nodes(directory: str | Path) -> list[Node]:
    """The nodes of a cluster in `directory` that are alive."""
    return [node for node in recorded(Path(directory).expanduser()) if is_running(node)]


def resolve_bootstrap(config: Config) -> str:
    """Where to connect: the configured Kafka, or the embedded one that runs in `broker.directory`.

    Raises:
        BrokerError: none is configured and none runs.
    """
    if config.kafka.bootstrap_servers:
        return config.kafka.bootstrap_servers
    nodes = [node for node in running_nodes(config.broker.directory) if node.is_broker]
    if not nodes:
        raise BrokerError(
            f"no Kafka: kafka.bootstrap_servers is empty and no embedded broker runs in {config.broker.directory}; "
            "start one with `ipdsf broker start` or name an external one"
        )
    return bootstrap_of(nodes)
