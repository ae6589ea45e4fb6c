"""The sites topic: what the stream last said of every site, and whether every profile is accounted for.

The counts are part of a site's state, so they hold under repeated tasks and go on over restarts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Final

from ipdsf_spark.config import KafkaConfig
from ipdsf_spark.kafka.reading import consumer_of, records


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
    with consumer_of(kafka, bootstrap, "sites") as consumer:
        for message in records(consumer, kafka.sites_topic, bootstrap):
            said = json.loads(message.value() or b"{}")
            status = SiteStatus(**{name: said[name] for name in known & said.keys()})
            newest[status.site] = status
    return [newest[site] for site in sorted(newest)]


def total_of(sites: Iterable[SiteStatus]) -> dict[str, int]:
    """The counts of all sites together."""
    listed = list(sites)
    return {name: sum(getattr(site, name) for site in listed) for name in COUNTED}
