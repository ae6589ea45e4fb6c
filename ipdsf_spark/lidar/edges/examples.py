"""Simulated days as examples to learn edges from: features, targets, and where a target counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from ipdsf_spark.lidar.averages.build import averages_of
from ipdsf_spark.lidar.edges.image import Cells, Columns, columns_of
from ipdsf_spark.lidar.edges.learned import features
from ipdsf_spark.lidar.edges.scoring import WANTED, true_edges
from ipdsf_spark.lidar.edges.settings import EdgeSettings
from ipdsf_spark.lidar.edges.thinning import Peaks
from ipdsf_spark.lidar.profiles import Float32
from ipdsf_spark.lidar.simulator.hard_days import HardDay, hard_day

SPREAD_M: Final = 30.0  # standard deviation of a target around the true height


class DayImage(NamedTuple):
    """A simulated day as an image.

    Attributes:
        day: what was simulated.
        columns: what the instrument made of it.
        cells: their heights.
        truth: true edges of each column.
    """

    day: HardDay
    columns: Columns
    cells: Cells
    truth: list[Peaks]


class Example(NamedTuple):
    """Of one day: features (C, T, K), targets (2, T, K - 1) and weights (2, T, K - 1)."""

    features: Float32
    targets: Float32
    weights: Float32


def day_image(name: str, seed: int, settings: EdgeSettings) -> DayImage:
    """A day of a kind of `simulator.hard_kinds` on the cells of the edges."""
    day = hard_day(name, seed=seed)
    cells = Cells.of(day.site, settings)
    columns = columns_of(averages_of(day.profiles, settings.averaging_s), day.site, cells, settings)
    clean = day.clean.reshape(len(columns), -1, day.clean.shape[1]).mean(axis=1)
    return DayImage(day, columns, cells, true_edges(clean, day.profiles.range_m, columns, cells, day.site.max_height_m))


def examples(names: Sequence[str], seeds: Sequence[int], settings: EdgeSettings) -> Iterator[Example]:
    """One example per kind and seed."""
    for name in names:
        for seed in seeds:
            yield example_of(day_image(name, seed, settings))


def example_of(image: DayImage) -> Example:
    """Targets are bells around wanted edges; around edges that may or may not be told nothing counts."""
    boundary_m = image.cells.boundary_m
    shape = (2, len(image.columns), boundary_m.size)
    targets, weights = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    is_there = np.isfinite(image.columns["beta"])
    weights[:] = is_there[:, 1:] & is_there[:, :-1]
    for row, peaks in enumerate(image.truth):
        for peak in peaks:
            kind = 0 if peak["sign"] < 0 else 1
            bell = np.exp(-0.5 * np.square((boundary_m - peak["height"]) / SPREAD_M))
            if abs(peak["contrast"]) >= WANTED:
                targets[kind, row] = np.maximum(targets[kind, row], bell)
            else:
                weights[kind, row] *= bell < 0.1
    return Example(features(image.columns, image.cells), targets, weights)
