"""Many files of one instrument as one run of profiles: messages that two files share are put together again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from ipdsf_spark.lidar.instruments import decode
from ipdsf_spark.lidar.profiles import Decoded, Profiles


@dataclass(frozen=True)
class RejectedStretch:
    """A stretch of a file that gave no profile: where, how long, and why."""

    file: str
    offset: int
    length: int
    reason: str


@dataclass(frozen=True, eq=False)
class _Ends:
    """Where a file begins and ends in time, and the halves of messages it holds."""

    file: str
    first: np.datetime64
    head: bytes
    tail: bytes
    head_rejected: RejectedStretch | None
    tail_rejected: RejectedStretch | None


@dataclass(eq=False)
class FileReader:
    """Decodes files one by one and remembers what to say about them.

    Attributes:
        files_by_instrument: names of the files of every instrument that gave profiles.
        rejected: stretches that gave no profile; complete when `blocks` has come to its end.
        num_profiles, num_joined: all profiles, and those put together from two files.
        num_untimed: profiles without a time.
    """

    files_by_instrument: dict[str, list[str]] = field(default_factory=dict)
    rejected: list[RejectedStretch] = field(default_factory=list)
    num_profiles: int = 0
    num_joined: int = 0
    num_untimed: int = 0
    _ends: list[_Ends] = field(default_factory=list)

    def blocks(self, files: Iterable[tuple[str, bytes]]) -> Iterator[Profiles]:
        """Profiles of all files, in the order given; joined messages come last.

        Args:
            files: name and bytes of each file. Only one is held at a time.
        """
        for name, raw in files:
            decoded = decode(raw, name=name)
            rejected = [RejectedStretch(name, each.offset, each.length, each.reason) for each in decoded.rejected]
            self.rejected.extend(rejected)
            if decoded.head or decoded.tail:
                self._ends.append(_ends_of(name, decoded, rejected, len(raw)))
            for block in decoded.blocks:
                self._count(name, block)
                yield block
        yield from self._joined()

    def _joined(self) -> Iterator[Profiles]:
        """Messages whose first half ends one file and whose second half begins the next."""
        for before, after in pairwise(_in_order(self._ends)):
            if not (before.tail and after.head):
                continue
            joined = decode(before.tail + after.head, name=before.file)
            if not joined.num_profiles:
                continue
            self.num_joined += joined.num_profiles
            halves = (before.tail_rejected, after.head_rejected)
            self.rejected = [stretch for stretch in self.rejected if stretch not in halves]
            for block in joined.blocks:
                self._count(before.file, block)
                yield block

    def _count(self, name: str, block: Profiles) -> None:
        names = self.files_by_instrument.setdefault(block.instrument, [])
        if name not in names:
            names.append(name)
        self.num_profiles += len(block)
        self.num_untimed += int(np.isnat(block.time).sum())


def _in_order(ends: list[_Ends]) -> list[_Ends]:
    """By time; a file too short for a whole message keeps its place before the one that was given after it."""
    first = np.datetime64("NaT")
    keyed = []
    for each in reversed(ends):
        first = first if np.isnat(each.first) else each.first
        keyed.append((np.isnat(first), first, each))
    return [each for _, _, each in sorted(reversed(keyed), key=lambda entry: entry[:2])]


def _ends_of(name: str, decoded: Decoded, rejected: list[RejectedStretch], size: int) -> _Ends:
    stamps = [block.time[~np.isnat(block.time)] for block in decoded.blocks]
    known = np.concatenate([np.empty(0, "datetime64[us]"), *stamps])
    return _Ends(
        file=name,
        first=known.min() if len(known) else np.datetime64("NaT"),
        head=decoded.head,
        tail=decoded.tail,
        head_rejected=next((each for each in rejected if each.offset == 0), None) if decoded.head else None,
        tail_rejected=next((each for each in rejected if each.offset + each.length == size), None)
        if decoded.tail
        else None,
    )
