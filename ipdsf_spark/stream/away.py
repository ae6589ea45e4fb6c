"""When Kafka is away for longer than its clients wait: the query ends, and is begun again once the brokers answer.

Spark gives a batch up after a minute or two without an answer, and with it the query. Nothing is lost: what was not
finished is done by the next query on the same checkpoint. A supervisor could start the whole job again; the job that
waits itself keeps its page, metrics and archive, and is back sooner.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from typing import Final

from pyspark.errors import StreamingQueryException

from ipdsf_spark.config import KafkaConfig
from ipdsf_spark.errors import BrokerError
from ipdsf_spark.kafka.health import health
from ipdsf_spark.stream.ended import causes, innermost, innermost_cause

logger = logging.getLogger(__name__)

OF_KAFKA: Final = "org.apache.kafka.common.errors."
# What Kafka's clients call by these names passes by itself: brokers that do not answer, elect, or catch up.
PASSING: Final = (
    *("Timeout", "Disconnect", "Network", "BrokerNotAvailable", "LeaderNotAvailable", "NotLeaderOrFollower"),
    *("NotController", "CoordinatorNotAvailable", "CoordinatorLoadInProgress", "NotCoordinator"),
    *("NotEnoughReplicas", "NotEnoughReplicasAfterAppend", "ReplicaNotAvailable", "KafkaStorage"),
    *("OffsetNotAvailable", "FencedLeaderEpoch", "UnknownLeaderEpoch"),
)
SAID: Final = (
    *(f"{OF_KAFKA}{name}Exception" for name in PASSING),
    "java.util.concurrent.TimeoutException: Cannot fetch record",  # Spark's own consumer
    "org.apache.kafka.common.config.ConfigException: No resolvable bootstrap urls",  # without a network
)
LOOK_S: Final = 5.0  # between two questions to the brokers, and what each may take
TELL_S: Final = 600.0  # between two lines in the log while they stay away
FIRST_PAUSE_S: Final = 5.0
LONGEST_PAUSE_S: Final = 300.0


class Outage:
    """Waits until brokers answer, and longer each time where queries fail nevertheless.

    Args:
        what: the query is, for messages.
        kafka: how to log in.
        bootstrap: where Kafka is.
        topics: all of whose partitions need a leader.
        pause: waits that many seconds; returns whether somebody asked to stop meanwhile.
    """

    def __init__(
        self, what: str, kafka: KafkaConfig, bootstrap: str, topics: Collection[str], pause: Callable[[float], bool]
    ) -> None:
        self._what, self._kafka, self._bootstrap, self._topics = what, kafka, bootstrap, frozenset(topics)
        self._pause = pause
        self._pause_s = 0.0

    def is_over(self, error: StreamingQueryException, *, has_run: bool, has_ever_run: bool) -> bool:
        """Wait for Kafka, if it was what ended the query.

        Args:
            error: what did.
            has_run: whether that query had finished a batch, or had found nothing to do.
            has_ever_run: whether any one of this job had. What ends the first one before is no outage: brokers that
                name addresses which executors cannot reach, say.

        Returns:
            Whether the query can begin again; not if something else ended it, or somebody asked to stop.
        """
        said = str(innermost(error))
        if not (is_passing(said) and has_ever_run):
            return False
        self._pause_s = FIRST_PAUSE_S if has_run else min(max(2.0 * self._pause_s, FIRST_PAUSE_S), LONGEST_PAUSE_S)
        began_s = told_s = time.monotonic()
        wait_s, told = self._pause_s, innermost_cause(said)
        logger.warning("%s waits until Kafka answers, and goes on by itself: %s", self._what, told)
        while not self._pause(wait_s):
            wait_s, problem = LOOK_S, self._missing()
            if not problem:
                logger.warning("%s goes on after %.0f s", self._what, time.monotonic() - began_s)
                return True
            if problem != told or time.monotonic() - told_s >= TELL_S:
                told_s, told = time.monotonic(), problem
                logger.warning("%s still waits for Kafka: %s", self._what, problem)
        return False

    def _missing(self) -> str:
        """Why the query cannot begin yet."""
        try:
            found = health(self._kafka, self._bootstrap, timeout_s=LOOK_S)
        except BrokerError as error:
            return str(error)
        waiting = [name for name in found.leaderless if name.rpartition("-")[0] in self._topics]
        return f"no leader for {', '.join(waiting[:5])}" if waiting else ""


def is_passing(said: str) -> bool:
    """Whether what ended a query passes by itself.

    Args:
        said: the exception of the JVM, with its stack traces or without.
    """
    return any(cause.startswith(SAID) for cause in causes(said))
