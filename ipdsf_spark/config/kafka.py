"""[kafka] which Kafka, which topics, and how to log in. Secrets are named here, by environment variable or file."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

from ipdsf_spark.config.checks import require

PROTOCOLS: Final = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
LARGEST_MESSAGE: Final = 900_000_000  # bytes; Kafka's clients take 1,000,000,000 with headers and all
PATHS: Final = ("_location", "_file", "_keytab")
TOPICS: Final = ("files_topic", "averages_topic", "products_topic", "sites_topic", "quarantine_topic")
TOPIC: Final = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}")  # what Kafka takes for the name of one
# What both kinds of clients take: host:port, IPv6 in brackets; a protocol of Kafka may stand in front.
BROKER: Final = re.compile(
    rf"(?:(?:{'|'.join(PROTOCOLS)})://)?(?:\[[0-9A-Fa-f:.]+(?:%\w+)?\]|[\w.-]+):[0-9]{{1,5}}", re.ASCII
)
MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "GSSAPI")


@dataclass(frozen=True)
class KafkaConfig:
    """Which Kafka, and which topics."""

    bootstrap_servers: str = ""  # empty = the embedded broker of [broker]
    files_topic: str = "ceilometer.files"
    averages_topic: str = "ceilometer.averages"
    products_topic: str = "ceilometer.products"
    sites_topic: str = "ceilometer.sites"
    quarantine_topic: str = "ceilometer.quarantine"
    topic_per_site: bool = False  # so that Kafka can tell whose files they are
    partitions: int = 50
    replication_factor: int = 1
    max_message_bytes: int = 8_000_000
    group_prefix: str = "ipdsf-"
    quarantine_keep_days: int = 0
    quarantine_warn_mb: int = 2_000
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str = ""
    sasl_username: str = ""
    sasl_username_env: str = "IPDSF_KAFKA_USERNAME"
    sasl_password_env: str = "IPDSF_KAFKA_PASSWORD"
    sasl_password_file: str = ""
    oauth_token_url: str = ""
    oauth_scope: str = ""
    oauth_ca_location: str = ""
    kerberos_service: str = "kafka"
    kerberos_principal: str = ""
    kerberos_keytab: str = ""
    ssl_ca_location: str = ""
    ssl_certificate_location: str = ""
    ssl_key_location: str = ""
    ssl_keystore_location: str = ""
    ssl_key_password_env: str = "IPDSF_KAFKA_KEY_PASSWORD"
    ssl_key_password_file: str = ""
    ssl_check_hostname: bool = True

    def __post_init__(self) -> None:
        """Refuse impossible values; paths that begin with ~ are those of whoever runs this."""
        for field in fields(self):
            said = getattr(self, field.name)
            if field.name.endswith(PATHS) and said.startswith("~/"):
                object.__setattr__(self, field.name, str(Path(said).expanduser()))
        require(
            not self.bootstrap_servers
            or all(map(BROKER.fullmatch, re.split(r"\s*,\s*", self.bootstrap_servers.strip()))),
            "kafka.bootstrap_servers",
            "host:port of brokers, separated by commas, or empty for the broker of this machine",
            self.bootstrap_servers,
        )
        self._check_topics()
        require(self.partitions >= 1, "kafka.partitions", "at least 1", self.partitions)
        require(self.replication_factor >= 1, "kafka.replication_factor", "at least 1", self.replication_factor)
        limit = self.max_message_bytes
        require(1 <= limit <= LARGEST_MESSAGE, "kafka.max_message_bytes", f"between 1 and {LARGEST_MESSAGE}", limit)
        require(
            self.security_protocol in PROTOCOLS,
            "kafka.security_protocol",
            " or ".join(PROTOCOLS),
            self.security_protocol,
        )
        require(
            self.sasl_mechanism in ("", *MECHANISMS),
            "kafka.sasl_mechanism",
            " or ".join(MECHANISMS),
            self.sasl_mechanism,
        )
        require(
            not (self.ssl_keystore_location and self.ssl_certificate_location),
            "kafka.ssl_keystore_location",
            "empty beside kafka.ssl_certificate_location: one certificate, as PEM or as PKCS12",
            self.ssl_keystore_location,
        )
        for name in ("quarantine_keep_days", "quarantine_warn_mb"):
            require(getattr(self, name) >= 0, f"kafka.{name}", "0 or more", getattr(self, name))

    def _check_topics(self) -> None:
        """Five topics that Kafka can tell apart, none of which is taken for a site's."""
        seen: dict[str, str] = {}
        for key in TOPICS:
            name = getattr(self, key)
            right = "a topic's name: up to 249 letters, digits, dots, hyphens and underscores"
            require(TOPIC.fullmatch(name) is not None, f"kafka.{key}", right, name)
            first = seen.setdefault(alike(name), key)
            require(first == key, f"kafka.{key}", f"another topic than kafka.{first}", name)
            is_a_sites = self.topic_per_site and name.startswith(f"{self.files_topic}.")
            right = f"no topic below {self.files_topic}., where those of the sites are (kafka.topic_per_site)"
            require(not is_a_sites, f"kafka.{key}", right, name)

    @property
    def topics(self) -> tuple[str, ...]:
        """All that the stream reads and writes, but those of single sites."""
        return tuple(getattr(self, key) for key in TOPICS)

    def files_topic_of(self, site: str) -> str:
        """The topic that a site's files go to."""
        return f"{self.files_topic}.{site}" if self.topic_per_site else self.files_topic


def alike(topic: str) -> str:
    """What two topics have in common of which Kafka makes one only: in its metrics a dot is an underscore."""
    return topic.replace(".", "_")
