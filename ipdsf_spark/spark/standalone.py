"""A real Spark standalone cluster on this machine, from the jars that come with pyspark: a master, workers, executors.

For tests and drills: a worker stands for a host, and may lack what this process has.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import psutil
import pyspark

from ipdsf_spark.errors import IpdsfError

HOST: Final = "127.0.0.1"
SPARK_HOME: Final = Path(pyspark.__file__).parent
EXECUTOR: Final = "CoarseGrainedExecutorBackend"
REGISTERED: Final = "Successfully registered with master"
MASTER: Final = "master"
START_S: Final = 240.0
STOP_S: Final = 15.0
POLL_S: Final = 0.1


class StandaloneCluster:
    """Lives as long as a `with` block.

    Args:
        folder: for logs and the working folders of executors.
        port: of the master, a free one.
        workers: how many.
        cores: of each.
        memory_mb: of each, for executors.
        environment: of master and workers; that of this process by default.
    """

    def __init__(
        self,
        folder: Path,
        port: int,
        *,
        workers: int = 2,
        cores: int = 1,
        memory_mb: int = 700,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.url = f"spark://{HOST}:{port}"
        self._port = port
        self._sizes = (workers, cores, memory_mb)
        self._environment = dict(os.environ if environment is None else environment)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> StandaloneCluster:
        """Start it and wait until every worker has registered.

        Raises:
            IpdsfError: one has ended, or takes too long; with the end of its log.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        workers, cores, memory_mb = self._sizes
        names = [f"worker-{number}" for number in range(workers)]
        try:
            self._launch(MASTER, "master.Master", "--port", str(self._port))
            for name in names:
                size = ("--cores", str(cores), "--memory", f"{memory_mb}m", "--work-dir", str(self.folder / name))
                self._launch(name, "worker.Worker", *size, self.url)
            for name in names:
                self._await(name, REGISTERED)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self.stop()

    def stop(self) -> None:
        """End every process that was started, executors included."""
        below = [child for process in self._processes.values() for child in _below(process.pid)]
        for process in reversed(self._processes.values()):
            process.terminate()
        for process in self._processes.values():
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for child in below:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        self._processes.clear()

    def kill_worker(self, number: int) -> None:
        """SIGKILL to a worker; it stays away."""
        process = self._processes.pop(f"worker-{number}")
        process.kill()
        process.wait()

    def executors(self) -> list[psutil.Process]:
        """The executors of the workers that live."""
        below = [child for name, each in self._processes.items() if name != MASTER for child in _below(each.pid)]
        return [child for child in below if EXECUTOR in _command_of(child)]

    def log(self, name: str) -> str:
        """What `master` or `worker-N` has said."""
        return self._log_of(name).read_text(encoding="utf-8", errors="replace")

    def _log_of(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def _launch(self, name: str, kind: str, *words: str) -> None:
        command = [str(SPARK_HOME / "bin" / "spark-class"), f"org.apache.spark.deploy.{kind}"]
        environment = {
            **self._environment,
            "SPARK_HOME": str(SPARK_HOME),
            "SPARK_LOCAL_IP": HOST,
            "SPARK_DAEMON_MEMORY": "192m",
            "SPARK_DAEMON_JAVA_OPTS": "-XX:+UseSerialGC -XX:TieredStopAtLevel=1",
            "SPARK_NO_DAEMONIZE": "1",
        }
        with self._log_of(name).open("wb") as log:
            self._processes[name] = subprocess.Popen(
                [*command, "--host", HOST, "--webui-port", "0", *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=self.folder,
                env=environment,
            )

    def _await(self, name: str, said: str) -> None:
        deadline = time.monotonic() + START_S
        while said not in (log := self.log(name)):
            if self._processes[name].poll() is not None or time.monotonic() > deadline:
                raise IpdsfError(f"{name} of the cluster did not come up: {log[-800:]}")
            time.sleep(POLL_S)


def _below(pid: int) -> list[psutil.Process]:
    try:
        return list(psutil.Process(pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def _command_of(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
