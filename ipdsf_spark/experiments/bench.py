"""What every experiment works with: a folder for the run, a Kafka, topics of its own, files, and a way to be heard."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from ipdsf_spark.config import Config
from ipdsf_spark.devkafka import EmbeddedKafka
from ipdsf_spark.experiments.bank import write_bank
from ipdsf_spark.experiments.cpu import processes_of
from ipdsf_spark.experiments.settings import config_of, overrides_of
from ipdsf_spark.kafka import ensure_topics
from ipdsf_spark.kafka.topics import admin
from ipdsf_spark.progress import progress_bar
from ipdsf_spark.spark.jvm import end_jvm, has_jvm

Say = Callable[[int], None]


@dataclass(frozen=True)
class Broker:
    """A Kafka that runs.

    Attributes:
        bootstrap_servers: where.
        pids: its processes, which belong to neither side.
    """

    bootstrap_servers: str
    pids: frozenset[int]


class Bench:
    """One experiment's surroundings.

    Args:
        scratch: folder for brokers, checkpoints and data sets; emptied of what an experiment leaves.
        is_quiet: say nothing.
        overrides: of the configuration, for every run.
        broker: a Kafka that runs already; one is started for each experiment by default.
    """

    def __init__(
        self, scratch: Path, *, is_quiet: bool = False, overrides: Sequence[str] = (), broker: Broker | None = None
    ) -> None:
        self.scratch = scratch.absolute()
        self._broker = broker
        self.overrides = tuple(overrides)
        self._is_quiet = is_quiet

    def say(self, line: str) -> None:
        """Tell the person who waits."""
        if not self._is_quiet:
            tqdm.write(line, file=sys.stderr)

    @contextmanager
    def counting(self, total: int, what: str) -> Iterator[Say]:
        """A bar, moved by the number that is done."""
        with progress_bar(total=total, desc=what, unit="file", disable=self._is_quiet, leave=False) as bar:

            def say(done: int) -> None:
                new = min(max(done, 0), total) - bar.n
                if new > 0:
                    bar.update(new)

            yield say

    @contextmanager
    def kafka(self) -> Iterator[Broker]:
        """A Kafka of one broker, its data removed afterwards; a JVM that was begun in between ends before it does."""
        if self._broker is not None:
            yield self._broker
            return
        folder = self.scratch / "kafka"
        shutil.rmtree(folder, ignore_errors=True)
        had_jvm = has_jvm()
        try:
            with EmbeddedKafka(folder) as kafka:
                try:
                    yield Broker(kafka.bootstrap_servers, processes_of(kafka))
                finally:
                    if not had_jvm:
                        end_jvm()  # its producers would ask for a broker that is no more, several times a second
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def bank(self) -> Path:
        """The files to send, made once."""
        root = self.scratch / "bank"
        write_bank(root)
        return root

    def topics(
        self, run: str, bootstrap: str, *, partitions: int, replicas: int = 1, overrides: Sequence[str] = ()
    ) -> tuple[Config, list[str]]:
        """Topics made for a run, its configuration, and that as overrides for other processes."""
        extra = [*self.overrides, *overrides]
        folder = self.scratch / "stream"
        shutil.rmtree(folder / run, ignore_errors=True)
        config = config_of(run, bootstrap, folder, partitions=partitions, replicas=replicas, overrides=extra)
        ensure_topics(config.kafka, bootstrap)
        return config, overrides_of(run, bootstrap, folder, partitions, replicas, extra)

    def drop(self, config: Config) -> None:
        """Give the disk back what a run's topics hold."""
        kafka = config.kafka
        client = admin(kafka, kafka.bootstrap_servers)
        for done in client.delete_topics(list(kafka.topics)).values():
            done.result(30.0)
