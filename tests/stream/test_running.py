"""Queries end between two batches, and what ended one is never hidden."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pyspark.errors import StreamingQueryException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from ipdsf_spark.config import load
from ipdsf_spark.errors import InputError
from ipdsf_spark.spark.checkpoint import one_job
from ipdsf_spark.spark.session import build_session
from ipdsf_spark.stream import job, network_query
from ipdsf_spark.stream.running import Running, end
from tests.waiting import await_that

Take = Callable[[DataFrame, int], None]


@pytest.fixture(scope="module")
def session() -> Iterator[SparkSession]:
    session = build_session(load(), app_name="running", master="local[1]")
    yield session
    session.stop()


def started(session: SparkSession, take: Take, checkpoint: Path) -> StreamingQuery:
    """A query with a batch at once, and the next one as soon as that has ended."""
    return (
        session.readStream.format("rate-micro-batch")
        .option("rowsPerBatch", 1)
        .load()
        .writeStream.foreachBatch(take)
        .option("checkpointLocation", str(checkpoint))
        .start()
    )


def committed(checkpoint: Path) -> list[int]:
    return sorted(int(path.name) for path in (checkpoint / "commits").glob("[0-9]*"))


def test_a_query_ends_after_the_batch_in_progress_and_begins_no_other(session: SparkSession, tmp_path: Path) -> None:
    begun, may_end = threading.Event(), threading.Event()
    taken: list[int] = []

    def take(frame: DataFrame, batch: int) -> None:
        begun.set()
        assert may_end.wait(60.0)
        taken.append(batch)

    query = started(session, take, tmp_path)
    assert begun.wait(60.0)
    ending = threading.Thread(target=end, args=(query,))
    ending.start()
    assert query.isActive
    may_end.set()
    ending.join(60.0)

    assert not ending.is_alive()
    assert not query.isActive
    assert taken
    assert taken[0] in committed(tmp_path)


def test_what_ended_a_query_is_raised_by_whoever_would_end_it_or_waits_for_it(
    session: SparkSession, tmp_path: Path
) -> None:
    def fail(frame: DataFrame, batch: int) -> None:
        raise RuntimeError("no more")

    query = started(session, fail, tmp_path)
    await_that(lambda: not query.isActive, "the end of a query that fails")

    with pytest.raises(StreamingQueryException, match="no more"):
        end(query)
    with pytest.raises(StreamingQueryException, match="no more"):
        Running().until_stopped(lambda: [query], lambda: None)


def test_whoever_asks_to_stop_is_heard_while_queries_run(session: SparkSession, tmp_path: Path) -> None:
    running, looked = Running(), threading.Event()
    query = started(session, lambda frame, batch: None, tmp_path)

    def look() -> None:
        looked.set()
        running.ask_to_stop()

    try:
        assert running.until_stopped(lambda: [query], look)
    finally:
        end(query)

    assert looked.is_set()


def test_a_query_that_was_stopped_by_others_is_no_request_to_stop(session: SparkSession, tmp_path: Path) -> None:
    query = started(session, lambda frame, batch: None, tmp_path)
    query.stop()

    assert not Running().until_stopped(lambda: [query], lambda: None)
    end(query)


def test_a_second_job_is_kept_from_the_checkpoint_of_the_first_and_not_from_that_of_another_query(
    tmp_path: Path,
) -> None:
    config = load(overrides=[f'stream.directory="{tmp_path}"', "kafka.bootstrap_servers=127.0.0.1:1"])

    for query, run in (("live", job.run), ("network", network_query.run)):
        with (
            one_job(config, query),
            pytest.raises(
                InputError, match=rf"another job works with the checkpoint in .*/{query}: leave it to that one"
            ),
        ):
            run(config, on_batch=lambda *_: None)
    with one_job(config, "live"), one_job(config, "network"):  # the locks were given back, and keep nobody else out
        pass
    assert not any(tmp_path.iterdir())  # nothing has begun, and nothing is left
