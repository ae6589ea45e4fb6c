"""The executors of a cluster: how many cores they have, and whether they can do what the job asks of them."""

from __future__ import annotations

import logging
import math
import os
import socket
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from pyspark.sql import SparkSession

from ipdsf_spark.errors import ConfigError, IpdsfError
from ipdsf_spark.spark.described import described
from ipdsf_spark.spark.master import is_cluster

logger = logging.getLogger(__name__)

REGISTER_S: Final = 300.0  # a host that fetches an image or an environment needs minutes
SETTLED_S: Final = 10.0  # where nobody says how many there will be: no more came for so long
MISSING_S: Final = 60.0  # where fewer came than were asked for: no more came for so long
POLL_S: Final = 0.2
ASKED: Final = 64  # tasks by which a cluster that allocates as it goes is asked for executors


def cores_of(spark: SparkSession) -> int:
    """Cores of the executors that are registered now; those of this machine for a local session."""
    slots = int(spark.sparkContext.defaultParallelism)
    if not is_cluster(str(spark.sparkContext.master)):
        return min(slots, os.cpu_count() or 1)
    return max(1, sum(_registered(spark)))


def await_executors(spark: SparkSession) -> None:
    """Until the executors of a cluster have registered: cores that are counted before are too few.

    As many as `spark.executor.instances` or `spark.cores.max` ask for; where neither is said, or where the cluster has
    fewer, until no more come.

    Raises:
        IpdsfError: none came in time.
    """
    if not is_cluster(str(spark.sparkContext.master)):
        return
    if spark.sparkContext.getConf().get("spark.dynamicAllocation.enabled") == "true":
        with described(spark, "asking the cluster for executors"):
            spark.range(0, ASKED, 1, ASKED).count()  # executors come only where work waits
    wanted_cores, wanted_count = _wanted(spark)
    patience_s = SETTLED_S if math.isinf(wanted_cores) else MISSING_S
    begun = changed = time.monotonic()
    held: list[int] = []
    while True:
        now, found = time.monotonic(), _registered(spark)
        if found != held:
            held, changed = found, now
        is_enough = sum(held) >= wanted_cores and len(held) >= wanted_count
        if held and (is_enough or now - changed > patience_s):
            logger.info("%d executor(s) with %d core(s)", len(held), sum(held))
            return
        if not held and now - begun > REGISTER_S:
            raise IpdsfError(
                f"no executor has registered with {spark.sparkContext.master} for {REGISTER_S:.0f} s: are cores and "
                "memory (spark.executor.memory) free there, and can its hosts reach this one (SPARK_LOCAL_IP)?"
            )
        time.sleep(POLL_S)


def require_seen(spark: SparkSession, folder: Path) -> None:
    """Refuse a folder for state that not every executor sees: each would keep its own part on its own disk.

    Args:
        spark: session.
        folder: on this machine, made already.

    Raises:
        ConfigError: a host does not see it.
    """
    if not is_cluster(str(spark.sparkContext.master)):
        return
    slots = 2 * cores_of(spark)
    text = str(folder)

    def look(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for _ in batches:
            yield pa.RecordBatch.from_pydict({"blind": ["" if os.path.isdir(text) else socket.gethostname()]})

    # As the stream's own tasks run, so that they find its Python daemons warm.
    with described(spark, f"whether every executor sees {folder}"):
        told = spark.range(0, slots, 1, slots).mapInArrow(look, "blind string").collect()
    blind = sorted({row.blind for row in told if row.blind})
    if blind:
        raise ConfigError(
            f"executors on {', '.join(blind)} do not see {folder}: on a cluster stream.directory must be a folder that "
            "every host has mounted, because executors keep the state of sites there"
        )


def _registered(spark: SparkSession) -> list[int]:
    """Cores of every executor that lives."""
    context: Any = spark.sparkContext._jsc.sc()
    listed = context.statusStore().executorList(True)
    executors = [listed.apply(number) for number in range(listed.size())]
    return [int(each.totalCores()) for each in executors if each.id() != "driver"]


def _wanted(spark: SparkSession) -> tuple[float, float]:
    """Cores and executors that the settings ask for; infinite where they say nothing of either."""
    said: Any = spark.sparkContext.getConf()
    cores, count = said.get("spark.cores.max"), said.get("spark.executor.instances")
    if cores is None and count is None:
        return math.inf, math.inf
    return float(cores or 0), float(count or 0)
