"""A job in a process of its own, and what can be seen of it from outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil
from confluent_kafka import Consumer

from ipdsf_spark.kafka import client_options
from tests.processes import each_below
from tests.security.conftest import Secured
from tests.waiting import await_that

PATIENCE_S = 240.0  # on a machine that does other things
PAGES = ("environment/", "SQL/", "SQL/execution/?id=0", "StreamingQuery/", "jobs/", "stages/", "executors/")


JOB = """
import sys
from pathlib import Path
from pyspark import SparkContext
from ipdsf_spark.cli import stream
from ipdsf_spark.stream import job

started = job.StreamJob.start
def start(self):
    begun = started(self)
    Path(sys.argv[1]).write_text(f"{self.spark.sparkContext.uiWebUrl} {self.monitor.server.address}")
    return begun
job.StreamJob.start = start
sys.exit(stream.main(sys.argv[2:]))
"""


def started_job(secured: Secured, folder: Path) -> tuple[subprocess.Popen[bytes], Path]:
    """A job with the login of `stream`, and the file that it writes the addresses of its UI and metrics into."""
    (folder / "events").mkdir()
    ui = folder / "ui"
    submit = (
        "--conf spark.eventLog.enabled=true --conf spark.eventLog.rolling.enabled=false "
        "--conf spark.eventLog.compress=false --conf spark.ui.enabled=true --conf spark.ui.port=0 "
        f"--conf spark.eventLog.dir={(folder / 'events').as_uri()} pyspark-shell"
    )
    command = [sys.executable, "-c", JOB, str(ui), "--config", str(secured.folder.path / "stream" / "kafka.toml")]
    for override in (
        f"kafka.bootstrap_servers={secured.bootstrap}",
        f"stream.directory={json.dumps(str(folder / 'stream'))}",
        "stream.archive_every_s=1",
        "stream.driver_memory_mb=1024",
        "stream.state_partitions=1",
        "monitoring.listen=127.0.0.1:0",
        "monitoring.commit_group=ipdsf-live",
    ):
        command += ["--set", override]
    with (folder / "output").open("wb") as output:
        job = subprocess.Popen(command, stdout=output, stderr=output, env=os.environ | {"PYSPARK_SUBMIT_ARGS": submit})
    return job, ui


def records_of(
    secured: Secured, user: str, topic: str, *, wanted: int, job: subprocess.Popen[bytes]
) -> list[tuple[str, bytes, dict[str, str]]]:
    """The first records of a topic, as a user may see them; waits for so many."""
    options = client_options(secured.login(user), secured.bootstrap)
    consumer = Consumer(options | {"group.id": "ipdsf-test", "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    found: list[tuple[str, bytes, dict[str, str]]] = []
    deadline = time.monotonic() + PATIENCE_S
    try:
        while len(found) < wanted and time.monotonic() < deadline and job.poll() is None:
            message = consumer.poll(1.0)
            if message is None:
                continue
            assert not message.error(), message.error().str()
            headers = {name: value.decode() for name, value in message.headers() or []}
            found.append(((message.key() or b"").decode(), message.value() or b"", headers))
    finally:
        consumer.close()
    return found


def command_lines() -> str:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue  # it has ended
    return "\n".join(found)


def listening(job: int) -> set[str]:
    """Addresses on which a process and those below it wait for connections."""
    seen = each_below(job, lambda process: process.net_connections("inet"), with_itself=True)
    found = [each for connections in seen for each in connections]
    return {each.laddr.ip.removeprefix("::ffff:") for each in found if each.status == psutil.CONN_LISTEN}


def until(is_so: Callable[[], bool], what: str) -> None:
    await_that(is_so, what, timeout_s=PATIENCE_S, look_s=0.2)


def page(address: str) -> str:
    with urllib.request.urlopen(address, timeout=60.0) as answer:
        return answer.read().decode(errors="replace")


def awaited(address: str, told: Sequence[str]) -> str:
    """The page, once it says all that: a batch is reported when its products are in Kafka, and these are read again."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        found = page(address)
        missing = [each for each in told if each not in found]
        if not missing:
            return found
        assert time.monotonic() < deadline, f"{address} did not say {missing} within {PATIENCE_S:.0f} s"
        time.sleep(0.5)
