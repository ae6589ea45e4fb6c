"""A topic into its table, exactly once: how far it was read stands in the same commit as what was read.

There is no checkpoint beside the table. The table itself holds, as Delta transactions, the next offset of every
partition of every topic that it was fed from, under the topic's identity. So a table that was deleted is written again
from the oldest record, and a topic that was made anew, or has grown, is read from its beginning.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from ipdsf_spark.archive.delta.log import DataFile, snapshot
from ipdsf_spark.archive.delta.write import ConflictError, commit, write_file
from ipdsf_spark.archive.tables import PARTITION, Kind, Order, Record, file_schema
from ipdsf_spark.config import KafkaConfig
from ipdsf_spark.errors import BrokerError
from ipdsf_spark.kafka.client import Listener, client_options, failure, group_id, made
from ipdsf_spark.kafka.identity import topic_identity
from ipdsf_spark.kafka.reading import FETCH_WAIT_MS, ends_of, place
from ipdsf_spark.kafka.topics import admin

logger = logging.getLogger(__name__)

TIMEOUT_S: Final = 10.0
MAX_BYTES: Final = 16_000_000  # of records in one commit
POLL_S: Final = 0.2
PREFETCH_KB: Final = 8_192
SHOWN_FAULTS: Final = 3


@dataclass(frozen=True)
class Fed:
    """What one commit took: records, those that could not be read, records left in the topic, the table after it."""

    num_records: int
    num_faults: int
    lag: int
    version: int


class Feed:
    """One topic and its table; used as a context.

    Args:
        kafka: login.
        bootstrap: where Kafka is.
        topic: which.
        directory: the table's folder.
        kind: the table.

    Raises:
        BrokerError: Kafka does not answer.
        InputError: the table is damaged.
        OSError: the disk does not answer.
    """

    def __init__(self, kafka: KafkaConfig, bootstrap: str, topic: str, directory: Path, kind: Kind) -> None:
        self.topic, self.directory, self.kind = topic, directory, kind
        self._bootstrap = bootstrap
        self._identity = ""
        self._kafka, self._listener = kafka, Listener()
        self._admin = admin(kafka, bootstrap, self._listener)
        self._order = Order()
        self._next: dict[int, int] = {}
        self._held: dict[str, int] = {}
        self._consumer = made(
            Consumer,
            client_options(kafka, bootstrap)
            | {
                "group.id": group_id(kafka, "archive"),
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "error",
                "queued.max.messages.kbytes": PREFETCH_KB,
                "fetch.message.max.bytes": max(kafka.max_message_bytes, 1_048_576),
                "fetch.wait.max.ms": FETCH_WAIT_MS,
                "isolation.level": "read_committed",
                "error_cb": self._listener,
            },
        )

    def __enter__(self) -> Feed:
        try:
            self.begin()
        except BaseException:
            self._consumer.close()
            raise
        return self

    def __exit__(self, *raised: object) -> None:
        self._consumer.close()

    def begin(self) -> None:
        """Go to where the table ends, in the topic as it is now."""
        found = snapshot(self.directory)
        try:
            self._identity = self._identity_now()
            bounds = self._bounds()
        except KafkaException as error:
            raise self._failure(error.args[0]) from error
        self._held = dict(found.transactions)
        self._next = {}
        for partition, (low, high) in bounds.items():
            wanted = self._held.get(self._writer(partition), 0)
            if wanted > high:
                wanted = high  # the broker has lost its newest records: what comes next is read
            elif wanted < low and wanted:
                logger.warning(
                    "%s, partition %d: %d record(s) left the topic before the archive had them",
                    self.topic, partition, low - wanted,
                )  # fmt: skip
            self._next[partition] = max(wanted, low)
        places = [TopicPartition(self.topic, number, at) for number, at in self._next.items()]
        self._consumer.assign(places)
        self._consumer.pause(places)

    def _identity_now(self) -> str:
        try:
            return topic_identity(self._admin, self.topic)
        except BrokerError as error:
            self._admin.poll(0.0)  # lets the listener hear
            if self._listener.login is None:
                raise
            raise self._failure(self._listener.login) from error

    def _failure(self, error: KafkaError) -> BrokerError:
        self._consumer.poll(0.0)
        self._listener.forget_older(2 * TIMEOUT_S)
        return failure(error, self._kafka, self._bootstrap, self._listener)

    def _bounds(self) -> dict[int, tuple[int, int]]:
        listed = self._consumer.list_topics(self.topic, timeout=TIMEOUT_S).topics[self.topic].partitions
        return {number: ends_of(self._consumer, self.topic, number) for number in sorted(listed)}

    def _writer(self, partition: int) -> str:
        return f"{self.topic}/{self._identity}/{partition}"

    @property
    def archived(self) -> dict[int, int]:
        """By partition the offset up to which the table has been fed."""
        return {number: self._held.get(self._writer(number), 0) for number in self._next}

    def take(self, is_stopped: Callable[[], bool] = lambda: False) -> Fed:
        """One commit of what is in the topic now, up to `MAX_BYTES`; none if there is nothing new.

        After an exception this feed has read what it did not write: close it and make another.

        Args:
            is_stopped: asked now and then; True ends the gathering.

        Raises:
            BrokerError: Kafka does not answer.
            OSError: the disk is full or broken; nothing was taken.
        """
        try:
            bounds = self._look_again()
            records = self._gather(bounds, is_stopped)
        except KafkaException as error:
            raise self._failure(error.args[0]) from error
        num_faults, version = 0, -1
        if records:
            num_faults, version = self._write(records)
        lag = sum(max(0, high - self._next.get(number, 0)) for number, (_, high) in bounds.items())
        return Fed(len(records), num_faults, lag, version)

    def _look_again(self) -> dict[int, tuple[int, int]]:
        """Ends of the topic; begins again where it is another one or has other partitions."""
        if self._identity_now() != self._identity:
            logger.warning("topic %s was made anew: the archive reads it from its beginning", self.topic)
            self.begin()
        bounds = self._bounds()
        if bounds.keys() != self._next.keys():
            self.begin()
        return bounds

    def _gather(self, bounds: dict[int, tuple[int, int]], is_stopped: Callable[[], bool]) -> list[Record]:
        left = {number for number, (_, high) in bounds.items() if self._next[number] < high}
        if not left:
            return []
        self._consumer.resume(self._consumer.assignment())
        try:
            return self._read(left, bounds, is_stopped)
        finally:
            # A client that is not read goes on asking for what may come, two hundred times a second and partition.
            self._consumer.pause(self._consumer.assignment())

    def _read(self, left: set[int], bounds: dict[int, tuple[int, int]], is_stopped: Callable[[], bool]) -> list[Record]:
        records: list[Record] = []
        size, heard = 0, time.monotonic()
        while left and size < MAX_BYTES and not is_stopped():
            message = self._consumer.poll(POLL_S)
            if message is None:
                if time.monotonic() > heard + TIMEOUT_S:
                    raise BrokerError(f"Kafka at {self._bootstrap} stopped answering within {TIMEOUT_S:.0f} s")
                continue
            heard = time.monotonic()
            partition, offset = place(message)
            if (error := message.error()) is not None:
                if error.code() == KafkaError._PARTITION_EOF:
                    left.discard(partition)  # compaction may have taken the records before the end
                    self._next[partition] = max(self._next.get(partition, 0), offset)
                elif error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
                    self.begin()
                    return []
                else:
                    raise KafkaException(error)
                continue
            value, key = message.value() or b"", message.key() or b""
            published_ms = self._order.published_ms(partition, offset, message.timestamp()[1])
            records.append(Record(_bytes(key), _bytes(value), published_ms, partition, offset))
            self._next[partition] = offset + 1
            size += len(value) + len(key)
            if partition in left and offset >= bounds[partition][1] - 1:
                left.discard(partition)
        return records

    def _write(self, records: Sequence[Record]) -> tuple[int, int]:
        by_day, faults = self.kind.rows(records)
        if faults:
            shown = "; ".join(faults[:SHOWN_FAULTS])
            logger.warning("%s: %d record(s) that are none of ours: %s", self.topic, len(faults), shown)
        schema = file_schema(self.kind.schema)
        adds: list[DataFile] = []
        try:
            for day, batches in sorted(by_day.items()):
                adds.append(write_file(self.directory, batches, schema, {PARTITION: day}))
            found = commit(
                self.directory,
                schema=self.kind.schema,
                partition_columns=[PARTITION],
                adds=adds,
                transactions={
                    self._writer(number): (before, after)
                    for number, after in self._next.items()
                    if (before := self._held.get(self._writer(number), 0)) != after
                },
                operation="STREAMING UPDATE",
            )
        except ConflictError:
            _forget(self.directory, adds)
            logger.warning("%s: somebody else archives this topic too", self.topic)
            self.begin()  # go on where they are
            return 0, -1
        except Exception:
            _forget(self.directory, adds)
            raise
        self._held = dict(found.transactions)
        return len(faults), found.version


def _forget(directory: Path, files: Sequence[DataFile]) -> None:
    """Remove files that no commit names; what cannot be removed now, retention will."""
    for file in files:
        with contextlib.suppress(OSError):
            (directory / file.path).unlink(missing_ok=True)


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value or "").encode()
