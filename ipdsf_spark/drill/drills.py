"""Which drills there are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ipdsf_spark.drill import (
    brokers,
    checkpoints,
    clocks,
    cluster,
    content,
    disks,
    edges,
    imaging,
    jobs,
    topics,
    versions,
)
from ipdsf_spark.drill.ground import Ground
from ipdsf_spark.drill.outcome import Found
from ipdsf_spark.errors import ConfigError


@dataclass(frozen=True)
class Drill:
    """One fault.

    Attributes:
        name: by which it is chosen.
        fault, how: what is done, and by what means; for the table.
        act: does it.
        limit_s: seconds after which it has failed.
        unit: what is counted.
        is_short: whether the short form has it.
    """

    name: str
    fault: str
    how: str
    act: Callable[[Ground], Found]
    limit_s: float = 1_200.0
    unit: str = "files"
    is_short: bool = False


DRILLS: Final = (
    Drill(
        "poison-10",
        "one file of ten is garbage",
        "bytes that no instrument says, in place of every tenth file",
        content.poison_10,
        is_short=True,
    ),
    Drill("poison-100", "every file is garbage", "nothing but bytes that no instrument says", content.poison_100),
    Drill(
        "driver-killed",
        "driver killed",
        "SIGKILL to driver, Java machine and Python workers in mid-batch; started again at once",
        jobs.driver_killed,
        is_short=True,
    ),
    Drill(
        "python-worker-killed",
        "Python worker killed",
        "SIGKILL to every Python worker of the job while files are sent; a supervisor restarts a job that ends",
        jobs.python_worker_killed,
    ),
    Drill(
        "broker-killed",
        "broker killed, of two, two copies",
        "SIGKILL to one of two brokers while files are sent; it stays away",
        brokers.broker_killed,
    ),
    Drill(
        "broker-emptied",
        "broker back with an empty disk",
        "SIGKILL to one of two brokers under load, its data removed, started again",
        brokers.broker_emptied,
    ),
    Drill(
        "network-silent",
        "network silent for two minutes",
        "SIGSTOP to both brokers and the controller under load: connections stay, nothing answers; SIGCONT after 120 s",
        brokers.network_silent,
    ),
    Drill(
        "network-cut",
        "network cut for two minutes",
        "the broker on a host of its own (a network namespace); its end of the link is taken down under load (root)",
        brokers.network_cut,
    ),
    Drill(
        "archive-full",
        "disk of the archive full",
        "a disk of its own filled to the last byte under load",
        disks.archive_full,
    ),
    Drill(
        "checkpoint-full",
        "disk of the checkpoint full",
        "a disk of its own filled to the last byte under load; room is made once the job has ended",
        disks.checkpoint_full,
    ),
    Drill(
        "backlog",
        "backlog of 50 times",
        "the job is down while 50 times of what it had before arrives",
        content.backlog,
    ),
    Drill(
        "edge-killed",
        "edge agent killed",
        "SIGKILL while it sends, three times, started again at once",
        edges.edge_killed,
        is_short=True,
    ),
    Drill(
        "spool-full",
        "disk of the edge's copies full",
        "a disk of its own filled to the last byte; the agent killed on it",
        edges.spool_full,
    ),
    Drill(
        "clock-wrong",
        "clock of the edge wrong",
        "ten years ahead from its start, then put back by eleven years while it sends (clock_gettime of its process)",
        edges.clock_wrong,
    ),
    Drill(
        "job-clock-wrong",
        "clock of the job wrong",
        "a day ahead under load, then two days back (clock_gettime of driver, Java machine and Python workers)",
        clocks.job_clock_wrong,
    ),
    Drill(
        "partitions-added",
        "partitions added",
        "the files topic grows from 4 to 8 partitions under load",
        topics.partitions_added,
    ),
    Drill(
        "topic-recreated",
        "files topic made anew",
        "deleted and created again under the running job",
        topics.topic_recreated,
    ),
    *(
        Drill(
            f"checkpoint-{kind}",
            f"checkpoint damaged: {kind}",
            "the job stopped, the newest file of its kind cut in the middle, the job started",
            checkpoints.damaged(kind),
        )
        for kind in checkpoints.FILES
    ),
    Drill(
        "checkpoint-older",
        "checkpoint of an older version",
        f"the job of commit {versions.COMMIT} stopped, that of this version started on its checkpoint",
        versions.checkpoint_older,
    ),
    Drill(
        "executor-killed",
        "executor killed, of two",
        "SIGKILL under load to an executor of a standalone cluster of two workers",
        cluster.executor_killed,
    ),
    Drill(
        "worker-killed",
        "Spark worker killed, of two",
        "SIGKILL under load to a worker of the same cluster; it stays away",
        cluster.worker_killed,
    ),
    Drill(
        "storage-full",
        "storage array full",
        "a disk of its own filled to the last byte, then `ipdsf ct pack`",
        imaging.storage_full,
        unit="volumes",
    ),
    Drill(
        "training-worker-killed",
        "training worker killed",
        "SIGKILL to one of two Horovod workers of an elastic training",
        imaging.training_worker_killed,
        unit="steps",
    ),
)


def named(names: list[str]) -> list[Drill]:
    """The drills of these names; all of them for none.

    Raises:
        ConfigError: there is no such drill.
    """
    known = {drill.name: drill for drill in DRILLS}
    if unknown := [name for name in names if name not in known]:
        raise ConfigError(f"no drill is called {', '.join(unknown)}; there are {', '.join(known)}")
    return [known[name] for name in names] if names else list(DRILLS)
