"""NowCast of hourly particle concentrations: a mean over up to twelve hours that follows quick changes.

US EPA, Technical Assistance Document EPA-454/B-24-002 (May 2024): with c_1 the newest of twelve hourly means and w =
max(c_min / c_max, 1/2), NowCast = Σ w^(i-1) c_i / Σ w^(i-1) over the hours that have a value; valid where at least two
of the newest three have one. Exact rational arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Final, SupportsFloat

from ipdsf_spark.lidar.air_quality.us_index import exact

HOURS: Final = 12
NEWEST: Final = 3
LEAST_OF_NEWEST: Final = 2


def nowcast(newest_first: Sequence[SupportsFloat | None]) -> Fraction | None:
    """NowCast [µg/m3], not truncated.

    Args:
        newest_first: hourly means, c_1 first; None or NaN where an hour has none. Hours beyond the twelfth are ignored.

    Returns:
        None where fewer than two of the newest three hours have a value.
    """
    hours = [exact(value) for value in newest_first[:HOURS]]
    if sum(value is not None for value in hours[:NEWEST]) < LEAST_OF_NEWEST:
        return None
    # Whole numbers of a common unit, and weights p^age q^(11 - age) for w = p / q: exact, and quick.
    unit = math.lcm(*(value.denominator for value in hours if value is not None))
    known = [(age, int(value * unit)) for age, value in enumerate(hours) if value is not None]
    highest, lowest = max(value for _, value in known), min(value for _, value in known)
    if highest <= 0:
        p = q = 1  # noise around zero has no range to speak of: all hours alike
    elif 2 * lowest >= highest:
        p, q = lowest, highest
    else:
        p, q = 1, 2
    weights = [p**age * q ** (HOURS - 1 - age) for age, _ in known]
    return Fraction(sum(weight * value for weight, (_, value) in zip(weights, known, strict=True)), unit * sum(weights))
