"""Waiting for a condition that somebody else makes true."""

from __future__ import annotations

import time
from collections.abc import Callable


def await_that(is_so: Callable[[], bool], what: str, *, timeout_s: float = 60.0, look_s: float = 0.02) -> None:
    """Wait until it is so; an assertion fails with `what` if it does not come in time."""
    end = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < end, f"not within {timeout_s:.0f} s: {what}"
        time.sleep(look_s)
