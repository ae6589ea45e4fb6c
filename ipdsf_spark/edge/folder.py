"""The watched folder: which files are new or have changed, at a cost that does not grow with what lies there.

A folder's own time changes when a file in it appears, disappears or is renamed, so the names are read only then, and
nothing is asked about names that are known. Files that change in place are looked at one by one while they are young
in memory, and all of them once in a while: as often as keeps that below one percent of a core. This holds on network
mounts too, where the kernel reports no events.
"""

from __future__ import annotations

import heapq
import os
import re
import stat
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from ipdsf_spark.edge.entry import Source
from ipdsf_spark.edge.told import Told

FULL_LOOK_S: Final = 60.0  # at least this long between two looks at every file ...
FULL_LOOK_SHARE: Final = 100.0  # ... and at least so many times what one costs
SETTLES_S: Final = 2.0  # a folder's time may be this coarse: its names are read once more after it
NUM_YOUNG: Final = 64  # files that changed last: those that are likely to change again
LARGEST_QUEUE: Final = 10_000  # changed files considered at a time, the oldest first
IGNORED_SUFFIXES: Final = (".part", ".tmp")
NEVER_READ: Final = -1  # stands for the time of a folder whose names are not known
_ESCAPED: Final = re.compile(rb"\\x([0-9a-f]{2})")
_MASK: Final = (1 << 64) - 1


class Found(NamedTuple):
    """A file that differs from what was taken in."""

    mtime_ns: int
    order: tuple[tuple[int, str], ...]
    name: str
    path: str
    size: int
    inode: int

    @property
    def stamp(self) -> tuple[int, int, int]:
        """What changes when the file does."""
        return self.size, self.mtime_ns, self.inode


@dataclass
class _Directory:
    mtime_ns: int
    noticed_s: float
    is_confirmed: bool


class Folder:
    """What lies in the folder, against what was taken in.

    Args:
        root: folder the instrument writes to, with all below it.
        known: what was taken in before.
        told: where unreadable folders are reported.
        monotonic: seconds that only go forward.
    """

    def __init__(
        self,
        root: Path,
        known: Iterable[Source] = (),
        *,
        told: Told | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.root, self._told, self._monotonic = root, told or Told(), monotonic
        # Two whole numbers for each file, not its name and times: a hundred thousand of them must fit an edge's memory.
        self._taken: dict[int, int] = {hash(source.name): _packed(*source.stamp) for source in known}
        self._directories: dict[str, _Directory] = {}
        self._open: set[str] = set()  # seen changed and not taken in yet
        self._young: OrderedDict[str, None] = OrderedDict()
        self._links: set[str] = set()
        self._next_full = 0.0
        self.is_cut = False  # more had changed than one look returns

    def __contains__(self, name: str) -> bool:
        """Whether the file was there at the last look."""
        return hash(name) in self._taken or name in self._open

    def taken(self, name: str, stamp: tuple[int, int, int]) -> None:
        """This state of the file has been dealt with."""
        self._taken[hash(name)] = _packed(*stamp)
        self._open.discard(name)
        self._young[name] = None
        self._young.move_to_end(name)
        if len(self._young) > NUM_YOUNG:
            self._young.popitem(last=False)

    def changed(self) -> list[Found]:
        """Files that are new or have changed, the oldest first, files of the same time by name and number in it."""
        now = self._monotonic()
        if now >= self._next_full:
            found = self._full_look(now)
        else:
            names = {**dict.fromkeys(self._open), **self._young}
            found = [*self._look_at(names), *self._new_names(now)]
            found = list({each.name: each for each in found}.values())
            found.sort()
        self._open = {each.name for each in found}
        return found

    def _full_look(self, now: float) -> list[Found]:
        started = time.perf_counter()
        self._directories.clear()
        there: set[int] = set()
        errors = self._told.count
        found = heapq.nsmallest(LARGEST_QUEUE, self._walk(str(self.root), now, there, is_full=True))
        if self._told.count == errors:  # what could not be looked at has not gone
            self._taken = {key: value for key, value in self._taken.items() if key in there}
        cost_s = time.perf_counter() - started
        # More than fitted: look again as soon as these have been dealt with.
        self.is_cut = len(found) == LARGEST_QUEUE
        self._next_full = 0.0 if self.is_cut else now + max(FULL_LOOK_S, FULL_LOOK_SHARE * cost_s)
        return found

    def _new_names(self, now: float) -> Iterator[Found]:
        """Files of folders whose names have changed."""
        for path, held in list(self._directories.items()):
            try:
                mtime_ns = os.stat(path).st_mtime_ns
            except OSError as error:
                if isinstance(error, FileNotFoundError) and path != str(self.root):
                    del self._directories[path]  # the folder that held it tells when it is there again
                    self._told.is_over(path)
                else:
                    self._cannot_look(path, now, error)
                continue
            if mtime_ns != held.mtime_ns or (not held.is_confirmed and now - held.noticed_s >= SETTLES_S):
                yield from self._walk(path, now, None, is_full=False)

    def _walk(self, path: str, now: float, there: set[int] | None, *, is_full: bool) -> Iterator[Found]:
        """Changed files of a folder and of the folders in it that are not known yet (`is_full`: of all)."""
        try:
            mtime_ns = os.stat(path).st_mtime_ns
            held = self._directories.get(path)
            is_same = held is not None and held.mtime_ns == mtime_ns
            self._directories[path] = _Directory(mtime_ns, held.noticed_s if is_same and held else now, is_same)
            prefix = "" if path == str(self.root) else f"{name_of(path, self.root)}/"
            with os.scandir(path) as entries:
                for entry in entries:
                    if is_ignored(entry.name):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        if is_full or entry.path not in self._directories:
                            yield from self._walk(entry.path, now, there, is_full=is_full)
                        continue
                    if entry.is_symlink() and os.path.isdir(entry.path):
                        self._tell_link(entry.path)
                        continue
                    name = prefix + entry.name if entry.name.isascii() else name_of(entry.path, self.root)
                    key = hash(name)
                    if there is not None:
                        there.add(key)
                    if not is_full and (self._taken.get(key, -1) >> 64) == entry.inode():
                        continue  # the same file under the same name: nothing new in the folder
                    if (found := self._state(entry.path, name)) is not None:
                        yield found
            self._told.is_over(path, f"{path} can be looked at again")
        except OSError as error:
            self._cannot_look(path, now, error)

    def _cannot_look(self, path: str, now: float, error: OSError) -> None:
        """Say it, and read the folder's names as soon as it answers, whatever its time is then."""
        self._directories[path] = _Directory(NEVER_READ, now, False)
        self._told.tell(path, f"cannot look at {path}: {error.strerror}; looked at again")

    def _tell_link(self, path: str) -> None:
        """Two names for one folder would send its files twice, and a link to what lies above would never end."""
        if path not in self._links:
            self._links.add(path)
            self._told.tell(f"link {path}", f"{path} is a link to a folder, and not followed: watch the folder itself")

    def _look_at(self, names: Iterable[str]) -> Iterator[Found]:
        for name in names:
            if (found := self._state(str(place_of(name, self.root)), name)) is not None:
                yield found

    def _state(self, path: str, name: str) -> Found | None:
        try:
            state = os.stat(path)
        except OSError:
            return None  # renamed or removed while we looked
        if not stat.S_ISREG(state.st_mode) or self._taken.get(hash(name)) == _packed(
            state.st_size, state.st_mtime_ns, state.st_ino
        ):
            return None
        return Found(state.st_mtime_ns, natural(name), name, path, state.st_size, state.st_ino)


def name_of(path: str, root: Path) -> str:
    """Path below the folder as text; bytes that are no UTF-8 are written in hexadecimal."""
    return os.fsencode(os.path.relpath(path, root)).decode("utf-8", "backslashreplace")


def is_ignored(name: str) -> bool:
    """Whether files and folders of this name are not taken in."""
    return name.startswith(".") or name.lower().endswith(IGNORED_SUFFIXES)


def place_of(name: str, root: Path) -> Path:
    """Where a file of this name lies: the inverse of `name_of`."""
    path = root / name
    if "\\x" not in name or path.exists():
        return path
    return root / os.fsdecode(_ESCAPED.sub(lambda found: bytes([int(found[1], 16)]), name.encode()))


def natural(name: str) -> tuple[tuple[int, str], ...]:
    """A key by which "day-9" stands before "day-10"."""
    return tuple((int(word) if word.isdecimal() else -1, word) for word in re.split(r"(\d+)", name) if word)


def _packed(size: int, mtime_ns: int, inode: int) -> int:
    return inode << 64 | (hash((size, mtime_ns)) & _MASK)
