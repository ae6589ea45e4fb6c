"""Queries that run until somebody asks them to stop, and end between two batches."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from pyspark.errors import StreamingQueryException
from pyspark.sql.streaming.query import StreamingQuery

LONGEST_BATCH_S: Final = 60.0  # waited for; a batch that is cut off is repeated at the next start
POLL_S: Final = 0.2
LOOK_AGAIN_S: Final = 5.0  # between looks at what a query follows outside of it


class Running:
    """Waiting until somebody asks to stop."""

    def __init__(self) -> None:
        self._stop_asked = threading.Event()

    def ask_to_stop(self) -> None:
        """Let `until_stopped` return; may be called from a handler of signals."""
        self._stop_asked.set()

    def pause(self, seconds: float) -> bool:
        """Wait so long; whether somebody has asked to stop, which ends it at once."""
        return self._stop_asked.wait(seconds)

    def until_stopped(
        self,
        queries: Callable[[], Sequence[StreamingQuery]],
        look_again: Callable[[], None],
        begin_again: Callable[[StreamingQueryException], bool] = lambda _: False,
    ) -> bool:
        """Wait.

        Args:
            queries: those that run now.
            look_again: called every `LOOK_AGAIN_S`; may stop queries and start others.
            begin_again: told what a query failed of; whether another runs in its place.

        Returns:
            Whether somebody asked; if not, a query has ended without an error.

        Raises:
            StreamingQueryException: a query failed for good.
        """
        next_look = time.monotonic() + LOOK_AGAIN_S
        while not self.pause(POLL_S):
            try:
                if time.monotonic() > next_look:
                    look_again()
                    next_look = time.monotonic() + LOOK_AGAIN_S
                for query in queries():
                    if not query.isActive:
                        query.awaitTermination(1)  # raises what ended it
                        return False
            except StreamingQueryException as error:
                if not begin_again(error) and not self._stop_asked.is_set():
                    raise
        return True


def end(query: StreamingQuery, *, longest_s: float = LONGEST_BATCH_S) -> None:
    """Stop a query after the batch in progress.

    Args:
        query: one that runs, or has ended.
        longest_s: what is waited for that batch [s].

    Raises:
        StreamingQueryException: the query had failed, which another start would hide.
    """
    if not query.isActive:
        query.awaitTermination(1)
        return
    last, deadline = _last_batch(query), time.monotonic() + longest_s
    while _is_busy(query) and _last_batch(query) == last and time.monotonic() < deadline:
        time.sleep(POLL_S)  # Spark tells of a batch's end on a thread of its own, which may be behind
    query.stop()


def _is_busy(query: StreamingQuery) -> bool:
    return query.isActive and bool(query.status["isTriggerActive"])


def _last_batch(query: StreamingQuery) -> int:
    """Number of the last batch that has ended, -1 before the first one has."""
    progress = query.lastProgress
    return -1 if progress is None else int(progress["batchId"])
