"""Draining a backlog: by the streaming job, and by plain consumers with the same kernels, cores and broker.

Each side reads some files to warm up, and is timed from then on. CPU time is that of all processes of the side, driver
and Python workers included; the broker is neither's.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import psutil

from ipdsf_spark.config import Config
from ipdsf_spark.experiments.cpu import cpu_s
from ipdsf_spark.experiments.group import ConsumerGroup, Mark, seats_of
from ipdsf_spark.monitoring.progress import Batch, Totals
from ipdsf_spark.stream.job import StreamJob

Say = Callable[[int], None]
POLL_S = 0.05


@dataclass(frozen=True)
class Drained:
    """What a side did between two marks.

    Attributes:
        files: that it analysed.
        seconds: it took.
        cpu_s: of all its processes.
        is_complete: whether it came to the end before the time limit.
    """

    files: int
    seconds: float
    cpu_s: float
    is_complete: bool = True

    @property
    def files_per_s(self) -> float:
        """Throughput."""
        return self.files / self.seconds if self.seconds > 0 else 0.0

    @property
    def cpu_ms_per_file(self) -> float:
        """What a file costs."""
        return 1000.0 * self.cpu_s / self.files if self.files else float("nan")


def between(marks: Sequence[Mark], begin: int, end: int) -> Drained:
    """From the first mark with `begin` files to the first with `end`, or the last there is."""
    first = next((mark for mark in marks if mark.files >= begin), marks[-1] if marks else Mark(0, 0.0, 0.0))
    last = next((mark for mark in marks if mark.files >= end), marks[-1] if marks else first)
    return Drained(last.files - first.files, last.seconds - first.seconds, last.cpu_s - first.cpu_s, last.files >= end)


def drain_by_stream(
    config: Config, count: int, warm_up: int, *, limit_s: float, without: Collection[int] = (), say: Say | None = None
) -> Drained:
    """By the streaming job, archive left out.

    Args:
        config: of the run; its files topic holds `count + warm_up` files.
        count: files that are timed.
        warm_up: files before them.
        limit_s: after which it is stopped with what it has done.
        without: process ids that are not the job's.
        say: told how many files are read.
    """
    me = psutil.Process()
    marks: list[Mark] = []

    def mark(batch: Batch, totals: Totals) -> None:
        marks.append(Mark(totals.read, time.monotonic(), cpu_s(me, without=without)))
        if say is not None:
            say(totals.read)

    until_s = time.monotonic() + limit_s
    job = StreamJob(config, on_batch=mark, with_archive=False).start()
    try:
        while (not marks or marks[-1].files < count + warm_up) and time.monotonic() < until_s:
            time.sleep(POLL_S)
    finally:
        job.stop()
    return between(marks, warm_up, count + warm_up)


def drain_by_consumers(
    config: Config,
    overrides: Sequence[str],
    count: int,
    warm_up: int,
    *,
    consumers: int | None = None,
    limit_s: float = 600.0,
    say: Say | None = None,
) -> Drained:
    """By a pool of plain consumers, a process each and as many as there are cores by default.

    Args:
        config: of the run; its files topic holds `count + warm_up` files.
        overrides: by which a process of its own gets the same configuration.
        count: files that are timed.
        warm_up: files before them.
        consumers: of the pool.
        limit_s: after which it is stopped with what it has done.
        say: told how many files are read.
    """
    number = consumers or os.cpu_count() or 1
    kafka = config.kafka
    seats = seats_of(number, processes=number)
    group = ConsumerGroup(kafka.bootstrap_servers, kafka.files_topic, "pool", "analysis", seats, overrides)
    with group:
        group.await_assignment(kafka.partitions)
        until_s = group.go() + limit_s
        begin = group.await_files(warm_up, until_s=until_s, say=say)
        end = group.await_files(count + warm_up, until_s=until_s, say=say)
    return Drained(
        end.files - begin.files, end.seconds - begin.seconds, end.cpu_s - begin.cpu_s, end.files >= count + warm_up
    )
