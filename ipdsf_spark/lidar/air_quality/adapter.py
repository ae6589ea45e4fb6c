"""From the averages that all analyses share to what the inversion needs: the one place that knows both."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np

from ipdsf_spark.lidar.aerosol.flags import AirFlag
from ipdsf_spark.lidar.aerosol.near_surface import AerosolInterval
from ipdsf_spark.lidar.averages.average import Average
from ipdsf_spark.lidar.layers import cloud, screening
from ipdsf_spark.lidar.site import Site

ENOUGH_M: Final = 1000.0  # above the lowest trustworthy height; the layer near the ground ends far below
CALIBRATED_SIGMA: Final = 0.1  # daily spread of the calibrations of European networks: 8 to 11 %
FACTORY_SIGMA: Final = 0.5  # factors of 1.6 and 3.6 have been found for instruments as delivered
FACTORY_SCALED: Final = ("Vaisala", "Campbell")  # their files hold m-1 sr-1 by a factor set when they were built


def interval_of(
    average: Average,
    site: Site,
    *,
    interval_s: int,
    wavelength_nm: float,
    relative_humidity: float = float("nan"),
    mixing_height_m: float = float("nan"),
) -> AerosolInterval:
    """One interval of a site.

    Args:
        average: sums over its profiles.
        site: its calibration and lowest height.
        interval_s: length of the interval.
        wavelength_nm: of the instrument; the site's is used where it has one.
        relative_humidity: 0 to 1, NaN where unknown.
        mixing_height_m: NaN where unknown.
    """
    min_height_m = screening.min_height_m(average.instrument, site.min_height_m)
    columns = _columns_of(average.first_m, average.resolution_m, average.total.size, average.tilt_deg)
    range_m = average.first_m + average.resolution_m * np.arange(average.total.size, dtype=np.float64)
    gates = slice(0, int(np.searchsorted(range_m, min_height_m + ENOUGH_M)))
    range_m = range_m[gates]
    factor, is_certain = screening.calibration(
        average.instrument, site.calibration, is_calibrated=average.is_calibrated
    )
    mean = np.asarray(average.mean(), np.float64)
    fog, wet = screening.weather(
        [average],
        mean[None, :] * factor,
        columns,
        *cloud.lowest([average], average.tilt_deg),
        has_level=is_certain or factor != 1.0,
    )
    is_factory = site.calibration is None and average.instrument.startswith(FACTORY_SCALED)
    flags = AirFlag.FACTORY_CALIBRATION if is_factory else AirFlag(0)
    if not 0.0 < average.sigma_unit < float("inf"):
        flags |= AirFlag.NOISE_UNKNOWN
    start = np.datetime64(average.index * interval_s, "s")
    return AerosolInterval(
        start=start,
        beta=mean[gates],
        variance=np.square(average.sigma_unit * range_m**2),
        height_m=range_m * float(np.cos(np.radians(average.tilt_deg))),
        wavelength_nm=site.wavelength_nm or wavelength_nm,
        min_height_m=min_height_m,
        calibration=factor if is_certain else None,
        calibration_sigma=FACTORY_SIGMA if is_factory else CALIBRATED_SIGMA,
        cloud_base_m=float(average.cloud_base_m[0]) if average.cloud_base_m.size else float("nan"),
        is_fog=bool(fog[0]),
        is_precipitation=bool(wet[0]),
        mixing_height_m=mixing_height_m,
        relative_humidity=relative_humidity,
        flags=flags,
    )


@lru_cache(maxsize=256)
def _columns_of(first_m: float, resolution_m: float, num_gates: int, tilt_deg: int) -> screening.Columns:
    return screening.Columns.of((first_m + resolution_m * np.arange(num_gates)) * np.cos(np.radians(tilt_deg)))
