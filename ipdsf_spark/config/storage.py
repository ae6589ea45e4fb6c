"""[storage] the storage array on which packed cubes and models lie."""

from __future__ import annotations

from dataclasses import dataclass

from ipdsf_spark.config.checks import require


@dataclass(frozen=True)
class StorageConfig:
    """The storage array on which packed cubes and models lie; models need a mounted one."""

    root: str = "~/.local/share/ipdsf/storage"

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        require(bool(self.root.strip()), "storage.root", "a folder or a URL", self.root)
