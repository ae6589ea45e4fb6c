"""Signals by which schedulers, `timeout` and closed terminals end a verb, taken as Ctrl-C: nothing unfinished stays.

Left to themselves they end the process where it stands: private copies of volumes and parts of files stay, and brokers
and verbs that it has started go on.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

ENDING: Final = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def ended_as_by_ctrl_c() -> Iterator[None]:
    """While a verb runs; a signal that somebody has taken for himself, or `nohup` has closed, stays as it is.

    Raises:
        SystemExit: with the code of a process that the signal ended.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    taken: list[int] = []

    def take(number: int, frame: FrameType | None) -> None:
        taken.append(number)
        interrupted = signal.getsignal(signal.SIGINT)  # Spark's cancels its jobs before
        if callable(interrupted):
            interrupted(signal.SIGINT, frame)
        raise KeyboardInterrupt

    changed = [number for number in ENDING if signal.getsignal(number) is signal.SIG_DFL]
    for number in changed:
        signal.signal(number, take)
    try:
        yield
    except KeyboardInterrupt:
        if taken:
            raise SystemExit(128 + taken[0]) from None
        raise
    finally:
        for number in changed:
            signal.signal(number, signal.SIG_DFL)
