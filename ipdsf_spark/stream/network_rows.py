"""What the query on the network says of a slice, as rows of products.

network              of every slice: strengths of the components, what was there, whether filling is offered
network_components   hourly: the components' profiles over height
network_site         hourly, of every site: its weights, how well it fits
network_alarm        of a site, when an alarm begins or ends
network_fill         of a site and slice: cells that were missing, where filling beats the hourly climatology
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.averages.column import Cells
from ipdsf_spark.lidar.products.plain import rounded
from ipdsf_spark.tensor.alarms import LEAST_CELLS
from ipdsf_spark.tensor.components import Components
from ipdsf_spark.tensor.network import NetworkTensor, SliceSeen
from ipdsf_spark.tensor.slices import Slice

NETWORK_KIND: Final = "network"
COMPONENTS_KIND: Final = "network_components"
SITE_KIND: Final = "network_site"
ALARM_KIND: Final = "network_alarm"
FILL_KIND: Final = "network_fill"
KINDS: Final = (NETWORK_KIND, COMPONENTS_KIND, SITE_KIND, ALARM_KIND, FILL_KIND)
MEANING: Final = {
    "level": "gain or window: all gates are off",
    "slope": "alignment or overlap: upper gates are off against lower ones",
    "size": "the site sees other air than its network",
    "cells": "light, or anything that hides: fewer cells stand out of the noise than in its network",
    "clock": "clock: the site shows what its network shows at other hours; direction 1 is ahead, -1 behind",
}
MOST_NAMED: Final = 20


class NetworkRow(NamedTuple):
    """One product: its kind, whose it is, the middle of the interval, and its values."""

    kind: str
    site: str
    time_us: int
    values: dict[str, Any]


def slice_values(taken: Slice, seen: SliceSeen, model: NetworkTensor, parts: Components) -> dict[str, Any]:
    """Values of a `network` row."""
    present = np.isfinite(taken.values)
    is_warm = bool(np.isfinite(seen.fitted).any())
    ours, theirs = model.filling.errors
    num_cells = int(present.sum())
    return {
        "num_sites": len(taken.sites),
        "num_known_sites": len(model.sites),
        "num_cells": num_cells,
        "share_present": rounded(present.mean() if present.size else np.nan, 3),
        "share_outliers": rounded(seen.is_outlier.sum() / num_cells if num_cells and is_warm else np.nan, 4),
        "is_warm": is_warm,
        "strengths": _list(seen.strengths * parts.scale, 4) if is_warm else None,
        "error_log10": rounded(np.median(seen.error_scale), 4) if is_warm else None,
        "filling_offered": bool(model.filling.is_offered),
        "filling_error_log10": rounded(ours, 4),
        "climatology_error_log10": rounded(theirs, 4),
        "alarmed_sites": sorted({alarm.site for alarm in seen.alarms})[:MOST_NAMED],
        "num_alarmed_sites": len({alarm.site for alarm in seen.alarms}),
    }


def components_values(parts: Components, cells: Cells) -> dict[str, Any]:
    """Values of a `network_components` row."""
    return {
        "heights_m": _list(cells.height_m, 1),
        "center_log10": _list(parts.center, 3),
        "profiles_log10": [_list(profile, 4) for profile in parts.profiles.T],
    }


def site_rows(
    taken: Slice, seen: SliceSeen, model: NetworkTensor, parts: Components, time_us: int
) -> Iterator[NetworkRow]:
    """`network_site` rows of the sites of a slice."""
    alarmed: dict[str, list[str]] = {}
    for alarm in seen.alarms:
        alarmed.setdefault(alarm.site, []).append(alarm.feature)
    for line, site in enumerate(taken.sites):
        values = {
            "weights": _list(parts.weights[model.row_of[site]], 4),
            "share_present": rounded(np.isfinite(taken.values[line]).mean(), 3),
            "residual_log10": rounded(_median(taken.values[line] - seen.before[line]), 4),
            "error_log10": rounded(np.median(seen.error_scale[line]), 4),
            "alarms": sorted(alarmed.get(site, [])),
        }
        yield NetworkRow(SITE_KIND, site, time_us, values)


def fill_rows(
    taken: Slice, seen: SliceSeen, model: NetworkTensor, cells: Cells, time_us: int, apart: frozenset[str]
) -> Iterator[NetworkRow]:
    """`network_fill` rows: missing cells of profiles that are there in part.

    Whole profiles are not filled: nothing judges that. Nor are those of a site under alarm.
    """
    if not model.filling.is_offered:
        return
    error = rounded(model.filling.errors[0], 4)
    heights_m = cells.height_m
    for line, site in enumerate(taken.sites):
        missing = ~np.isfinite(taken.values[line])
        if site in apart or not missing.any() or cells.num - missing.sum() < LEAST_CELLS:
            continue
        values = {
            "heights_m": _list(heights_m[missing], 1),
            "log10_beta": _list(seen.fitted[line][missing], 3),
            "error_log10": error,
        }
        yield NetworkRow(FILL_KIND, site, time_us, values)


def _list(values: NDArray[Any] | Sequence[float], digits: int) -> list[float | None]:
    return [rounded(value, digits) for value in np.asarray(values, np.float64).tolist()]


def _median(values: NDArray[np.float64]) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else float("nan")
