"""From the journal to Kafka: every record once, in order, whatever stops in between.

Before records are handed over, the journal says that they are in flight, and since when or from which offset of the
site's partition on they would be found. What was in flight when the agent last stopped is settled first
(`edge.resume`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, KafkaError, KafkaException, Message, Producer

from ipdsf_spark.config import KafkaConfig
from ipdsf_spark.edge.arrived import FilesTopic, newest_timestamp_s
from ipdsf_spark.edge.clock import EdgeClock
from ipdsf_spark.edge.copies import Copies
from ipdsf_spark.edge.entry import DELIVERED, MISSING, REFUSED, WHOLE, Entry
from ipdsf_spark.edge.folder import place_of
from ipdsf_spark.edge.journal import Journal
from ipdsf_spark.edge.resume import IN_FLIGHT_SINCE, Resumption
from ipdsf_spark.edge.store import Store
from ipdsf_spark.edge.told import Told
from ipdsf_spark.kafka import headers
from ipdsf_spark.kafka.client import Listener, explained, producer_options

logger = logging.getLogger(__name__)

BATCH: Final = 200  # records handed to Kafka at a time ...
BATCH_BYTES: Final = 16_000_000  # ... and their bytes: bounds memory whatever has piled up
ACKNOWLEDGED_WITHIN_S: Final = 60.0
FLUSHED_AT_A_TIME_S: Final = 0.5
STOPS_WITHIN_S: Final = 5.0  # of a Kafka that is away, once the agent is asked to stop
POSTPONED_S: Final = 60.0


@dataclass
class _Round:
    """What became of the records of one batch."""

    delivered: list[Entry] = field(default_factory=list)
    refused: list[Entry] = field(default_factory=list)
    marks: dict[int, int] = field(default_factory=dict)
    errors: dict[int, KafkaError] = field(default_factory=dict)


class Sender:
    """Sends what is pending.

    Args:
        kafka: topic and login.
        bootstrap: where Kafka is; need not be reachable.
        site: key of every record.
        instrument: a hint that travels along.
        watched: folder of the sources, for records without a copy.
        store: local copies.
        clock: both clocks.
        told: what the operator is told.
    """

    def __init__(
        self,
        kafka: KafkaConfig,
        bootstrap: str,
        site: str,
        *,
        instrument: str,
        watched: Path,
        store: Store,
        clock: EdgeClock,
        told: Told,
    ) -> None:
        self._kafka, self._bootstrap, self._site, self._instrument = kafka, bootstrap, site, instrument
        self._copies, self._clock, self._told = Copies(store, watched, clock), clock, told
        self._listener = Listener()
        self._resumption = Resumption(kafka, bootstrap, site, self._copies, self._listener)
        self._producer: Producer | None = None
        self._postponed: dict[int, float] = {}
        self._has_asked_time = False
        self._is_marked = False

    def send(self, journal: Journal, *, should_stop: Callable[[], bool] = lambda: False) -> bool:
        """Send what is pending, oldest first; False if Kafka did not take it all."""
        try:
            self._resumption.settle(journal)
            after = 0
            is_all = True
            while not should_stop() and (entries := self._next(journal, after)):
                after = entries[-1].seq
                if not self._send(journal, entries, should_stop):
                    return False
                is_all = is_all and not self._postponed
            self._told.is_over("kafka", f"Kafka at {self._bootstrap} takes files of {self._site} again")
            return is_all
        except KafkaException as error:
            self._say(error.args[0])
            return False

    def close(self) -> None:
        """Give up what Kafka has not acknowledged."""
        if self._producer is not None:
            self._producer.purge()
            self._producer.flush(1.0)
            self._producer = None

    # -- sending ---------------------------------------------------------------------------------------------------

    def _next(self, journal: Journal, after: int) -> list[Entry]:
        now = self._clock.monotonic()
        self._postponed = {seq: until for seq, until in self._postponed.items() if until > now}
        # The first acknowledgement brings Kafka's time: with a wrong clock, one file is dated wrongly and no batch.
        most = BATCH if self._has_asked_time and not self._clock.is_doubtful else 1
        chosen: list[Entry] = []
        total = 0
        for entry in journal.pending(BATCH + len(self._postponed), after=after):
            if entry.seq in self._postponed:
                continue
            total += entry.bytes
            if chosen and (total > BATCH_BYTES or len(chosen) == most):
                break
            chosen.append(entry)
        return chosen

    def _send(self, journal: Journal, entries: list[Entry], should_stop: Callable[[], bool]) -> bool:
        entries = self._sendable(journal, entries)
        if not entries:
            return True
        kafkas_s = self._clock.kafkas_s()
        if kafkas_s is None and not self._is_marked:
            self._mark_end(journal)
        since = "" if kafkas_s is None else repr(kafkas_s)
        journal.put((replace(entry, in_flight=True) for entry in entries), facts={IN_FLIGHT_SINCE: since})
        outcome = _Round()
        handed: list[Entry] = []
        for entry in entries:
            value = self._copies.value(entry)
            if value is None:
                self._cannot_read(journal, entry)
            elif self._produce(entry, value, outcome):
                handed.append(entry)
            else:
                break
        self._finish(should_stop)
        kept_back = [replace(entry, in_flight=False) for entry in entries if entry.seq in self._postponed]
        return self._settle(journal, handed, outcome, kept_back)

    def _sendable(self, journal: Journal, entries: list[Entry]) -> list[Entry]:
        limit = self._kafka.max_message_bytes
        refused = []
        for entry in entries:
            if entry.bytes > limit:
                reason = f"{entry.bytes} bytes, kafka.max_message_bytes allows {limit}: write shorter files"
                self._told.tell(f"large {entry.name}", f"refused {entry.name}: {reason}")
                refused.append(replace(entry, state=REFUSED, reason=reason, in_flight=False))
        journal.put(refused)
        return [entry for entry in entries if entry.bytes <= limit]

    def _mark_end(self, journal: Journal) -> None:
        """Where the partition of this site ends before the first record of this start: what is there is settled."""
        topic = FilesTopic(self._kafka, self._bootstrap, self._site, self._listener)
        try:
            own = topic.partition()
            journal.put([], marks={own: topic.end(own)})
            self._is_marked = True
        finally:
            topic.close()

    def _produce(self, entry: Entry, value: bytes, outcome: _Round) -> bool:
        """Hand a record over, waiting for room; False if there is none within the time for acknowledgements."""
        producer = self._connected()
        deadline = time.monotonic() + ACKNOWLEDGED_WITHIN_S
        while True:
            try:
                now_ms = int(self._clock.now_s() * 1000)
                producer.produce(
                    self._kafka.files_topic_of(self._site),
                    value,
                    key=self._site,
                    headers=self._headers(entry, now_ms),
                    timestamp=now_ms,
                    on_delivery=_collect(entry, outcome, self._heard),
                )
                producer.poll(0)
                return True
            except BufferError:  # Kafka is slower than this disk: wait for room
                if time.monotonic() > deadline:
                    return False
                producer.poll(0.1)

    def _headers(self, entry: Entry, now_ms: int) -> dict[str, str | bytes | None]:
        told: dict[str, str | bytes | None] = {
            headers.FILE: entry.name,
            headers.SHA256: entry.sha256,
            headers.SITE: self._site,
            headers.INSTRUMENT: self._instrument,
            headers.SENT_MS: str(now_ms),
            headers.SEQ: str(entry.seq),
            headers.OFFSET: str(entry.start),
        }
        if entry.kind != WHOLE:
            told[headers.GROWN] = entry.kind
        if entry.preamble:
            told[headers.PREAMBLE] = str(entry.preamble)
        if entry.supersedes:
            told[headers.SUPERSEDES] = entry.supersedes
        return told

    def _finish(self, should_stop: Callable[[], bool]) -> None:
        if self._producer is None:
            return
        deadline = time.monotonic() + ACKNOWLEDGED_WITHIN_S
        while (left := self._producer.flush(FLUSHED_AT_A_TIME_S)) and time.monotonic() < deadline:
            if should_stop():  # what is on its way gets a moment; what does not arrive in it is looked for at the start
                left = self._producer.flush(STOPS_WITHIN_S)
                break
        if left:
            # Kafka has stopped answering: what it still holds must not be sent behind our back later on.
            self.close()

    def _settle(self, journal: Journal, handed: list[Entry], outcome: _Round, kept_back: list[Entry]) -> bool:
        """Enter what became of a batch; True if nothing of it is uncertain."""
        now_s = self._clock.known_s() or 0.0
        day_s = self._clock.now_s()
        delivered = [
            replace(
                each, state=DELIVERED, in_flight=False, delivered_s=now_s, copy=self._copies.store.dated(each, day_s)
            )
            for each in outcome.delivered
        ]
        is_certain = len(delivered) + len(outcome.refused) == len(handed)
        self._has_asked_time = self._has_asked_time or bool(delivered)
        if is_certain and delivered:
            self._listener.forget()
        facts = {"last_delivery_s": repr(day_s)} if delivered else {}
        # The mark may pass only what is certain: what is not will be looked for from the old one on.
        marks = outcome.marks if is_certain else None
        journal.put([*delivered, *outcome.refused, *kept_back], marks=marks, facts=facts)
        self._copies.move(delivered)
        if not is_certain:
            self._resumption.ask_again()
            for error in outcome.errors.values():
                self._say(error)
            if KafkaError.INVALID_TIMESTAMP in outcome.errors:
                self._learn_time(journal)
            if not outcome.errors:
                self._say(self._listener.last or KafkaError(KafkaError._TIMED_OUT))
        self._clock.compare(self._told)
        return is_certain

    def _learn_time(self, journal: Journal) -> None:
        """Kafka refuses times that lie too far ahead: go on from the newest time that it has accepted."""
        newest_s = newest_timestamp_s(self._kafka, self._bootstrap, self._site)
        if newest_s is None and (last := journal.fact("last_delivery_s")):
            newest_s = float(last)
        if newest_s is not None:
            self._clock.heard(newest_s)

    # -- what cannot be read ---------------------------------------------------------------------------------------

    def _cannot_read(self, journal: Journal, entry: Entry) -> None:
        place = self._copies.store.place(entry.copy) if entry.copy else place_of(entry.name, self._copies.watched)
        if place.exists() and self._is_unreadable(place):
            self._postponed[entry.seq] = self._clock.monotonic() + POSTPONED_S
            self._told.tell(
                f"copy {entry.name}", f"cannot read {place}: {entry.name} is tried again every {POSTPONED_S:.0f} s"
            )
            return
        what = f"local copy {entry.copy} is damaged" if entry.copy and place.exists() else "its local copy is gone"
        reason = f"{what}, and {self._copies.watched / entry.name} does not hold these bytes any more"
        self._told.tell(f"copy {entry.name}", f"cannot send {entry.name}: {reason}; put the file back, and it is sent")
        journal.put([replace(entry, state=MISSING, reason=reason, in_flight=False)])

    @staticmethod
    def _is_unreadable(place: Path) -> bool:
        try:
            with place.open("rb") as file:
                while file.read(1 << 20):
                    pass
        except OSError:
            return True
        return False

    # -- Kafka -----------------------------------------------------------------------------------------------------

    def _connected(self) -> Producer:
        if self._producer is None:
            room = max(2 * BATCH_BYTES, 2 * self._kafka.max_message_bytes)
            options = producer_options(self._kafka, self._bootstrap) | {
                "enable.idempotence": True,
                "message.max.bytes": self._kafka.max_message_bytes + 100_000,
                "queue.buffering.max.kbytes": room // 1_000,
                "message.timeout.ms": int(ACKNOWLEDGED_WITHIN_S * 900),  # see ARRIVES_WITHIN_S of edge.resume
                "error_cb": self._listener,
            }
            self._producer = Producer(options)
        return self._producer

    def _heard(self, kafka_s: float) -> None:
        self._clock.heard(kafka_s)

    def _say(self, error: KafkaError) -> None:
        why = explained(error, self._kafka, self._bootstrap, self._listener)
        self._told.tell("kafka", f"{why}; files of {self._site} wait on disk")


def _collect(
    entry: Entry, outcome: _Round, heard: Callable[[float], None]
) -> Callable[[KafkaError | None, Message], None]:
    def settled(error: KafkaError | None, message: Message) -> None:
        if error is None:
            outcome.delivered.append(entry)
            kind, stamp_ms = message.timestamp()
            if kind == TIMESTAMP_LOG_APPEND_TIME:
                heard(stamp_ms / 1000.0)
            partition, offset = message.partition(), message.offset()
            if partition is not None and offset is not None:
                outcome.marks[partition] = max(outcome.marks.get(partition, 0), offset + 1)
        elif error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            reason = f"the broker refuses {entry.bytes} bytes: {error.str()}"
            outcome.refused.append(replace(entry, state=REFUSED, reason=reason, in_flight=False))
        else:
            outcome.errors[error.code()] = error

    return settled
