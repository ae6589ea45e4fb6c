"""Kafka on hosts of their own: one broker, or one on each of two with the controller on the first."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from ipdsf_spark.devkafka.fetch import class_path
from ipdsf_spark.devkafka.namespaces import Host
from ipdsf_spark.devkafka.nodes import CONTROLLER_ID, Node, bootstrap_of, cluster_id_of, write_settings
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

CLIENT_PORT: Final = 19092  # nobody else listens in a namespace of its own
CONTROLLER_PORT: Final = 19093
STOP_TIMEOUT_S: Final = 20.0


class SpreadKafka:
    """Brokers on hosts, as long as a `with` block.

    Args:
        directory: of data and logs.
        hosts: a broker on each; with two, the controller is on the first, a process of its own.
        heap_mb: of each process.
    """

    def __init__(self, directory: Path, hosts: tuple[Host, ...], *, heap_mb: int = 384) -> None:
        self.directory, self.hosts, self._heap_mb = directory, hosts, heap_mb
        self.nodes = _planned(directory, hosts)
        self._running: dict[int, subprocess.Popen[bytes]] = {}

    @property
    def bootstrap_servers(self) -> str:
        """host:port of every broker."""
        return bootstrap_of(self.nodes)

    def __enter__(self) -> SpreadKafka:
        """Start them and wait until they answer.

        Raises:
            BrokerError: one did not come up.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        cluster, jars = cluster_id_of(self.directory), class_path()
        try:
            for node in self.nodes:
                write_settings(node, self.nodes, {})
                format_storage(node, jars, cluster)
            for node in self.nodes:
                with self._host_of(node).entered():
                    self._running[node.id] = launch(node, jars, self._heap_mb, is_daemon=False)
            with self.hosts[0].entered():
                self._await()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop them."""
        self._stop()

    def kill(self, number: int) -> None:
        """Let the broker of one host die, without a word (SIGKILL)."""
        node = [node for node in self.nodes if node.is_broker][number]
        process = self._running.pop(node.id)
        for pid in children_of(process.pid):
            send_signal(pid, signal.SIGKILL)
        _close(process)
        process.wait(STOP_TIMEOUT_S)

    def _host_of(self, node: Node) -> Host:
        return next(host for host in self.hosts if host.address == node.host)

    def _await(self) -> None:
        client = AdminClient({"bootstrap.servers": self.bootstrap_servers, "log_level": 0})
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            try:
                if len(client.list_topics(timeout=1.0).brokers) == len(self.hosts):
                    return
            except KafkaException:
                pass  # not listening yet: asked again until the deadline
        raise BrokerError(f"Kafka did not answer within {START_TIMEOUT_S:.0f} s:\n{end_of_log(self.nodes[-1])}")

    def _stop(self) -> None:
        for process in reversed(list(self._running.values())):
            _close(process)
            end(process, STOP_TIMEOUT_S)
        self._running.clear()


def _close(process: subprocess.Popen[bytes]) -> None:
    """Close the pipe by which a watchdog knows that it is wanted."""
    if process.stdin is not None:
        process.stdin.close()


def _planned(directory: Path, hosts: tuple[Host, ...]) -> list[Node]:
    first = hosts[0].address
    if len(hosts) == 1:
        where = str(directory / "node-1")
        return [Node(1, "broker,controller", CLIENT_PORT, CONTROLLER_PORT, where, host=first, controller_host=first,
                     rack=hosts[0].name)]  # fmt: skip
    controller = Node(CONTROLLER_ID, "controller", CONTROLLER_PORT, CONTROLLER_PORT, str(directory / "controller"),
                      host=first, controller_host=first)  # fmt: skip
    return [
        controller,
        *(
            Node(
                number,
                "broker",
                CLIENT_PORT,
                CONTROLLER_PORT,
                str(directory / f"node-{number}"),
                host=host.address,
                controller_host=first,
                rack=host.name,
            )
            for number, host in enumerate(hosts, start=1)
        ),
    ]
