"""An end for a step that does not end by itself: a reader or an operator in an endless loop would stop every site."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

AGAIN_S = 1.0  # an alarm that rings while an object is being deleted is swallowed there


class TooLongError(BaseException):
    """A step was ended. No `Exception`: a step that goes on after any of those must not go on after this one."""


@contextmanager
def at_most(seconds: float, what: str) -> Iterator[None]:
    """End what runs inside after so many seconds of the wall clock; 0 = never.

    Spark's Python workers run a task in their main thread, which alone may set alarms: in any other thread nothing is
    ended. A call into compiled code ends when it comes back.

    Args:
        seconds: limit [s].
        what: named in the error.

    Raises:
        TooLongError: it was ended.
    """
    if seconds <= 0 or threading.current_thread() is not threading.main_thread():
        yield
        return
    is_running = True

    def ring(number: int, frame: FrameType | None) -> None:
        if is_running:
            raise TooLongError(f"{what} was ended after {seconds:g} s")

    before = signal.signal(signal.SIGALRM, ring)
    others = signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN_S)
    try:
        yield
    finally:
        is_running = False  # an alarm from here on is none
        signal.setitimer(signal.ITIMER_REAL, *others)
        signal.signal(signal.SIGALRM, before)
