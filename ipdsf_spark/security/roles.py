"""Who may do what: one table, from which the embedded broker's ACLs and the commands for another cluster are made.

Kafka's rights know topics, groups and the cluster; they do not know the keys of records. So that a site can write only
its own keys, every site has a topic of its own (`kafka.topic_per_site`): Kafka lets its user write there and nowhere
else, and the stream refuses a record there whose key is another site's. With one topic for all sites, whoever may
write to it may write under any key.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ipdsf_spark.config import KafkaConfig
from ipdsf_spark.config.kafka import alike
from ipdsf_spark.errors import ConfigError

BROKER: Final = "broker"
ADMIN: Final = "admin"
STREAM: Final = "stream"
READER: Final = "reader"
EDGE: Final = "edge-"  # and the site's id
SUPER: Final = (BROKER, ADMIN)
NAMEABLE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # as the table of sites has it


@dataclass(frozen=True, order=True)
class Right:
    """One thing that a user may do.

    Attributes:
        user: who.
        operation: READ, WRITE, DESCRIBE (which the two others include), CREATE ...
        kind: "topic" or "group".
        name: of it, or how it begins.
        is_prefix: whether `name` is only the beginning.
    """

    user: str
    operation: str
    kind: str
    name: str
    is_prefix: bool = False


def user_of(site: str) -> str:
    """The user of a site's edge node.

    Raises:
        ConfigError: a topic cannot be named after this site.
    """
    if not NAMEABLE.fullmatch(site):
        raise ConfigError(
            f"site {site!r} cannot have a user and a topic of its own: up to 64 letters, digits, dots, hyphens and "
            "underscores, the first a letter or a digit"
        )
    return f"{EDGE}{site}"


def check_apart(kafka: KafkaConfig, sites: Sequence[str]) -> None:
    """Whether every one of these sites can have a topic of its own beside the others.

    Raises:
        ConfigError: Kafka takes the topics of two of them for one.
    """
    seen: dict[str, str] = {}
    for site in sites if kafka.topic_per_site else ():
        first = seen.setdefault(alike(kafka.files_topic_of(site)), site)
        if first != site:
            raise ConfigError(
                f"sites {first} and {site} cannot both have a topic: Kafka does not tell a dot from an underscore there"
            )


def rights_of_edge(kafka: KafkaConfig, site: str) -> list[Right]:
    """A site's node writes into its topic, and reads nothing."""
    return [Right(user_of(site), "WRITE", "topic", kafka.files_topic_of(site))]


def rights_of_stream(kafka: KafkaConfig) -> list[Right]:
    """The job reads files and writes what it makes of them; it makes and changes no topic.

    It writes files as well: a message that began in one file and ended in the next is put back together as one. It
    reads what the archive keeps.
    """
    archived = (kafka.averages_topic, kafka.products_topic)
    written = (*archived, kafka.sites_topic, kafka.quarantine_topic)
    return [
        Right(STREAM, "READ", "topic", kafka.files_topic, is_prefix=True),
        Right(STREAM, "WRITE", "topic", kafka.files_topic),
        *(Right(STREAM, "WRITE", "topic", name) for name in written),
        *(Right(STREAM, "READ", "topic", name) for name in written),
        Right(STREAM, "READ", "group", kafka.group_prefix, is_prefix=True),
    ]


def rights_of_reader(kafka: KafkaConfig) -> list[Right]:
    """Notebooks, pages and other people's programs read what the stream has made."""
    return [
        *(Right(READER, "READ", "topic", name) for name in (kafka.averages_topic, kafka.products_topic)),
        Right(READER, "READ", "topic", kafka.sites_topic),
        Right(READER, "READ", "group", kafka.group_prefix, is_prefix=True),
    ]


def as_command(right: Right, bootstrap: str) -> str:
    """The line of Kafka's own tool that gives this right, for a cluster that somebody else looks after."""
    pattern = " --resource-pattern-type prefixed" if right.is_prefix else ""
    return (
        f"kafka-acls.sh --bootstrap-server {bootstrap} --command-config admin.properties --add "
        f"--allow-principal User:{right.user} --operation {right.operation.title()} "
        f"--{right.kind} '{right.name}'{pattern}"
    )
