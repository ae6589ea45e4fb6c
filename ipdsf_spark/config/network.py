"""[network] the network as a tensor: a query of its own on the averages."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ipdsf_spark.config.checks import require


@dataclass(frozen=True)
class NetworkConfig:
    """The network as a tensor."""

    name: str = "network"
    rank: int = 6
    lowest_m: float = 120.0
    cell_m: float = 60.0
    num_cells: int = 40
    min_snr: float = 3.0
    wait_intervals: int = 6
    warm_up_intervals: int = 72
    trigger_s: int = 30
    max_averages_per_batch: int = 20_000
    most_sites: int = 20_000
    publish_filled: bool = True

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        require(
            re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", self.name) is not None,
            "network.name",
            "up to 64 letters, digits, dots, hyphens and underscores",
            self.name,
        )
        require(1 <= self.rank <= 32, "network.rank", "between 1 and 32", self.rank)
        require(self.cell_m >= 10, "network.cell_m", "at least 10", self.cell_m)
        require(5 <= self.num_cells <= 500, "network.num_cells", "between 5 and 500", self.num_cells)
        require(0 <= self.lowest_m < 5000, "network.lowest_m", "0 or more, below 5000", self.lowest_m)
        require(self.min_snr >= 0, "network.min_snr", "0 or more", self.min_snr)
        require(0 <= self.wait_intervals <= 1000, "network.wait_intervals", "between 0 and 1000", self.wait_intervals)
        require(self.warm_up_intervals >= 2, "network.warm_up_intervals", "at least 2", self.warm_up_intervals)
        for name in ("trigger_s", "max_averages_per_batch", "most_sites"):
            require(getattr(self, name) >= 1, f"network.{name}", "at least 1", getattr(self, name))
