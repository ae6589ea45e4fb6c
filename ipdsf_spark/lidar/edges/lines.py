"""Edges as lines through time: what a picture shows and a summary counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ipdsf_spark.lidar.averages.average import MICROSECONDS
from ipdsf_spark.lidar.edges.records import SIGNS
from ipdsf_spark.lidar.edges.tracker import EdgeRow
from ipdsf_spark.lidar.edges.tracks import Edge
from ipdsf_spark.lidar.products.plain import instant
from ipdsf_spark.lidar.profiles import Float64, Time


@dataclass(frozen=True, eq=False)
class EdgeLine:
    """One edge over all intervals that show it.

    Attributes:
        id: of the edge.
        sign: -1 where backscatter decreases with height, 1 where it increases.
        time: (N,) middle of the intervals, UTC.
        height_m: (N,) above the instrument.
        probability: (N,) of the detector.
    """

    id: str
    sign: int
    time: Time
    height_m: Float64
    probability: Float64


def newest_rows(rows: Iterable[EdgeRow]) -> list[EdgeRow]:
    """One row per interval, in time order: the final one where there is one."""
    kept: dict[int, EdgeRow] = {}
    for row in rows:
        if row.index not in kept or not row.is_provisional:
            kept[row.index] = row
    return [kept[index] for index in sorted(kept)]


def lines_of(rows: Sequence[EdgeRow], averaging_s: int) -> list[EdgeLine]:
    """The edges of `newest_rows`, each as a line, in the order of their beginning."""
    found: dict[str, list[tuple[int, Edge]]] = {}
    for row in rows:
        for edge in row.edges:
            found.setdefault(edge.id, []).append((row.index, edge))
    lines = []
    for name, points in found.items():
        middle_us = (np.array([index for index, _ in points]) * averaging_s + averaging_s // 2) * MICROSECONDS
        lines.append(
            EdgeLine(
                name,
                points[0][1].sign,
                middle_us.view("datetime64[us]"),
                np.array([edge.height_m for _, edge in points]),
                np.array([edge.probability for _, edge in points]),
            )
        )
    return lines


def lines_of_records(records: Iterable[Mapping[str, Any]]) -> list[EdgeLine]:
    """As `lines_of`, of the records of one site that the stream publishes: one per interval, in time order."""
    found: dict[str, list[tuple[np.datetime64, Mapping[str, Any]]]] = {}
    for record in records:
        for edge in record["edges"]:
            found.setdefault(edge["id"], []).append((instant(record["time"]), edge))
    signs = {name: sign for sign, name in SIGNS.items()}
    return [
        EdgeLine(
            name,
            signs[points[0][1]["sign"]],
            np.array([time for time, _ in points], "datetime64[us]"),
            np.array([edge["height_m"] for _, edge in points], np.float64),
            np.array([edge["probability"] for _, edge in points], np.float64),
        )
        for name, points in found.items()
    ]
