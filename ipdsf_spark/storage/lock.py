"""One writer at a time for a folder: a data set that is packed, a model that is trained.

    .ipdsf-lock     who writes: process, host and since when, for people; gone when the writer has ended

On this machine the kernel holds the lock and gives it back when the process ends, however it ends, so that the file a
killed writer left means nothing. On other file systems, of which not all can make a file only where there is none,
every writer lays down a file of its own (`.ipdsf-lock-…`) and then looks for others: of two that begin at once at least
one sees the other and gives way. One left by a process of this host that runs no more is removed, one of another host
is named with what to do.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from ipdsf_spark.errors import InputError
from ipdsf_spark.storage.files import Files, LocalFiles
from ipdsf_spark.storage.location import Location

LOCK_FILE: Final = ".ipdsf-lock"
BEGUN: Final = f".{LOCK_FILE}"  # how the file of a lock is called until it is whole
HAS_NO_LOCKS: Final = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF, errno.EINVAL)


def is_lock(name: str) -> bool:
    """Whether a file is a lock, or the beginning of one whose writer was killed while writing it."""
    return name.startswith((LOCK_FILE, BEGUN))


@contextmanager
def locked(folder: Location, doing: str, files: Files | None = None) -> Iterator[None]:
    """Hold a folder while something is written to it; a folder that is made for it is removed if it stays empty.

    Args:
        folder: to be held.
        doing: what is done there, for others to read ("packing").
        files: the storage array; not needed for a path of this machine.

    Raises:
        InputError: another process holds it, or it cannot be written.
    """
    files = files or LocalFiles()
    if folder.path is not None and os.path.lexists(folder.path) and not folder.path.is_dir():
        raise InputError(f"{folder} is a file; a folder is needed")
    is_new = not files.exists(folder)
    held = _held(folder.path, files) if folder.path is not None else None
    try:
        if held is None:
            files.make_folder(folder)
            with _by_file(folder, doing, files):
                yield
        else:
            with contextlib.suppress(InputError):  # on a full disk: what is to be written will say so
                files.write(folder / LOCK_FILE, _me(doing))
            yield
    finally:
        if held is not None:
            with contextlib.suppress(InputError):
                files.delete(folder / LOCK_FILE)
        if is_new:
            with contextlib.suppress(InputError):
                files.delete_if_empty(folder)
        if held is not None:
            os.close(held)


def _held(folder: Path, files: Files) -> int | None:
    """The folder, locked by the kernel until it is closed; None where the file system has no such locks."""
    place = Location(f"file://{folder}", folder)
    while True:
        files.make_folder(place)
        try:
            number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise InputError(f"cannot write to {folder}: {error.strerror or error}") from error
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(number)
            holder = _content(files, place / LOCK_FILE)
            raise _is_held(str(folder), holder, "wait until it has ended, or stop it") from None
        except OSError as error:
            os.close(number)
            if error.errno in HAS_NO_LOCKS:
                return None
            raise InputError(f"cannot lock {folder}: {error.strerror or error}") from error
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(number), folder.stat()):
                return number
        os.close(number)  # its last holder has just removed it


@contextmanager
def _by_file(folder: Location, doing: str, files: Files) -> Iterator[None]:
    mine = folder / f"{LOCK_FILE}-{uuid.uuid4().hex}"
    files.write(mine, _me(doing))
    try:
        others = [folder / n for n in files.files(folder) if n.startswith(LOCK_FILE) and not mine.url.endswith(n)]
        for other in others:
            holder = _content(files, other)
            if not _has_ended(holder):
                raise _is_held(str(folder), holder, f"if that process runs no more, remove {other}")
            files.delete(other)
        for name in files.files(folder):
            if name.startswith(BEGUN):  # by a writer that was killed, or that finds it gone and gives way
                files.delete(folder / name)
        yield
    finally:
        files.delete(mine)


def _me(doing: str) -> bytes:
    holder = {"doing": doing, "host": socket.gethostname(), "pid": os.getpid(), "began": _began(os.getpid())}
    return json.dumps({**holder, "since": datetime.now(UTC).isoformat(timespec="seconds")}).encode()


def _content(files: Files, lock: Location) -> dict[str, object]:
    try:
        found = json.loads(files.read(lock))
        return found if isinstance(found, dict) else {}
    except (InputError, ValueError):
        return {}


def _has_ended(holder: dict[str, object]) -> bool:
    """Whether the holder is a process of this host that runs no more; its number may be that of another by now."""
    if holder.get("host") != socket.gethostname() or not isinstance(holder.get("pid"), int):
        return False
    return _began(int(str(holder["pid"]))) != holder.get("began") or not holder.get("began")


def _began(pid: int) -> str:
    """When a process began, in ticks of the kernel since it started; empty where there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return stat.rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _is_held(folder: str, holder: dict[str, object], advice: str) -> InputError:
    who = f"process {holder.get('pid', '?')} on {holder.get('host', '?')} since {holder.get('since', '?')}"
    return InputError(f"{folder} is in use ({holder.get('doing', 'writing')}, {who}): {advice}")
