"""Many files of one instrument as one run of profiles: messages that two files share are put together again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from ipdsf_spark.lidar.instruments import UTC_CLOCK, Clock, decode
from ipdsf_spark.lidar.instruments.netcdf import rows
from ipdsf_spark.lidar.instruments.stamps import NO_STAMP
from ipdsf_spark.lidar.profiles import Decoded, Profiles, Rejected

LONGEST_TAIL: Final = 65_536  # bytes kept of what the next file may complete; twice the longest message


@dataclass(frozen=True, eq=False)
class Joined:
    """What two neighbouring files share.

    Attributes:
        blocks: profiles of messages that begin in one file and end in the next.
        tail: what the file after them leaves for its own successor.
        rejected: messages of what was put together that gave no profile where others did.
    """

    blocks: tuple[Profiles, ...]
    tail: bytes
    rejected: tuple[Rejected, ...] = ()

    @property
    def num_profiles(self) -> int:
        """Profiles that were put together."""
        return sum(len(block) for block in self.blocks)


def joined(
    tail: bytes,
    after: Decoded,
    *,
    name: str = "",
    received: np.datetime64 | None = None,
    now: np.datetime64 | None = None,
    clock: Clock = UTC_CLOCK,
) -> Joined:
    """The messages that end in `after` and began before it, wherever they were cut: in header, profile or stamp.

    If it gives profiles, nothing is lost any more: rejections of the file before whose `part` is ``"tail"``, of `after`
    whose `part` is ``"head"``, and those called ``"whole"`` of fragments between, are void.

    Args:
        tail: of the file before (`Decoded.tail`, or `Joined.tail` of the call before).
        after: what the next file gave.
        name: of the file before.
        received: time of sending of the file after.
        now: the present, where no time of sending is known.
        clock: of the logger.
    """
    if not tail.strip() or not after.head:
        return Joined((), after.tail)
    whole = decode(tail + after.head, name=name, received=received, now=now, clock=clock, is_alone=True)
    blocks = tuple(timed for block in whole.blocks if len(timed := _with_time(block)))
    rejected = whole.rejected if blocks else ()
    if not after.is_fragment:
        return Joined(blocks, after.tail, rejected)
    # The file after holds no whole message, so that what it goes on with may go on in the one behind it.
    return Joined(blocks, whole.tail if blocks else (tail + after.head)[-LONGEST_TAIL:], rejected)


def _with_time(block: Profiles) -> Profiles:
    has_time = ~np.isnat(block.time)
    return block if has_time.all() else rows(block, has_time)


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
    decoded: Decoded
    heads: tuple[RejectedStretch, ...]
    tails: tuple[RejectedStretch, ...]


@dataclass(eq=False)
class FileReader:
    """Decodes files one by one and remembers what to say about them.

    Attributes:
        clock: of the logger that wrote them.
        now: the present, beyond which no time is believed.
        files_by_instrument: names of the files of every instrument that gave profiles.
        rejected: stretches that gave no profile; complete when `blocks` has come to its end.
        num_profiles, num_joined: profiles with a time, and those put together from two files.
    """

    clock: Clock = UTC_CLOCK
    now: np.datetime64 | None = None
    files_by_instrument: dict[str, list[str]] = field(default_factory=dict)
    rejected: list[RejectedStretch] = field(default_factory=list)
    num_profiles: int = 0
    num_joined: int = 0
    _ends: list[_Ends] = field(default_factory=list)

    def blocks(self, files: Iterable[tuple[str, bytes]]) -> Iterator[Profiles]:
        """Profiles of all files, in the order given; joined messages come last.

        Args:
            files: name and bytes of each file. Only one is held at a time.
        """
        for name, raw in files:
            decoded = decode(raw, name=name, now=self.now, clock=self.clock)
            ends = self._noted(name, decoded)
            if decoded.head or decoded.tail:
                self._ends.append(ends)
            for block in decoded.blocks:
                timed = _with_time(block)
                if len(timed):
                    self._count(name, timed)
                    yield timed
        yield from self._joined()

    def _noted(self, name: str, decoded: Decoded) -> _Ends:
        """Write down what a file did not give, and keep its ends."""
        parts: dict[str, list[RejectedStretch]] = {"": [], "head": [], "tail": [], "whole": []}
        for each in decoded.rejected:
            file = f"{name}:{each.member}" if each.member else name
            parts[each.part].append(RejectedStretch(file, each.offset, each.length, each.reason))
            self.rejected.append(parts[each.part][-1])
        for number, block in enumerate(decoded.blocks):
            for i in np.flatnonzero(np.isnat(block.time)).tolist():
                place = decoded.places[number][i] if decoded.places else (0, 0)
                stretch = RejectedStretch(name, int(place[0]), int(place[1]), NO_STAMP)
                self.rejected.append(stretch)
                parts["whole"].append(stretch)  # its stamp may stand in the file before or in the file after
        stamps = [block.time[~np.isnat(block.time)] for block in decoded.blocks]
        known = np.concatenate([np.empty(0, "datetime64[us]"), *stamps])
        first = known.min() if len(known) else np.datetime64("NaT")
        only_ends = replace(decoded, blocks=(), places=())
        inside = parts["whole"]
        return _Ends(name, first, only_ends, (*parts["head"], *inside), (*parts["tail"], *inside))

    def _joined(self) -> Iterator[Profiles]:
        """Messages whose first half ends one file and whose second half begins the next."""
        tail, begun_in = b"", ""
        undecided: _Ends | None = None
        tails: tuple[RejectedStretch, ...] = ()
        for ends in _in_order(self._ends):
            joint = joined(tail, ends.decoded, name=begun_in, now=self.now, clock=self.clock)
            if joint.blocks:
                self.num_joined += joint.num_profiles
                void = {*tails, *ends.heads}
                self.rejected = [stretch for stretch in self.rejected if stretch not in void]
                self.rejected += [RejectedStretch(begun_in, 0, each.length, each.reason) for each in joint.rejected]
                for block in joint.blocks:
                    self._count(begun_in, block)
                    yield block
            goes_on = ends.decoded.is_fragment and bool(tail) and not joint.blocks
            tails = (*tails, *ends.heads) if goes_on else ends.tails
            begun_in = begun_in if goes_on else ends.file
            tail = joint.tail
            undecided = ends if joint.tail == ends.decoded.head and ends.decoded.is_fragment else None
        if undecided is not None:
            yield from self._alone(undecided)

    def _alone(self, ends: _Ends) -> Iterator[Profiles]:
        """The last file, if it was cut beside a stamp and no other tells more: as far as it can be read by itself."""
        alone = decode(ends.decoded.head, name=ends.file, now=self.now, clock=self.clock, is_alone=True)
        blocks = [timed for block in alone.blocks if len(timed := _with_time(block))]
        if blocks:
            self.rejected = [stretch for stretch in self.rejected if stretch not in set(ends.heads)]
        for block in blocks:
            self._count(ends.file, block)
            yield block

    def _count(self, name: str, block: Profiles) -> None:
        names = self.files_by_instrument.setdefault(block.instrument, [])
        if name not in names:
            names.append(name)
        self.num_profiles += len(block)


def _in_order(ends: list[_Ends]) -> list[_Ends]:
    """By time; a file too short for a whole message keeps its place before the one that was given after it."""
    first: np.datetime64 = np.datetime64("NaT")
    keyed = []
    for each in reversed(ends):
        first = first if np.isnat(each.first) else each.first
        keyed.append((np.isnat(first), first, each))
    return [each for _, _, each in sorted(reversed(keyed), key=lambda entry: entry[:2])]
