"""Which Spark a process was told to use."""

from __future__ import annotations

import os
import re
from typing import Any, Final

from pyspark import SparkConf, SparkContext

LOCAL: Final = "local"


def given_master() -> str:
    """The master that somebody has named: MASTER, spark-submit with a cluster's, or an active session; else empty.

    What spark-submit names on this machine is its default and no wish.
    """
    contexts: Any = SparkContext
    if has_context():
        return str(contexts._active_spark_context.master)
    said = os.environ.get("MASTER", "")
    if not said and "PYSPARK_GATEWAY_PORT" in os.environ:  # started by spark-submit
        contexts._ensure_initialized()
        said = SparkConf().get("spark.master", "") or ""
        return "" if said.startswith(LOCAL) else said
    found = re.search(r"(?:--master[ =]|spark\.master=)(\S+)", os.environ.get("PYSPARK_SUBMIT_ARGS", ""))
    return said or (found.group(1) if found else "")


def has_context() -> bool:
    """Whether a session of this process runs."""
    contexts: Any = SparkContext
    return contexts._active_spark_context is not None


def is_cluster(master: str) -> bool:
    """Whether executors are processes of other hosts, or may be; `local-cluster` is."""
    return bool(master) and not re.match(r"local(\[|$)", master)
