"""Slices of a network, gathered site by site until they are due.

The network's clock is the newest interval that a quorum of its sites has reached, so that one site whose clock is wrong
neither closes the slices of the others nor holds them open. A slice is due when the clock is `wait` slices past it.
What comes for a slice that has been given is late; what is more than `ahead` slices past the clock is refused. So no
more than `wait` + `ahead` slices are open, whatever comes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

QUORUM_SHARE: Final = 0.25  # of the sites ...
QUORUM_MOST: Final = 3  # ... and at most so many must have reached an interval
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

    def clock(self) -> int | None:
        """The newest slice that a quorum of the sites has reached; None before there is one."""
        if not self.newest:
            return None
        reached = np.sort(np.fromiter(self.newest.values(), np.int64, len(self.newest)))[::-1]
        quorum = min(QUORUM_MOST, int(np.ceil(QUORUM_SHARE * reached.size)))
        return int(reached[quorum - 1])

    def add(self, index: int, site: str, row: Row, clock: int | None) -> str:
        """Take a row; a second one of the same site and slice replaces the first.

        Args:
            index: slice number.
            site: whose.
            row: its cells.
            clock: as of before these rows, None at first.

        Returns:
            "" if it was taken, else `LATE`, `AHEAD` or `TOO_MANY`.
        """
        if site not in self.newest and len(self.newest) >= self.most_sites:
            return TOO_MANY
        self.newest[site] = max(index, self.newest.get(site, index))
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
        # From the newest of all, not from the clock, which would wait for ever where most sites have gone.
        heard = max(self.newest.values()) - self.forget
        self.newest = {site: newest for site, newest in self.newest.items() if newest >= heard}
