"""The agent beside the instrument: watch, copy, send, resume.

Order of work, so that a power cut at any point neither loses nor repeats a file:

    copy on disk -> journal "pending" -> journal "in flight" and where the topic ends -> send -> journal "delivered"

After a restart the files "in flight" are looked for in the topic from that point on, by checksum: those that arrived
are settled, the others are sent.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from ipdsf_spark.config import EdgeConfig, KafkaConfig
from ipdsf_spark.edge import arrived, store
from ipdsf_spark.edge.journal import DELIVERED, PENDING, REFUSED, Entry, Journal
from ipdsf_spark.errors import InputError
from ipdsf_spark.kafka.client import client_options

logger = logging.getLogger(__name__)

BATCH: Final = 200  # files handed to Kafka at a time: bounds memory whatever has piled up
FIRST_RETRY_S: Final = 1.0
LONGEST_RETRY_S: Final = 60.0
ACKNOWLEDGED_WITHIN_S: Final = 60.0


@dataclass
class _Seen:
    size: int
    mtime_ns: int
    since_s: float


class EdgeAgent:
    """One instrument's agent.

    Args:
        edge: folders, times and budgets.
        kafka: topic and login.
        bootstrap: where Kafka is; need not be reachable.
        site: site id, the key of every record.
        clock: seconds since 1970.
    """

    def __init__(
        self, edge: EdgeConfig, kafka: KafkaConfig, bootstrap: str, site: str, *, clock: Callable[[], float] = time.time
    ) -> None:
        self.watched = Path(edge.watch).expanduser()
        if not self.watched.is_dir():
            raise InputError(f"no folder to watch at {self.watched}: name the one the instrument writes to")
        self._edge, self._kafka, self._bootstrap, self._site, self._clock = edge, kafka, bootstrap, site, clock
        self._root = Path(edge.directory).expanduser() / site
        self._copies = self._root / "copies"
        self._copies.mkdir(parents=True, exist_ok=True)
        self.journal = Journal(self._root / "journal.sqlite")
        self._seen: dict[str, _Seen] = {}
        self._taken: dict[str, tuple[int, int]] = {}
        self._producer: Producer | None = None
        self._retry_s = 0.0

    def run(self, stop: threading.Event) -> None:
        """Watch and send until asked to stop; what is pending then is sent next time."""
        next_send_s = next_prune_s = 0.0
        while True:
            is_last = stop.is_set()
            self.take_in()
            now = self._clock()
            if is_last or now >= next_send_s:
                is_delivered = self.send_pending()
                self._retry_s = 0.0 if is_delivered else min(max(2 * self._retry_s, FIRST_RETRY_S), LONGEST_RETRY_S)
                next_send_s = now + (self._edge.every_s if is_delivered else self._retry_s)
            if now >= next_prune_s:
                self.prune()
                next_prune_s = now + 3600.0
            if is_last:
                return
            stop.wait(self._edge.poll_s)

    def take_in(self) -> int:
        """Copy every file that is complete and new; returns how many.

        A file is complete when its size and time have not changed for `settle_s`. A file that grows after it was taken
        in is taken in again as a whole: the receiver counts each profile once.
        """
        taken = 0
        now = self._clock()
        for path in sorted(self.watched.rglob("*")):
            if path.name.startswith(".") or path.suffix in (".part", ".tmp"):
                continue
            try:
                if not path.is_file():
                    continue
                state = path.stat()
            except FileNotFoundError:
                continue  # renamed or removed while we looked
            name = str(path.relative_to(self.watched))
            stamp = (state.st_size, state.st_mtime_ns)
            if self._taken.get(name) == stamp:
                continue
            seen = self._seen.get(name)
            if seen is None or (seen.size, seen.mtime_ns) != stamp:
                self._seen[name] = seen = _Seen(*stamp, since_s=now)
            quiet_s = max(now - seen.since_s, now - state.st_mtime if now >= state.st_mtime else 0.0)
            if quiet_s < self._edge.settle_s:
                continue
            taken += self._take(path, name, now)
            self._taken[name] = stamp
            self._seen.pop(name, None)
        return taken

    def send_pending(self) -> bool:
        """Send what is pending, oldest first; False if Kafka did not take it all."""
        try:
            self._settle_in_flight()
            while entries := self.journal.pending(BATCH):
                if not self._send(entries):
                    return False
            return True
        except KafkaException as error:
            logger.warning("Kafka at %s does not answer (%s); files wait on disk", self._bootstrap, error.args[0].str())
            return False

    def prune(self) -> int:
        """Keep the local copies within their years and their budget."""
        return store.prune(
            self._copies,
            self.journal,
            budget_bytes=self._edge.disk_budget_mb * 1_000_000,
            keep_days=self._edge.keep_days,
            now_s=self._clock(),
        )

    def _take(self, path: Path, name: str, now: float) -> int:
        try:
            raw = path.read_bytes()
        except OSError as error:
            logger.warning("cannot read %s: %s; tried again when it changes", path, error)
            return 0
        sha256 = hashlib.sha256(raw).hexdigest()
        if self.journal.has(name, sha256):
            return 0
        copy = store.keep(self._copies, name, sha256, raw, now)
        self.journal.add(Entry(sha256, name, copy, len(raw), now, PENDING, in_flight=False))
        return 1

    def _settle_in_flight(self) -> None:
        uncertain = self.journal.in_flight()
        if not uncertain:
            return
        there = arrived.checksums_since(self._kafka, self._bootstrap, self.journal.marks(), key=self._site)
        self.journal.settle([(entry, DELIVERED if entry.sha256 in there else PENDING, "") for entry in uncertain])
        logger.info("%d of %d files in flight had arrived", sum(e.sha256 in there for e in uncertain), len(uncertain))

    def _send(self, entries: list[Entry]) -> bool:
        outcomes: list[tuple[Entry, str, str]] = []
        limit = self._kafka.max_message_bytes
        sendable = []
        for entry in entries:
            if entry.bytes > limit:
                reason = f"{entry.bytes} bytes, kafka.max_message_bytes allows {limit}: write shorter files"
                logger.error("refused %s: %s", entry.name, reason)
                outcomes.append((entry, REFUSED, reason))
            else:
                sendable.append(entry)
        self.journal.settle(outcomes)
        if not sendable:
            return True
        self.journal.mark_in_flight(sendable, arrived.ends(self._kafka, self._bootstrap))
        delivered: list[tuple[Entry, str, str]] = []
        producer = self._connected()
        for entry in sendable:
            headers: dict[str, str | bytes | None] = {
                "file": entry.name,
                "sha256": entry.sha256,
                "site": self._site,
                "instrument": self._edge.instrument,
                "sent_ms": str(int(self._clock() * 1000)),
            }
            producer.produce(
                self._kafka.files_topic,
                store.read(self._copies, entry),
                key=self._site,
                headers=headers,
                on_delivery=_collect(entry, delivered),
            )
            producer.poll(0)
        if producer.flush(ACKNOWLEDGED_WITHIN_S):
            # Kafka has stopped answering: what it still holds must not be sent behind our back later on.
            producer.purge()
            producer.flush(1.0)
            self._producer = None
        self.journal.settle(delivered)
        return sum(state == DELIVERED for _, state, _ in delivered) == len(sendable)

    def _connected(self) -> Producer:
        if self._producer is None:
            options = client_options(self._kafka, self._bootstrap) | {
                "enable.idempotence": True,
                "acks": "all",
                "message.max.bytes": self._kafka.max_message_bytes + 100_000,
                "message.timeout.ms": int(ACKNOWLEDGED_WITHIN_S * 900),
                "partitioner": "murmur2_random",
            }
            self._producer = Producer(options)
        return self._producer


def _collect(entry: Entry, delivered: list[tuple[Entry, str, str]]) -> Callable[[KafkaError | None, Message], None]:
    def settled(error: KafkaError | None, message: Message) -> None:
        if error is None:
            delivered.append((entry, DELIVERED, ""))
        elif error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            delivered.append((entry, REFUSED, f"the broker refuses {entry.bytes} bytes: {error.str()}"))
        else:
            logger.warning("%s not delivered yet: %s", entry.name, error.str())

    return settled
