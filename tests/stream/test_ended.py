"""What an operator reads when a query has failed."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest
from pyspark import SparkContext

from ipdsf_spark.errors import IpdsfError
from ipdsf_spark.stream.ended import innermost, innermost_cause, named

TRACE = """[STREAM_FAILED] Query [id = 1, runId = 2] terminated with exception: Writing job aborted SQLSTATE: XXKST
=== Streaming Query ===

JVM stacktrace:
org.apache.spark.SparkException: [WRITING_JOB_ABORTED] Writing job aborted SQLSTATE: 40000
\tat org.apache.spark.sql.Here.there(Here.scala:1)
Caused by: org.apache.spark.SparkException: Job aborted due to stage failure
\t... 20 more
Caused by: java.io.IOException: No space left on device
\tat java.base/java.io.FileOutputStream.writeBytes(Native Method)
"""


def test_of_a_query_that_failed_the_innermost_cause_is_told() -> None:
    assert innermost_cause(TRACE) == "java.io.IOException: No space left on device"


def test_the_exception_that_others_wrap_is_found() -> None:
    full, aborted, ended = OSError("full"), RuntimeError("aborted"), RuntimeError("ended")
    aborted._cause, ended._cause = full, aborted  # type: ignore[attr-defined]

    assert innermost(ended) is full
    assert innermost(full) is full


def test_without_a_cause_the_first_line_is_told() -> None:
    damaged = "[STREAM_FAILED] Query [id = 1] terminated with exception: Checksum error: offsets/0 SQLSTATE: XXKST"
    assert innermost_cause(f"{damaged}\n  at here") == "Checksum error: offsets/0"
    assert innermost_cause("\nsomething else.\n  at here") == "something else"
    assert innermost_cause("") == "no reason was given"


def test_a_token_that_brokers_refuse_is_told_with_what_to_look_at() -> None:
    caused = TRACE.replace(
        "java.io.IOException: No space left on device",
        'org.apache.kafka.common.errors.SaslAuthenticationException: {"status":"invalid_token"}',
    )

    assert "it ended while kafka.oauth_token_url was out of reach" in innermost_cause(caused)
    assert "oauth" not in innermost_cause(TRACE)


def test_a_kafka_that_was_away_for_too_long_is_not_called_a_topic_that_is_missing() -> None:
    for said in ("Topic ceilometer.products not present in metadata after 60000 ms.", "Expiring 2 record(s) for a-0"):
        caused = TRACE.replace(
            "java.io.IOException: No space left on device", f"org.apache.kafka.common.errors.TimeoutException: {said}"
        )
        assert innermost_cause(caused).endswith(": Kafka did not answer")


def test_an_encrypted_key_that_this_java_cannot_read_is_told_with_what_to_do() -> None:
    caused = TRACE.replace(
        "java.io.IOException: No space left on device",
        "java.security.NoSuchAlgorithmException: PBES2 SecretKeyFactory not available",
    )

    assert "openssl pkcs12 -export" in innermost_cause(caused)


def test_a_jvm_that_the_kernel_ended_is_told_and_no_refused_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    killed = subprocess.Popen([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"])
    monkeypatch.setattr(SparkContext, "_gateway", SimpleNamespace(proc=killed))

    with pytest.raises(IpdsfError, match="the JVM of Spark was ended by SIGKILL"), named("the live query"):
        raise ConnectionRefusedError(111, "Connection refused")


def test_an_error_beside_a_jvm_that_lives_stays_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    living = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    monkeypatch.setattr(SparkContext, "_gateway", SimpleNamespace(proc=living))
    monkeypatch.setattr("ipdsf_spark.spark.jvm.JVM_ENDED_S", 0.01)
    try:
        for error in (OSError(28, "No space left on device"), ValueError("a mistake of ours")):
            with pytest.raises(type(error)), named("the live query"):
                raise error
    finally:
        living.communicate(b"\n")
