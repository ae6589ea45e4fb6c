"""Slices of a network, gathered site by site until they are due.

The network's clock is the newest interval that a quorum of its sites has reached, so that one site whose clock is wrong
neither closes the slices of the others nor holds them open. A slice is due when the clock is `wait` slices past it.
What comes for a slice that has been given is late; what is more than `ahead` slices past the clock is refused. So no
more than `wait` + `ahead` slices are open, whatever comes.

How long a site has been silent is told by how far the others have walked since, not by how late their clocks show it
to be: a clock that leaps counts for `ahead` slices and no more, so that a wrong one does not make all others silent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

QUORUM_SHARE: Final = 0.25  # of the sites ...
QUORUM_MOST: Final = 3  # ... and at most so many must have reached an interval,
QUORUM_LEAST: Final = 2  # but no single one, where there are three or more that one can be told wrong by
IN_TIME, LATE, AHEAD, TOO_MANY = "", "late", "ahead", "too_many"


class Row(NamedTuple):
    """One site of a slice: its cells (K,) and what measured them."""

    values: NDArray[np.float32]
    source: str


@dataclass(frozen=True)
class Slice:
    """A slice that is due: n sites in the order of their names."""

    index: int
    sites: list[str]
    values: NDArray[np.float64]
    sources: list[str]


@dataclass
class Slices:
    """What is open, and how far every site has come.

    Attributes:
        wait: slices that the clock must be past one before it is given.
        ahead: slices past the clock that are taken.
        forget: slices after which a silent site counts no more for the clock.
        most_sites: rows of more sites are refused.
        newest: site to its newest slice.
        walked: site to how far its own clock has gone on, in steps of at most `ahead`; a new site begins with the pace.
        heard: site to the pace when it was last heard.
        pace: how far the network has walked: as far as the site that has gone on most.
        open: slice to site to row.
        last: newest slice that was given.
    """

    wait: int = 6
    ahead: int = 24
    forget: int = 288
    most_sites: int = 20_000
    newest: dict[str, int] = field(default_factory=dict)
    open: dict[int, dict[str, Row]] = field(default_factory=dict)
    last: int | None = None
    walked: dict[str, int] = field(default_factory=dict)
    heard: dict[str, int] = field(default_factory=dict)
    pace: int = 0

    def clock(self) -> int | None:
        """The newest slice that a quorum of the sites has reached; None before there is one."""
        if not self.newest:
            return None
        reached = np.sort(np.fromiter(self.newest.values(), np.int64, len(self.newest)))[::-1]
        least = QUORUM_LEAST if reached.size > QUORUM_LEAST else 1
        quorum = min(QUORUM_MOST, max(least, int(np.ceil(QUORUM_SHARE * reached.size))))
        return int(reached[quorum - 1])

    def hear(self, index: int, site: str) -> str:
        """Note how far a site has come, before its row is taken: what comes together tells the time together.

        Args:
            index: slice number of a row.
            site: whose.

        Returns:
            "", or why the row says nothing of the time: `LATE` or `TOO_MANY`.
        """
        if site not in self.newest and len(self.newest) >= self.most_sites:
            return TOO_MANY
        if self._is_past(index):
            return LATE  # of a day that is over: a site that sends what it had kept says nothing of the time
        gone = max(index - self.newest.get(site, index), 0)
        self.newest[site] = max(index, self.newest.get(site, index))
        self.walked[site] = self.walked.get(site, self.pace) + min(gone, self.ahead)
        self.pace = max(self.pace, self.walked[site])
        self.heard[site] = self.pace
        return IN_TIME

    def add(self, index: int, site: str, row: Row, clock: int | None) -> str:
        """Take a row; a second one of the same site and slice replaces the first.

        Args:
            index: slice number.
            site: whose.
            row: its cells.
            clock: as of when all that came with it was heard, None at first.

        Returns:
            "" if it was taken, else `LATE`, `AHEAD` or `TOO_MANY`.
        """
        if refused := self.hear(index, site):
            return refused
        if self.last is not None and index <= self.last:
            return LATE
        if clock is not None and index > clock + self.ahead:
            return AHEAD
        self.open.setdefault(index, {})[site] = row
        return IN_TIME

    def due(self, until: int | None = None) -> Iterator[Slice]:
        """Slices that are due, oldest first; each is given once.

        Args:
            until: newer ones wait, whatever the clock says.
        """
        clock = self.clock()
        if clock is None:
            return
        bound = clock - self.wait if until is None else min(clock - self.wait, until)
        for index in sorted(number for number in self.open if number <= bound):
            rows = self.open.pop(index)
            sites = sorted(rows)
            values = np.array([rows[site].values for site in sites], np.float64)
            self.last = index
            yield Slice(index, sites, values, [rows[site].source for site in sites])
        self._forget_silent()

    def _is_past(self, index: int) -> bool:
        return self.last is not None and index < self.last - self.forget

    def _forget_silent(self) -> None:
        """Sites that count no more for the clock, which would wait for ever where most sites have gone."""
        oldest = self.pace - self.forget
        gone = [site for site, at in self.newest.items() if self.heard[site] < oldest or self._is_past(at)]
        for site in gone:
            del self.newest[site], self.walked[site], self.heard[site]

    def to_plain(self) -> dict[str, dict[str, int]]:
        """How far every site has come, as plain values."""
        return {"newest": self.newest, "walked": self.walked, "heard": self.heard}

    def load_plain(self, plain: Mapping[str, Any]) -> None:
        """The inverse of `to_plain`; states of before know `newest` alone, and all sites count as heard."""
        self.newest = plain["newest"]
        self.walked = plain.get("walked", dict.fromkeys(self.newest, 0))
        self.heard = plain.get("heard", dict.fromkeys(self.newest, 0))
        self.pace = max(self.heard.values(), default=0)
