"""The sites topic: what the stream last said of every site, and whether every profile is accounted for.

The counts are part of a site's state, so they hold under repeated tasks and go on over restarts.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from ipdsf_spark.config import KafkaConfig
from ipdsf_spark.errors import BrokerError
from ipdsf_spark.kafka.client import client_options

TIMEOUT_S: Final = 10.0


@dataclass(frozen=True)
class SiteStatus:
    """What is known of one site.

    Attributes:
        site: its id.
        time: of its newest profile, ISO-8601 UTC; None before there is one.
        instrument, identity: what measures there.
        is_silent: nothing has come for so long that everything was made final.
        flags: what happened to its state when this was said.
        files, profiles, rejected: read.
        used, duplicate, late, foreign: what became of the profiles.
        faults: exceptions of operators.
        is_balanced: profiles = used + duplicate + late + foreign, checked by the stream.
        alarms: status bits of the instrument in its newest complete interval.
        sent_ms: when its newest file was sent [ms since 1970].
    """

    site: str
    time: str | None = None
    instrument: str = ""
    identity: str = ""
    is_silent: bool = False
    flags: list[str] = field(default_factory=list)
    files: int = 0
    profiles: int = 0
    rejected: int = 0
    used: int = 0
    duplicate: int = 0
    late: int = 0
    foreign: int = 0
    faults: int = 0
    is_balanced: bool = True
    alarms: list[str] = field(default_factory=list)
    sent_ms: int = 0


COUNTED: Final = ("files", "profiles", "rejected", "used", "duplicate", "late", "foreign", "faults")


def read_sites(kafka: KafkaConfig, bootstrap: str) -> list[SiteStatus]:
    """The newest status of every site, by id.

    Raises:
        BrokerError: Kafka does not answer, or has no topic of sites.
    """
    known = {item.name for item in fields(SiteStatus)}
    newest: dict[str, SiteStatus] = {}
    for value in _values(kafka, bootstrap):
        said = json.loads(value)
        status = SiteStatus(**{name: said[name] for name in known & said.keys()})
        newest[status.site] = status
    return [newest[site] for site in sorted(newest)]


def total_of(sites: Iterable[SiteStatus]) -> dict[str, int]:
    """The counts of all sites together."""
    listed = list(sites)
    return {name: sum(getattr(site, name) for site in listed) for name in COUNTED}


def _values(kafka: KafkaConfig, bootstrap: str) -> Iterator[bytes]:
    consumer = Consumer(
        client_options(kafka, bootstrap)
        | {
            "group.id": f"ipdsf-sites-{uuid.uuid4()}",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    try:
        topic = consumer.list_topics(kafka.sites_topic, timeout=TIMEOUT_S).topics[kafka.sites_topic]
        if topic.error is not None:
            raise BrokerError(f"no topic {kafka.sites_topic} at {bootstrap}: {topic.error.str()}; has the stream run?")
        consumer.assign([TopicPartition(kafka.sites_topic, partition, 0) for partition in topic.partitions])
        num_open = len(topic.partitions)
        while num_open:
            message = consumer.poll(TIMEOUT_S)
            if message is None:
                raise BrokerError(f"Kafka at {bootstrap} stopped answering within {TIMEOUT_S:.0f} s")
            if (error := message.error()) is not None:
                if error.code() != KafkaError._PARTITION_EOF:
                    raise KafkaException(error)
                num_open -= 1
                continue
            if isinstance(value := message.value(), bytes):
                yield value
    except KafkaException as error:
        raise BrokerError(f"cannot read {kafka.sites_topic} at {bootstrap}: {error.args[0].str()}") from error
    finally:
        consumer.close()
