"""A real KRaft Kafka on this machine: one node, or two or three brokers with a controller of their own.

The brokers are child processes. Inside `EmbeddedKafka` a watchdog shell holds a pipe to this process and ends its
broker when the pipe closes, so that no orphan is left however the parent dies; `daemon` leaves them running until they
are stopped. A quorum of two cannot lose one, hence the third, controller-only process beside two brokers.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from ipdsf_spark.devkafka import fetch
from ipdsf_spark.devkafka.nodes import (
    STATE_FILE,
    Node,
    Protection,
    bootstrap_of,
    cluster_id_of,
    free_ports,
    inner_bootstrap_of,
    is_free,
    planned,
    remember,
    write_settings,
)
from ipdsf_spark.devkafka.processes import (
    START_TIMEOUT_S,
    children_of,
    end,
    end_of_log,
    format_storage,
    launch,
    send_signal,
)
from ipdsf_spark.errors import BrokerError

STOP_TIMEOUT_S: Final = 20.0
SHELL_SETTLES_S: Final = 3.0


class EmbeddedKafka:
    """A cluster that lives as long as a `with` block, or as this process.

    Args:
        directory: data, settings and logs; kept and used again.
        brokers: 1, or 2 or 3 with a controller of their own.
        heap_mb: heap of each process.
        logins: user and password of those who may use a second listener, which asks for them (SASL/PLAIN).
        protection: certificates of a cluster that lets in only whom it knows; open by default.
    """

    def __init__(
        self,
        directory: str | Path,
        *,
        brokers: int = 1,
        heap_mb: int = 512,
        logins: Mapping[str, str] = MappingProxyType({}),
        protection: Protection | None = None,
    ) -> None:
        self.directory = Path(directory).expanduser().absolute()
        self.brokers = brokers
        self.heap_mb = heap_mb
        self._logins = logins
        self._protection = protection
        self.nodes: list[Node] = []
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    @property
    def bootstrap_servers(self) -> str:
        """host:port of every broker."""
        return bootstrap_of(self.nodes)

    @property
    def login_servers(self) -> str:
        """host:port of every listener that asks for user and password."""
        return ",".join(f"localhost:{node.login_port}" for node in self.nodes if node.login_port)

    @property
    def inner_servers(self) -> str:
        """host:port of every listener that a secured cluster keeps for itself and its administrator."""
        return inner_bootstrap_of(self.nodes)

    def __enter__(self) -> EmbeddedKafka:
        """Start the cluster and wait until it answers."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the cluster."""
        self.stop()

    def start(self, *, is_daemon: bool = False) -> None:
        """Start every node and wait until all brokers answer.

        Raises:
            BrokerError: a node did not come up; the message holds the end of its log.
        """
        self.nodes = planned(self.directory, self.brokers, is_secured=self._protection is not None)
        if self._logins:
            ports = free_ports(len(self.nodes))
            self.nodes = [
                replace(node, login_port=port if node.is_broker else 0)
                for node, port in zip(self.nodes, ports, strict=True)
            ]
        if self._protection is not None and self._protection.tokens is not None:
            url = self._protection.tokens.keys_url
            self.nodes = [replace(node, keys_url=url if node.is_broker else "") for node in self.nodes]
        class_path = fetch.class_path()
        cluster_id = cluster_id_of(self.directory)
        for node in self.nodes:
            write_settings(node, self.nodes, self._logins, self._protection)
            if not (Path(node.directory) / "data" / "meta.properties").exists():
                format_storage(node, class_path, cluster_id)
        try:
            for node in self.nodes:
                self._processes[node.id] = launch(node, class_path, self.heap_mb, is_daemon=is_daemon)
            self.nodes = [replace(node, pid=self._processes[node.id].pid) for node in self.nodes]
            remember(self.directory, self.nodes)
            self._await_brokers()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop every node: brokers first, so that they can hand over; waits, then insists."""
        for node in sorted(self.nodes, key=lambda node: not node.is_broker):
            self.stop_node(node.id)
        (self.directory / STATE_FILE).unlink(missing_ok=True)

    def stop_node(self, node_id: int, *, how: signal.Signals = signal.SIGTERM) -> None:
        """Stop one node; SIGKILL is how a test lets a broker die."""
        process = self._processes.pop(node_id, None)
        if process is None:
            return
        if how == signal.SIGKILL:
            for child in children_of(process.pid):
                send_signal(child, signal.SIGKILL)
        if process.stdin is not None:
            process.stdin.close()
        else:
            send_signal(process.pid, how)
        end(process, STOP_TIMEOUT_S)

    def start_node(self, node_id: int) -> None:
        """Start a node that was stopped and wait until it answers; a folder that was emptied is formatted.

        Raises:
            BrokerError: there is no such node, or it did not come up.
        """
        node = next((each for each in self.nodes if each.id == node_id), None)
        if node is None or node_id in self._processes:
            raise BrokerError(f"node {node_id} is none of the stopped ones in {self.directory}")
        class_path = fetch.class_path()
        write_settings(node, self.nodes, self._logins, self._protection)
        if not (Path(node.directory) / "data" / "meta.properties").exists():
            format_storage(node, class_path, cluster_id_of(self.directory))
        process = launch(node, class_path, self.heap_mb, is_daemon=False)
        self._processes[node_id] = process
        self.nodes = [replace(each, pid=process.pid) if each.id == node_id else each for each in self.nodes]
        remember(self.directory, self.nodes)
        await_node(node, lambda: process.poll() is None, self._protection)

    def _await_brokers(self) -> None:
        client = AdminClient(admin_options(self.inner_servers, self._protection))
        started = time.monotonic()
        deadline = started + START_TIMEOUT_S
        while True:
            is_settled = time.monotonic() > started + SHELL_SETTLES_S  # the watchdog has started its java by then
            for node in self.nodes:
                process = self._processes[node.id]
                if process.poll() is not None or (is_settled and not children_of(process.pid, or_self=True)):
                    raise BrokerError(f"Kafka node {node.id} ended while starting:\n{end_of_log(node)}")
            try:
                if len(client.list_topics(timeout=1.0).brokers) == self.brokers:
                    return
            except KafkaException:
                pass  # not listening yet: asked again until the deadline
            if time.monotonic() > deadline:
                raise BrokerError(f"Kafka did not answer within {START_TIMEOUT_S:.0f} s:\n{end_of_log(self.nodes[0])}")


def admin_options(bootstrap: str, protection: Protection | None) -> dict[str, str | int | float | bool]:
    """Of an administrator's client, for librdkafka."""
    login = protection.client_options() if protection is not None else {}
    return {"bootstrap.servers": bootstrap, "log_level": 0, **login}


def await_node(node: Node, is_alive: Callable[[], bool], protection: Protection | None = None) -> None:
    """Wait until a node that was started again answers.

    Raises:
        BrokerError: it ended, or does not answer; the message holds the end of its log.
    """
    client = AdminClient(admin_options(inner_bootstrap_of([node]), protection)) if node.is_broker else None
    deadline = time.monotonic() + START_TIMEOUT_S
    while is_alive() and time.monotonic() < deadline:
        if client is None:
            if not is_free(node.port):
                return
            time.sleep(0.1)
            continue
        try:
            if node.id in client.list_topics(timeout=1.0).brokers:
                return
        except KafkaException:
            time.sleep(0.1)  # not listening yet
    raise BrokerError(f"Kafka node {node.id} did not come up:\n{end_of_log(node)}")
