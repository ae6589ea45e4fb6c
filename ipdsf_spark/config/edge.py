"""[edge] the agent beside the instrument."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ipdsf_spark.config.checks import require

PARTITIONINGS: Final = ("by_site", "round_robin")


@dataclass(frozen=True)
class EdgeConfig:
    """The agent beside the instrument."""

    site: str = ""
    watch: str = ""
    directory: str = "~/.local/share/ipdsf/edge"
    every_s: float = 0.0
    poll_s: float = 1.0
    settle_s: float = 2.0
    rewritten_settle_s: float = 900.0
    keep_days: int = 1_096
    disk_budget_mb: int = 20_000
    instrument: str = ""
    partitioning: str = "by_site"

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        require(bool(self.directory.strip()), "edge.directory", "a folder", self.directory)
        require(0 <= self.every_s <= 3_600, "edge.every_s", "between 0 and 3600", self.every_s)
        require(0 < self.poll_s <= 3_600, "edge.poll_s", "above 0, 3600 at most", self.poll_s)
        require(self.settle_s >= 0, "edge.settle_s", "0 or more", self.settle_s)
        require(
            self.settle_s <= self.rewritten_settle_s <= 86_400,
            "edge.rewritten_settle_s",
            "at least edge.settle_s, 86400 at most",
            self.rewritten_settle_s,
        )
        require(self.keep_days >= 1, "edge.keep_days", "at least 1", self.keep_days)
        require(self.disk_budget_mb >= 1, "edge.disk_budget_mb", "at least 1", self.disk_budget_mb)
        require(self.partitioning in PARTITIONINGS, "edge.partitioning", " or ".join(PARTITIONINGS), self.partitioning)
