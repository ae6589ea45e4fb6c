"""What the checkpoint of the live query remembers of every site, through Spark's own state source."""

from __future__ import annotations

from collections.abc import Iterator

from ipdsf_spark.config import Config
from ipdsf_spark.errors import InputError
from ipdsf_spark.spark.described import described
from ipdsf_spark.spark.jvm import reason_of
from ipdsf_spark.spark.session import build_session


def stored_states(config: Config, directory: str) -> Iterator[tuple[str, int, bytes]]:
    """Site, partition and bytes of every state in the checkpoint of a query, by site; starts Spark and ends it.

    Raises:
        InputError: the state cannot be read.
    """
    spark = build_session(config, app_name="ipdsf-checkpoint")
    try:
        _ = spark.streams  # begins the coordinator of state stores, which Spark 4.2 asks before it reads any
        with described(spark, "state of every site"):
            rows = spark.read.format("statestore").option("path", directory).load().collect()
    except Exception as error:  # py4j wraps whatever went wrong in the JVM or in a task
        raise InputError(
            f"the state in {directory} cannot be read: {reason_of(error)}; `ipdsf checkpoint inspect` without --state "
            "names damaged files"
        ) from error
    finally:
        spark.stop()
    for row in sorted(rows, key=lambda row: str(row["key"][0])):
        yield str(row["key"][0]), int(row["partition_id"]), bytes(row["value"]["groupState"]["site"])
