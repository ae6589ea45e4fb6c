"""Files and folders of the storage array, by one interface, and those of this machine.

What replaces something does so by one rename over it, so that there is no moment without either.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from ipdsf_spark.storage.location import Location
from ipdsf_spark.storage.naming import naming


class Files(Protocol):
    """What packing asks of a storage array. All errors are `InputError` with the place and the reason."""

    def exists(self, place: Location) -> bool:
        """Whether there is anything."""

    def make_folder(self, place: Location) -> None:
        """A folder and its parents."""

    def files(self, place: Location) -> dict[str, int]:
        """Names and bytes of the files in a folder; empty if there is none."""

    def folders(self, place: Location) -> list[str]:
        """Names of the folders in a folder; empty if there is none."""

    def move(self, source: Location, target: Location) -> None:
        """Rename a file; what was at the target is replaced in the same moment."""

    def delete(self, place: Location) -> None:
        """A file, or a folder with all that is in it; nothing if it is not there."""

    def delete_if_empty(self, folder: Location) -> None:
        """A folder that holds nothing; nothing happens to any other."""

    def read(self, place: Location) -> bytes:
        """The content of a file."""

    def write(self, place: Location, content: bytes) -> None:
        """A file, whole or not at all."""


class LocalFiles:
    """A folder of this machine, or one that is mounted on it."""

    def exists(self, place: Location) -> bool:
        """Whether there is anything."""
        return os.path.lexists(_path(place))

    def make_folder(self, place: Location) -> None:
        """A folder and its parents."""
        with _named("make", place):
            _path(place).mkdir(parents=True, exist_ok=True)

    def files(self, place: Location) -> dict[str, int]:
        """Names and bytes of the files in a folder; empty if there is none."""
        with _named("read", place):
            if not _path(place).is_dir():
                return {}
            return {p.name: p.stat().st_size for p in sorted(_path(place).iterdir()) if p.is_file()}

    def folders(self, place: Location) -> list[str]:
        """Names of the folders in a folder; empty if there is none."""
        with _named("read", place):
            return sorted(p.name for p in _path(place).iterdir() if p.is_dir()) if _path(place).is_dir() else []

    def move(self, source: Location, target: Location) -> None:
        """Rename a file; what was at the target is replaced in the same moment."""
        with _named("write", target):
            os.replace(_path(source), _path(target))
            _forget_checksum(_path(target))

    def delete(self, place: Location) -> None:
        """A file, or a folder with all that is in it; nothing if it is not there."""
        path = _path(place)
        with _named("remove", place):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
                _forget_checksum(path)

    def delete_if_empty(self, folder: Location) -> None:
        """A folder that holds nothing; nothing happens to any other."""
        with contextlib.suppress(OSError):
            _path(folder).rmdir()

    def read(self, place: Location) -> bytes:
        """The content of a file."""
        with _named("read", place):
            return _path(place).read_bytes()

    def write(self, place: Location, content: bytes) -> None:
        """A file, whole or not at all: on the disk before it is under its name."""
        path = _path(place)
        part = path.with_name(f".{path.name}.part")
        with _named("write", place):
            try:
                with part.open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(part, path)
            except OSError:
                part.unlink(missing_ok=True)
                raise
            _forget_checksum(path)


def _path(place: Location) -> Path:
    assert place.path is not None, f"{place} is not on this machine"
    return place.path


def _forget_checksum(path: Path) -> None:
    """Hadoop's local file system keeps a checksum beside a file and refuses the file where the two disagree."""
    path.with_name(f".{path.name}.crc").unlink(missing_ok=True)


def _named(doing: str, place: Location) -> AbstractContextManager[None]:
    return naming(f"{doing} {place}", lambda error: getattr(error, "strerror", None) or error, kinds=OSError)
