"""Sending quarantined files again, as they came and dated as they were, and noting that it was done."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from confluent_kafka import KafkaException, Producer

from ipdsf_spark.config import KafkaConfig
from ipdsf_spark.errors import BrokerError, InputError
from ipdsf_spark.kafka.client import made, producer_options
from ipdsf_spark.kafka.quarantine import Quarantined, Values

ROOM: Final = 100_000  # of a record beside its value
MOST_QUEUED: Final = 16  # records that wait for the broker; a file may have many megabytes
FLUSH_S: Final = 60.0
RECENT: Final = 10_000  # files remembered as just sent


@dataclass(frozen=True)
class Look:
    """What decoding a file here gave: profiles, and the reason of what gave none."""

    num_profiles: int
    reason: str = ""


@dataclass
class Replayed:
    """What became of the letters.

    Attributes:
        num_sent: files sent.
        num_profiles: in them, where they were looked at before.
        num_again: letters left alone because they were replayed before.
        num_same: letters about a file that had just been sent for another letter.
        num_refused: letters whose file was not sent.
    """

    num_sent: int = 0
    num_profiles: int = 0
    num_again: int = 0
    num_same: int = 0
    num_refused: int = 0


def replay(
    kafka: KafkaConfig,
    bootstrap: str,
    letters: Iterable[Quarantined],
    *,
    look: Callable[[bytes, Quarantined], Look] | None = None,
    again: bool = False,
    is_rehearsal: bool = False,
    on_refused: Callable[[Quarantined, str], None] | None = None,
) -> Replayed:
    """Send the files of the letters to the files topic, e.g. after a reader was mended.

    A file goes as it came, with its own time of sending and the header `replayed`, which names the letter. Products are
    keyed by site, kind and time, so that sending twice changes nothing. Once Kafka has the file, the letter is marked
    by a record of the same key that refers to it, and the next replay leaves it alone.

    Args:
        kafka: topics and login.
        bootstrap: where Kafka is.
        letters: which; read while sending.
        look: decodes a file first; one without a profile is not sent.
        again: also those that were replayed before.
        is_rehearsal: do everything but send.
        on_refused: told of every letter whose file is not sent, and why.

    Raises:
        BrokerError: Kafka did not take all of them.
    """
    done, sender = Replayed(), _Sender(kafka, bootstrap)
    recent: deque[str] = deque(maxlen=RECENT)  # letters about the same file were written in the same batch
    with Values(kafka, bootstrap) as values:
        for letter in letters:
            if letter.replayed and not again:
                done.num_again += 1
                continue
            if letter.position in recent:
                done.num_same += 1
                if not is_rehearsal:
                    sender.mark(letter)
                continue
            try:
                if not letter.site:
                    raise InputError("it names no site: write its file with `show -o` and let an edge send it")
                raw = values.of(letter)
                found = look(raw, letter) if look is not None else None
                if found is not None and not found.num_profiles:
                    raise InputError(found.reason or "no profile")
            except InputError as error:
                done.num_refused += 1
                if on_refused is not None:
                    on_refused(letter, str(error))
                continue
            if letter.position:
                recent.append(letter.position)
            done.num_sent += 1
            done.num_profiles += found.num_profiles if found is not None else 0
            if not is_rehearsal:
                sender.send(letter, raw)
    sender.finish()
    return done


class _Sender:
    """Files, and a mark for each that has arrived."""

    def __init__(self, kafka: KafkaConfig, bootstrap: str) -> None:
        self._kafka = kafka
        self._failed: list[str] = []
        self._arrived: deque[Quarantined] = deque()
        self._producer = made(
            Producer,
            producer_options(kafka, bootstrap)
            | {
                "enable.idempotence": True,
                "message.max.bytes": kafka.max_message_bytes + ROOM,
                "queue.buffering.max.messages": MOST_QUEUED,
            },
        )

    def send(self, letter: Quarantined, raw: bytes) -> None:
        """Send the file; once it has arrived, mark the letter."""

        def on_delivery(error: object, _: object) -> None:
            if error is not None:
                self._failed.append(str(error))
            else:
                self._arrived.append(letter)

        self._produce(letter.file, self._kafka.files_topic, letter.site, raw, _file_headers(letter), on_delivery)
        self._mark_arrived()

    def mark(self, letter: Quarantined) -> None:
        """Note that its file has been sent."""

        def on_delivery(error: object, _: object) -> None:
            if error is not None:
                self._failed.append(str(error))

        self._produce(
            f"mark of {letter.id}",
            self._kafka.quarantine_topic,
            letter.id,
            b"",
            _mark(self._kafka, letter),
            on_delivery,
        )

    def finish(self) -> None:
        """Wait until Kafka has everything.

        Raises:
            BrokerError: it has not.
        """
        left = self._producer.flush(FLUSH_S)
        self._mark_arrived()
        left += self._producer.flush(FLUSH_S)
        if self._failed or left:
            raise BrokerError(
                f"{len(self._failed) + left} record(s) were not taken: "
                f"{self._failed[0] if self._failed else 'no answer'}; what arrived is marked as replayed, and the same "
                "command sends the rest"
            )

    def _mark_arrived(self) -> None:
        while self._arrived:
            self.mark(self._arrived.popleft())

    def _produce(
        self,
        what: str,
        topic: str,
        key: str,
        value: bytes,
        headers: dict[str, str | bytes | None],
        on_delivery: Callable[[object, object], None],
    ) -> None:
        while True:
            try:
                self._producer.produce(topic, value, key, headers=headers, on_delivery=on_delivery)
            except BufferError:
                self._producer.poll(0.1)
            except KafkaException as error:  # of this record alone: it is larger than kafka.max_message_bytes
                self._failed.append(f"{what}: {error.args[0].str()}")
                return
            else:
                self._producer.poll(0)
                return


def _file_headers(letter: Quarantined) -> dict[str, str | bytes | None]:
    headers: dict[str, str | bytes | None] = {"file": letter.file, "site": letter.site, "replayed": letter.id}
    if letter.sent_ms:
        headers["sent_ms"] = str(letter.sent_ms)
    return headers


def of_position(position: str) -> tuple[str, int, int]:
    """Topic, partition and offset; of a stranger's letter that does not say where it came from "", -1 and -1."""
    found = re.fullmatch(r"(.+)-(\d+)-(\d+)", position)
    return (found[1], int(found[2]), int(found[3])) if found else ("", -1, -1)


def _mark(kafka: KafkaConfig, letter: Quarantined) -> dict[str, str | bytes | None]:
    """Headers of the letter with the note; the value stays where it is."""
    topic, partition, offset = of_position(letter.position)
    return {
        "reason": letter.reason,
        "num_stretches": str(letter.num_stretches),
        "stretches": letter.stretches,
        "site": letter.site,
        "file": letter.file,
        "position": letter.position,
        "sent_ms": str(letter.sent_ms),
        "__streams.errors.exception": letter.exception,
        "__streams.errors.message": letter.reason,
        "__streams.errors.stacktrace": "",
        "__streams.errors.topic": topic,
        "__streams.errors.partition": str(partition),
        "__streams.errors.offset": str(offset),
        "reference": letter.reference or f"{kafka.quarantine_topic}-{letter.partition}-{letter.offset}",
        "quarantined_ms": str(letter.published_ms),
        "replayed": datetime.now(UTC).isoformat(timespec="seconds"),
    }
