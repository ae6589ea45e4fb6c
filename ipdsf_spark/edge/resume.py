"""What became of the records that were in flight when the agent last stopped.

They are looked for in the partition of their site only, from the time at which they were handed over to the last at
which they could have arrived, or from the offset that the journal remembers: those that arrived are settled, the others
are sent. What other sites wrote there in these moments is read along. Where that would be too much, they are sent again
with the same checksum, by which receivers know them.
"""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from confluent_kafka import KafkaError, KafkaException

from ipdsf_spark.config import KafkaConfig
from ipdsf_spark.edge.arrived import Arrived, FilesTopic, Meter
from ipdsf_spark.edge.copies import Copies
from ipdsf_spark.edge.entry import APPENDED, DELIVERED, WHOLE, Entry
from ipdsf_spark.edge.journal import Journal
from ipdsf_spark.edge.repair import FROM_START, MUST_ASK
from ipdsf_spark.kafka.client import Listener

logger = logging.getLogger(__name__)

NOT_READABLE: Final = frozenset({KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED})
RESUME_BYTES: Final = 32_000_000  # of all sites, read to learn what has become of records in flight
IN_FLIGHT_SINCE: Final = "in_flight_since_s"  # Kafka's time of handing over, empty where it is not known
CLOCK_S: Final = 30.0  # how well Kafka's time is known here
ARRIVES_WITHIN_S: Final = 120.0  # the producer gives up after 54 s; what it had sent by then is taken soon after
MOST_MARKS: Final = 4  # partitions looked into, where the site's has changed
AT_ONCE: Final = 200  # records of the journal looked at together


def _starts(topic: FilesTopic, marks: Mapping[int, int], own: int) -> dict[int, int]:
    """From where to look, by partition, as the topic is now.

    Where it has grown, the site's records go to another partition than the marks name; where it was made anew, the
    marks lie beyond its end, or name partitions that it has not.
    """
    starts = {own: 0} if own not in marks else {}
    for partition, mark in marks.items():
        if partition != own and (len(marks) > MOST_MARKS or partition not in topic):
            continue
        try:
            starts[partition] = mark if mark <= topic.end(partition) else 0
        except KafkaException as error:
            if partition == own:
                raise
            logger.debug("partition %d, to which this site does not write any more: %s", partition, error)
    return starts


class Resumption:
    """Asks Kafka once after a start, and again whenever something of a batch has stayed uncertain.

    Args:
        kafka: topic and login.
        bootstrap: where Kafka is; need not be reachable.
        site: key of every record.
        copies: of the records.
        listener: hears why the site is not let in.
    """

    def __init__(
        self, kafka: KafkaConfig, bootstrap: str, site: str, copies: Copies, listener: Listener | None = None
    ) -> None:
        self._kafka, self._bootstrap, self._site, self._copies = kafka, bootstrap, site, copies
        self._listener = listener
        self._is_certain = False

    def ask_again(self) -> None:
        """Something is uncertain: ask before anything else is sent."""
        self._is_certain = False

    def settle(self, journal: Journal) -> None:
        """Find out what became of the records in flight when the agent last stopped.

        Raises:
            KafkaException: Kafka does not answer.
        """
        how = journal.fact(MUST_ASK)
        if self._is_certain and not how:
            return
        uncertain = journal.in_flight()
        if uncertain or how:
            self._ask(journal, uncertain, how)
            journal.put_facts(**{MUST_ASK: ""})
        self._is_certain = True

    def _ask(self, journal: Journal, uncertain: Sequence[Entry], how: str) -> None:
        topic = FilesTopic(self._kafka, self._bootstrap, self._site, self._listener)
        open_digests = {entry.sha256 for entry in uncertain}
        num_open, last_seq = len(open_digests), 0
        meter, most_bytes = Meter(), math.inf if how == FROM_START else RESUME_BYTES
        try:
            own = topic.partition()
            starts = _starts(topic, journal.marks(), own)
            until_s = None
            if how == FROM_START:
                starts[own] = 0
            elif not how and (since := journal.fact(IN_FLIGHT_SINCE)):
                until_s = float(since) + ARRIVES_WITHIN_S + CLOCK_S
                first_s = float(since) - CLOCK_S
                starts = {part: max(start, topic.offset_at(part, first_s)) for part, start in starts.items()}
            batch: list[Arrived] = []
            for partition, start in starts.items():
                if not open_digests and not how:
                    break
                for arrived in topic.records(partition, start, meter, until_s=until_s, most_bytes=most_bytes):
                    last_seq = max(last_seq, arrived.entry.seq)
                    open_digests.discard(arrived.entry.sha256)
                    batch.append(arrived)
                    if len(batch) >= 1_000:
                        self._enter(journal, batch)
                        batch = []
                    if not open_digests and not how:
                        break
            self._enter(journal, batch)
        except KafkaException as error:
            if error.args[0].code() not in NOT_READABLE:
                raise
            # Who may only write cannot look: what is uncertain is sent again, and its sha256 tells.
            logger.warning("this user may not read the topic: %d record(s) in flight are sent again", num_open)
        finally:
            topic.close()
        journal.begin_numbers_after(last_seq)
        left = [replace(entry, in_flight=False) for entry in journal.in_flight()]
        journal.put(left)
        if how == FROM_START:
            self._cut_what_arrived(journal)
        logger.info("%d of %d records in flight had arrived", num_open - len(open_digests), num_open)
        if open_digests and meter.bytes > most_bytes:
            logger.warning(
                "%d record(s) are sent again: their fate lies behind %d MB of other sites; their sha256 tells",
                len(open_digests),
                meter.bytes // 1_000_000,
            )

    def _enter(self, journal: Journal, found: Sequence[Arrived]) -> None:
        """Records that are in the topic are delivered, known or not."""
        known, unknown = [], []
        uncertain = journal.in_flight()
        for each in found:
            held = journal.held(each.entry)
            if held is None:  # a copy of an older version tells its file's name only roughly
                held = next((entry for entry in uncertain if entry.sha256 == each.entry.sha256), None)
            if held is not None and held.state != DELIVERED:
                known.append(self._copies.delivered(held, each.entry.delivered_s))
            elif held is None and len(each.entry.sha256) == 64:
                unknown.append(replace(each.entry, seen_s=each.entry.delivered_s, seq=0))
        journal.add(unknown)
        journal.put(known, marks={each.partition: each.offset + 1 for each in found})
        self._copies.move(known)

    def _cut_what_arrived(self, journal: Journal) -> None:
        """Taken in whole after the journal was lost, but begun to arrive in parts before: only the rest is new."""
        after = 0
        while entries := journal.pending(AT_ONCE, after=after):
            after = entries[-1].seq
            for entry in entries:
                if entry.kind != WHOLE or entry.start:
                    continue
                parts = [each for each in journal.of_file(entry.name) if each.state == DELIVERED]
                covered = max((each.stop for each in parts), default=0)
                if covered and (raw := self._copies.value(entry)) is not None:
                    self._replace_by_rest(journal, entry, parts, raw)

    def _replace_by_rest(self, journal: Journal, entry: Entry, parts: Sequence[Entry], raw: bytes) -> None:
        taken = preamble = 0
        for part in parts:
            value = raw[: part.preamble] + raw[part.start : part.stop]
            if part.start == taken and hashlib.sha256(value).hexdigest() == part.sha256:
                taken, preamble = part.stop, part.preamble
        if not taken:
            return
        arrived = self._copies.delivered(replace(entry, reason="arrived in parts"), self._copies.clock.known_s() or 0.0)
        if taken < entry.bytes:
            value = raw[:preamble] + raw[taken:]
            digest = hashlib.sha256(value).hexdigest()
            rest = replace(
                entry, start=taken, sha256=digest, bytes=len(value), kind=APPENDED, preamble=preamble, copy="", seq=0
            )
            try:
                rest = replace(rest, copy=self._copies.store.keep(rest, value))
            except OSError:
                logger.debug("no copy of the rest of %s", entry.name)
            journal.add([rest])
        journal.put([arrived])
        self._copies.move([arrived])
