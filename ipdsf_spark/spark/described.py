"""Words for the jobs of a session, as Spark's UI and its event log show them beside their stages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pyspark.sql import SparkSession


@contextmanager
def described(spark: SparkSession, words: str) -> Iterator[None]:
    """What this thread runs meanwhile is called so.

    A streaming query calls its own jobs by its name and the number of the batch, whatever is said here.

    Args:
        spark: session.
        words: what the jobs do.
    """
    context = spark.sparkContext
    before = context.getLocalProperty("spark.job.description")
    context.setJobDescription(words)
    try:
        yield
    finally:
        context.setLocalProperty("spark.job.description", before)  # type: ignore[arg-type]  # None takes it away
