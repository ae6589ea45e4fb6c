"""[kafka] which Kafka, and which topics."""

from __future__ import annotations

from dataclasses import dataclass

from ipdsf_spark.config.checks import require


@dataclass(frozen=True)
class KafkaConfig:
    """Which Kafka, and which topics."""

    bootstrap_servers: str = ""  # empty = the embedded broker of [broker]
    files_topic: str = "ceilometer.files"
    averages_topic: str = "ceilometer.averages"
    products_topic: str = "ceilometer.products"
    quarantine_topic: str = "ceilometer.quarantine"
    partitions: int = 50
    replication_factor: int = 1
    max_message_bytes: int = 8_000_000
    quarantine_keep_days: int = 0
    quarantine_warn_mb: int = 2_000
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str = ""
    sasl_username_env: str = "IPDSF_KAFKA_USERNAME"
    sasl_password_env: str = "IPDSF_KAFKA_PASSWORD"
    ssl_ca_location: str = ""

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        require(self.partitions >= 1, "kafka.partitions", "at least 1", self.partitions)
        require(self.replication_factor >= 1, "kafka.replication_factor", "at least 1", self.replication_factor)
        for name in ("quarantine_keep_days", "quarantine_warn_mb"):
            require(getattr(self, name) >= 0, f"kafka.{name}", "0 or more", getattr(self, name))
