"""Heights as plain values: one row per product time, the same in JSON, CSV and the stream's records."""

from __future__ import annotations

import csv
import io
from typing import Any, Final

import numpy as np

from ipdsf_spark.lidar.layers.mixing_height import Layers
from ipdsf_spark.lidar.products.plain import rounded
from ipdsf_spark.lidar.products.quality import names

CSV_COLUMNS: Final = (
    *("site", "time", "mixing_height_m", "uncertainty_m", "provisional", "quality"),
    *("candidates_m", "candidate_strength", "cloud_base_m", "num_profiles"),
    *("below_m", "residual_height_m", "nocturnal_height_m", "entrainment_m"),
)


def product_of(site_id: str, layers: Layers, line: int) -> dict[str, Any]:
    """One row of `layers` as plain values; missing heights are None.

    Args:
        site_id: written into the row.
        layers: heights of the site.
        line: which row.
    """
    time = f"{np.datetime_as_string(layers.time[line], unit='s')}Z"
    return {"site": site_id, "time": time, **values_of(layers, line)}


def values_of(layers: Layers, line: int) -> dict[str, Any]:
    """The same without site and time.

    Args:
        layers: heights of one site.
        line: which row.
    """
    return {
        "mixing_height_m": rounded(layers.mixing_height_m[line], 1),
        "uncertainty_m": rounded(layers.uncertainty_m[line], 1),
        "provisional": bool(layers.provisional[line]),
        "quality": names(int(layers.quality[line])),
        "candidates_m": [round(float(h), 1) for h in layers.candidates_m[line] if np.isfinite(h)],
        "candidate_strength": [round(float(s), 3) for s in layers.candidate_strength[line] if np.isfinite(s)],
        "cloud_base_m": rounded(layers.cloud_base_m[line], 1),
        "num_profiles": int(layers.num_profiles[line]),
        "below_m": rounded(layers.below_m[line], 1),
        "residual_height_m": rounded(layers.residual_height_m[line], 1),
        "nocturnal_height_m": rounded(layers.nocturnal_height_m[line], 1),
        "entrainment_m": rounded(layers.entrainment_m[line], 1),
    }


def products_of(site_id: str, layers: Layers) -> list[dict[str, Any]]:
    """All rows of `layers` as plain values."""
    return [product_of(site_id, layers, line) for line in range(len(layers))]


def to_csv(site_id: str, layers: Layers, *, header: bool = True) -> str:
    """The rows as CSV; lists are joined by blanks, missing values are empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if header:
        writer.writerow(CSV_COLUMNS)
    for product in products_of(site_id, layers):
        writer.writerow([_cell(product[column]) for column in CSV_COLUMNS])
    return text.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        return " ".join(map(str, value))
    if isinstance(value, bool):
        return int(value)
    return "" if value is None else value
