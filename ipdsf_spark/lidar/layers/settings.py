"""Every parameter of the boundary-layer retrieval, with where it comes from."""

from __future__ import annotations

from dataclasses import dataclass, field

from ipdsf_spark.lidar.layers.ceiling import Ceiling


@dataclass(frozen=True)
class LayerSettings:
    """Parameters of the retrieval.

    Attributes:
        averaging_s: interval of a product, aligned to UTC (E-PROFILE: 5 min).
        dilations_m: wavelet widths, averaged (Brooks 2003); below 150 m ceilometer noise dominates.
        num_candidates: layer tops kept per product.
        min_strength: W over the mean of `reference_m` that a candidate needs (Baars et al. 2008, ACP 8, 7281).
        min_snr: W over its own noise that a candidate needs.
        reference_m: heights whose mean beta makes W dimensionless.
        ceiling: how high the layer is at night and how fast it grows: a prior, no limit.
        lag_s: a height is final this long after its interval, seen from both sides.
        reorder_s: intervals this much older than the newest still take late profiles.
        reset_gap_s: after such a gap the chain starts anew.
    """

    averaging_s: int = 300
    dilations_m: tuple[float, ...] = (200.0, 300.0, 400.0)
    num_candidates: int = 5
    min_strength: float = 0.05
    min_snr: float = 4.0
    reference_m: tuple[float, float] = (100.0, 600.0)
    ceiling: Ceiling = field(default_factory=Ceiling)
    lag_s: int = 3600
    reorder_s: int = 600
    reset_gap_s: int = 3600

    @property
    def lag_intervals(self) -> int:
        """The lag in intervals."""
        return self.lag_s // self.averaging_s

    @property
    def reorder_intervals(self) -> int:
        """Closed intervals that still take profiles."""
        return self.reorder_s // self.averaging_s
