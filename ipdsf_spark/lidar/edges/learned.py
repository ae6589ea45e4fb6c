"""An edge detector that was learned: what a network is shown of the image, and its answer behind the same interface.

The network itself is somebody else's: any function from features (C, T, K) to probabilities (2, T, K - 1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from ipdsf_spark.lidar.edges.detector import CannyDetector, Response
from ipdsf_spark.lidar.edges.image import Cells, Columns, noise_shape, ripple_shape
from ipdsf_spark.lidar.edges.settings import EdgeSettings
from ipdsf_spark.lidar.profiles import Float32

NUM_FEATURES: Final = 4
NEAR_M: Final = 600.0  # the signal is taken relative to its median up to here, above the lowest trustworthy cell
LEAST_NOISE: Final = 1e-3  # of the signal, where an instrument seems to have none
Network = Callable[[Float32], Float32]


def features(columns: Columns, cells: Cells) -> Float32:
    """(C, T, K) what is shown: signal over noise, signal over that near the ground, what is there, and the height."""
    beta = columns["beta"].astype(np.float64)
    is_there = np.isfinite(beta)
    beta[~is_there] = 0.0
    noise = np.hypot(columns["noise"][:, None] * noise_shape(cells), columns["ripple"][:, None] * ripple_shape(cells))
    near = np.ones(len(columns))
    for row, column in enumerate(columns):
        low = beta[row][int(column["first"]) : int(column["first"]) + round(NEAR_M / cells.cell_m)]
        low = low[low > 0]
        near[row] = np.median(low) if low.size else 1.0
    noise = np.maximum(np.maximum(noise, LEAST_NOISE * np.abs(beta)), 1e-6 * near[:, None])
    shown = [
        np.arcsinh(beta / noise) / 5.0,
        np.log10(np.clip(beta / near[:, None], 1e-2, 1e1)) * is_there,
        is_there.astype(np.float64),
        is_there * (cells.middle_m / 2000.0),
    ]
    return np.asarray(np.stack(shown), np.float32)


@dataclass(frozen=True)
class LearnedDetector:
    """A network as `EdgeDetector`; contrast and noise are measured by the classical one.

    Attributes:
        network: from features to probabilities.
        reach: columns on either side that one column's probability depends on.
        settings: of the edges.
    """

    network: Network
    reach: int
    settings: EdgeSettings
    _canny: CannyDetector = field(init=False)

    def __post_init__(self) -> None:
        """Measure contrast as the classical detector does."""
        object.__setattr__(self, "_canny", CannyDetector(self.settings))

    def response(self, columns: Columns, at: int, cells: Cells) -> Response:
        """See `EdgeDetector`."""
        start = max(at - self.reach, 0)
        measured = self._canny.response(columns, at, cells)
        seen = np.asarray(self.network(features(columns[start : at + self.reach + 1], cells)), np.float64)
        is_there = np.isfinite(columns["beta"][at])
        probability = seen[:, at - start] * (is_there[1:] & is_there[:-1])
        return Response(probability, probability, measured.contrast, measured.snr)
