"""The archive beside a live stream: a thread that writes what the topics hold, fails alone, and catches up.

A full or broken disk, a damaged table, a broker that does not answer: each is told in one line, tried again after a
growing wait, and concerns the one table. The topics hold what was not written meanwhile.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ipdsf_spark.archive.feed import Feed
from ipdsf_spark.archive.tables import AVERAGES, TABLES, Kind, archive_directory
from ipdsf_spark.archive.upkeep import compact
from ipdsf_spark.config import Config

logger = logging.getLogger(__name__)

FIRST_WAIT_S: Final = 1.0
LONGEST_WAIT_S: Final = 300.0
REPEATED_EVERY_S: Final = 600.0  # a problem that lasts is told again so often
STOP_TIMEOUT_S: Final = 30.0


@dataclass
class Line:
    """One table and how it goes.

    Attributes:
        kind: the table.
        topic: that feeds it.
        problem: why it is not written now; empty if it is.
        num_records, num_faults: archived, and not readable, since the start.
        lag: records in the topic that the table does not have; None before the topic was looked at.
        num_passes: how often everything in the topic was in the table.
        passed_at: when it last was, by the keeper's clock.
    """

    kind: Kind
    topic: str
    problem: str = ""
    num_records: int = 0
    num_faults: int = 0
    lag: int | None = None
    num_passes: int = 0
    passed_at: float = 0.0
    feed: Feed | None = None
    wait_s: float = FIRST_WAIT_S
    next_at: float = 0.0
    told: str = ""
    told_at: float = field(default=float("-inf"))


class ArchiveKeeper:
    """Owns the thread that keeps the archive.

    Args:
        config: topics, directory and intervals.
        bootstrap: where Kafka is.
        clock: seconds that only go forward.
    """

    def __init__(self, config: Config, bootstrap: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._config, self._bootstrap, self._clock = config, bootstrap, clock
        self.directory: Path = archive_directory(config)
        kafka = config.kafka
        topics = {AVERAGES: kafka.averages_topic}
        kinds = [kind for kind in TABLES if kind.name != AVERAGES or config.stream.publish_averages]
        self.lines = [Line(kind, topics.get(kind.name, kafka.products_topic)) for kind in kinds]
        for line in self.lines:
            line.passed_at = clock()
        self._stopped, self._woken = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._compact_at = clock() + config.stream.archive_compact_every_s

    @property
    def problem(self) -> str:
        """What keeps the archive from being written now; empty if nothing does."""
        return "; ".join(line.problem for line in self.lines if line.problem)

    def delay_s(self, line: Line) -> float:
        """Since when a table lacks something that is in its topic [s], at most."""
        return self._clock() - line.passed_at

    def start(self) -> ArchiveKeeper:
        """Begin to archive; returns at once and raises nothing."""
        self._thread = threading.Thread(target=self._run, name="ipdsf-archive", daemon=True)
        self._thread.start()
        return self

    def stop(self, *, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """End after the commit in progress; a disk that does not answer is not waited for any longer."""
        self._stopped.set()
        self._woken.set()
        if self._thread is not None:
            self._thread.join(timeout_s)
            if self._thread.is_alive():
                logger.warning("the archive's disk at %s does not answer; it is left behind", self.directory)

    def drain(self, *, timeout_s: float = 120.0) -> bool:
        """Archive what is in the topics now; returns whether that was done.

        Args:
            timeout_s: after which it was not.
        """
        before = [line.num_passes for line in self.lines]
        end = self._clock() + timeout_s
        while self._thread is not None and self._thread.is_alive() and self._clock() < end:
            # Two passes: the first may have looked at the end of the topic before this call.
            if all(line.num_passes >= count + 2 for line, count in zip(self.lines, before, strict=True)):
                return True
            self._woken.set()
            self._stopped.wait(0.02)
        return False

    def _run(self) -> None:
        try:
            while not self._stopped.is_set():
                for line in self.lines:
                    if self._clock() >= line.next_at and not self._stopped.is_set():
                        self._serve(line)
                if self._clock() >= self._compact_at and not self._stopped.is_set():
                    self._compact()
                    self._compact_at = self._clock() + self._config.stream.archive_compact_every_s
                every_s = float(self._config.stream.archive_every_s)
                waits = [max(0.0, line.next_at - self._clock()) if line.problem else every_s for line in self.lines]
                self._woken.wait(min(waits, default=every_s))
                self._woken.clear()
        finally:
            for line in self.lines:
                self._close(line)

    def _serve(self, line: Line) -> None:
        """Everything that the topic holds now into the table, or a problem and a wait."""
        try:
            if line.feed is None:
                feed = Feed(self._config.kafka, self._bootstrap, line.topic, self.directory / line.kind.name, line.kind)
                line.feed = feed.__enter__()
            while not self._stopped.is_set():
                fed = line.feed.take(self._stopped.is_set)
                line.num_records += fed.num_records
                line.num_faults += fed.num_faults
                line.lag = fed.lag
                if not fed.num_records or not fed.lag:
                    break
        except Exception as error:
            self._close(line)
            self._tell(line, f"{type(error).__name__}: {error}" if not str(error) else str(error))
            line.next_at = self._clock() + line.wait_s
            line.wait_s = min(2 * line.wait_s, LONGEST_WAIT_S)
            return
        if line.problem:
            logger.warning("the archive of %s goes on, nothing is missing", line.kind.name)
        line.problem = line.told = ""
        line.wait_s, line.next_at = FIRST_WAIT_S, 0.0
        line.num_passes += 1
        line.passed_at = self._clock()

    def _tell(self, line: Line, problem: str) -> None:
        line.problem = f"the archive of {line.kind.name} in {self.directory} is not written: {problem}"
        if problem != line.told or self._clock() > line.told_at + REPEATED_EVERY_S:
            line.told, line.told_at = problem, self._clock()
            logger.warning(
                "%s; live products go on, the topic %s keeps what is missing, and it is tried again by itself",
                line.problem, line.topic,
            )  # fmt: skip

    def _compact(self) -> None:
        try:
            done = compact(self.directory, keep_h=self._config.stream.archive_keep_versions_h)
        except Exception as error:
            logger.warning("the archive in %s was not compacted: %s; it is tried again later", self.directory, error)
        else:
            logger.info("archive compacted: %s", done)
            for problem in done.problems:
                logger.warning("%s; its day is not compacted: `ipdsf archive rebuild` makes the table whole", problem)

    @staticmethod
    def _close(line: Line) -> None:
        feed, line.feed = line.feed, None
        if feed is not None:
            feed.__exit__()
