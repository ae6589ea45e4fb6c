"""What ended a query, as one sentence for an operator instead of two stack traces."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from pyspark.errors import StreamingQueryException

from ipdsf_spark.errors import IpdsfError
from ipdsf_spark.spark.jvm import end_told_by

CAUSED_BY: Final = "Caused by: "
LONGEST: Final = 600
TOKEN_REFUSED: Final = '"status":"invalid_token"'
OF_TOKENS: Final = (
    "the brokers refuse the job's token; either it ended while kafka.oauth_token_url was out of reach, or its iss, aud "
    "or key is not what they expect, whose log says which"
)
OUT_OF_TIME: Final = "org.apache.kafka.common.errors.TimeoutException"
AWAY: Final = "Kafka did not answer"  # it says "Topic … not present" instead

OF_KEYS: Final = (
    "this Java cannot read the encrypted key at kafka.ssl_key_location: make a PKCS12 file of key and certificate by "
    "`openssl pkcs12 -export` and name it in kafka.ssl_keystore_location, or leave the key without a password"
)
WAYS_ON: Final = {TOKEN_REFUSED: OF_TOKENS, OUT_OF_TIME: AWAY, "PBES2 SecretKeyFactory": OF_KEYS}


@contextmanager
def named(what: str) -> Iterator[None]:
    """Turn the exception of a query that failed into an error of ours.

    Args:
        what: the query is, for the message.

    Raises:
        IpdsfError: the query failed, with the innermost cause; or its JVM has ended.
    """
    try:
        yield
    except StreamingQueryException as error:
        raise IpdsfError(
            f"{what} ended: {innermost_cause(str(innermost(error)))}. What was not finished is done at the next start; "
            "`ipdsf doctor` and `ipdsf checkpoint inspect` say what else is wrong"
        ) from error
    except Exception as error:
        if not (said := end_told_by(error)):
            raise
        raise IpdsfError(
            f"{what} ended, because the JVM of Spark {said}: the kernel ends what takes too much memory by SIGKILL "
            "(`dmesg` says so), and its own log is above. What was not finished is done at the next start"
        ) from error


def innermost(error: BaseException) -> BaseException:
    """The exception that the others only wrap; pyspark keeps them in an attribute of its own."""
    while (cause := getattr(error, "_cause", None)) is not None:
        error = cause
    return error


def causes(said: str) -> list[str]:
    """What an exception of the JVM says of itself, then all causes that its stack trace names, the innermost last."""
    lines = [line.strip() for line in said.splitlines() if line.strip()] or ["no reason was given"]
    first = lines[0].rpartition("terminated with exception: ")[2]
    return [first, *(line.removeprefix(CAUSED_BY) for line in lines if line.startswith(CAUSED_BY))]


def innermost_cause(said: str) -> str:
    """The last cause that a JVM's stack trace names; without one, its first line."""
    cause = causes(said)[-1].partition(" SQLSTATE")[0][:LONGEST].rstrip(". ")
    return next((f"{cause}: {way_on}" for words, way_on in WAYS_ON.items() if words in cause), cause)
