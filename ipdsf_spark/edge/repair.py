"""A journal that is damaged, lost or cannot be opened: mended from its last backup, the local copies and the topic.

What the journal does not know after that, the topic does: `MUST_ASK` makes the sender look there before it sends.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sqlite3
import time
from pathlib import Path
from typing import Final

from ipdsf_spark.edge.journal import DamagedJournalError, Journal
from ipdsf_spark.edge.store import Store
from ipdsf_spark.edge.told import Told

logger = logging.getLogger(__name__)

NAME: Final = "journal.sqlite"
BACKUP: Final = "journal.backup.sqlite"
DAMAGED: Final = "journal.damaged.sqlite"
RESERVE: Final = "reserve"
RESERVE_BYTES: Final = 2_000_000
MUST_ASK: Final = "must_ask_the_topic"
FROM_MARKS: Final = "from_marks"
FROM_START: Final = "from_start"
_SIDE_FILES: Final = ("-journal", "-wal", "-shm")


def opened(root: Path, store: Store, told: Told, *, is_suspect: bool = False) -> Journal:
    """The journal of an agent, whole: as it was, mended, begun anew, or in memory while the disk refuses.

    Args:
        root: folder of the agent.
        store: its local copies.
        told: what the operator is told.
        is_suspect: the journal has failed while it was used.
    """
    path = root / NAME
    try:
        root.mkdir(parents=True, exist_ok=True)
        store.clear_unfinished()
        is_new = not path.exists() or path.stat().st_size == 0
        if path.is_dir():
            raise DamagedJournalError("a folder lies in its place")
        if is_new and ((root / BACKUP).exists() or any(store.entries())):
            return _mended(root, store, told, "is gone")
        journal = Journal(path, is_suspect=is_suspect)
    except DamagedJournalError as error:
        return _mended(root, store, told, f"is damaged ({error})")
    except (OSError, sqlite3.OperationalError) as error:
        return _in_memory(path, told, error)
    told.is_over("journal", f"journal {path} can be used again")
    _adopt(journal, store)
    if not is_new and not (root / RESERVE).exists() and not journal.fact(MUST_ASK):
        # The reserve was given up: the agent before this one may have sent what it could not write down.
        journal.put_facts(**{MUST_ASK: FROM_MARKS})
    return journal


def _mended(root: Path, store: Store, told: Told, what: str) -> Journal:
    path, backup = root / NAME, root / BACKUP
    with contextlib.suppress(OSError):
        if path.exists():
            aside = root / DAMAGED  # kept for whoever wants to look
            path.replace(aside.with_name(f"{DAMAGED}.{time.time_ns()}") if path.is_dir() or aside.is_dir() else aside)
        for side in _SIDE_FILES:
            Path(f"{path}{side}").unlink(missing_ok=True)
    try:
        journal, how = _from_backup(path, backup)
        journal.put_facts(**{MUST_ASK: FROM_MARKS if journal.marks() else FROM_START})
    except (OSError, sqlite3.OperationalError) as error:
        return _in_memory(path, told, error)
    adopted = _adopt(journal, store, is_all=True)
    told.tell(
        "mended", f"journal {path} {what}: {how}, {adopted} local copies entered; Kafka is asked what has arrived"
    )
    told.is_over("mended")
    return journal


def _from_backup(path: Path, backup: Path) -> tuple[Journal, str]:
    if backup.exists():
        try:
            shutil.copyfile(backup, path)
            return Journal(path), "its last backup is used"
        except DamagedJournalError:
            path.unlink()
            backup.unlink()
    return Journal(path), "begun anew"


def _in_memory(path: Path, told: Told, error: Exception) -> Journal:
    told.tell("journal", f"journal {path} cannot be used now ({error}): what is sent is kept in memory and in Kafka")
    journal = Journal(":memory:")
    journal.put_facts(**{MUST_ASK: FROM_START})
    return journal


def reopened(journal: Journal, root: Path, store: Store, told: Told) -> Journal:
    """The journal on disk instead of the one in memory, with all that this one learned; itself while that fails."""
    found = opened(root, store, told)
    if found.path == ":memory:":
        found.close()
        return journal
    after = 0
    while entries := journal.since(after):
        after = entries[-1].seq
        found.take_over(entries)
    found.add([], list(journal.sources()))
    found.put([], marks=journal.marks())
    journal.close()
    return found


def _adopt(journal: Journal, store: Store, *, is_all: bool = False) -> int:
    """Enter copies that the journal does not know; bring those that were delivered to their place."""
    copies = store.entries() if is_all else (store.entry_of(copy) for copy in store.waiting())
    adopted = 0
    batch = []
    for entry in copies:
        held = journal.held(entry)
        if held is None:
            batch.append(entry)
            adopted += 1
        elif held.copy and held.copy != entry.copy and not held.copy.startswith("waiting/"):
            store.move(held.copy)
        if len(batch) >= 1_000:
            journal.add(batch)
            batch = []
    journal.add(batch)
    return adopted


def keep_reserve(root: Path) -> None:
    """Hold some room on the disk that a journal can be given when all other is taken."""
    path = root / RESERVE
    if path.exists():
        return
    try:
        with path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, RESERVE_BYTES)
    except OSError:
        path.unlink(missing_ok=True)


def release_reserve(root: Path) -> None:
    """Give the journal the room in reserve; its absence tells the next start that something may not be written down."""
    with contextlib.suppress(OSError):
        (root / RESERVE).unlink(missing_ok=True)
