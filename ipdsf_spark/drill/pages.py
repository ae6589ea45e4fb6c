"""Whether status page and metrics answer while a fault goes on."""

from __future__ import annotations

import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Final

EVERY_S: Final = 1.0
TIMEOUT_S: Final = 5.0
PATHS: Final = ("/metrics", "/")


class PageWatch:
    """Asks for metrics and page in turn, in a thread of its own, from its first answer on.

    Args:
        address: http://host:port.
        pid: of the job's process, 0 if there is none; questions to a process that has not answered yet do not count.
    """

    def __init__(self, address: str, pid: Callable[[], int]) -> None:
        self._address, self._pid = address, pid
        self._stopped = threading.Event()
        self._last_s: float | None = None
        self._known = 0
        self.asked = self.answered = 0
        self.silent_s = 0.0
        self._thread = threading.Thread(target=self._run, name="drill-pages", daemon=True)

    def begin(self) -> None:
        """Another drill begins: count from zero."""
        self.asked = self.answered = 0
        self.silent_s, self._last_s = 0.0, None

    def start(self) -> PageWatch:
        """Begin."""
        self._thread.start()
        return self

    def close(self) -> None:
        """End."""
        self._stopped.set()
        self._thread.join(2 * TIMEOUT_S)

    def _run(self) -> None:
        turn = 0
        while not self._stopped.wait(EVERY_S):
            pid = self._pid()
            is_answered = self._ask(PATHS[turn % len(PATHS)])
            turn += 1
            if is_answered:
                now = time.monotonic()
                if self._last_s is not None:
                    self.silent_s = max(self.silent_s, now - self._last_s)
                self._last_s, self._known = now, pid
            if pid and pid == self._known == self._pid():
                self.asked += 1
                self.answered += is_answered

    def _ask(self, path: str) -> bool:
        try:
            with urllib.request.urlopen(self._address + path, timeout=TIMEOUT_S) as answer:
                return bool(answer.status == 200 and answer.read())
        except (OSError, urllib.error.URLError):
            return False
