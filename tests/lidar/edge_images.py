"""Made columns of the time–height image, for the tests of the edges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from erf_profiles import NOON, profiles_of

from ipdsf_spark.lidar.averages.average import Average
from ipdsf_spark.lidar.averages.build import averages_of
from ipdsf_spark.lidar.edges.lines import newest_rows
from ipdsf_spark.lidar.edges.settings import EdgeSettings
from ipdsf_spark.lidar.edges.tracker import EdgeRow, EdgeTracker
from ipdsf_spark.lidar.site import Site

PLAIN = Site("plain", float("nan"), float("nan"))
SETTINGS = EdgeSettings()


def averages_with(
    heights_m: Sequence[float],
    *,
    below: float = 2e-6,
    above: float = 4e-7,
    s_m: float = 60.0,
    noise: float = 0.02,
    num_gates: int = 500,
    resolution_m: float = 10.0,
    seed: int = 0,
    start: np.datetime64 = NOON,
    **changes: Any,
) -> list[Average]:
    """Five-minute averages in which backscatter goes from `below` to `above` at these heights, one per interval.

    `noise` is that of an average at 1500 m relative to the larger of both.
    """
    height_m = (np.arange(num_gates) + 0.5) * resolution_m
    tops_m = np.asarray(heights_m, float)[:, None]
    beta = below + (above - below) * 0.5 * (1.0 + np.tanh((height_m - tops_m) / s_m))
    draws = np.random.default_rng(seed).standard_normal(beta.shape)
    beta += noise * max(below, above) * draws * (height_m / 1500.0) ** 2 * np.sqrt(10.0 / resolution_m)
    profiles = profiles_of(beta, start=start, cadence_s=300.0, resolution_m=resolution_m, **changes)
    return averages_of(profiles, 300)


def rows_of(averages: Sequence[Average], site: Site = PLAIN, settings: EdgeSettings = SETTINGS) -> list[EdgeRow]:
    """The final row of every interval."""
    tracker = EdgeTracker(site, settings)
    return newest_rows([*tracker.step(averages), *tracker.flush()])


def heights_of(rows: Sequence[EdgeRow], sign: int) -> list[list[float]]:
    """Heights of the edges of one sign in every interval."""
    return [[edge.height_m for edge in row.edges if edge.sign == sign] for row in rows]
