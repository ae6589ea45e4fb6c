"""The JVM that a Python process started for its first Spark session: ending it, and what its errors say."""

from __future__ import annotations

import signal
import subprocess
from typing import Any, Final

from pyspark import SparkContext

from ipdsf_spark.storage.naming import first_line

JVM_STOP_S: Final = 30
JVM_ENDED_S: Final = 3  # within which one that answers no more has ended


def has_jvm() -> bool:
    """Whether a session of this process has begun one."""
    contexts: Any = SparkContext
    return contexts._gateway is not None


def end_jvm() -> None:
    """End it: what is on its class path was decided when it began, and its Kafka clients outlive their session.

    One that spark-submit began ends with this process instead.
    """
    contexts: Any = SparkContext
    gateway, contexts._gateway, contexts._jvm = contexts._gateway, None, None
    if gateway is None or gateway.proc is None:
        return
    gateway.shutdown()
    gateway.proc.stdin.close()
    gateway.proc.wait(JVM_STOP_S)


def end_told_by(error: Exception) -> str:
    """How the JVM of this process ended, where an error says only that nobody answers there; empty where it has not."""
    contexts: Any = SparkContext
    proc = getattr(contexts._gateway, "proc", None)
    is_of_the_line = isinstance(error, OSError | EOFError) or type(error).__module__.startswith("py4j")
    if proc is None or not is_of_the_line:
        return ""
    try:
        code = proc.wait(JVM_ENDED_S)
    except subprocess.TimeoutExpired:
        return ""
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"has ended with exit code {code}"


def reason_of(error: Exception) -> str:
    """The innermost reason of an error of the JVM, in one line."""
    java: Any = getattr(error, "java_exception", None)
    if java is None:
        return first_line(error)
    for _ in range(20):
        cause = java.getCause()
        if cause is None:
            break
        java = cause
    message = java.getMessage() or java.getClass().getName()
    return str(message).splitlines()[0]
