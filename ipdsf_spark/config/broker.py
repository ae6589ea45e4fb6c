"""[broker] the embedded Kafka."""

from __future__ import annotations

from dataclasses import dataclass

from ipdsf_spark.config.checks import require


@dataclass(frozen=True)
class BrokerConfig:
    """The embedded Kafka."""

    directory: str = "~/.local/share/ipdsf/broker"
    brokers: int = 1
    heap_mb: int = 512
    oauth_jwks_url: str = ""
    oauth_issuer: str = ""
    oauth_audience: str = ""
    oauth_user_claim: str = "sub"

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        require(bool(self.directory.strip()), "broker.directory", "a folder", self.directory)
        require(1 <= self.brokers <= 3, "broker.brokers", "1, 2 or 3", self.brokers)
        require(self.heap_mb >= 128, "broker.heap_mb", "at least 128", self.heap_mb)
