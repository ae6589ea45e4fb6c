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
        is_width = bool(widths) and min(widths) >= 30 and max(widths) <= 3_000
        require(is_width, "layers.dilations_m", "widths of 30 to 3000 m", widths)
        require(0 <= self.min_strength <= 1, "layers.min_strength", "between 0 and 1", self.min_strength)
        require(self.min_snr >= 0, "layers.min_snr", "0 or more", self.min_snr)
        require(self.lag_s >= self.averaging_s, "layers.lag_s", "at least layers.averaging_s", self.lag_s)
        require(0 <= self.reorder_s < self.lag_s, "layers.reorder_s", "0 or more, below layers.lag_s", self.reorder_s)
        is_gap = self.reset_gap_s >= self.averaging_s
        require(is_gap, "layers.reset_gap_s", "at least layers.averaging_s", self.reset_gap_s)
        night_m, growth = self.night_ceiling_m, self.ceiling_growth_m_per_h
        require(100 <= night_m <= 10_000, "layers.night_ceiling_m", "metres, 100 to 10000", night_m)
        require(0 < growth <= 10_000, "layers.ceiling_growth_m_per_h", "above 0, 10000 m/h at most", growth)
        for name in ("ceiling_opens_after_sunrise_s", "ceiling_closes_after_sunset_s"):
            after_s = getattr(self, name)
            require(abs(after_s) <= 43_200, f"layers.{name}", "within 12 hours (43200 s)", after_s)
