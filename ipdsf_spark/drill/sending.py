"""A network that sends while a drill goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ipdsf_spark.drill.deadline import DrillError
from ipdsf_spark.loadgen.replay import Replayed


class Sending:
    """A network that sends, in a thread; what it sends is known before it is sent.

    Args:
        send: sends it all.
        after: what the same sites send first: a logger sends its files one after the other.
    """

    def __init__(self, send: Callable[[], Replayed], *, after: Sending | None = None) -> None:
        self._after = after
        self._done: Replayed | None = None
        self._failure: Exception | None = None
        self._send = send
        self._thread = threading.Thread(target=self._run, name="drill-sender", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        if self._after is not None:
            self._after.join()
            self._after = None
        try:
            self._done = self._send()
        except Exception as error:  # told by whoever waits for it
            self._failure = error

    def join(self) -> None:
        """Wait until it has ended."""
        self._thread.join()

    @property
    def is_over(self) -> bool:
        """Whether everything was sent.

        Raises:
            DrillError: something was not taken by Kafka.
        """
        if self._failure is not None or (self._done is not None and self._done.failed):
            raise DrillError(f"the sender could not send: {self._failure or self._done}")
        return self._done is not None
