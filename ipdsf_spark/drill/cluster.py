"""Faults of a Spark cluster: a real standalone one of two workers, each a process, with an executor each."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
from pathlib import Path
from typing import Final

import psutil

from ipdsf_spark.devkafka.nodes import free_ports, is_free
from ipdsf_spark.drill.deadline import DrillError
from ipdsf_spark.drill.ground import Ground
from ipdsf_spark.drill.jobs import TURNS, warmed_up
from ipdsf_spark.drill.outcome import Found
from ipdsf_spark.drill.verbs import Verb, signal_group

CLUSTERED: Final = "clustered"
HOST: Final = "127.0.0.1"
EXECUTOR: Final = "CoarseGrainedExecutorBackend"
NUM_WORKERS: Final = 2


class Standalone:
    """A master and its workers, from the jars that come with pyspark.

    Args:
        folder: for logs and the working folders of executors.
        ground: ends its processes with everything else.
    """

    def __init__(self, folder: Path, ground: Ground) -> None:
        spec = importlib.util.find_spec("pyspark")
        if spec is None or spec.origin is None:
            raise DrillError("a cluster is started from pyspark's jars; install ipdsf-spark[streaming]")
        self._home = Path(spec.origin).parent
        self._folder, self._ground = folder, ground
        folder.mkdir(parents=True)
        port = free_ports(1)[0]
        self.url = f"spark://{HOST}:{port}"
        self._launch("master.Master", "--host", HOST, "--port", str(port), "--webui-port", "0")
        ground.deadline.until(lambda: not is_free(port), "the master of the cluster")
        self.workers = [
            self._launch("worker.Worker", "--host", HOST, "--cores", "1", "--memory", "1g", "--webui-port", "0",
                         "--work-dir", str(folder / f"work-{number}"), self.url)
            for number in range(NUM_WORKERS)
        ]  # fmt: skip

    def _launch(self, kind: str, *words: str) -> subprocess.Popen[bytes]:
        command = [str(self._home / "bin" / "spark-class"), f"org.apache.spark.deploy.{kind}", *words]
        environment = {
            **os.environ,
            "SPARK_HOME": str(self._home),
            "SPARK_LOCAL_IP": HOST,
            "SPARK_DAEMON_MEMORY": "256m",
            "SPARK_NO_DAEMONIZE": "1",
        }
        with (self._folder / "cluster.log").open("ab") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, env=environment
            )
        self._ground.stack.callback(self._end, process)
        return process

    @staticmethod
    def _end(process: subprocess.Popen[bytes]) -> None:
        for child in _below(process.pid):
            child.kill()
        signal_group(process.pid, signal.SIGKILL)
        process.wait()

    def executors(self) -> list[psutil.Process]:
        """The executors of all workers that live."""
        found = []
        for worker in self.workers:
            for child in _below(worker.pid):
                try:
                    if EXECUTOR in " ".join(child.cmdline()):
                        found.append(child)
                except psutil.Error:
                    continue
        return found


def _below(pid: int) -> list[psutil.Process]:
    try:
        return list(psutil.Process(pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def _begun(ground: Ground) -> tuple[Standalone, Verb]:
    """A cluster with the job on it; one is used by both drills."""
    cluster = ground.kept.get(CLUSTERED)
    if not isinstance(cluster, Standalone):
        ground.topics(CLUSTERED)
        cluster = Standalone(ground.folder / "standalone", ground)
        ground.kept[CLUSTERED] = cluster
    job = ground.stream(network=CLUSTERED, environment={"MASTER": cluster.url, "SPARK_LOCAL_IP": HOST})
    warmed_up(ground, job)
    return cluster, job


def executor_killed(ground: Ground) -> Found:
    """One of two executors is killed under load; the worker starts another."""
    cluster, job = _begun(ground)
    before = ground.send(TURNS)
    executors = cluster.executors()
    if len(executors) != NUM_WORKERS:
        raise DrillError(f"the job has {len(executors)} executors, not {NUM_WORKERS}")
    executors[0].kill()
    ground.mark()
    after = ground.send(TURNS)
    found = ground.recovered(before, after, job=job, told=r"Lost executor|ExecutorLost")
    return found.with_remark(f"{len(cluster.executors())} executors afterwards; the job ran on")


def worker_killed(ground: Ground) -> Found:
    """One of two workers is killed under load, its executor with it; the other one goes on alone."""
    cluster, job = _begun(ground)
    before = ground.send(TURNS)
    cluster.workers[0].kill()
    ground.mark()
    after = ground.send(TURNS)
    found = ground.recovered(before, after, job=job, told=r"Lost executor|ExecutorLost|worker lost")
    return found.with_remark(f"{len(cluster.executors())} executor(s) of living workers afterwards; the job ran on")
