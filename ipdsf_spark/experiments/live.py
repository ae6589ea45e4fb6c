"""A network that sends at a fixed rate, analysed while it sends: how long all of it takes, and how long each file.

Latency is from the send time in a file's header to the time at which its product was handed to Kafka, the newest file
of each site and batch, after a tenth of the run; the same for the streaming job and for plain consumers.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil
from confluent_kafka import Consumer, TopicPartition

from ipdsf_spark.config import Config
from ipdsf_spark.errors import IpdsfError
from ipdsf_spark.experiments.arithmetic import Spread, spread_of
from ipdsf_spark.experiments.bank import sender_command
from ipdsf_spark.experiments.cpu import cpu_s
from ipdsf_spark.experiments.group import ConsumerGroup, seats_of
from ipdsf_spark.monitoring.progress import Batch, Totals
from ipdsf_spark.spark.session import build_session
from ipdsf_spark.stream.job import StreamJob

SETTLED: Final = 0.1  # of the run, after which latencies count
POLL_S: Final = 0.05
Say = Callable[[int], None]


@dataclass(frozen=True)
class Load:
    """What the network sends.

    Attributes:
        bank: its files.
        sites: of the network.
        files_per_s: of the whole network.
        files: to send.
        warm_up: files sent before, which are not measured: workers start, sites get their state.
        limit_s: from the first file on, after which the run ends with what it has done.
    """

    bank: Path
    sites: int
    files_per_s: float
    files: int
    warm_up: int
    limit_s: float
    warm_up_per_s: float = 0.0  # 0 = as the others

    @property
    def warm_rate(self) -> float:
        """Files per second of the warm-up."""
        return self.warm_up_per_s or self.files_per_s


@dataclass(frozen=True)
class Live:
    """What came of it.

    Attributes:
        processed: files, of those sent.
        total_s: from the first file sent to the end of the last batch; NaN if they were not all processed.
        latency: from send to product.
        cpu_s: of all processes of the side.
        max_lag, end_lag: files in Kafka that were not processed, at most and when sending ended.
    """

    processed: int
    total_s: float
    latency: Spread
    cpu_s: float
    max_lag: int
    end_lag: int


def by_consumers(config: Config, overrides: Sequence[str], load: Load, consumers: int, *, say: Say) -> Live:
    """By plain consumers in one group, a process each."""
    kafka = config.kafka
    seats = seats_of(consumers, processes=consumers)
    group = ConsumerGroup(kafka.bootstrap_servers, kafka.files_topic, "live", "analysis", seats, overrides)
    with group:
        group.await_assignment(kafka.partitions)
        group.go()
        _warm_up(config, load)
        group.await_files(load.warm_up, until_s=time.monotonic() + load.limit_s, say=say)
        before = group.mark()
        run = _Run(config, load, lambda: group.mark().files)
        end_files = run.follow(say)
        end = group.mark()
    total_s = end.seconds - run.began_s if end_files >= load.warm_up + load.files else float("nan")
    return run.found(end_files, total_s, end.cpu_s - before.cpu_s)


def by_stream(config: Config, load: Load, slots: int, *, without: Collection[int] = (), say: Say) -> Live:
    """By the streaming job with so many task slots.

    Args:
        config: of the run.
        load: what is sent.
        slots: tasks at once; 0 = as the job chooses.
        without: process ids that are not the job's.
        say: told how many files are read.
    """
    me = psutil.Process()
    last = [0, 0.0]

    def note(batch: Batch, totals: Totals) -> None:
        last[:] = [totals.read, time.monotonic()]

    session = build_session(config, app_name="ipdsf-bench", master=f"local[{slots}]" if slots else None)
    try:
        job = StreamJob(config, on_batch=note, spark=session, with_archive=False).start()
        try:
            _warm_up(config, load)
            until_s = time.monotonic() + load.limit_s
            while last[0] < load.warm_up and time.monotonic() < until_s:
                time.sleep(POLL_S)
            before_s = cpu_s(me, without=without)
            run = _Run(config, load, lambda: int(last[0]))
            end_files = run.follow(say)
            used_s = cpu_s(me, without=without) - before_s
        finally:
            job.stop()
    finally:
        session.stop()
    total_s = last[1] - run.began_s if end_files >= load.warm_up + load.files else float("nan")
    return run.found(end_files, total_s, used_s)


class _Run:
    """Sends the measured files, and follows how many are processed."""

    def __init__(self, config: Config, load: Load, processed: Callable[[], int]) -> None:
        self._config, self._load, self._processed = config, load, processed
        self._told: dict[str, Any] = {}
        self.max_lag = self.end_lag = 0
        self.began_s = time.monotonic()  # of the first file, once the sender has told

    def follow(self, say: Say) -> int:
        """Send, and wait until all is processed or the time is over; returns the files processed, warm-up included."""
        load = self._load
        until_s = time.monotonic() + load.limit_s
        everything = load.warm_up + load.files
        started_s = time.monotonic()
        rate, begin = load.files_per_s, load.warm_up
        with _sending(self._config, load, rate=rate, begin=begin, count=load.files) as sender:
            while sender.poll() is None and time.monotonic() < until_s:
                self._note(started_s, say)
                time.sleep(POLL_S)
            stopped = {"began_s": time.time() - (time.monotonic() - started_s)}  # it was slower than the time given
            self._told = _answer_of(sender) if sender.poll() is not None else stopped
            # Clocks of one machine: the sender's wall time in our monotonic one.
            self.began_s = time.monotonic() - (time.time() - float(self._told["began_s"]))
            self.end_lag = max(0, everything - self._processed())
            while self._processed() < everything and time.monotonic() < until_s:
                say(self._processed() - load.warm_up)
                time.sleep(POLL_S)
        return self._processed()

    def found(self, end_files: int, total_s: float, used_s: float) -> Live:
        """The whole of it."""
        load = self._load
        settled_ms = 1000 * (float(self._told["began_s"]) + SETTLED * load.files / load.files_per_s)
        latency = spread_of(latencies_s(self._config, since_ms=settled_ms))
        processed = max(0, end_files - load.warm_up)
        return Live(processed, total_s, latency, used_s, self.max_lag, self.end_lag)

    def _note(self, started_s: float, say: Say) -> None:
        load = self._load
        done = self._processed() - load.warm_up
        sent = min(load.files, int((time.monotonic() - started_s) * load.files_per_s))
        self.max_lag = max(self.max_lag, sent - done)
        say(max(0, done))


@contextmanager
def _sending(config: Config, load: Load, *, rate: float, begin: int, count: int) -> Iterator[subprocess.Popen[str]]:
    command = sender_command(config, load.bank, sites=load.sites, rate=rate, count=count, begin=begin)
    sender = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield sender
    finally:
        if sender.poll() is None:
            sender.kill()
        with contextlib.suppress(ValueError):
            sender.communicate()


def _warm_up(config: Config, load: Load) -> None:
    if load.warm_up:
        with _sending(config, load, rate=load.warm_rate, begin=0, count=load.warm_up) as sender:
            limit_s = load.limit_s + load.warm_up / load.warm_rate
            try:
                sender.wait(limit_s)
            except subprocess.TimeoutExpired as error:
                raise IpdsfError(f"{load.warm_up} files of the warm-up were not sent within {limit_s:.0f} s") from error
            _answer_of(sender)


def _answer_of(sender: subprocess.Popen[str]) -> dict[str, Any]:
    said, wrong = sender.communicate()
    if sender.returncode:
        raise IpdsfError(f"the sending network failed: {wrong.strip()[-400:] or said.strip()}")
    return dict(json.loads(said.splitlines()[-1]))


def latencies_s(config: Config, *, since_ms: float) -> list[float]:
    """Seconds from send to product, of products whose file was sent after `since_ms`."""
    kafka = config.kafka
    consumer = Consumer(
        {"bootstrap.servers": kafka.bootstrap_servers, "group.id": "latencies", "enable.partition.eof": True}
    )
    parts = consumer.list_topics(kafka.products_topic, timeout=10).topics[kafka.products_topic].partitions
    consumer.assign([TopicPartition(kafka.products_topic, part, 0) for part in parts])
    found: list[float] = []
    ended = 0
    while ended < len(parts):
        message = consumer.poll(10)
        if message is None:
            break
        if message.error():
            ended += 1
            continue
        sent_ms = json.loads(message.value() or b"{}").get("sent_ms")
        if sent_ms is not None and sent_ms >= since_ms:
            found.append((message.timestamp()[1] - sent_ms) / 1000.0)
    consumer.close()
    return found
