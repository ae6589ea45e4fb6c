"""What a streaming query reports after each micro-batch, added up and said in one line."""

from __future__ import annotations

import json
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Any, ClassVar, Final

from pyspark import SparkContext
from pyspark.sql.streaming.listener import StreamingQueryListener

from ipdsf_spark.monitoring.lag import Lags

logger = logging.getLogger(__name__)

COUNTS_OF_TASKS: Final = "counts_of_tasks"  # the observed set of counts, each with `task` and `number`
BATCHES_KEPT: Final = 1_000  # of years of them
RUNS_KEPT: Final = 16  # ends of runs; whoever waits for one does so at once
BATCHES_JUDGED: Final = 10  # recent ones that tell how large files are


@dataclass(frozen=True)
class Totals:
    """Counts since the query started.

    Every file read is decoded, quarantined, both, or waits for the next file to complete its message:
    read = decoded + quarantined - both + waiting. Tasks that Spark repeats count once; the counts of the sites' state
    outlive a restart as well.
    """

    read: int = 0
    decoded: int = 0
    quarantined: int = 0
    both: int = 0
    waiting: int = 0
    profiles: int = 0
    late: int = 0
    products: int = 0
    averages: int = 0
    dead_letters: int = 0
    joined: int = 0
    batches: int = 0

    def add(self, counts: Mapping[str, int]) -> Totals:
        """These and the counts of one more batch."""
        return replace(self, **{name: value + counts.get(name, 0) for name, value in asdict(self).items()})

    @property
    def is_balanced(self) -> bool:
        """Whether nothing was lost between reading and the two topics."""
        return self.read == self.decoded + self.quarantined - self.both + self.waiting


@dataclass(frozen=True)
class Batch:
    """One micro-batch of the live query.

    Attributes:
        id: batch number.
        counts: what was observed in it, by the names of `Totals`.
        duration_ms: how long it took, and its phases.
        lag: files in Kafka that were not read when it ended.
        started: when it began, ISO-8601 UTC.
    """

    id: int
    counts: Mapping[str, int]
    duration_ms: Mapping[str, int]
    lag: int
    started: str

    @property
    def started_s(self) -> float:
        """When it began [s since 1970]."""
        return datetime.fromisoformat(self.started).timestamp()

    @classmethod
    def of(cls, progress: Mapping[str, Any]) -> Batch:
        """From a query's progress report."""
        counts = _counts_of(progress)
        sources = progress.get("sources") or [{}]
        metrics = sources[0].get("metrics") or {}
        lag = float(metrics.get("avgOffsetsBehindLatest") or 0.0) * _num_partitions(sources[0])
        return cls(
            id=int(progress["batchId"]),
            counts=counts | {"batches": 1},
            duration_ms={name: int(value) for name, value in (progress.get("durationMs") or {}).items()},
            lag=round(lag),
            started=str(progress["timestamp"]),
        )


@dataclass(frozen=True)
class _Report:
    """A report as Spark's events have it, but for what nobody here asks for."""

    json: str


@dataclass(frozen=True)
class _Event:
    """An event with its report."""

    progress: _Report


@dataclass(frozen=True)
class _Ended:
    """The end of a run of a query."""

    runId: str


class _InTheJvm:
    """Spark's interface of a listener, called by the JVM.

    PySpark's own turns every figure of a report into an object of Python, one call after the other, and looks for
    classes in all jars meanwhile: a quarter of the JVM's time between small batches. The text holds them all.
    """

    def __init__(self, listener: LiveListener) -> None:
        self._listener = listener

    def onQueryStarted(self, event: Any) -> None:
        """A query has begun."""
        self._listener.hear()

    def onQueryProgress(self, event: Any) -> None:
        """A batch has ended."""
        self._listener.onQueryProgress(_Event(_Report(event.progress().json())))

    def onQueryIdle(self, event: Any) -> None:
        """There was nothing to do."""
        self._listener.hear(str(event.runId()))

    def onQueryTerminated(self, event: Any) -> None:
        """A query has ended."""
        self._listener.onQueryTerminated(_Ended(str(event.runId())))

    class Java:
        """What py4j asks for."""

        implements: ClassVar = ["org.apache.spark.sql.streaming.PythonStreamingQueryListener"]


@dataclass
class LiveListener(StreamingQueryListener):
    """Adds up batches, and calls `on_batch` after each; made for one query name."""

    query_name: str
    on_batch: Callable[[Batch, Totals], None] | None = None
    totals: Totals = field(default_factory=Totals)
    batches: deque[Batch] = field(default_factory=lambda: deque(maxlen=BATCHES_KEPT))
    last_run: str = ""  # that has ended a batch, or has found nothing to do
    ended_runs: deque[str] = field(default_factory=lambda: deque(maxlen=RUNS_KEPT))
    lags: Lags = field(default_factory=Lags)
    state_rows: int = 0
    state_bytes: int = 0
    heard_s: float = math.nan  # when the query last told of itself [s since 1970]

    def hear(self, run: str = "") -> None:
        """The query has told of itself: it began, or this run of it has ended a batch or found nothing to do."""
        self.heard_s = time.time()
        self.last_run = run or self.last_run

    def silent_s(self, now_s: float) -> float:
        """For how long it has not [s]; NaN before it ever did."""
        return max(0.0, now_s - self.heard_s) if math.isfinite(self.heard_s) else math.nan

    @property
    def typical_bytes(self) -> float | None:
        """Bytes of a file in the larger half of the recent batches; None before there is one."""
        sizes = sorted(
            batch.counts["bytes"] / batch.counts["read"]
            for batch in list(self.batches)[-BATCHES_JUDGED:]
            if batch.counts.get("read") and batch.counts.get("bytes")
        )
        larger = sizes[len(sizes) // 2 :]
        return sum(larger) / len(larger) if larger else None

    @property
    def lag(self) -> int:
        """Files in Kafka that were not read when the last batch ended."""
        return self.batches[-1].lag if self.batches else 0

    @cached_property
    def _jlistener(self) -> Any:
        """What PySpark registers."""
        jvm: Any = SparkContext._jvm
        return jvm.PythonStreamingQueryListenerWrapper(_InTheJvm(self))

    def onQueryStarted(self, event: Any) -> None:
        """Nothing to add up yet."""

    def onQueryProgress(self, event: Any) -> None:
        """One more batch."""
        progress = json.loads(event.progress.json)
        if progress.get("name") != self.query_name:
            return
        self.hear(str(progress.get("runId")))
        self.lags.take(progress, self.heard_s)
        operators = progress.get("stateOperators") or []
        self.state_rows = sum(int(each.get("numRowsTotal") or 0) for each in operators)
        self.state_bytes = sum(int(each.get("memoryUsedBytes") or 0) for each in operators)
        batch = Batch.of(progress)
        if batch.counts.get("read") or progress.get("numInputRows"):
            self.totals = self.totals.add(batch.counts)
            self.batches.append(batch)
            if self.on_batch is not None:
                self.on_batch(batch, self.totals)

    def onQueryTerminated(self, event: Any) -> None:
        """Events come in order: all batches of that run have been told before."""
        self.ended_runs.append(str(event.runId))


def line_of(batch: Batch, totals: Totals) -> str:
    """One line a person can watch."""
    seconds = batch.duration_ms.get("triggerExecution", 0) / 1000
    line = (
        f"batch {batch.id}: {batch.counts.get('read', 0)} files in {seconds:.2f} s, lag {batch.lag} | total "
        f"{totals.read} read = {totals.decoded - totals.both} decoded + {totals.quarantined - totals.both} quarantined "
        f"+ {totals.both} in part + {totals.waiting} waiting for their next file, {totals.profiles} profiles, "
        f"{totals.products} products, {totals.late} late"
    )
    return line if totals.is_balanced else f"{line} | COUNTS DO NOT ADD UP"


def _counts_of(progress: Mapping[str, Any]) -> dict[str, int]:
    """What was observed, by name; of a task that was repeated once."""
    counts: dict[str, int] = {}
    for row in (progress.get("observedMetrics") or {}).values():
        named = dict(row)
        parts = {(part["task"], part["number"]): part for part in named.pop(COUNTS_OF_TASKS, None) or ()}
        counts |= {name: int(value or 0) for name, value in named.items()}
        for part in parts.values():
            for name in part.keys() - {"task", "number"}:
                counts[name] = counts.get(name, 0) + int(part[name] or 0)
    return counts


def _num_partitions(source: Mapping[str, Any]) -> int:
    offsets = source.get("endOffset") or {}
    return sum(len(partitions) for partitions in offsets.values()) if isinstance(offsets, dict) else 0
