"""The quarantine topic: what could not be read, and why, in bounded memory whatever its size.

An index of the topic is made by reading it once: headers and places, no values, in a temporary file of SQLite's. A key
that was written twice, because a batch was repeated or a file was replayed, stands in it once, by its newest record.
Values are fetched one by one, from the record itself or from the one that it refers to.
"""

from __future__ import annotations

import json
import re
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import Message, TopicPartition

from ipdsf_spark.config import KafkaConfig
from ipdsf_spark.errors import InputError
from ipdsf_spark.kafka.reading import TIMEOUT_S, RecordFetcher, bounds, consumer_of, place, records

SAMPLED: Final = 16  # records of a partition, evenly spread, from whose size that of the topic is estimated
MOST_REFERENCES: Final = 4  # a mark refers to a letter, which may refer to a file: no longer chains exist
CACHE_KB: Final = 16_384
MEGABYTE: Final = 1_000_000
# Also checksums, in hexadecimal: else every damaged message would be a reason of its own.
NUMBER: Final = re.compile(r"0x[0-9a-fA-F]+|\b(?=[0-9a-f]*\d)[0-9a-f]{4}\b|\d+(?:\.\d+)?")
COLUMNS: Final = (
    *("id", "site", "file", "reason", "position", "sent_ms", "published_ms", "size", "num_stretches", "stretches"),
    *("exception", "reference", "replayed", "partition", "offset"),
)


@dataclass(frozen=True)
class Quarantined:
    """One dead letter, without its value.

    Attributes:
        id: key of the letter: topic-partition-offset of the source record, and which part or kind.
        site, file, reason: who sent it, its name, and why it was refused (the first reason of several).
        position: topic-partition-offset of the source record.
        sent_ms: when the file was sent [ms since 1970]; 0 if nobody says.
        published_ms: when it was quarantined [ms since 1970].
        size: bytes of the value that the letter holds itself.
        num_stretches: pieces of the file that gave no profile.
        stretches: the first of them as JSON: offset, length, reason.
        exception: kind of the fault.
        reference: position of the record that holds the value, if the letter does not.
        replayed: when the file was sent again, ISO 8601; empty if it was not.
        partition, offset: place of the letter in the quarantine topic.
    """

    id: str
    site: str
    file: str
    reason: str
    position: str
    sent_ms: int
    published_ms: int
    size: int
    num_stretches: int
    stretches: str
    exception: str
    reference: str
    replayed: str
    partition: int
    offset: int


@dataclass(frozen=True)
class Selection:
    """Which letters are meant; whatever is None or empty restricts nothing.

    Attributes:
        ids: as listed.
        site: exactly this site.
        reason: part of the reason, upper and lower case being the same.
        since_ms: quarantined at or after this time [ms since 1970].
        until_ms: quarantined before this time.
        limit: only so many, the newest.
    """

    ids: Sequence[str] = ()
    site: str | None = None
    reason: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    limit: int | None = None

    @property
    def is_everything(self) -> bool:
        """Whether nothing is restricted."""
        return self == Selection()


@dataclass(frozen=True)
class ReportLine:
    """Letters of one day, site and reason; the numbers in a reason are left out so that like stands with like."""

    day: str
    site: str
    reason: str
    num_letters: int
    num_stretches: int
    num_bytes: int
    num_replayed: int


class Index:
    """What the quarantine topic holds, newest record of each key; made by `index_of`.

    Attributes:
        num_records: read, superseded ones included.
        num_bytes: of them all.
    """

    def __init__(self) -> None:
        self._table = sqlite3.connect("")  # a temporary file of its own, deleted when closed
        self._table.execute("PRAGMA journal_mode=OFF")
        self._table.execute("PRAGMA synchronous=OFF")
        self._table.execute(f"PRAGMA cache_size=-{CACHE_KB}")
        columns = ", ".join(f'"{name}"' for name in COLUMNS)
        self._table.execute(f'CREATE TABLE letters ({columns}, gist, day, PRIMARY KEY ("id")) WITHOUT ROWID')
        self.num_records = 0
        self.num_bytes = 0

    def close(self) -> None:
        """Remove the temporary file."""
        self._table.close()

    def add(self, message: Message) -> None:
        """Put one record in the place of an older one of the same key."""
        letter = letter_of(message)
        self.num_records += 1
        self.num_bytes += letter.size + len(message.key() or b"")
        row = [getattr(letter, name) for name in COLUMNS]
        marks = ", ".join("?" * (len(COLUMNS) + 2))
        self._table.execute(
            f"INSERT INTO letters VALUES ({marks}) ON CONFLICT (id) DO UPDATE SET "
            + ", ".join(f'"{name}"=excluded."{name}"' for name in (*COLUMNS, "gist", "day") if name != "id")
            + ' WHERE (excluded.published_ms, excluded."offset") >= (letters.published_ms, letters."offset")',
            [*row, gist_of(letter.reason), letter.published_ms // 86_400_000],
        )

    def letters(self, selection: Selection = Selection()) -> Iterator[Quarantined]:
        """Those that are meant, oldest first.

        Raises:
            InputError: an id is not there.
        """
        self._require(selection.ids)
        where, values = _condition(selection)
        limit = f"LIMIT {min(selection.limit, 2**62)}" if selection.limit is not None else ""
        newest = (
            f'SELECT * FROM letters WHERE {where} ORDER BY published_ms DESC, "partition" DESC, "offset" DESC {limit}'
        )
        names = ", ".join(f'"{name}"' for name in COLUMNS)
        with closing(
            self._table.execute(f'SELECT {names} FROM ({newest}) ORDER BY published_ms, "partition", "offset"', values)
        ) as rows:
            for row in rows:
                yield Quarantined(*row)

    def report(self, selection: Selection = Selection()) -> Iterator[ReportLine]:
        """How many of each day, site and reason, in that order.

        Raises:
            InputError: an id is not there.
        """
        self._require(selection.ids)
        where, values = _condition(selection)
        query = (
            "SELECT date(day * 86400, 'unixepoch'), site, gist, count(*), "
            "CAST(total(num_stretches) AS INTEGER), CAST(total(size) AS INTEGER), "  # sum() fails beyond 64 bits
            f"sum(replayed <> '') FROM letters WHERE {where} GROUP BY day, site, gist ORDER BY day, site, count(*) DESC"
        )
        with closing(self._table.execute(query, values)) as rows:
            for row in rows:
                yield ReportLine(*row)

    def _require(self, ids: Sequence[str]) -> None:
        missing = [
            name for name in ids if not self._table.execute("SELECT 1 FROM letters WHERE id = ?", [name]).fetchone()
        ]
        if missing:
            raise InputError(
                f"nothing in quarantine is called {', '.join(sorted(missing))}; see `ipdsf quarantine list`"
            )


def _condition(selection: Selection) -> tuple[str, list[Any]]:
    parts: list[tuple[str, list[Any]]] = [("1", [])]
    if selection.ids:
        parts.append((f"id IN ({', '.join('?' * len(selection.ids))})", [*selection.ids]))
    if selection.site is not None:
        parts.append(("site = ?", [selection.site]))
    if selection.reason is not None:
        parts.append(("(instr(lower(reason), lower(?)) OR instr(lower(stretches), lower(?)))", [selection.reason] * 2))
    if selection.since_ms is not None:
        parts.append(("published_ms >= ?", [selection.since_ms]))
    if selection.until_ms is not None:
        parts.append(("published_ms < ?", [selection.until_ms]))
    return " AND ".join(part for part, _ in parts), [value for _, values in parts for value in values]


@contextmanager
def index_of(kafka: KafkaConfig, bootstrap: str, *, since_ms: int | None = None) -> Iterator[Index]:
    """Read the quarantine topic once.

    Args:
        kafka: topic and login.
        bootstrap: where Kafka is.
        since_ms: records before that time are not wanted and not read [ms since 1970].

    Raises:
        BrokerError: Kafka does not answer, or has no quarantine topic.
        InputError: the disk has no room for the index.
    """
    topic = kafka.quarantine_topic
    with closing(Index()) as index:
        with consumer_of(kafka, bootstrap, "quarantine") as consumer:
            starts: dict[int, int] = {}
            if since_ms is not None:
                # Kafka gives times before 1970 another meaning.
                wanted = [
                    TopicPartition(topic, number, max(since_ms, 0)) for number in bounds(consumer, topic, bootstrap)
                ]
                for found in consumer.offsets_for_times(wanted, timeout=TIMEOUT_S):
                    starts[found.partition] = found.offset if found.offset >= 0 else 2**62
            try:
                for message in records(consumer, topic, bootstrap, starts):
                    index.add(message)
            except sqlite3.OperationalError as error:
                raise InputError(
                    f"the index of {topic} does not fit into {tempfile.gettempdir()} ({error}): make room there, or "
                    "name another folder in SQLITE_TMPDIR; --since takes less"
                ) from error
        yield index


def read(kafka: KafkaConfig, bootstrap: str) -> list[Quarantined]:
    """All letters, oldest first; for topics that are known to be small.

    Raises:
        BrokerError: Kafka does not answer, or has no quarantine topic.
    """
    with index_of(kafka, bootstrap) as index:
        return list(index.letters())


class Values:
    """Values of letters, one at a time; used as a context.

    Raises:
        BrokerError: Kafka does not answer.
    """

    def __init__(self, kafka: KafkaConfig, bootstrap: str) -> None:
        self._topic = kafka.quarantine_topic
        self._context = consumer_of(kafka, bootstrap, "quarantine")

    def __enter__(self) -> Values:
        self._fetcher = RecordFetcher(self._context.__enter__())
        return self

    def __exit__(self, *raised: Any) -> None:
        self._context.__exit__(*raised)

    def of(self, letter: Quarantined) -> bytes:
        """The file as it came.

        Raises:
            InputError: the record is not there any more, or another stands in its place.
        """
        message = self._fetcher.fetch(self._topic, letter.partition, letter.offset)
        if message is None:
            raise InputError(f"{letter.id} has just left the quarantine topic")
        reference = letter.reference
        for _ in range(MOST_REFERENCES):
            if not reference:
                return _bytes(message.value())
            message = self._referred(letter, reference)
            reference = _headers(message).get("reference", "")
        raise InputError(f"{letter.id} refers in circles, by {reference}")

    def _referred(self, letter: Quarantined, reference: str) -> Message:
        found = place_of(reference)
        message = self._fetcher.fetch(*found) if found is not None else None
        if message is None:
            raise InputError(f"{letter.id} refers to {reference}, and that record is not there any more")
        headers = _headers(message)
        is_older = message.timestamp()[1] <= letter.published_ms
        if not is_older or headers.get("file", letter.file)[: len(letter.file)] != letter.file:
            raise InputError(f"{letter.id} refers to {reference}, where another record stands: the topic was made anew")
        return message


def letter_of(message: Message) -> Quarantined:
    """A record of the quarantine topic as a letter; of a stranger's letter what it says."""
    headers = _headers(message)
    theirs = [headers.get(f"__streams.errors.{name}", "") for name in ("topic", "partition", "offset")]
    position = headers.get("position") or ("-".join(theirs) if all(theirs) else "")
    partition, offset = place(message)
    key = message.key()
    own = f"{message.topic()}-{partition}-{offset}"
    value = _bytes(message.value())
    return Quarantined(
        id=_text(key) if key else own,
        site=headers.get("site", ""),
        file=headers.get("file", ""),
        reason=headers.get("reason") or headers.get("__streams.errors.message") or "no reason given",
        position=position,
        sent_ms=_number(headers.get("sent_ms")),
        # A mark stands in the place of its letter, and says when that was quarantined.
        published_ms=_number(headers.get("quarantined_ms")) or max(0, message.timestamp()[1]),
        size=len(value),
        num_stretches=_number(headers.get("num_stretches")),
        stretches=headers.get("stretches", "[]"),
        exception=headers.get("__streams.errors.exception", ""),
        reference=headers.get("reference", ""),
        replayed=headers.get("replayed", ""),
        partition=partition,
        offset=offset,
    )


def stretches_of(letter: Quarantined) -> list[tuple[int, int, str]]:
    """Offset, length and reason of the pieces that the letter names; of a list that was cut off, none."""
    try:
        return [(int(start), int(length), str(reason)) for start, length, reason in json.loads(letter.stretches)]
    except (ValueError, TypeError, OverflowError, RecursionError):  # a stranger's letter may say anything
        return []


def place_of(position: str) -> tuple[str, int, int] | None:
    """Topic, partition and offset of `topic-partition-offset`; None if it is no place of a record."""
    found = re.fullmatch(r"(.+)-(\d{1,10})-(\d{1,18})", position)
    return (found[1], int(found[2]), int(found[3])) if found else None


def gist_of(reason: str) -> str:
    """A reason without its numbers and without the count of further ones."""
    return NUMBER.sub("#", re.sub(r" \(and \d+ more\)$", "", reason))


def estimated_bytes(kafka: KafkaConfig, bootstrap: str) -> int:
    """About how many bytes the quarantine topic holds: records by their number, sizes by a sample.

    Raises:
        BrokerError: Kafka does not answer, or has no quarantine topic.
    """
    topic, total = kafka.quarantine_topic, 0.0
    with consumer_of(kafka, bootstrap, "quarantine") as consumer:
        fetcher = RecordFetcher(consumer)
        for partition, (low, high) in bounds(consumer, topic, bootstrap).items():
            places = sorted({low + (high - 1 - low) * k // (SAMPLED - 1) for k in range(SAMPLED)}) if high > low else []
            found = [message for at in places if (message := fetcher.fetch(topic, partition, at)) is not None]
            sizes = [len(message.value() or b"") for message in found]
            total += (high - low) * sum(sizes) / len(sizes) if sizes else 0.0
    return int(total)


def budget_warning(kafka: KafkaConfig, num_bytes: int) -> str | None:
    """What to tell an operator whose quarantine has outgrown its budget; None within it."""
    if not kafka.quarantine_warn_mb or num_bytes <= kafka.quarantine_warn_mb * MEGABYTE:
        return None
    return (
        f"the quarantine topic {kafka.quarantine_topic} holds about {num_bytes / MEGABYTE:.0f} MB, more than "
        f"kafka.quarantine_warn_mb = {kafka.quarantine_warn_mb}: nothing in it is deleted by time; see "
        "`ipdsf quarantine report`, replay what can be read now, then lower the topic's retention.ms for a while"
    )


def _headers(message: Message) -> dict[str, str]:
    """Headers as text; the first of each name."""
    found: dict[str, str] = {}
    for header in message.headers() or []:
        found.setdefault(str(header[0]), _text(header[1] if header[1] is not None else ""))
    return found


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value or "").encode()


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _number(text: str | None) -> int:
    return int(text) if text and re.fullmatch(r"\d{1,18}", text) else 0
