"""From the watched folder to the journal: every file that is complete and new, or what is new of it, with a copy.

A file that cannot be read is tried again, alone; a disk that cannot take a copy stops neither intake nor sending.
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Final

from ipdsf_spark.config import EdgeConfig
from ipdsf_spark.edge import growth
from ipdsf_spark.edge.clock import EdgeClock
from ipdsf_spark.edge.entry import PENDING, REFUSED, REWRITTEN, WHOLE, Entry, Source
from ipdsf_spark.edge.folder import Folder, Found
from ipdsf_spark.edge.journal import Journal
from ipdsf_spark.edge.store import Store
from ipdsf_spark.edge.told import Told

FILES_AT_A_TIME: Final = 200  # entered into the journal together
BYTES_AT_A_TIME: Final = 16_000_000
RETRY_S: Final = 30.0  # a file that could not be read is tried again after
REST_S: Final = 30.0  # an unfinished rest goes when nothing has come for so long
CONTINUOUS_S: Final = 15.0  # a file that is never quiet is taken that often, up to its last finished record


@dataclass
class _Seen:
    stamp: tuple[int, int, int]
    since_s: float  # when it last changed
    first_s: float  # when it was first seen, or last taken
    wait_s: float  # how long nothing may have come before it is looked into


@dataclass(frozen=True)
class _Taken:
    entries: list[Entry]
    source: Source | None  # None: nothing of it has been taken
    wait_s: float | None = None  # not all of it: the rest when nothing has come for so long


class Intake:
    """Takes in what the instrument writes.

    Args:
        edge: folders, times and budgets.
        limit: bytes of the largest record.
        store: where copies go.
        clock: both clocks.
        told: what the operator is told.
    """

    def __init__(self, edge: EdgeConfig, limit: int, store: Store, clock: EdgeClock, told: Told) -> None:
        self.watched = Path(edge.watch).expanduser()
        self._edge, self._limit, self._store, self._clock, self._told = edge, limit, store, clock, told
        self._seen: dict[str, _Seen] = {}
        self._retry_at: dict[str, float] = {}
        self._queue: deque[Found] = deque()
        self.folder = Folder(self.watched)

    def begin(self, journal: Journal) -> None:
        """Start from what a journal knows."""
        self.folder = Folder(self.watched, journal.sources(), told=self._told, monotonic=self._clock.monotonic)
        self._queue.clear()

    @property
    def num_waiting(self) -> int:
        """Files that were seen and not taken in yet."""
        return len(self._seen)

    def take(self, journal: Journal, *, limit: int | None = None) -> int:
        """Take in what is complete and new, the oldest first; returns the number of records.

        Args:
            journal: where they are entered.
            limit: files to look at now; the others come with the next call.
        """
        taken = 0
        while True:
            if not self._queue:
                self._queue.extend(self._changed())
            got = self._take_some(journal, limit)
            taken += got
            if limit is not None or not (got and self.folder.is_cut):
                return taken

    def _take_some(self, journal: Journal, limit: int | None) -> int:
        taken = looked = 0
        entries: list[Entry] = []
        sources: list[Source] = []
        while self._queue and (limit is None or looked < limit):
            found = self._queue.popleft()
            looked += 1
            if (quiet_s := self._quiet_s(found)) is None:
                continue
            got = self._take(journal, found, quiet_s)
            entries += got.entries
            if got.source is not None:
                sources.append(got.source)
            if got.wait_s is not None and (seen := self._seen.get(found.name)) is not None:
                seen.wait_s, seen.first_s = got.wait_s, self._clock.monotonic()
            elif got.source is not None:
                self._seen.pop(found.name, None)
                self.folder.taken(found.name, got.source.stamp)
            if len(sources) >= FILES_AT_A_TIME or sum(entry.bytes for entry in entries) >= BYTES_AT_A_TIME:
                taken += self._enter(journal, entries, sources)
                entries, sources = [], []
        taken += self._enter(journal, entries, sources)
        return taken

    def _enter(self, journal: Journal, entries: list[Entry], sources: list[Source]) -> int:
        """Copies first, then the journal: what it knows is on disk."""
        failed = self._store.commit()
        if failed:
            self._say_disk(next(iter(failed.values())))
            entries = [replace(entry, copy="") if entry.copy in failed else entry for entry in entries]
        elif any(entry.copy for entry in entries):
            self._told.is_over("disk", f"local copies are kept again in {self._store.root}")
        return len(journal.add(entries, sources))

    def ready(self, journal: Journal) -> Iterator[tuple[Found, int]]:
        """Files that would be taken in now, and their new bytes; changes nothing."""
        for found in self._changed():
            if self._quiet_s(found) is not None:
                source = journal.source(found.name)
                yield found, found.size - (source.taken if source and source.taken <= found.size else 0)

    def _changed(self) -> list[Found]:
        found = self.folder.changed()
        names = {each.name for each in found}
        self._seen = {name: seen for name, seen in self._seen.items() if name in names}
        self._retry_at = {name: at for name, at in self._retry_at.items() if name in names}
        return found

    def _quiet_s(self, found: Found) -> float | None:
        """How long nothing has come, None if the file is not to be taken now."""
        now, wall = self._clock.monotonic(), self._clock.wall()
        if self._retry_at.get(found.name, 0.0) > now:
            return None
        seen = self._seen.get(found.name)
        if seen is None:
            self._seen[found.name] = seen = _Seen(found.stamp, now, now, self._edge.settle_s)
        elif seen.stamp != found.stamp:
            seen.stamp, seen.since_s, seen.wait_s = found.stamp, now, self._edge.settle_s
        # The file's own time lets old files go at once; a clock that was set back is no reason to wait for it.
        age_s = wall - found.mtime_ns / 1e9
        quiet_s = max(now - seen.since_s, age_s, 0.0)
        if quiet_s >= seen.wait_s:
            return quiet_s
        return 0.0 if now - seen.first_s >= CONTINUOUS_S else None

    def _take(self, journal: Journal, found: Found, quiet_s: float) -> _Taken:
        try:
            with open(found.path, "rb") as file:
                got = self._new_of(journal, file, found, quiet_s)
        except FileNotFoundError:
            self._seen.pop(found.name, None)
            return _Taken([], None)  # renamed or removed
        except OSError as error:
            self._retry_at[found.name] = self._clock.monotonic() + RETRY_S
            self._told.tell(
                f"read {found.name}", f"cannot read {found.path}: {error.strerror}; tried again every {RETRY_S:.0f} s"
            )
            return _Taken([], None)
        self._told.is_over(f"read {found.name}", f"{found.path} can be read again")
        return got

    def _new_of(self, journal: Journal, file: BinaryIO, found: Found, quiet_s: float) -> _Taken:
        size = os.fstat(file.fileno()).st_size
        habit = growth.habit_of(file.read(growth.LOOKED_AT))
        known = self._known(journal, file, found, size)
        if known is not None and growth.begins_with(file, known):
            if size == known.taken:
                return _Taken([], replace(known, size=size, mtime_ns=found.mtime_ns, inode=found.inode))
            if habit.is_text:
                return self._grown(journal, file, found, known, size, habit, quiet_s)
        if not habit.is_text or size <= self._limit:
            return self._whole(journal, file, found, known, size, habit, quiet_s)
        is_quiet = quiet_s >= self._edge.settle_s
        pieces = growth.pieces_of(file, 0, size, habit, limit=self._limit, is_quiet=is_quiet)
        return self._pieces(journal, file, found, list(pieces), size)

    def _known(self, journal: Journal, file: BinaryIO, found: Found, size: int) -> Source | None:
        """What was taken of the file; from its records, if the journal was begun anew."""
        if (source := journal.source(found.name)) is not None:
            return source
        taken = 0
        for entry in journal.of_file(found.name):
            is_next = entry.start == taken or (entry.start == 0 and entry.stop > taken)
            if (
                is_next
                and entry.stop <= size
                and self._digest(file, entry.start, entry.stop, entry.preamble) == entry.sha256
            ):
                taken = entry.stop
        return Source(found.name, size, 0, found.inode, taken, growth.digest_of(file, taken)) if taken else None

    def _grown(
        self,
        journal: Journal,
        file: BinaryIO,
        found: Found,
        known: Source,
        size: int,
        habit: growth.Habit,
        quiet_s: float,
    ) -> _Taken:
        is_quiet = quiet_s >= max(REST_S, self._edge.settle_s)
        pieces = growth.pieces_of(file, known.taken, size, habit, limit=self._limit, is_quiet=is_quiet)
        return self._pieces(journal, file, found, list(pieces), size)

    def _whole(
        self,
        journal: Journal,
        file: BinaryIO,
        found: Found,
        known: Source | None,
        size: int,
        habit: growth.Habit,
        quiet_s: float,
    ) -> _Taken:
        kind, supersedes = WHOLE, ""
        if known is not None and not habit.is_text:
            last = next((each for each in reversed(journal.of_file(found.name)) if each.sha256 == known.prefix), None)
            copy = self._store.place(last.copy) if last is not None and last.copy else None
            if growth.is_grown_version(file, copy, known, size):
                if quiet_s < self._edge.rewritten_settle_s:
                    return _Taken([], None, self._edge.rewritten_settle_s)  # it may go on growing
                kind, supersedes = REWRITTEN, known.prefix
        if quiet_s < self._edge.settle_s:
            if not habit.is_text:
                return _Taken([], None, self._edge.settle_s)
            pieces = growth.pieces_of(file, 0, size, habit, limit=self._limit, is_quiet=False)
            return self._pieces(journal, file, found, list(pieces), size)
        return self._pieces(journal, file, found, [growth.Piece(0, size, kind)], size, supersedes=supersedes)

    def _pieces(
        self,
        journal: Journal,
        file: BinaryIO,
        found: Found,
        pieces: list[growth.Piece],
        size: int,
        *,
        supersedes: str = "",
    ) -> _Taken:
        wait_s = max(REST_S, self._edge.settle_s)  # for an unfinished record
        if not pieces:
            return _Taken([], None, wait_s)
        entries = []
        for piece in pieces:
            if (entry := self._record(journal, file, found, piece, supersedes)) is not None:
                entries.append(entry)
        taken = pieces[-1].stop
        prefix = growth.digest_of(file, taken)
        if taken < size or size != found.size:  # a state of the file that no look will find again
            return _Taken(entries, Source(found.name, -1, 0, found.inode, taken, prefix), wait_s)
        return _Taken(entries, Source(found.name, size, found.mtime_ns, found.inode, taken, prefix))

    def _record(
        self, journal: Journal, file: BinaryIO, found: Found, piece: growth.Piece, supersedes: str
    ) -> Entry | None:
        num_bytes = piece.stop - piece.start + piece.preamble
        now = self._clock.wall()
        if num_bytes > self._limit:
            digest = growth.digest_of(file, piece.stop)
            reason = f"{num_bytes} bytes, kafka.max_message_bytes allows {self._limit}: write shorter files"
            entry = Entry(found.name, 0, digest, num_bytes, seen_s=now, state=REFUSED, reason=reason)
            if journal.has(entry):
                return None
            self._told.tell(f"large {found.name}", f"refused {found.name}: {reason}")
            return entry
        raw = bytes_of(file, piece.start, piece.stop, piece.preamble)
        entry = Entry(
            found.name,
            piece.start,
            hashlib.sha256(raw).hexdigest(),
            len(raw),
            kind=piece.kind,
            preamble=piece.preamble,
            supersedes=supersedes,
            seen_s=now,
            state=PENDING,
        )
        return None if journal.has(entry) else replace(entry, copy=self.copied(entry, raw))

    def copied(self, entry: Entry, raw: bytes) -> str:
        """Path of the record's copy; empty if the disk did not take it, which is told once."""
        try:
            return self._store.stage(entry, raw)
        except OSError as error:
            self._say_disk(error)
            return ""

    def _say_disk(self, error: OSError) -> None:
        self._told.tell(
            "disk",
            f"no local copies are kept: {self._store.root}: {error.strerror}. Files are sent straight from "
            f"{self.watched}; make room, or name another edge.directory",
        )

    @staticmethod
    def _digest(file: BinaryIO, start: int, stop: int, preamble: int) -> str:
        return hashlib.sha256(bytes_of(file, start, stop, preamble)).hexdigest()


def bytes_of(file: BinaryIO, start: int, stop: int, preamble: int) -> bytes:
    """The value of a record: the repeated head of the file and what is new."""
    file.seek(0)
    head = file.read(preamble)
    file.seek(start)
    return head + file.read(stop - start)
