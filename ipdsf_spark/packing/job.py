"""Around the Spark job of a packing: its progress, and the size of its row groups."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final

from pyspark.sql import SparkSession

PROGRESS_S: Final = 0.5


class watched:
    """Tells how many tasks of a job group are done, while it runs."""

    def __init__(
        self, spark: SparkSession, group: str, num_tasks: int, on_progress: Callable[[int, int], None]
    ) -> None:
        self._tracker, self._group = spark.sparkContext.statusTracker(), group
        self._num_tasks, self._on_progress = num_tasks, on_progress
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="ipdsf-pack-progress", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()
        self._on_progress(self._num_tasks, self._num_tasks)

    def _watch(self) -> None:
        while not self._is_over.wait(PROGRESS_S):
            jobs = [self._tracker.getJobInfo(job) for job in self._tracker.getJobIdsForGroup(self._group)]
            stages = [self._tracker.getStageInfo(stage) for job in jobs if job for stage in job.stageIds]
            done = max((stage.numCompletedTasks for stage in stages if stage), default=0)
            self._on_progress(min(done, self._num_tasks), self._num_tasks)


class row_groups:
    """Parquet row groups of a size, looked at often enough for rows of 64 kB and more."""

    def __init__(self, spark: SparkSession, megabytes: int) -> None:
        self._configuration: Any = spark.sparkContext._jsc.hadoopConfiguration()
        self._wanted = {
            "parquet.block.size": str(megabytes * 2**20),
            "parquet.block.size.row.check.min": "4",
            "parquet.page.size.row.check.min": "4",
        }
        self._before: dict[str, Any] = {}

    def __enter__(self) -> None:
        for key, value in self._wanted.items():
            self._before[key] = self._configuration.get(key)
            self._configuration.set(key, value)

    def __exit__(self, *_: object) -> None:
        for key, value in self._before.items():
            if value is None:
                self._configuration.unset(key)
            else:
                self._configuration.set(key, value)
