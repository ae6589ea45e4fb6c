"""A real KRaft Kafka on this machine: one node, or two or three brokers with a controller of their own.

The brokers are child processes. Inside `EmbeddedKafka` a watchdog shell holds a pipe to this process and ends its
broker when the pipe closes, so that no orphan is left however the parent dies; `start_daemon` leaves them running until
`stop_daemon`. A quorum of two cannot lose one, hence the third, controller-only process beside two brokers.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import time
import uuid
from base64 import urlsafe_b64encode
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from ipdsf_spark.config import Config
from ipdsf_spark.devkafka import fetch
from ipdsf_spark.errors import BrokerError

logger = logging.getLogger(__name__)

START_TIMEOUT_S: Final = 90.0
STOP_TIMEOUT_S: Final = 20.0
SHELL_SETTLES_S: Final = 3.0
CONTROLLER_ID: Final = 100
STATE_FILE: Final = "cluster.json"
# The shell waits for the end of its input: that comes when the parent closes the pipe, or dies.
WATCHDOG: Final = (
    'exec 3<&0; "$@" <&- & child=$!; trap "kill $child" TERM; cat <&3 >/dev/null; kill $child; wait $child'
)


@dataclass(frozen=True)
class Node:
    """One process of the cluster."""

    id: int
    roles: str
    port: int  # of the broker's listener; the controller's for a controller-only node
    controller_port: int
    directory: str
    pid: int = 0

    @property
    def is_broker(self) -> bool:
        """Whether clients talk to it."""
        return "broker" in self.roles


class EmbeddedKafka:
    """A cluster that lives as long as a `with` block, or as this process.

    Args:
        directory: data, settings and logs; kept and used again.
        brokers: 1, or 2 or 3 with a controller of their own.
        heap_mb: heap of each process.
    """

    def __init__(self, directory: str | Path, *, brokers: int = 1, heap_mb: int = 512) -> None:
        self.directory = Path(directory).expanduser().absolute()
        self.brokers = brokers
        self.heap_mb = heap_mb
        self.nodes: list[Node] = []
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    @property
    def bootstrap_servers(self) -> str:
        """host:port of every broker."""
        return ",".join(f"localhost:{node.port}" for node in self.nodes if node.is_broker)

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
        self.nodes = _plan(self.directory, self.brokers)
        class_path = fetch.class_path()
        cluster_id = _cluster_id(self.directory)
        for node in self.nodes:
            _write_settings(node, self.nodes)
            if not (Path(node.directory) / "data" / "meta.properties").exists():
                _format(node, class_path, cluster_id)
        for node in self.nodes:
            self._processes[node.id] = _launch(node, class_path, self.heap_mb, is_daemon=is_daemon)
        self.nodes = [Node(**{**asdict(node), "pid": self._processes[node.id].pid}) for node in self.nodes]
        (self.directory / STATE_FILE).write_text(json.dumps([asdict(node) for node in self.nodes], indent=1))
        try:
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
            for child in _children(process.pid):
                _signal(child, signal.SIGKILL)
        if process.stdin is not None:
            process.stdin.close()
        else:
            _signal(process.pid, how)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            for pid in [*_children(process.pid), process.pid]:
                _signal(pid, signal.SIGKILL)
            process.wait()

    def _await_brokers(self) -> None:
        client = AdminClient({"bootstrap.servers": self.bootstrap_servers, "log_level": 0})
        started = time.monotonic()
        deadline = started + START_TIMEOUT_S
        while True:
            is_settled = time.monotonic() > started + SHELL_SETTLES_S  # the watchdog has started its java by then
            for node in self.nodes:
                process = self._processes[node.id]
                if process.poll() is not None or (is_settled and not _children(process.pid, or_self=True)):
                    raise BrokerError(f"Kafka node {node.id} ended while starting:\n{_end_of_log(node)}")
            try:
                if len(client.list_topics(timeout=1.0).brokers) == self.brokers:
                    return
            except KafkaException:
                pass  # not listening yet: asked again until the deadline
            if time.monotonic() > deadline:
                raise BrokerError(f"Kafka did not answer within {START_TIMEOUT_S:.0f} s:\n{_end_of_log(self.nodes[0])}")


def start_daemon(directory: str | Path, *, brokers: int, heap_mb: int) -> list[Node]:
    """Start a cluster that outlives this process.

    Raises:
        BrokerError: one runs already in this directory, or it did not come up.
    """
    if running := running_nodes(directory):
        raise BrokerError(
            f"a broker runs already in {directory} (pid {running[0].pid}); stop it with `ipdsf broker stop`"
        )
    kafka = EmbeddedKafka(directory, brokers=brokers, heap_mb=heap_mb)
    kafka.start(is_daemon=True)
    return kafka.nodes


def stop_daemon(directory: str | Path) -> int:
    """Stop what `start_daemon` started; returns the number of processes stopped."""
    nodes = running_nodes(directory)
    for node in sorted(nodes, key=lambda node: not node.is_broker):
        _signal(node.pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while _is_broker_process(node) and time.monotonic() < deadline:
            time.sleep(0.1)
        if _is_broker_process(node):
            _signal(node.pid, signal.SIGKILL)
    (Path(directory).expanduser() / STATE_FILE).unlink(missing_ok=True)
    return len(nodes)


def running_nodes(directory: str | Path) -> list[Node]:
    """The nodes of a cluster in `directory` that are alive."""
    return [node for node in _recorded(Path(directory).expanduser()) if _is_broker_process(node)]


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
    return ",".join(f"localhost:{node.port}" for node in nodes)


def _plan(directory: Path, brokers: int) -> list[Node]:
    """The nodes to start: those of the last run with their ports if these are free, else new ones."""
    recorded = _ports_file(directory)
    ports = (
        recorded if len(recorded) == 2 * brokers + 1 and all(map(_is_free, recorded)) else _free_ports(2 * brokers + 1)
    )
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "ports.json").write_text(json.dumps(ports))
    if brokers == 1:
        return [Node(1, "broker,controller", ports[0], ports[1], str(directory / "node-1"))]
    nodes = [Node(CONTROLLER_ID, "controller", ports[-1], ports[-1], str(directory / "controller"))]
    return nodes + [
        Node(index + 1, "broker", ports[index], ports[-1], str(directory / f"node-{index + 1}"))
        for index in range(brokers)
    ]


def _ports_file(directory: Path) -> list[int]:
    try:
        return [int(port) for port in json.loads((directory / "ports.json").read_text())]
    except (OSError, ValueError, TypeError):
        return []


def _recorded(directory: Path) -> list[Node]:
    try:
        return [Node(**entry) for entry in json.loads((directory / STATE_FILE).read_text())]
    except (OSError, ValueError, TypeError):
        return []


def _free_ports(count: int) -> list[int]:
    """Ports nobody listens on; all are held until all are found, so that they differ."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _cluster_id(directory: Path) -> str:
    path = directory / "cluster.id"
    if not path.exists():
        path.write_text(urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("="))
    return path.read_text()


def _write_settings(node: Node, nodes: list[Node]) -> None:
    num_brokers = sum(each.is_broker for each in nodes)
    copies = min(2, num_brokers)
    settings = {
        "process.roles": node.roles,
        "node.id": node.id,
        "controller.quorum.bootstrap.servers": f"localhost:{node.controller_port}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,CLIENT:PLAINTEXT",
        "log.dirs": f"{node.directory}/data",
        "num.network.threads": 2,
        "num.io.threads": 4,
        "offsets.topic.num.partitions": 4,
        "offsets.topic.replication.factor": copies,
        "transaction.state.log.num.partitions": 4,
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": 1,
        "min.insync.replicas": 1,
        "default.replication.factor": copies,
        "group.initial.rebalance.delay.ms": 0,
        "auto.create.topics.enable": "false",
        "message.max.bytes": 32_000_000,
        "replica.fetch.max.bytes": 32_000_000,
        "log.segment.bytes": 268_435_456,
        "log.cleaner.backoff.ms": 5_000,
        # A second instead of nine until a dead broker's partitions move to the other one.
        "broker.session.timeout.ms": 3_000,
        "broker.heartbeat.interval.ms": 500,
    }
    controller = f"CONTROLLER://localhost:{node.controller_port}"
    client = f"CLIENT://localhost:{node.port}"
    if node.roles == "controller":
        settings |= {"listeners": controller, "advertised.listeners": controller}
    elif node.roles == "broker":
        settings |= {"listeners": client, "advertised.listeners": client, "inter.broker.listener.name": "CLIENT"}
    else:
        settings |= {
            "listeners": f"{client},{controller}",
            "advertised.listeners": f"{client},{controller}",
            "inter.broker.listener.name": "CLIENT",
        }
    path = Path(node.directory) / "server.properties"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))


def _format(node: Node, class_path: str, cluster_id: str) -> None:
    command = [fetch.java_command(), "-XX:TieredStopAtLevel=1", "-cp", class_path, "kafka.tools.StorageTool", "format"]
    # With "=", because an identifier may begin with a dash.
    command += [f"--cluster-id={cluster_id}", "-c", f"{node.directory}/server.properties"]
    command += ["--standalone"] if "controller" in node.roles else ["--no-initial-controllers"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=START_TIMEOUT_S)
    if done.returncode:
        raise BrokerError(f"could not format {node.directory}: {(done.stderr or done.stdout).strip()[-800:]}")


def _launch(node: Node, class_path: str, heap_mb: int, *, is_daemon: bool) -> subprocess.Popen[bytes]:
    log4j = Path(__file__).with_name("log4j2.properties")
    command = [fetch.java_command(), f"-Xmx{heap_mb}m", "-Xms128m", "-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError"]
    command += [f"-Dlog4j2.configurationFile={log4j}", "-cp", class_path, "kafka.Kafka"]
    command += [f"{node.directory}/server.properties"]
    with (Path(node.directory) / "broker.log").open("ab") as log:
        if is_daemon:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=node.directory
            )
        # A session of its own: Ctrl-C on the terminal must reach us first, then the broker in order.
        return subprocess.Popen(
            ["sh", "-c", WATCHDOG, "watchdog", *command],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd=node.directory,
        )


def _end_of_log(node: Node, *, num_lines: int = 15) -> str:
    try:
        lines = (Path(node.directory) / "broker.log").read_text(errors="replace").splitlines()
    except OSError:
        return "(no log)"
    return "\n".join(lines[-num_lines:])


def _children(pid: int, *, or_self: bool = False) -> list[int]:
    """Child processes; with `or_self`, the process itself if it is the broker."""
    try:
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return [pid] if or_self and not Path("/proc").exists() else []
    children = [int(child) for child in found]
    return children or ([pid] if or_self and _runs_kafka(pid) else [])


def _runs_kafka(pid: int) -> bool:
    try:
        return b"kafka.Kafka" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _is_broker_process(node: Node) -> bool:
    if node.pid <= 0:
        return False
    if Path("/proc").exists():
        return _runs_kafka(node.pid)  # the number may belong to somebody else by now
    try:
        os.kill(node.pid, 0)
    except OSError:
        return False
    return True


def _signal(pid: int, how: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, how)
