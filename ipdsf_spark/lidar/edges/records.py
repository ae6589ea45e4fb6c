"""Edges as plain values: one record per interval, the same in JSON, CSV and the stream's records."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import Any, Final

import numpy as np

from ipdsf_spark.lidar.edges.tracker import EdgeRow
from ipdsf_spark.lidar.edges.tracks import Edge
from ipdsf_spark.lidar.layers.evidence import NO_HEIGHT, QUARTERS
from ipdsf_spark.lidar.products.plain import rounded
from ipdsf_spark.lidar.products.quality import names

SIGNS: Final = {-1: "decrease", 1: "increase"}  # of backscatter with height
CSV_COLUMNS: Final = (
    *("site", "time", "provisional", "id", "sign", "height_m", "slope_m_per_h", "probability", "contrast", "snr"),
    *("first_time", "last_time", "age_s", "num_intervals"),
)


def record_of(site_id: str, row: EdgeRow, averaging_s: int) -> dict[str, Any]:
    """One row as plain values; times are the middle of an interval, what is missing is None."""
    return {
        "site": site_id,
        "time": time_of(row.index, averaging_s),
        "provisional": row.is_provisional,
        "quality": names(row.quality),
        "num_profiles": row.num_profiles,
        "cloud_base_m": None if row.cloud_quarters == NO_HEIGHT else round(row.cloud_quarters / QUARTERS, 1),
        "edges": [_plain(edge, row.index, averaging_s) for edge in row.edges],
    }


def _plain(edge: Edge, index: int, averaging_s: int) -> dict[str, Any]:
    return {
        "id": edge.id,
        "sign": SIGNS[edge.sign],
        "height_m": round(edge.height_m, 1),
        "slope_m_per_h": rounded(edge.slope_m_per_h, 1),
        "probability": round(edge.probability, 3),
        "contrast": rounded(edge.contrast, 3),
        "snr": rounded(edge.snr, 1),
        "first_time": time_of(edge.first_index, averaging_s),
        "last_time": time_of(edge.last_index, averaging_s),
        "age_s": (index - edge.first_index + 1) * averaging_s,
        "num_intervals": edge.num_columns,
    }


def time_of(index: int, averaging_s: int) -> str:
    """The middle of an interval, UTC."""
    return f"{np.datetime64(index * averaging_s + averaging_s // 2, 's')}Z"


def to_csv(site_id: str, rows: Iterable[EdgeRow], averaging_s: int, *, header: bool = True) -> str:
    """One line per edge and interval; missing values are empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if header:
        writer.writerow(CSV_COLUMNS)
    for row in rows:
        record = record_of(site_id, row, averaging_s)
        for edge in record["edges"]:
            values = {**edge, "site": site_id, "time": record["time"], "provisional": int(row.is_provisional)}
            writer.writerow(["" if values[name] is None else values[name] for name in CSV_COLUMNS])
    return text.getvalue()
