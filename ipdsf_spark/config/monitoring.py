"""[monitoring] what a running job and a running edge node show of themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ipdsf_spark.config.checks import require

FORMATS: Final = ("text", "json")
LEVELS: Final = ("", "debug", "info", "warning", "error")


@dataclass(frozen=True)
class MonitoringConfig:
    """What a running job and a running edge node show of themselves."""

    log_format: str = "text"
    log_level: str = ""
    listen: str = "127.0.0.1:9108"
    edge_listen: str = ""
    cluster_name: str = "ipdsf"
    max_sites: int = 200
    commit_group: str = ""
    pages_directory: str = ""
    pages_every_s: int = 30

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        for name in ("listen", "edge_listen"):
            value = getattr(self, name)
            host, _, port = value.rpartition(":")
            is_address = bool(host) and port.isdecimal() and int(port) < 65_536
            require(not value or is_address, f"monitoring.{name}", "host:port, or empty", value)
        require(self.log_format in FORMATS, "monitoring.log_format", " or ".join(FORMATS), self.log_format)
        require(self.log_level in LEVELS, "monitoring.log_level", f"{', '.join(LEVELS[1:])}, or empty", self.log_level)
        for name in ("max_sites", "pages_every_s"):
            require(getattr(self, name) >= 1, f"monitoring.{name}", "at least 1", getattr(self, name))
