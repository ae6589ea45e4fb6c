"""European Air Quality Index for particles: the bands of the revision of 2024/25, for hourly values.

ETC HE Report 2024/17, Table 5.2; in use by the EEA since 2025. A value on a boundary belongs to the lower band. The
scheme of 2017 had other bands and 24-h running means for particles: a stored index without a version says nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, SupportsFloat

from ipdsf_spark.lidar.air_quality.us_index import exact

SCHEME: Final = "European AQI"
VERSION: Final = "2024 (ETC HE Report 2024/17), hourly"
NAMES: Final = ("good", "fair", "moderate", "poor", "very poor", "extremely poor")
UPPER_LIMITS: Final[Mapping[str, tuple[int, ...]]] = {
    "pm2p5": (5, 15, 50, 90, 140),
    "pm10": (15, 45, 120, 195, 270),
}


@dataclass(frozen=True)
class EuropeanIndex:
    """A band with all that says what it is.

    Attributes:
        level: 1 good to 6 extremely poor.
        name: of the band.
        scheme, version: of the bands.
    """

    level: int
    name: str
    scheme: str = SCHEME
    version: str = VERSION


def european_index(value: SupportsFloat | None, pollutant: str = "pm2p5") -> EuropeanIndex | None:
    """Band of an hourly mean [µg/m3]; None where there is no value."""
    number = exact(value)
    if number is None:
        return None
    level = sum(number > limit for limit in UPPER_LIMITS[pollutant])
    return EuropeanIndex(level + 1, NAMES[level])
