"""Classes as plain values: stretches of equal class from the ground up, and the clouds found."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.products.plain import rounded
from ipdsf_spark.lidar.profiles import Float64
from ipdsf_spark.lidar.targets.classes import NAMES, Target, names
from ipdsf_spark.lidar.targets.column import Column
from ipdsf_spark.lidar.targets.rules import Targets


def stretches(classes: NDArray[np.int8], edges_m: Float64) -> list[list[Any]]:
    """Run lengths from the ground up: ``[from_m, to_m, class]``, without gap or overlap.

    Args:
        classes: (G,) `Target` values.
        edges_m: (G + 1,) heights of the edges of the gates.
    """
    if not classes.size:
        return []
    cuts = np.concatenate([[0], np.flatnonzero(classes[1:] != classes[:-1]) + 1, [classes.size]])
    heights_m = np.round(edges_m[cuts], 1).tolist()
    kinds = classes[cuts[:-1]].tolist()
    return [[*pair, NAMES[kind]] for pair, kind in zip(itertools.pairwise(heights_m), kinds, strict=True)]


def classes_of(found: list[list[Any]], edges_m: Float64) -> NDArray[np.int8]:
    """(G,) the inverse of `stretches` on the same edges."""
    middle = (edges_m[1:] + edges_m[:-1]) / 2
    classes = np.full(middle.size, Target.UNDETERMINED, np.int8)
    for low, high, name in found:
        classes[(middle >= low) & (middle < high)] = Target[name.upper()]
    return classes


def edges_of(column: Column) -> Float64:
    """(G + 1,) heights of the edges of the gates; the lowest is not below the instrument."""
    spacing_m = float(column.range_m[1] - column.range_m[0]) if column.range_m.size > 1 else 2 * column.range_m[0]
    edges = np.append(column.range_m - spacing_m / 2, column.range_m[-1] + spacing_m / 2) * column.slant
    return np.maximum(edges, 0.0)


def values_of(column: Column, targets: Targets, row: int) -> dict[str, Any]:
    """One profile or interval; heights above the instrument in metres, what is missing is None."""
    return {
        "classes": stretches(targets.classes[row], edges_of(column)),
        "cloud_base_m": rounded(targets.base_m[row], 1),
        "cloud_bottom_m": rounded(targets.bottom_m[row], 1),
        "cloud_top_m": rounded(targets.top_m[row], 1),
        "clouds": [
            {
                "base_m": rounded(cloud.base_m * column.slant, 1),
                "bottom_m": rounded(cloud.bottom_m * column.slant, 1),
                "top_m": rounded(cloud.top_m * column.slant, 1),
                "phase": "liquid" if cloud.is_liquid else "ice",
            }
            for cloud in targets.clouds[row]
        ],
        "quality": names(int(targets.flags[row])),
    }
