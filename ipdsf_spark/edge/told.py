"""What an operator is told: each matter once when it begins, once when it is over."""

from __future__ import annotations

import logging

from ipdsf_spark.logs import one_line

logger = logging.getLogger("ipdsf_spark.edge")


class Told:
    """Matters that last, each in one line of the log.

    Attributes:
        count: lines written so far.
    """

    def __init__(self) -> None:
        self.count = 0
        self._matters: dict[str, str] = {}

    @property
    def matters(self) -> tuple[str, ...]:
        """What holds now."""
        return tuple(self._matters.values())

    def tell(self, matter: str, sentence: str) -> None:
        """Say it, unless it was said and is not over yet."""
        self.count += 1
        if matter not in self._matters:
            logger.warning("%s", one_line(sentence))
        self._matters[matter] = sentence
        if len(self._matters) > 1_000:  # a thousand files with a matter each: the oldest may be told again
            self._matters.pop(next(iter(self._matters)))

    def is_over(self, matter: str, sentence: str = "") -> None:
        """Say that it is over, if it was said."""
        if self._matters.pop(matter, None) is not None and sentence:
            logger.warning("%s", one_line(sentence))
