"""The edge agent's memory: which files were seen, copied, sent. SQLite, so that a power cut leaves it whole.

A journal that cannot be written for the moment (disk full, read-only, I/O error) is no reason to stop sending: rows go
to tables in memory of the same form, reads see both, and the first write that succeeds brings them to disk.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, replace
from pathlib import Path
from typing import Final

from ipdsf_spark.edge.entry import DELIVERED, KINDS, STATES, Entry, Source

logger = logging.getLogger(__name__)

VERSION: Final = 2
TRY_DISK_EVERY_S: Final = 5.0
DAMAGE: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_SCHEMA})
_KEYS: Final = {"parts": ("name", "start", "sha256"), "sources": ("name",), "marks": ("partition",), "facts": ("key",)}
_COLUMNS: Final = {
    "parts": f"""
        name TEXT NOT NULL, start INTEGER NOT NULL, sha256 TEXT NOT NULL CHECK (length(sha256) = 64),
        bytes INTEGER NOT NULL, kind TEXT NOT NULL CHECK (kind IN {KINDS}), preamble INTEGER NOT NULL,
        supersedes TEXT NOT NULL, copy TEXT NOT NULL, seen_s REAL NOT NULL, seq INTEGER NOT NULL,
        state TEXT NOT NULL CHECK (state IN {STATES}), reason TEXT NOT NULL, in_flight INTEGER NOT NULL,
        delivered_s REAL NOT NULL, PRIMARY KEY (name, start, sha256)""",
    "sources": """
        name TEXT NOT NULL PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, inode INTEGER NOT NULL,
        taken INTEGER NOT NULL, prefix TEXT NOT NULL""",
    "marks": "partition INTEGER NOT NULL PRIMARY KEY, offset INTEGER NOT NULL",
    "facts": "key TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL",
}
# Partial indices: what is pending, and what has a copy, are small parts of what a journal of years knows.
_INDICES: Final = """
    CREATE INDEX IF NOT EXISTS parts_pending ON parts (seq) WHERE state = 'pending';
    CREATE INDEX IF NOT EXISTS parts_kept ON parts (seq) WHERE copy != '';
"""


class DamagedJournalError(Exception):
    """The file is no journal, or no whole one."""


class Journal:
    """Durable: every change is on disk when the method returns, or `is_behind` says that it is not.

    Args:
        path: of the SQLite file, or ``:memory:``.
        is_readonly: look only.
        is_suspect: check more thoroughly, indices included.

    Raises:
        DamagedJournalError: the file is damaged.
        sqlite3.OperationalError: it cannot be opened now.
    """

    def __init__(self, path: Path | str, *, is_readonly: bool = False, is_suspect: bool = False) -> None:
        self.path = path
        self.is_behind = False
        self._next_try = 0.0
        target = f"{Path(path).absolute().as_uri()}?mode=ro" if is_readonly else str(path)
        # Autocommit is switched off around transactions by hand; a status may read while the agent writes.
        self._db = sqlite3.connect(target, isolation_level=None, timeout=10.0, uri=is_readonly)
        try:
            self._open(is_readonly=is_readonly, check="integrity_check" if is_suspect else "quick_check")
        except sqlite3.DatabaseError as error:
            self._db.close()
            if is_damage(error):
                raise DamagedJournalError(str(error)) from error
            raise

    def _open(self, *, is_readonly: bool, check: str) -> None:
        (answer,) = self._db.execute(f"PRAGMA {check}(1)").fetchone()
        if answer != "ok":
            self._db.close()
            raise DamagedJournalError(answer)
        if not is_readonly:
            # The rollback file stays allocated, so that a full disk does not stop a change of a few rows.
            self._db.execute("PRAGMA journal_mode=PERSIST")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.execute("PRAGMA cache_size=-4000")
            self._migrate()
            for table, columns in _COLUMNS.items():
                self._db.execute(f"CREATE TABLE IF NOT EXISTS {table} ({columns}) WITHOUT ROWID")
            self._db.executescript(_INDICES)
            if self._db.execute("PRAGMA user_version").fetchone()[0] != VERSION:
                self._db.execute(f"PRAGMA user_version={VERSION}")
        self._db.execute("PRAGMA temp_store=MEMORY")
        for table, columns in _COLUMNS.items():
            self._db.execute(f"CREATE TEMP TABLE later_{table} ({columns}) WITHOUT ROWID")
        self._next_seq = 1 + int(self._db.execute("SELECT COALESCE(MAX(seq), 0) FROM parts").fetchone()[0])
        self._next_seq = max(self._next_seq, 1 + int(self.fact("last_seq") or 0))

    def _migrate(self) -> None:
        """Take over the journal of version 1, which knew whole files only."""
        tables = {name for (name,) in self._db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if "files" not in tables:
            return
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute(f"CREATE TABLE IF NOT EXISTS parts ({_COLUMNS['parts']}) WITHOUT ROWID")
        self._db.execute(
            "INSERT OR IGNORE INTO parts SELECT name, 0, sha256, bytes, 'whole', 0, '', copy, seen_s, "
            "ROW_NUMBER() OVER (ORDER BY seen_s, name), state, reason, in_flight, "
            "CASE state WHEN 'delivered' THEN seen_s ELSE 0 END FROM files"
        )
        self._db.execute("DROP TABLE files")
        self._db.execute("COMMIT")

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    # -- what is written -------------------------------------------------------------------------------------------

    def add(self, entries: Sequence[Entry], sources: Sequence[Source] = ()) -> list[Entry]:
        """Remember records that were taken in, numbered in this order, and what is now known of their files."""
        numbered = []
        for entry in entries:
            numbered.append(replace(entry, seq=entry.seq or self._next_seq))
            self._next_seq = max(self._next_seq, numbered[-1].seq + 1)
        self._write(parts=map(astuple, numbered), sources=map(astuple, sources))
        return numbered

    def put(
        self, entries: Iterable[Entry], *, marks: dict[int, int] | None = None, facts: dict[str, str] | None = None
    ) -> None:
        """Replace what is known of these records; `marks` (partition: offset): where a search for them may begin."""
        self._write(parts=map(astuple, entries), marks=(marks or {}).items(), facts=(facts or {}).items())

    def take_over(self, entries: Iterable[Entry]) -> None:
        """Add what another journal of the same site learned: what it saw delivered is delivered."""
        for entry in entries:
            held = self.held(entry)
            if held is None:
                self.add([replace(entry, seq=0)])
            elif entry.state == DELIVERED and held.state != DELIVERED:
                self.put([replace(held, state=DELIVERED, in_flight=False, delivered_s=entry.delivered_s, reason="")])

    def put_facts(self, **facts: str) -> None:
        """Remember single values."""
        self._write(facts=facts.items())

    def begin_numbers_after(self, seq: int) -> None:
        """Numbers below were given out by a journal that is lost."""
        if seq >= self._next_seq:
            self._next_seq = seq + 1
            self.put_facts(last_seq=str(seq))

    def forget_vanished(self, is_there: Callable[[str], bool]) -> int:
        """Forget files that have left the folder, once their records are delivered and have no copy any more."""
        if self.is_behind:
            return 0
        names = self._db.execute(
            "SELECT name FROM main.sources UNION SELECT name FROM main.parts WHERE state = 'delivered' AND copy = ''"
        )
        gone = [(name,) for (name,) in names if not is_there(name)]
        self.put_facts(last_seq=str(self._next_seq - 1))
        for first in range(0, len(gone), 10_000):
            chunk = gone[first : first + 10_000]
            self._is_done(
                [
                    ("DELETE FROM main.sources WHERE name = ?", chunk),
                    ("DELETE FROM main.parts WHERE name = ? AND state = 'delivered' AND copy = ''", chunk),
                ]
            )
        return len(gone)

    def save_to(self, path: Path) -> None:
        """Write a copy of the whole journal, from which a damaged one can be repaired."""
        partial = path.with_name(path.name + ".part")
        partial.unlink(missing_ok=True)
        self._db.execute("VACUUM INTO ?", (str(partial),))
        partial.replace(path)

    # -- what is read ----------------------------------------------------------------------------------------------

    def held(self, entry: Entry) -> Entry | None:
        """What is known of these bytes at this place of this file."""
        where = "WHERE name = ? AND start = ? AND sha256 = ? LIMIT 1"
        return next(iter(self._entries(where, entry.name, entry.start, entry.sha256)), None)

    def has(self, entry: Entry) -> bool:
        """Whether these bytes at this place of this file were taken in before."""
        return self.held(entry) is not None

    def of_file(self, name: str) -> list[Entry]:
        """Every record of a file, in its order."""
        return self._entries("WHERE name = ? ORDER BY start, seq", name)

    def pending(self, limit: int, *, after: int = 0) -> list[Entry]:
        """The first records that are still to be delivered, in the order they were taken in."""
        return self._entries("WHERE state = 'pending' AND seq > ? ORDER BY seq LIMIT ?", after, limit)

    def since(self, seq: int, limit: int = 1_000) -> list[Entry]:
        """Records of any state that were taken in after a number, in their order."""
        return self._entries("WHERE seq > ? ORDER BY seq LIMIT ?", seq, limit)

    def in_flight(self) -> list[Entry]:
        """Records that were handed to Kafka when the agent last stopped, fate unknown."""
        return self._entries("WHERE state = 'pending' AND in_flight = 1 ORDER BY seq")

    def kept(self, limit: int, *, after: int = 0) -> list[Entry]:
        """Delivered records whose copy is still there, oldest first."""
        return self._entries("WHERE copy != '' AND state = 'delivered' AND seq > ? ORDER BY seq LIMIT ?", after, limit)

    def refused(self, limit: int = 1_000) -> list[Entry]:
        """Records that cannot be sent, with the reason."""
        return self._entries("WHERE state IN ('refused', 'missing') ORDER BY seq LIMIT ?", limit)

    def counts(self) -> dict[str, int]:
        """Records by state."""
        found = dict(self._db.execute(f"SELECT state, COUNT(*) FROM {self._from('parts')} GROUP BY state").fetchall())
        return {state: int(found.get(state, 0)) for state in STATES}

    def bytes_pending(self) -> int:
        """Bytes that are still to be delivered."""
        return self._sum("state = 'pending'")

    def bytes_kept(self) -> int:
        """Bytes of all local copies."""
        return self._sum("copy != ''")

    def num_kept(self) -> int:
        """Local copies."""
        return int(self._db.execute(f"SELECT COUNT(*) FROM {self._from('parts')} WHERE copy != ''").fetchone()[0])

    def marks(self) -> dict[int, int]:
        """Partition: offset below which no record of unknown fate lies."""
        return dict(self._db.execute(f"SELECT partition, offset FROM {self._from('marks')}").fetchall())

    def fact(self, key: str) -> str:
        """A single value, empty if there is none."""
        row = self._db.execute(f"SELECT value FROM {self._from('facts')} WHERE key = ?", (key,)).fetchone()
        return str(row[0]) if row else ""

    def source(self, name: str) -> Source | None:
        """What is known of a file."""
        row = self._db.execute(f"SELECT * FROM {self._from('sources')} WHERE name = ?", (name,)).fetchone()
        return Source(*row) if row else None

    def sources(self) -> Iterable[Source]:
        """What is known of all files."""
        return (Source(*row) for row in self._db.execute(f"SELECT * FROM {self._from('sources')}"))

    def _entries(self, where: str, *values: object) -> list[Entry]:
        rows = self._db.execute(f"SELECT * FROM {self._from('parts')} {where}", values).fetchall()
        return [Entry(*row) for row in rows]

    def _sum(self, where: str) -> int:
        return int(
            self._db.execute(f"SELECT COALESCE(SUM(bytes), 0) FROM {self._from('parts')} WHERE {where}").fetchone()[0]
        )

    def _from(self, table: str) -> str:
        """The table as reads see it: rows in memory stand for those on disk with the same key."""
        if not self.is_behind:
            return table
        same = " AND ".join(f"l.{key} = m.{key}" for key in _KEYS[table])
        return (
            f"(SELECT * FROM temp.later_{table} UNION ALL SELECT * FROM main.{table} m "
            f"WHERE NOT EXISTS (SELECT 1 FROM temp.later_{table} l WHERE {same}))"
        )

    # -- disk or memory --------------------------------------------------------------------------------------------

    def catch_up(self) -> bool:
        """Bring to disk what could not be written; False if the disk still refuses."""
        if not self.is_behind:
            return True
        self._next_try = time.monotonic() + TRY_DISK_EVERY_S
        moves = [(f"INSERT OR REPLACE INTO main.{table} SELECT * FROM temp.later_{table}", [()]) for table in _COLUMNS]
        if not self._is_done(moves):
            return False
        for table in _COLUMNS:
            self._db.execute(f"DELETE FROM temp.later_{table}")
        self.is_behind = False
        return True

    def _write(self, **tables: Iterable[Iterable[object]]) -> None:
        rows = {table: [tuple(row) for row in each] for table, each in tables.items()}
        rows = {table: each for table, each in rows.items() if each}
        if not rows:
            return
        if not self.is_behind or (time.monotonic() >= self._next_try and self.catch_up()):
            if self._is_done([(_upsert(f"main.{table}", each[0]), each) for table, each in rows.items()]):
                return
            self._next_try = time.monotonic() + TRY_DISK_EVERY_S
            self.is_behind = True
        for table, each in rows.items():
            self._db.executemany(_upsert(f"temp.later_{table}", each[0]), each)

    def _is_done(self, statements: Sequence[tuple[str, Sequence[tuple[object, ...]]]]) -> bool:
        """One transaction; False if the disk refuses.

        Raises:
            DamagedJournalError: the file turned out to be damaged.
        """
        try:
            self._db.execute("BEGIN IMMEDIATE")
            for statement, rows in statements:
                self._db.executemany(statement, rows)
            self._db.execute("COMMIT")
        except sqlite3.DatabaseError as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            if is_damage(error):
                raise DamagedJournalError(str(error)) from error
            logger.debug("journal %s not written: %s", self.path, error)
            return False
        return True


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file itself is wrong, and not the disk or somebody who holds it."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is None or (code & 0xFF) in DAMAGE


def _upsert(table: str, row: tuple[object, ...]) -> str:
    return f"INSERT OR REPLACE INTO {table} VALUES ({', '.join('?' * len(row))})"
