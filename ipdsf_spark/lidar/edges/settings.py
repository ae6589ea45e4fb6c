"""Every parameter of the edges, with where it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MAX_LAG: Final = 64  # intervals; the state is bounded


@dataclass(frozen=True)
class EdgeSettings:
    """Parameters of detection and linking.

    Attributes:
        averaging_s: interval of a column [s].
        cell_m: height of a cell of the image; E-PROFILE's gates.
        time_sigma_s: of the Gaussian that smooths along time [s].
        narrow_m, wide_m: limits of the standard deviation of the Gaussian along height [m] ...
        widening: ... which is this share of the height: noise grows with range squared.
        snr_scale, contrast_scale: where the response of the detector to either is one half.
        low, high: hysteresis (Canny 1986, IEEE Trans. PAMI 8, 679): a response that continues an edge, and one that
            makes it certain.
        num_certain: columns of the latter kind that an edge needs.
        num_columns: columns that an edge needs altogether.
        num_peaks: edges looked at in one column, strongest first.
        separation_m: two maxima of one sign closer than this are one.
        link_m, link_share: an edge goes on within this distance [m] and share of its height of where it would be.
        max_missed: columns that an edge may miss and go on.
        lag_s: a row is final this long after its interval.
        reset_gap_s: after such a gap everything starts anew.
    """

    averaging_s: int = 300
    cell_m: float = 30.0
    time_sigma_s: float = 300.0
    narrow_m: float = 60.0
    wide_m: float = 90.0
    widening: float = 0.06
    snr_scale: float = 4.0
    contrast_scale: float = 0.15
    low: float = 0.2
    high: float = 0.35
    num_certain: int = 3
    num_columns: int = 6
    num_peaks: int = 12
    separation_m: float = 90.0
    link_m: float = 75.0
    link_share: float = 0.03
    max_missed: int = 2
    lag_s: int = 3600
    reset_gap_s: int = 3600

    @property
    def reach(self) -> int:
        """Columns on either side that the smoothing looks at."""
        return max(1, round(2.0 * self.time_sigma_s / self.averaging_s))

    def lag(self, reach: int) -> int:
        """Columns between the one that is decided, `reach` after it came, and the one that becomes final."""
        return min(max(self.lag_s // self.averaging_s - reach, 1), MAX_LAG)

    @property
    def longest_gap(self) -> int:
        """Missing columns after which everything starts anew."""
        return max(self.reset_gap_s // self.averaging_s, 1)


LEARNED: Final = EdgeSettings(low=0.4, high=0.7)  # a network's probability needs other thresholds
