"""Non-maximum suppression along height: the boundaries at which a response has a maximum of its own."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.edges.detector import DECREASE, INCREASE, Response
from ipdsf_spark.lidar.edges.image import Cells
from ipdsf_spark.lidar.edges.settings import EdgeSettings

Peaks = NDArray[np.void]
PEAK: Final = np.dtype([("sign", "i1"), ("height", "<f8"), ("probability", "<f8"), ("contrast", "<f8"), ("snr", "<f8")])
"""sign: -1 a decrease with height, 1 an increase. height [m]. The rest as in `Response`."""


def thinned(response: Response, cells: Cells, settings: EdgeSettings) -> Peaks:
    """At most `num_peaks` maxima of at least the low threshold, strongest first."""
    reach = max(1, round(settings.separation_m / cells.cell_m) - 1)
    parts = []
    for kind, sign in ((DECREASE, -1), (INCREASE, 1)):
        values = response.probability[kind]
        padded = np.pad(values, reach)
        highest = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1).max(axis=1)
        at = np.flatnonzero((values >= settings.low) & (values >= highest))
        at = at[np.diff(at, prepend=-2 * reach) > 1]  # of a plateau, its lowest boundary
        below, above = values[np.maximum(at - 1, 0)], values[np.minimum(at + 1, values.size - 1)]
        bend = 2.0 * values[at] - below - above
        shift = np.divide(0.5 * (above - below), bend, out=np.zeros(at.size), where=bend > 0)
        peaks = np.zeros(at.size, PEAK)
        peaks["sign"] = sign
        peaks["height"] = cells.boundary_m[at] + np.clip(shift, -0.5, 0.5) * cells.cell_m
        peaks["probability"] = values[at]
        peaks["contrast"] = response.contrast[at]
        peaks["snr"] = response.snr[at]
        parts.append(peaks)
    peaks = np.concatenate(parts)
    order = np.lexsort((peaks["height"], -peaks["probability"]))
    return np.asarray(peaks[order[: settings.num_peaks]])
