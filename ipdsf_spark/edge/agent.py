"""The agent beside the instrument: watch, copy, send, resume.

Order of work, so that a power cut at any point neither loses nor repeats a file:

    copy on disk -> journal "pending" -> journal "in flight" and from where to look -> send -> journal "delivered"

Nothing that goes wrong with one file, one partition, the disk, the journal or the clock ends it: each is told once,
in one line that says what to do, and has a way on (docs/edge.md).
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeVar

from ipdsf_spark.config import EdgeConfig, KafkaConfig
from ipdsf_spark.edge import repair
from ipdsf_spark.edge.clock import EdgeClock, elapsed_s
from ipdsf_spark.edge.entry import REFUSED
from ipdsf_spark.edge.folder import is_ignored, place_of
from ipdsf_spark.edge.intake import Intake
from ipdsf_spark.edge.journal import DamagedJournalError
from ipdsf_spark.edge.prune import superfluous
from ipdsf_spark.edge.sender import Sender
from ipdsf_spark.edge.store import Store
from ipdsf_spark.edge.told import Told
from ipdsf_spark.errors import ConfigError, InputError
from ipdsf_spark.kafka.client import client_options

logger = logging.getLogger(__name__)

T = TypeVar("T")

AT_A_TIME: Final = 200  # files looked at between two sendings
FIRST_RETRY_S: Final = 1.0
LONGEST_RETRY_S: Final = 60.0
PRUNE_EVERY_S: Final = 3_600.0
BACKUP_EVERY_S: Final = 86_400.0
REOPEN_EVERY_S: Final = 60.0


class EdgeAgent:
    """One instrument's agent.

    Args:
        edge: folders, times and budgets.
        kafka: topic and login.
        bootstrap: where Kafka is; need not be reachable.
        site: site id, the key of every record.
        clock: seconds since 1970 by this machine; may jump.
        monotonic: seconds that only go forward.
    """

    def __init__(
        self,
        edge: EdgeConfig,
        kafka: KafkaConfig,
        bootstrap: str,
        site: str,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = elapsed_s,
    ) -> None:
        self.watched = Path(edge.watch).expanduser()
        if not edge.watch or not self.watched.is_dir():
            raise InputError(
                f"no folder to watch at {edge.watch or '(none named)'}: name the one the instrument writes to"
            )
        place, watched = Path(edge.directory).expanduser().resolve(), self.watched.resolve()
        if place.is_relative_to(watched) and not any(map(is_ignored, place.relative_to(watched).parts)):
            raise ConfigError(
                f"edge.directory {place} lies in the watched folder {watched}: its copies would be sent as files; "
                "name a place outside"
            )
        self._edge, self._kafka = edge, kafka
        self.told = Told()
        self.clock = EdgeClock(clock, monotonic)
        client_options(kafka, bootstrap)  # a login without its secret is found out before anything begins
        self._root = Path(edge.directory).expanduser() / site
        self.store = Store(self._root / "copies")
        self.journal = repair.opened(self._root, self.store, self.told)
        self.intake = Intake(edge, kafka.max_message_bytes, self.store, self.clock, self.told)
        self.sender = Sender(
            kafka,
            bootstrap,
            site,
            instrument=edge.instrument,
            watched=self.watched,
            store=self.store,
            clock=self.clock,
            told=self.told,
        )
        self._retry_s = 0.0
        self._next_reopen_s = self._next_backup_s = 0.0
        self._guarded(self._begin)

    def run(self, stop: threading.Event) -> None:
        """Watch and send until asked to stop; what is pending then is sent next time."""
        self.prune()  # before anything is added: the disk may be full of what has had its years
        next_send_s = 0.0
        next_prune_s = self.clock.monotonic() + PRUNE_EVERY_S
        while True:
            is_last = stop.is_set()
            taken = self.take_in(limit=None if is_last else AT_A_TIME)
            now = self.clock.monotonic()
            if now >= next_send_s and not is_last:
                is_delivered = self.send_pending(should_stop=stop.is_set)
                self._retry_s = 0.0 if is_delivered else min(max(2 * self._retry_s, FIRST_RETRY_S), LONGEST_RETRY_S)
                next_send_s = self.clock.monotonic() + (self._edge.every_s if is_delivered else self._retry_s)
            if now >= next_prune_s:
                self.prune()
                next_prune_s = now + PRUNE_EVERY_S
            self._guarded(self._keep_journal)
            if is_last:
                self.close()
                return
            if taken < AT_A_TIME:
                stop.wait(self._edge.poll_s)

    def take_in(self, *, limit: int | None = None) -> int:
        """Take in every file that is complete and new, the oldest first; returns the number of records.

        A file is complete when its size and time have not changed for `settle_s`. One that grows after it was taken in
        is taken in as what is new of it (text), or again as a whole once it has settled (netCDF).
        """
        return self._guarded(lambda: self.intake.take(self.journal, limit=limit)) or 0

    def send_pending(self, *, should_stop: Callable[[], bool] = lambda: False) -> bool:
        """Send what is pending, oldest first; False if Kafka did not take it all."""
        return bool(self._guarded(lambda: self.sender.send(self.journal, should_stop=should_stop)))

    def prune(self) -> int:
        """Keep the local copies within their years and their budget; returns how many were deleted."""
        return self._guarded(self._prune) or 0

    def close(self) -> None:
        """Leave the journal whole."""
        self.sender.close()
        self._guarded(self.journal.catch_up)
        self.journal.close()

    def _begin(self) -> None:
        limit = self._kafka.max_message_bytes
        again = [
            entry for entry in self.journal.refused() if entry.state == REFUSED and entry.bytes <= limit and entry.copy
        ]
        self.journal.put(replace(entry, state="pending", reason="") for entry in again)
        if not self.journal.is_behind and not self.journal.fact(repair.MUST_ASK):
            repair.keep_reserve(self._root)
        self.intake.begin(self.journal)

    def _prune(self) -> int:
        deleted = 0
        chosen = superfluous(
            self.journal,
            budget_bytes=self._edge.disk_budget_mb * 1_000_000,
            keep_days=self._edge.keep_days,
            now_s=self.clock.known_s(),
        )
        for entries in chosen:
            for entry in entries:
                try:
                    self.store.remove(entry.copy)
                    deleted += 1
                except OSError as error:
                    logger.warning("cannot delete the copy %s: %s", entry.copy, error)
            self.journal.put(replace(entry, copy="") for entry in entries)
        if self._is_same_folder():
            self.journal.forget_vanished(
                lambda name: name in self.intake.folder or place_of(name, self.watched).exists()
            )
        over = self.journal.bytes_kept() - self._edge.disk_budget_mb * 1_000_000
        if over > 0:
            self.told.tell(
                "budget",
                f"local copies take {over // 1_000_000 + 1} MB more than edge.disk_budget_mb: "
                "the rest is not delivered yet",
            )
        else:
            self.told.is_over("budget")
        return deleted

    def _is_same_folder(self) -> bool:
        """Whether the watched folder is the one of before: a share that is not mounted is no reason to forget files."""
        try:
            state = self.watched.stat()
            identity = f"{state.st_dev}:{state.st_ino}"
            if identity == self.journal.fact("watched"):
                return True
            if any(self.watched.iterdir()):
                self.journal.put_facts(watched=identity)
        except OSError as error:
            logger.debug("%s: %s", self.watched, error)
        return False

    def _keep_journal(self) -> None:
        """Bring to disk what it refused, reopen what could not be opened, and back it up daily."""
        now = self.clock.monotonic()
        if self.journal.path == ":memory:":
            if now >= self._next_reopen_s:
                self._next_reopen_s = now + REOPEN_EVERY_S
                self.journal = repair.reopened(self.journal, self._root, self.store, self.told)
            return
        if self.journal.is_behind:
            repair.release_reserve(self._root)
            if not self.journal.catch_up():
                self.told.tell(
                    "journal", f"journal {self.journal.path} cannot be written now: it is kept in memory; make room"
                )
                return
        self.told.is_over("journal", f"journal {self.journal.path} is written again")
        if not self.journal.fact(repair.MUST_ASK):
            repair.keep_reserve(self._root)
        if now >= self._next_backup_s:
            self._next_backup_s = now + BACKUP_EVERY_S
            try:
                self.journal.save_to(self._root / repair.BACKUP)
            except (OSError, sqlite3.OperationalError) as error:
                logger.debug("no backup of the journal: %s", error)

    def _guarded(self, act: Callable[[], T]) -> T | None:
        """Do it; should the journal turn out to be damaged, mend it and let the next round do it."""
        try:
            return act()
        except (DamagedJournalError, sqlite3.DatabaseError) as error:
            logger.debug("journal: %s", error)
            try:
                self.journal.close()
            except sqlite3.Error as closing:
                logger.debug("journal not closed: %s", closing)
            self.journal = repair.opened(self._root, self.store, self.told, is_suspect=True)
            self.intake.begin(self.journal)
            return None
