"""Non-maximum suppression along height: the boundaries at which a response has a maximum of its own."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.edges.detector import Response
from ipdsf_spark.lidar.edges.image import Cells
from ipdsf_spark.lidar.edges.settings import EdgeSettings

Peaks = NDArray[np.void]
PEAK: Final = np.dtype([("sign", "i1"), ("height", "<f8"), ("probability", "<f8"), ("contrast", "<f8"), ("snr", "<f8")])
"""sign: -1 a decrease with height, 1 an increase. height [m]. The rest as in `Response`."""
SIGNS: Final = np.array([-1, 1], np.int8)  # of the two rows of a response


def thinned(response: Response, cells: Cells, settings: EdgeSettings) -> Peaks:
    """At most `num_peaks` maxima of at least the low threshold, strongest first."""
    values = response.ridge
    reach = max(1, round(settings.separation_m / cells.cell_m) - 1)
    num = values.shape[1]
    padded = np.zeros((2, num + 2 * reach))
    padded[:, reach : reach + num] = values
    is_peak = response.probability >= settings.low
    for step in range(1, reach + 1):  # of a plateau, its lowest boundary
        is_peak &= values > padded[:, reach - step : reach - step + num]
        is_peak &= values >= padded[:, reach + step : reach + step + num]
    kind, at = np.nonzero(is_peak)
    here, below, above = values[kind, at], padded[kind, reach + at - 1], padded[kind, reach + at + 1]
    bend = 2.0 * here - below - above
    shift = np.clip(0.5 * (above - below) / np.where(bend > 0, bend, np.inf), -0.5, 0.5)
    height_m = (at + 1 + shift) * cells.cell_m
    probability = response.probability[kind, at]
    strongest = np.lexsort((height_m, -probability))[: settings.num_peaks]
    peaks = np.empty(strongest.size, PEAK)
    peaks["sign"] = SIGNS[kind[strongest]]
    peaks["height"] = height_m[strongest]
    peaks["probability"] = probability[strongest]
    peaks["contrast"] = response.contrast[at[strongest]]
    peaks["snr"] = response.snr[at[strongest]]
    return peaks
