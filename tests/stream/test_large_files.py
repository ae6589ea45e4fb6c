"""A backlog of large files: batches are bounded by bytes, and so is memory."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from ipdsf_spark.config import Config, load
from ipdsf_spark.devkafka import EmbeddedKafka
from ipdsf_spark.kafka import ensure_topics
from ipdsf_spark.lidar.instruments import decode
from ipdsf_spark.lidar.simulator import FileBank, simulate_day
from ipdsf_spark.lidar.site import Site
from ipdsf_spark.loadgen.replay import Feed, replay
from ipdsf_spark.monitoring.progress import Batch, Totals
from ipdsf_spark.stream.job import StreamJob
from tests.processes import each_below

pytestmark = [pytest.mark.kafka, pytest.mark.spark, pytest.mark.slow]

MEGABYTE = 1_000_000
MAX_BYTES = 16 * MEGABYTE
NUM_SITES, NUM_FILES = 8, 16
MINUTES = 5  # of a CL61 at 15 s: 20 profiles


@pytest.fixture(scope="module")
def large_files() -> list[bytes]:
    """Files of a CL61 as large as real ones."""
    day = simulate_day(Site("munich", 48.15, 11.57), "2026-06-21", rng=np.random.default_rng(2), instrument="cl61")
    bank = FileBank([day], minutes=MINUTES)
    start = np.datetime64("2026-06-21T10:00", "us")
    files = [bank.file("large", 0, start + turn * bank.length).raw for turn in range(NUM_FILES)]
    assert all(450_000 < len(raw) < 750_000 for raw in files)
    return files


def config_for(name: str, kafka: EmbeddedKafka, tmp_path: Path) -> Config:
    config = load(
        overrides=[
            f"kafka.bootstrap_servers={kafka.bootstrap_servers}",
            f"kafka.files_topic={name}.files",
            f"kafka.averages_topic={name}.averages",
            f"kafka.products_topic={name}.products",
            f"kafka.sites_topic={name}.sites",
            f"kafka.quarantine_topic={name}.bad",
            "kafka.partitions=4",
            f'stream.directory="{tmp_path / "stream"}"',
            f"stream.max_bytes_per_batch={MAX_BYTES}",
            "stream.driver_memory_mb=1024",
        ]
    )
    ensure_topics(config.kafka, kafka.bootstrap_servers)
    return config


def send(config: Config, files: list[bytes], folder: Path) -> int:
    """The files of every site into the topic; returns their bytes."""
    folder.mkdir()
    paths = [folder / f"{number:03d}.nc" for number in range(len(files))]
    for path, raw in zip(paths, files, strict=True):
        path.write_bytes(raw)
    feeds = [Feed(f"site-{number}", paths) for number in range(NUM_SITES)]
    done = replay(feeds, config.kafka, config.kafka.bootstrap_servers, rate=1e6)
    assert done.failed == 0
    return done.bytes


def python_bytes() -> int:
    """Memory of the Python workers; that of the JVM is bounded by its heap."""
    return sum(each_below(os.getpid(), lambda worker: worker.memory_info().rss, named="python"))


def test_a_backlog_is_worked_off_in_batches_bounded_by_bytes_with_bounded_memory(
    kafka: EmbeddedKafka, tmp_path: Path, large_files: list[bytes]
) -> None:
    config = config_for("backlog", kafka, tmp_path)
    sent = send(config, large_files, tmp_path / "files")
    held: list[int] = []

    def look(batch: Batch, totals: Totals) -> None:
        held.append(python_bytes())

    job = StreamJob(config, on_batch=look, with_archive=False).start()
    job.drain()
    job.stop()

    largest = max(len(raw) for raw in large_files)
    assert sent > 4 * MAX_BYTES
    assert [batch.counts["read"] * largest <= 1.2 * MAX_BYTES for batch in job.listener.batches] == [True] * len(held)
    totals = job.listener.totals
    assert totals.is_balanced
    assert totals.decoded == NUM_SITES * NUM_FILES
    assert totals.profiles == NUM_SITES * sum(decode(raw).num_profiles for raw in large_files)
    assert len(held) > 4
    assert max(held[2:]) < min(held[2:]) + 8 * MAX_BYTES  # it does not grow with the backlog


def test_files_that_prove_larger_than_was_assumed_shrink_the_batches(
    kafka: EmbeddedKafka, tmp_path: Path, large_files: list[bytes]
) -> None:
    config = config_for("surprise", kafka, tmp_path)

    job = StreamJob(config, with_archive=False).start()  # of an empty topic it can only guess
    send(config, large_files[:1], tmp_path / "first")
    job.admit_by_size()
    send(config, large_files[1:], tmp_path / "rest")
    job.drain()
    job.stop()

    largest = max(len(raw) for raw in large_files)
    assert job.listener.totals.decoded == NUM_SITES * NUM_FILES
    assert max(batch.counts["read"] for batch in job.listener.batches) * largest <= 1.2 * MAX_BYTES
