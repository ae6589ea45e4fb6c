"""The quarantine topic: what could not be read, why, and sending it again."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from ipdsf_spark.config import KafkaConfig
from ipdsf_spark.errors import BrokerError
from ipdsf_spark.kafka.client import client_options

TIMEOUT_S: Final = 10.0
HEADERS: Final = ("site", "file", "reason", "position", "start")


@dataclass(frozen=True)
class Quarantined:
    """One stretch of bytes that gave no profile.

    Attributes:
        id: topic-partition-offset of the file and the offset of the stretch in it; unique.
        site, file, reason: who sent it, its name, and why it was refused.
        position: topic-partition-offset of the file.
        start: offset of the stretch in the file.
        raw: its bytes.
        published_ms: when it was quarantined [ms since 1970].
    """

    id: str
    site: str
    file: str
    reason: str
    position: str
    start: int
    raw: bytes
    published_ms: int


def read(kafka: KafkaConfig, bootstrap: str) -> list[Quarantined]:
    """Everything in quarantine, oldest first; a stretch that was published twice is listed once.

    Raises:
        BrokerError: Kafka does not answer, or has no quarantine topic.
    """
    options = client_options(kafka, bootstrap) | {
        "group.id": f"ipdsf-quarantine-{uuid.uuid4()}",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "earliest",
    }
    consumer = Consumer(options)
    try:
        topic = consumer.list_topics(kafka.quarantine_topic, timeout=TIMEOUT_S).topics[kafka.quarantine_topic]
        if topic.error is not None:
            raise BrokerError(f"no topic {kafka.quarantine_topic} at {bootstrap}: {topic.error.str()}")
        consumer.assign([TopicPartition(kafka.quarantine_topic, partition, 0) for partition in topic.partitions])
        open_parts = len(topic.partitions)
        found: dict[str, Quarantined] = {}
        while open_parts:
            message = consumer.poll(TIMEOUT_S)
            if message is None:
                raise BrokerError(f"Kafka at {bootstrap} stopped answering within {TIMEOUT_S:.0f} s")
            if (error := message.error()) is not None:
                if error.code() != KafkaError._PARTITION_EOF:
                    raise KafkaException(error)
                open_parts -= 1
                continue
            headers = dict.fromkeys(HEADERS, "")
            for header in message.headers() or []:
                value = header[1]
                headers[str(header[0])] = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
            key = message.key()
            name = key.decode("utf-8", "replace") if isinstance(key, bytes) else str(key)
            value = message.value()
            found[name] = Quarantined(
                id=name,
                site=headers["site"],
                file=headers["file"],
                reason=headers["reason"],
                position=headers["position"],
                start=int(headers["start"] or 0),
                raw=value if isinstance(value, bytes) else str(value or "").encode(),
                published_ms=message.timestamp()[1],
            )
        return sorted(found.values(), key=lambda item: item.published_ms)
    except KafkaException as error:
        raise BrokerError(f"cannot read {kafka.quarantine_topic} at {bootstrap}: {error.args[0].str()}") from error
    finally:
        consumer.close()


def resend(kafka: KafkaConfig, bootstrap: str, items: Iterable[Quarantined]) -> int:
    """Send the original bytes to the files topic again, e.g. after a reader was mended; returns how many went.

    Heights are keyed by site and time, so that sending twice changes nothing.

    Raises:
        BrokerError: Kafka did not take all of them.
    """
    failed: list[str] = []
    producer = Producer(
        client_options(kafka, bootstrap)
        | {"enable.idempotence": True, "message.max.bytes": kafka.max_message_bytes + 100_000}
    )
    count = 0
    for item in items:
        headers: dict[str, str | bytes | None] = {
            "file": item.file,
            "site": item.site,
            "replayed": item.id,
            "sent_ms": str(time.time_ns() // 1_000_000),
        }
        producer.produce(
            kafka.files_topic,
            item.raw,
            item.site,
            on_delivery=lambda error, _: failed.append(error.str()) if error else None,
            headers=headers,
        )
        count += 1
        producer.poll(0)
    left = producer.flush(60.0)
    if failed or left:
        raise BrokerError(f"{len(failed) + left} of {count} were not taken: {failed[0] if failed else 'no answer'}")
    return count
