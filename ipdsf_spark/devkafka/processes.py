"""The processes of an embedded cluster: started, asked whether they live, ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path
from typing import Final

from ipdsf_spark.devkafka import fetch
from ipdsf_spark.devkafka.nodes import Node
from ipdsf_spark.errors import BrokerError

START_TIMEOUT_S: Final = 90.0
ALLOWED_URLS: Final = "org.apache.kafka.sasl.oauthbearer.allowed.urls"
# The shell waits for the end of its input: that comes when the parent closes the pipe, or dies.
WATCHDOG: Final = (
    'exec 3<&0; "$@" <&- & child=$!; trap "kill $child" TERM; cat <&3 >/dev/null; kill $child; wait $child'
)


def format_storage(node: Node, class_path: str, cluster_id: str) -> None:
    """Prepare the data folder of a node.

    Raises:
        BrokerError: Kafka refuses.
    """
    command = [fetch.java_command(), "-XX:TieredStopAtLevel=1", "-cp", class_path, "kafka.tools.StorageTool", "format"]
    # With "=", because an identifier may begin with a dash.
    command += [f"--cluster-id={cluster_id}", "-c", f"{node.directory}/server.properties"]
    command += ["--standalone"] if "controller" in node.roles else ["--no-initial-controllers"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=START_TIMEOUT_S)
    if done.returncode:
        raise BrokerError(f"could not format {node.directory}: {(done.stderr or done.stdout).strip()[-800:]}")


def launch(node: Node, class_path: str, heap_mb: int, *, is_daemon: bool) -> subprocess.Popen[bytes]:
    """Start the process of a node; a daemon outlives us, another ends when we do.

    As for Kafka's own scripts, $KAFKA_JVM_PERFORMANCE_OPTS replaces what its Java is tuned by.
    """
    log4j = Path(__file__).with_name("log4j2.properties")
    tuned = os.environ.get("KAFKA_JVM_PERFORMANCE_OPTS", "-XX:+UseSerialGC").split()
    command = [fetch.java_command(), f"-Xmx{heap_mb}m", "-Xms128m", *tuned, "-XX:+ExitOnOutOfMemoryError"]
    command += [f"-Dlog4j2.configurationFile={log4j}"]
    if node.keys_url:  # Kafka 4 fetches from no address that its Java was not told
        command += [f"-D{ALLOWED_URLS}={node.keys_url}"]
    command += ["-cp", class_path, "kafka.Kafka"]
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


def end_of_log(node: Node, *, num_lines: int = 15) -> str:
    """The last lines of a node's log."""
    try:
        lines = (Path(node.directory) / "broker.log").read_text(errors="replace").splitlines()
    except OSError:
        return "(no log)"
    return "\n".join(lines[-num_lines:])


def children_of(pid: int, *, or_self: bool = False) -> list[int]:
    """Child processes; with `or_self`, the process itself if it is the broker."""
    try:
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return [pid] if or_self and not Path("/proc").exists() else []
    children = [int(child) for child in found]
    return children or ([pid] if or_self and runs_kafka(pid) else [])


def runs_kafka(pid: int) -> bool:
    """Whether a process is a Kafka broker or controller."""
    try:
        return b"kafka.Kafka" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def is_running(node: Node) -> bool:
    """Whether a node is alive."""
    if node.pid <= 0:
        return False
    if Path("/proc").exists():
        return runs_kafka(node.pid)  # the number may belong to somebody else by now
    try:
        os.kill(node.pid, 0)
    except OSError:
        return False
    return True


def end(process: subprocess.Popen[bytes], within_s: float) -> None:
    """Wait for a node that was asked to stop, and insist when it has taken too long."""
    try:
        process.wait(within_s)
    except subprocess.TimeoutExpired:
        for pid in [*children_of(process.pid), process.pid]:
            send_signal(pid, signal.SIGKILL)
        process.wait()


def send_signal(pid: int, how: signal.Signals) -> None:
    """Signal a process, if it is there."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, how)
