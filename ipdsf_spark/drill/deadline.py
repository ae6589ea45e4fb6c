"""Waiting that ends: every drill has so many seconds, and says what it was waiting for when they are over."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from ipdsf_spark.errors import IpdsfError

POLL_S: Final = 0.2


class DrillError(IpdsfError):
    """A drill could not be done, or did not end as it should: a failed row of the table, not the end of the others."""


class Deadline:
    """The time that a drill has.

    Args:
        seconds: from now.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    @property
    def left_s(self) -> float:
        """Seconds that are left, 0 at least."""
        return max(0.0, self._end - time.monotonic())

    def until(self, is_so: Callable[[], bool], what: str, *, within_s: float | None = None) -> float:
        """Wait until something is so; returns after how many seconds it was.

        Args:
            is_so: asked again and again.
            what: is waited for, for the message.
            within_s: at most so long; as long as the drill has by default.

        Raises:
            DrillError: it was not so in time.
        """
        began = time.monotonic()
        end = self._end if within_s is None else min(self._end, began + within_s)
        while not is_so():
            if time.monotonic() > end:
                raise DrillError(f"waited {time.monotonic() - began:.0f} s in vain for {what}")
            time.sleep(POLL_S)
        return time.monotonic() - began

    def pause(self, seconds: float) -> None:
        """Let a fault last for so long.

        Raises:
            DrillError: the drill has less time than that.
        """
        if seconds > self.left_s:
            raise DrillError(f"{self._seconds:.0f} s are too few for a fault of {seconds:.0f} s")
        time.sleep(seconds)
