"""[ct] contrast, cubes and training selection of CT volumes; the defaults are those of the `ct` room."""

from __future__ import annotations

from dataclasses import dataclass

from ipdsf_spark.config.checks import require


@dataclass(frozen=True)
class CtConfig:
    """Contrast, cubes and training selection of CT volumes; the defaults are those of the `ct` room."""

    window_low_hu: int = -1000
    window_high_hu: int = 400
    linear_share: float = 0.3
    cube_size: int = 32
    overlap: int = 8
    air_share_kept: float = 0.1
    seed: int = 0
    pseudonym_key_env: str = "IPDSF_PSEUDONYM_KEY"

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        low, high = self.window_low_hu, self.window_high_hu
        is_window = -32_768 <= low < high <= 32_767
        require(is_window, "ct.window_low_hu and ct.window_high_hu", "rising HU within int16", (low, high))
        require(0 < self.linear_share <= 1, "ct.linear_share", "above 0 and at most 1", self.linear_share)
        require(self.cube_size in (32, 64, 128), "ct.cube_size", "32, 64 or 128", self.cube_size)
        half = self.cube_size // 2
        require(0 <= self.overlap <= half, "ct.overlap", f"0 to {half}, half a cube", self.overlap)
        require(self.seed >= 0, "ct.seed", "0 or more", self.seed)
        require(0 <= self.air_share_kept <= 1, "ct.air_share_kept", "between 0 and 1", self.air_share_kept)
