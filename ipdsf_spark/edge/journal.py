"""The edge agent's memory: which files were seen, copied, sent. SQLite, so that a power cut leaves it whole."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PENDING: Final = "pending"  # copied, not yet acknowledged by Kafka
DELIVERED: Final = "delivered"
REFUSED: Final = "refused"  # cannot be sent, e.g. over the broker's message limit; kept locally

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS files (
    sha256 TEXT NOT NULL,
    name TEXT NOT NULL,
    copy TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    seen_s REAL NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL DEFAULT '',
    in_flight INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (name, sha256)
);
CREATE INDEX IF NOT EXISTS files_by_state ON files (state, seen_s);
CREATE TABLE IF NOT EXISTS marks (partition INTEGER PRIMARY KEY, offset INTEGER NOT NULL);
"""


@dataclass(frozen=True)
class Entry:
    """One file the agent has taken in.

    Attributes:
        sha256: of its bytes.
        name: its path below the watched folder.
        copy: its path below the local store.
        bytes: its size.
        seen_s: when it was taken in [s since 1970].
        state: pending, delivered or refused.
        in_flight: it was handed to Kafka and not acknowledged: it may or may not have arrived.
    """

    sha256: str
    name: str
    copy: str
    bytes: int
    seen_s: float
    state: str
    in_flight: bool


class Journal:
    """Durable: every change is on disk when the method returns."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def add(self, entry: Entry) -> None:
        """Remember a file that has been copied."""
        self._db.execute(
            "INSERT OR IGNORE INTO files (sha256, name, copy, bytes, seen_s, state) VALUES (?, ?, ?, ?, ?, ?)",
            (entry.sha256, entry.name, entry.copy, entry.bytes, entry.seen_s, entry.state),
        )

    def has(self, name: str, sha256: str) -> bool:
        """Whether these bytes under this name were taken in before."""
        row = self._db.execute("SELECT 1 FROM files WHERE name = ? AND sha256 = ?", (name, sha256)).fetchone()
        return row is not None

    def pending(self, limit: int) -> list[Entry]:
        """The oldest files that are still to be delivered."""
        return self._entries("WHERE state = 'pending' ORDER BY seen_s, name LIMIT ?", limit)

    def in_flight(self) -> list[Entry]:
        """Files that were handed to Kafka when the agent last stopped, fate unknown."""
        return self._entries("WHERE state = 'pending' AND in_flight = 1 ORDER BY seen_s, name LIMIT ?", -1)

    def mark_in_flight(self, entries: list[Entry], marks: dict[int, int]) -> None:
        """Before sending: these files go out now, and the topic ended at `marks` (partition: offset)."""
        with self._transaction():
            self._db.execute("DELETE FROM marks")
            self._db.executemany("INSERT INTO marks VALUES (?, ?)", list(marks.items()))
            self._db.executemany(
                "UPDATE files SET in_flight = 1 WHERE name = ? AND sha256 = ?",
                [(entry.name, entry.sha256) for entry in entries],
            )

    def marks(self) -> dict[int, int]:
        """Where the topic ended before the last sending."""
        return dict(self._db.execute("SELECT partition, offset FROM marks").fetchall())

    def settle(self, outcomes: list[tuple[Entry, str, str]]) -> None:
        """After sending: the new state of each file, and a reason where it is refused."""
        with self._transaction():
            self._db.executemany(
                "UPDATE files SET state = ?, reason = ?, in_flight = 0 WHERE name = ? AND sha256 = ?",
                [(state, reason, entry.name, entry.sha256) for entry, state, reason in outcomes],
            )

    def deliverable_copies(self) -> list[Entry]:
        """Delivered files whose copy is still there, oldest first."""
        return self._entries("WHERE state = 'delivered' AND copy != '' ORDER BY seen_s LIMIT ?", -1)

    def forget_copy(self, entry: Entry) -> None:
        """The local copy of a delivered file has been deleted."""
        self._db.execute("UPDATE files SET copy = '' WHERE name = ? AND sha256 = ?", (entry.name, entry.sha256))

    def counts(self) -> dict[str, int]:
        """Files by state."""
        found = dict(self._db.execute("SELECT state, COUNT(*) FROM files GROUP BY state").fetchall())
        return {state: int(found.get(state, 0)) for state in (PENDING, DELIVERED, REFUSED)}

    def refused(self) -> list[tuple[str, str]]:
        """Names and reasons of refused files."""
        return self._db.execute("SELECT name, reason FROM files WHERE state = 'refused' ORDER BY seen_s").fetchall()

    def _entries(self, where: str, limit: int) -> list[Entry]:
        rows = self._db.execute(
            f"SELECT sha256, name, copy, bytes, seen_s, state, in_flight FROM files {where}", (limit,)
        ).fetchall()
        return [
            Entry(sha, name, copy, size, seen, state, bool(flies)) for sha, name, copy, size, seen, state, flies in rows
        ]

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")
