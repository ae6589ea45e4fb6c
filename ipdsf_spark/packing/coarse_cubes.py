"""Coarser cubes beside a local copy: where they lie while a training lasts, and what becomes of them after a kill.

Training on one machine needs neither Spark nor Petastorm: nothing here does.
"""

from __future__ import annotations

import contextlib
import fcntl
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ipdsf_spark.ct.cube_set import is_file_of_set

NAMED: Final = re.compile(r"\..+-mid-[0-9a-f]{16}")


@dataclass(frozen=True)
class CoarseCubes:
    """A folder of coarser cubes.

    Attributes:
        place: the folder.
        lock: locked by whoever makes or removes it.
        use: locked, and shared, by whoever uses it.
    """

    place: Path
    lock: Path
    use: Path

    @classmethod
    def at(cls, place: Path) -> CoarseCubes:
        """Those in a folder."""
        return cls(place, place.with_name(f"{place.name}.lock"), place.with_name(f"{place.name}.use"))

    @classmethod
    def beside(cls, copy: Path, of: str) -> CoarseCubes:
        """Those of a local copy.

        Args:
            copy: its folder.
            of: sixteen hexadecimal digits that tell trainings on one copy apart.
        """
        return cls.at(copy.parent / f".{copy.name}-mid-{of}")


def remove_unused(cache: Path) -> None:
    """Remove coarser cubes that nobody makes or uses: all processes of their training were killed."""
    for found in map(CoarseCubes.at, cache.iterdir()):
        if not NAMED.fullmatch(found.place.name) or not found.place.is_dir() or found.place.is_symlink():
            continue
        with contextlib.suppress(OSError), found.lock.open("a") as lock, found.use.open("a") as use:
            for held in (lock, use):  # in the order in which a training takes them
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if all(is_file_of_set(path.name) and path.is_file() for path in found.place.iterdir()):
                shutil.rmtree(found.place, ignore_errors=True)
