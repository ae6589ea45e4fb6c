"""Air Quality Index of the US EPA for PM2.5 and PM10, table valid from 6 May 2024, in exact arithmetic.

Technical Assistance Document for the Reporting of Daily Air Quality, EPA-454/B-24-002 (May 2024), eq. 1 and Table 6;
40 CFR Part 58, Appendix G. Concentrations are truncated (PM2.5 to 0.1, PM10 to 1 µg/m3), only the index is rounded.
Above 500 the line of the last category is continued.

Everything is rational: a binary float of 35.5 that was computed as 35.499999 would change the category.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Final, SupportsFloat

SCHEME: Final = "US EPA AQI"
VERSION: Final = "2024-05-06"
CATEGORIES: Final = (
    "good",
    "moderate",
    "unhealthy for sensitive groups",
    "unhealthy",
    "very unhealthy",
    "hazardous",
)
INDEX_BANDS: Final = ((0, 50), (51, 100), (101, 150), (151, 200), (201, 300), (301, 500))


@dataclass(frozen=True)
class Pollutant:
    """A row of the table.

    Attributes:
        step: to which concentrations are truncated [µg/m3].
        bands: lower and upper concentration of each category, in units of `step`.
    """

    step: Fraction
    bands: tuple[tuple[int, int], ...]


POLLUTANTS: Final[Mapping[str, Pollutant]] = {
    "pm2p5": Pollutant(Fraction(1, 10), ((0, 90), (91, 354), (355, 554), (555, 1254), (1255, 2254), (2255, 3254))),
    "pm10": Pollutant(Fraction(1), ((0, 54), (55, 154), (155, 254), (255, 354), (355, 424), (425, 604))),
}


@dataclass(frozen=True)
class Index:
    """An index with all that says what it is.

    Attributes:
        value: the index.
        category: its name.
        concentration: the truncated concentration that was looked up [µg/m3].
        scheme, version: of the table.
    """

    value: int
    category: str
    concentration: float
    scheme: str = SCHEME
    version: str = VERSION


def exact(value: SupportsFloat | None) -> Fraction | None:
    """The decimal number that a float is written as, or None for missing, NaN and infinite values.

    A numpy scalar of single precision is read as its own shortest decimal: float32 4.6 is 4.6, not 4.599999904.
    """
    if value is None or not math.isfinite(float(value)):
        return None
    if isinstance(value, Fraction):
        return value
    return Fraction(*Decimal(str(value)).as_integer_ratio())


def truncated(value: SupportsFloat, step: Fraction) -> Fraction:
    """`value` cut to a multiple of `step`, towards zero.

    Raises:
        ValueError: the value is not a finite number.
    """
    number = exact(value)
    if number is None:
        raise ValueError(f"{value} is not a concentration")
    return math.trunc(number / step) * step


def index_of(value: SupportsFloat | None, pollutant: str = "pm2p5") -> Index | None:
    """Index of a 24-h mean or a NowCast.

    Args:
        value: [µg/m3]; below zero counts as zero, as a monitor's noise does.
        pollutant: ``"pm2p5"`` or ``"pm10"``.

    Returns:
        None where there is no value.
    """
    number = exact(value)
    if number is None:
        return None
    row = POLLUTANTS[pollutant]
    units = max(math.trunc(number / row.step), 0)
    band = next((at for at, (_, high) in enumerate(row.bands) if units <= high), len(row.bands) - 1)
    (low, high), (index_low, index_high) = row.bands[band], INDEX_BANDS[band]
    index = Fraction((index_high - index_low) * (units - low), high - low) + index_low
    return Index(math.floor(index + Fraction(1, 2)), CATEGORIES[band], float(units * row.step))
