"""Two clocks: one that only goes forward, for intervals, and the time of day, which is believed as far as Kafka agrees.

Where the files topic stamps records as they are appended (as topics made by this project do), every acknowledgement
carries Kafka's time. From the first one on, times of day are Kafka's plus what has passed since; the clock of this
machine counts until then.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from ipdsf_spark.edge.told import Told

AGREES_WITHIN_S: Final = 60.0
FRESH_S: Final = 86_400.0  # a clock that counts seconds is off by some ten of them after a day


def elapsed_s() -> float:
    """Seconds that only go forward, those that the machine has slept included where the system counts them."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class EdgeClock:
    """Time as far as it is known.

    Args:
        wall: seconds since 1970 by this machine; may jump.
        monotonic: seconds that only go forward.
    """

    def __init__(self, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = elapsed_s) -> None:
        self.wall, self.monotonic = wall, monotonic
        self._kafka_s: float | None = None
        self._heard_s = self._heard_wall_s = 0.0

    def heard(self, kafka_s: float) -> None:
        """Kafka has stamped a record with this time just now."""
        self._kafka_s, self._heard_s, self._heard_wall_s = kafka_s, self.monotonic(), self.wall()

    def known_s(self) -> float | None:
        """Kafka's time of day now [s since 1970], None if it was never heard."""
        return None if self._kafka_s is None else self._kafka_s + self.monotonic() - self._heard_s

    @property
    def is_doubtful(self) -> bool:
        """Whether the two clocks have gone apart since Kafka's was heard.

        One was set, or the machine stood still, as a virtual one may, uncounted by the other: only Kafka knows.
        """
        if self._kafka_s is None:
            return False
        return abs((self.wall() - self._heard_wall_s) - (self.monotonic() - self._heard_s)) > AGREES_WITHIN_S

    def kafkas_s(self) -> float | None:
        """Kafka's time of day now to half a minute; None if it was not heard for a day, or a clock has jumped since."""
        is_fresh = self._kafka_s is not None and self.monotonic() - self._heard_s <= FRESH_S
        return self.known_s() if is_fresh and not self.is_doubtful else None

    def now_s(self) -> float:
        """The best knowledge of the time of day [s since 1970]: this machine's clock unless Kafka's differs."""
        known, own = self.known_s(), self.wall()
        return own if known is None or abs(own - known) <= AGREES_WITHIN_S else known

    def compare(self, told: Told) -> None:
        """Say when the clock of this machine disagrees with Kafka's, and when it agrees again."""
        known = self.known_s()
        if known is None:
            return
        ahead = self.wall() - known
        if abs(ahead) <= AGREES_WITHIN_S:
            told.is_over("clock", "the clock of this machine agrees with Kafka's again")
            return
        side = "ahead of" if ahead > 0 else "behind"
        told.tell(
            "clock",
            f"the clock of this machine is {spoken(abs(ahead))} {side} Kafka's: times sent are Kafka's; set the clock "
            "(chrony or systemd-timesyncd)",
        )


def spoken(seconds: float) -> str:
    """A length of time in the unit a person would use."""
    for unit, length in (("d", 86_400.0), ("h", 3_600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
