"""Faults of a Spark cluster: a real standalone one of two workers, each a process, with an executor each."""

from __future__ import annotations

from typing import Final

from ipdsf_spark.devkafka.nodes import free_ports
from ipdsf_spark.drill.deadline import DrillError
from ipdsf_spark.drill.ground import Ground
from ipdsf_spark.drill.jobs import TURNS, warmed_up
from ipdsf_spark.drill.outcome import Found
from ipdsf_spark.drill.verbs import Verb
from ipdsf_spark.spark.standalone import HOST, StandaloneCluster

CLUSTERED: Final = "clustered"
MEMORY_MB: Final = 1_024
NUM_WORKERS: Final = 2


def _begun(ground: Ground) -> tuple[StandaloneCluster, Verb]:
    """A cluster with the job on it; one is used by both drills."""
    cluster = ground.kept.get(CLUSTERED)
    if not isinstance(cluster, StandaloneCluster):
        ground.topics(CLUSTERED)
        cluster = ground.stack.enter_context(
            StandaloneCluster(ground.folder / "standalone", free_ports(1)[0], workers=NUM_WORKERS, memory_mb=MEMORY_MB)
        )
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
    cluster.kill_worker(0)
    ground.mark()
    after = ground.send(TURNS)
    found = ground.recovered(before, after, job=job, told=r"Lost executor|ExecutorLost|worker lost")
    return found.with_remark(f"{len(cluster.executors())} executor(s) of living workers afterwards; the job ran on")
