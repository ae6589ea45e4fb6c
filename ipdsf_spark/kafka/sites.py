"""The sites topic: what the stream last said of every site, and whether every profile is accounted for.

The counts are part of a site's state, so they hold under repeated tasks and go on over restarts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Final

from confluent_kafka import KafkaError, Producer

from ipdsf_spark.config import KafkaConfig
from ipdsf_spark.errors import BrokerError
from ipdsf_spark.kafka.client import Listener, explained, made, producer_options
from ipdsf_spark.kafka.reading import consumer_of, records

TIMEOUT_S: Final = 30.0


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
    """The newest status of every site, by id; without those that were taken out, and what is no status.

    Raises:
        BrokerError: Kafka does not answer, or has no topic of sites.
    """
    newest: dict[str, SiteStatus] = {}
    with consumer_of(kafka, bootstrap, "sites") as consumer:
        for message in records(consumer, kafka.sites_topic, bootstrap):
            value, key = message.value(), message.key()
            if value is None:
                newest.pop(key.decode("utf-8", "replace") if isinstance(key, bytes) else str(key), None)
            elif (status := status_of(value)) is not None:
                newest[status.site] = status
    return [newest[site] for site in sorted(newest)]


def status_of(value: bytes | str) -> SiteStatus | None:
    """A record's status; None if it is none. What a later or another program wrote in another form is left out."""
    try:
        said = json.loads(value)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict) or not isinstance(said.get("site"), str):
        return None
    plain = asdict(SiteStatus("", time=""))
    known = {name: said[name] for name, like in plain.items() if type(said.get(name)) is type(like)}
    words = {
        name: [word for word in each if isinstance(word, str)] for name, each in known.items() if type(each) is list
    }
    return SiteStatus(**known | words)


def take_out(kafka: KafkaConfig, bootstrap: str, sites: Iterable[str]) -> None:
    """Take sites out of the topic, where their last word would stand for ever; who sends again is there again.

    Raises:
        BrokerError: Kafka does not take it.
    """
    refused: list[KafkaError] = []
    listener = Listener()
    producer = made(Producer, producer_options(kafka, bootstrap) | {"error_cb": listener})
    for site in sites:
        producer.produce(
            kafka.sites_topic, None, site, on_delivery=lambda error, _: refused.append(error) if error else None
        )
    if producer.flush(TIMEOUT_S):
        raise BrokerError(f"Kafka at {bootstrap} did not take it within {TIMEOUT_S:.0f} s")
    if refused:
        raise BrokerError(explained(refused[0], kafka, bootstrap, listener))


def total_of(sites: Iterable[SiteStatus]) -> dict[str, int]:
    """The counts of all sites together."""
    listed = list(sites)
    return {name: sum(getattr(site, name) for site in listed) for name in COUNTED}
