"""Light scattered more than once in a liquid cloud, as the factor η of what an instrument sees of it.

η at three heights of the cloud per instrument, from the photon variance–covariance model of Hogan (2006, Appl. Opt. 45,
5984) for droplets of 5.5 µm and an extinction of 10 km⁻¹, as the calibration of the European network uses it
(MeteoSwiss 2026): the wider the receiver's field of view, the more light that was scattered forward stays in it.
"""

from __future__ import annotations

from typing import Final

import numpy as np

AT_M: Final = (250.0, 1125.0, 2375.0)
ETA: Final[dict[str, tuple[float, float, float]]] = {
    "Vaisala CL31": (0.934, 0.823, 0.738),
    "Vaisala CL51": (0.953, 0.862, 0.783),
    "Vaisala CL61": (0.954, 0.865, 0.787),
    "Lufft CHM15k": (0.981, 0.939, 0.893),
    "Sigma MiniMPL": (0.982, 0.942, 0.897),
    "MPL": (0.988, 0.971, 0.945),
}
TYPICAL: Final = (0.953, 0.862, 0.783)  # of a receiver of half a milliradian
TYPICAL_SIGMA: Final = 0.15  # relative


def eta(instrument: str, height_m: float) -> tuple[float, bool]:
    """η of a cloud at a height, and whether it is this instrument's own.

    Args:
        instrument: maker and model.
        height_m: of the strongest return above the instrument; beyond the table its end is used.
    """
    own = ETA.get(instrument)
    return float(np.interp(height_m, AT_M, own or TYPICAL)), own is not None
