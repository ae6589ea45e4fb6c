"""A real Spark standalone cluster whose hosts lack this project: a master and workers from pyspark's own jars.

Workers run in an environment of their own: a bare virtual environment that sees the third-party packages of this one,
no PYTHONPATH, no IPDSF_CONF, another home folder. What `.pth` files of this environment add, an editable install of the
project among them, is not seen there.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pyspark

SPARK_HOME: Final = Path(pyspark.__file__).parent
KEPT: Final = ("PATH", "JAVA_HOME", "LANG", "LC_ALL", "TMPDIR")
START_S: Final = 240.0


def bare_python(folder: Path) -> Path:
    """The interpreter of a virtual environment with the packages of this one, less this project."""
    venv.create(folder, with_pip=False, symlinks=True)
    packages = folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    # A line of a .pth file is a folder to look in; .pth files of that folder are not read in turn.
    (packages / "shared.pth").write_text("\n".join(p for p in sys.path if p.endswith("-packages")) + "\n")
    return folder / "bin" / "python"


class StandaloneCluster:
    """Lives as long as a `with` block.

    Args:
        folder: for logs, work folders and the bare environment.
        workers: hosts.
        cores: of each.
        memory_mb: of each, for executors.
    """

    def __init__(self, folder: Path, *, workers: int = 2, cores: int = 1, memory_mb: int = 700) -> None:
        self.folder = folder
        self._sizes = (workers, cores, memory_mb)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.url = ""
        self.python = folder / "bare" / "bin" / "python"

    def __enter__(self) -> StandaloneCluster:
        self.folder.mkdir(parents=True, exist_ok=True)
        bare_python(self.folder / "bare")
        workers, cores, memory_mb = self._sizes
        self.url = f"spark://127.0.0.1:{free_port()}"
        try:
            self._begin("master", "master.Master", "--port", self.url.rpartition(":")[2])
            for number in range(workers):
                self._begin(f"worker-{number}", "worker.Worker", "--cores", str(cores), "--memory", f"{memory_mb}m",
                            "--work-dir", str(self.folder / f"work-{number}"), self.url)  # fmt: skip
            for number in range(workers):
                self._await(f"worker-{number}", "Successfully registered with master")
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End every process that was started, executors with their workers."""
        for process in reversed(self._processes.values()):
            process.terminate()
        for process in self._processes.values():
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()

    def log(self, name: str) -> str:
        """What the master, or worker-N, has said."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def executors(self) -> list[int]:
        """Process ids of the executors that run on these workers."""
        parents = {process.pid for name, process in self._processes.items() if name != "master"}
        return [pid for pid, parent, command in processes() if parent in parents and "CoarseGrained" in command]

    def _begin(self, name: str, main: str, *words: str) -> None:
        environment = {key: os.environ[key] for key in KEPT if key in os.environ} | {
            "SPARK_HOME": str(SPARK_HOME), "SPARK_DAEMON_MEMORY": "192m", "SPARK_NO_DAEMONIZE": "1",
            "SPARK_DAEMON_JAVA_OPTS": "-XX:+UseSerialGC -XX:TieredStopAtLevel=1", "HOME": str(self.folder),
            "SPARK_LOCAL_IP": "127.0.0.1",
        }  # fmt: skip
        with (self.folder / f"{name}.log").open("wb") as log:
            self._processes[name] = subprocess.Popen(
                [SPARK_HOME / "bin" / "spark-class", f"org.apache.spark.deploy.{main}", "--host", "127.0.0.1",
                 "--webui-port", "0", *words],
                env=environment, stdout=log, stderr=log, cwd=self.folder,
            )  # fmt: skip

    def _await(self, name: str, said: str) -> None:
        deadline = time.monotonic() + START_S
        while said not in self.log(name):
            assert self._processes[name].poll() is None, self.log(name)[-2000:]
            assert time.monotonic() < deadline, self.log(name)[-2000:]
            time.sleep(0.1)


def free_port() -> int:
    """A port of this machine that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def processes() -> Iterator[tuple[int, int, str]]:
    """Number, parent's number and command line of every process that can be seen."""
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            stat = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        yield int(folder.name), int(stat[1]), command
