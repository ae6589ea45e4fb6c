"""[packing] how cubes are written to the storage array."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ipdsf_spark.config.checks import require

COMPRESSIONS: Final = ("zstd", "snappy", "none")


@dataclass(frozen=True)
class PackingConfig:
    """How cubes are written to the storage array."""

    row_group_mb: int = 8
    compression: str = "zstd"

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        require(1 <= self.row_group_mb <= 1024, "packing.row_group_mb", "between 1 and 1024", self.row_group_mb)
        require(self.compression in COMPRESSIONS, "packing.compression", " or ".join(COMPRESSIONS), self.compression)
