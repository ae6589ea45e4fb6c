"""The range axis of netCDF files: gate centres along the beam in metres, from whatever the file calls range."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from ipdsf_spark.lidar.containers import cf
from ipdsf_spark.lidar.containers.container import Dataset, NotUnderstood
from ipdsf_spark.lidar.instruments import units
from ipdsf_spark.lidar.profiles import Float64

GATE_LENGTHS_M: Final = (0.5, 500.0)  # of any ceilometer or micropulse lidar
FARTHEST_M: Final = 61_000.0  # micropulse lidars record 60 km, ceilometers 15 to 30


def range_axis(
    dataset: Dataset, name: str, *, default: float = 1.0, text_factors: bool = True
) -> tuple[Float64, float]:
    """(G,) gate centres [m] and gate length [m] of a range variable that gives lower edges, centres or upper edges.

    `default` is metres per unit where the file says none; see `cf.physical` for `text_factors`.

    Raises:
        NotUnderstood: it is absent, or no regular grid of gates.
    """
    values = along_m(dataset, name, default=default, text_factors=text_factors)
    first_m, spacing_m = regular_grid(values)
    if values[-1] > FARTHEST_M:
        raise NotUnderstood(
            f"{name} ends at {values[-1] / 1e3:.0f} km with gates of {spacing_m:.3g} m, where no such instrument sees"
        )
    return gate_centres(first_m, spacing_m, len(values)), round(spacing_m, 3)


def along_m(dataset: Dataset, name: str, *, default: float = 1.0, text_factors: bool = True) -> Float64:
    """(G,) values of an axis in metres; where its unit cannot be meant (gates of 15 km), the one that can, said so.

    Raises:
        NotUnderstood: it is absent or holds no numbers.
    """
    variable = dataset.require(name)
    values = cf.physical(variable, text_factors=text_factors)
    if values.ndim == 2:
        values = _alike(values)
    told = units.metres(variable.text("units"))
    factor = default if told is None else told
    if told is None and variable.text("units").strip(" 1-"):
        dataset.note(
            f"{name}: the unit {variable.text('units')[:40]!r} is no length that is known; read as {default:g} m"
        )
    spacing = float(values[-1] - values[0]) / (len(values) - 1) if values.ndim == 1 and len(values) > 1 else np.nan
    is_known = told is not None or not variable.text("units").strip(" 1-")
    for other in (factor, 1.0, 1e3) if is_known else (factor,):
        if GATE_LENGTHS_M[0] < spacing * other < GATE_LENGTHS_M[1]:
            if other != factor:
                unit = variable.text("units")[:40]
                dataset.note(
                    f"{name}: the unit {unit!r} would mean gates of {spacing * factor:.3g} m; "
                    f"read as {'metres' if other == 1.0 else 'kilometres'}"
                )
            return values if other == 1.0 else np.asarray(values * other, np.float64)
    if not is_known and math.isfinite(spacing):
        raise NotUnderstood(
            f"{name} has unit {variable.text('units')[:40]!r}, no length that is known, and no gates in metres"
        )
    return np.asarray(values * factor, np.float64)


def _alike(values: Float64) -> Float64:
    """(G,) the axis of which a table holds a copy for every profile; the table itself if they differ."""
    if 1 in values.shape:
        return values.reshape(-1)
    for table in (values, values.T):
        if (table[1:] == table[0]).all():
            first: Float64 = table[0].copy()
            return first
    return values


def gate_centres(first_m: float, resolution_m: float, num_gates: int) -> Float64:
    """(G,) gate centres [m] of a regular grid, told from where its first gate is said to lie.

    Lufft writes the upper edge (first gate at one resolution), Vaisala CL61 the lower edge (0), others the centre.
    """
    _, edge = min((abs(first_m - edge * resolution_m), edge) for edge in (0.0, 0.5, 1.0))
    start = first_m if first_m > 1.25 * resolution_m else first_m + (0.5 - edge) * resolution_m
    return start + np.arange(num_gates, dtype=np.float64) * resolution_m


def regular_grid(values: Float64) -> tuple[float, float]:
    """First value and spacing of a range axis [m].

    Raises:
        NotUnderstood: it is empty, not finite, or not regular.
    """
    if values.ndim != 1 or len(values) < 2 or not (math.isfinite(values[0]) and math.isfinite(values[-1])):
        raise NotUnderstood("the range axis is not a list of at least two numbers")
    spacing = float(values[-1] - values[0]) / (len(values) - 1)
    steps = values[1:] - values[:-1]
    farthest = max(float(steps.max()) - spacing, spacing - float(steps.min()))
    if not 0.1 < spacing < 1000.0 or farthest > 0.05 * spacing:
        told = f"the range axis does not grow in equal steps: they are of {steps.min():.4g} to {steps.max():.4g} m"
        raise NotUnderstood(told)
    return float(values[0]), spacing
