"""[layers] the boundary-layer retrieval; the defaults are those of `lidar.mixing_height.LayerSettings`."""

from __future__ import annotations

from dataclasses import dataclass

from ipdsf_spark.config.checks import require


@dataclass(frozen=True)
class LayersConfig:
    """The boundary-layer retrieval; the defaults are those of `lidar.mixing_height.LayerSettings`."""

    averaging_s: int = 300
    dilations_m: tuple[float, ...] = (200.0, 300.0, 400.0)
    min_strength: float = 0.05
    min_snr: float = 4.0
    lag_s: int = 3_600
    reorder_s: int = 600
    reset_gap_s: int = 3_600
    night_ceiling_m: float = 800.0
    ceiling_opens_after_sunrise_s: float = 3_600.0
    ceiling_growth_m_per_h: float = 600.0
    ceiling_closes_after_sunset_s: float = 3_600.0

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        require(60 <= self.averaging_s <= 3600, "layers.averaging_s", "between 60 and 3600", self.averaging_s)
        widths = self.dilations_m
        require(bool(widths) and min(widths) >= 30, "layers.dilations_m", "widths of 30 m and more", widths)
        require(self.lag_s >= self.averaging_s, "layers.lag_s", "at least layers.averaging_s", self.lag_s)
        require(0 <= self.reorder_s < self.lag_s, "layers.reorder_s", "0 or more, below layers.lag_s", self.reorder_s)
