"""Averages to columns of the time–height image: one grid of heights for every instrument, geometry and tilt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.averages.average import FINE_TOP_M, Average
from ipdsf_spark.lidar.edges.settings import EdgeSettings
from ipdsf_spark.lidar.layers import cloud, screening
from ipdsf_spark.lidar.layers.evidence import FURTHEST_RIPPLE_M, NO_HEIGHT, RIPPLE, USUAL_RIPPLE, cut_clipped
from ipdsf_spark.lidar.layers.evidence import in_quarters as quarters
from ipdsf_spark.lidar.layers.grids import Grid, grid_of
from ipdsf_spark.lidar.layers.settings import LayerSettings
from ipdsf_spark.lidar.products.quality import Quality
from ipdsf_spark.lidar.profiles import Float64
from ipdsf_spark.lidar.site import Site

Columns = NDArray[np.void]
ENOUGH: Final = 0.5  # of a cell must be measured
SCREEN: Final = LayerSettings()  # only its grid of gates is used, to look for fog, rain and clipped signal
ABOVE_MEDIAN: Final = 4  # powers of two by which a column's exponent is above its median
LARGEST: Final = 65_504.0  # in half precision
_BESIDE_BETA: Final = ("index", "num", "quality", "cloud", "first", "noise", "ripple", "exponent")


@dataclass(frozen=True)
class Cells:
    """The heights of the image: K cells of equal height, from the ground.

    Attributes:
        cell_m: height of one.
        num: how many.
    """

    cell_m: float
    num: int

    @classmethod
    def of(cls, site: Site, settings: EdgeSettings) -> Cells:
        """Up to the highest height that is searched at the site, and one cell more."""
        top_m = min(site.max_height_m + 2.0 * settings.wide_m, FINE_TOP_M)
        return cls(settings.cell_m, max(8, round(top_m / settings.cell_m)))

    @property
    def middle_m(self) -> Float64:
        """(K,) centres."""
        return (np.arange(self.num, dtype=np.float64) + 0.5) * self.cell_m

    @property
    def boundary_m(self) -> Float64:
        """(K - 1,) heights between two cells: where an edge can be."""
        return np.arange(1, self.num, dtype=np.float64) * self.cell_m

    @property
    def kind(self) -> np.dtype[np.void]:
        """What is kept of an interval.

        index: interval number. num: profiles; 0 of an interval that is missing. quality: bits of `Quality`. cloud:
        lowest cloud base [m / 4]. first: lowest cell with trustworthy signal. noise: of a cell's mean at unit range.
        ripple: of the instrument at 1 km. exponent: of beta, which is a number of half precision times two to it. beta:
        mean clear of cloud, NaN where there is none.
        """
        return _kind(self.num, "<f4")

    @property
    def kind_in_state(self) -> np.dtype[np.void]:
        """The same with beta in half precision, without its exponent."""
        return _kind(self.num, "<f2")


@lru_cache(maxsize=64)
def _kind(num: int, beta: str) -> np.dtype[np.void]:
    return np.dtype(
        [
            ("index", "<i8"),
            ("num", "<u2"),
            ("quality", "<u2"),
            ("cloud", "<u2"),
            ("first", "<u2"),
            ("noise", "<f4"),
            ("ripple", "<f4"),
            ("exponent", "<i2"),
            ("beta", beta, (num,)),
        ]
    )


def columns_of(averages: Sequence[Average], site: Site, cells: Cells, settings: EdgeSettings) -> Columns:
    """(N,) columns of averages in time order; fog, rain and clipped signal are taken out and named.

    Args:
        averages: of any geometries.
        site: its calibration and limits.
        cells: heights of the image.
        settings: of the edges.
    """
    groups = groupby(averages, key=lambda average: (average.likeness, average.tilt_deg))
    with np.errstate(invalid="ignore", divide="ignore"):
        parts = [_of_one_kind(list(group), site, cells, settings) for _, group in groups]
    return np.concatenate(parts) if parts else np.empty(0, cells.kind)


def blank(first: int, num: int, cells: Cells) -> Columns:
    """`num` columns of intervals that are missing, from interval `first` on."""
    columns = np.zeros(num, cells.kind)
    columns["index"] = first + np.arange(num)
    columns["cloud"] = NO_HEIGHT
    columns["beta"] = np.nan
    return columns


@lru_cache(maxsize=64)
def noise_shape(cells: Cells) -> Float64:
    """(K,) noise of a cell for unit noise at unit range: range squared."""
    return np.square(cells.middle_m)


@lru_cache(maxsize=64)
def ripple_shape(cells: Cells) -> Float64:
    """(K,) an instrument's ripple over that at 1 km."""
    return np.asarray(np.square(np.minimum(cells.middle_m, FURTHEST_RIPPLE_M) / 1000.0))


def _of_one_kind(averages: list[Average], site: Site, cells: Cells, settings: EdgeSettings) -> Columns:
    first = averages[0]
    factor, is_absolute = screening.calibration(first.instrument, site.calibration, is_calibrated=first.is_calibrated)
    lowest_m = screening.min_height_m(first.instrument, site.min_height_m)
    geometry = (first.first_m, first.resolution_m, first.total.size)
    grid = grid_of(geometry, first.tilt_deg, lowest_m, site.max_height_m, SCREEN)
    columns = blank(0, len(averages), cells)
    columns["index"] = [average.index for average in averages]
    columns["num"] = [min(average.num_profiles, 65535) for average in averages]
    beta = np.array([average.mean() for average in averages]) * factor
    has_level = is_absolute or factor != 1.0
    cloud_m, cover = cloud.lowest(averages, first.tilt_deg)
    columns["cloud"] = quarters(cloud_m)
    fog, wet = screening.weather(averages, beta, grid.columns, cloud_m, cover, has_level=has_level)
    quality = fog * int(Quality.FOG) | wet * int(Quality.PRECIPITATION)
    cut = cut_clipped(averages, beta, grid) if grid.is_usable else None
    if cut is not None:
        quality |= cut * int(Quality.CLIPPED)
    if not is_absolute:
        quality |= int(Quality.UNCALIBRATED)
    columns["quality"] = quality
    columns["first"] = min(-(-lowest_m // cells.cell_m), 65535)
    # white noise per cell, so that means over cells have the right noise even where gates are coarser than cells
    per_cell = factor * np.sqrt(first.resolution_m * grid.slant / cells.cell_m) / grid.slant**2
    columns["noise"] = [average.sigma_unit * per_cell for average in averages]
    columns["ripple"] = RIPPLE.get(first.instrument, USUAL_RIPPLE) if has_level else 0.0
    if first.resolution_m > 0 and beta.shape[1]:
        columns["beta"] = _on_cells(beta, grid, cells)
    columns["beta"][:, : int(columns["first"][0])] = np.nan
    columns["beta"][fog | wet] = np.nan
    return in_half_precision(columns)


def without_exponents(num: int) -> np.dtype[np.void]:
    """What version 1 of the state kept of an interval of `num` cells: beta in single precision."""
    return np.dtype(
        [(name, kind) for name, (kind, *_) in (_kind(num, "<f4").fields or {}).items() if name != "exponent"]
    )


def in_half_precision(columns: Columns) -> Columns:
    """The same columns with each beta rounded to what the state keeps, 11 bits: far less than noise, half the bytes.

    It is rounded before anything is made of it, so that an image says the same whether it was kept in between or not.
    Each column has an exponent of its own, as signals without calibration have any size: that of its median, which one
    wild cell does not move. What is a million times the median or more becomes that much; steps are at most a
    millionth of it.
    """
    size = np.abs(columns["beta"])
    seen = np.isfinite(size) & (size > 0)
    for row in range(len(columns)):
        middle = float(np.median(size[row][seen[row]])) if seen[row].any() else 0.0
        columns["exponent"][row] = np.frexp(middle)[1] + ABOVE_MEDIAN
    most = np.ldexp(LARGEST, columns["exponent"])[:, None]
    with np.errstate(over="ignore"):
        held = np.clip(columns["beta"].astype(np.float64), -most, most)
        columns["beta"] = np.where(np.isfinite(columns["beta"]), held, columns["beta"])
    return widened(narrowed(columns))


def narrowed(columns: Columns) -> Columns:
    """Columns as the state keeps them (`Cells.kind_in_state`)."""
    kept = np.empty(len(columns), _kind(columns["beta"].shape[1], "<f2"))
    for name in _BESIDE_BETA:
        kept[name] = columns[name]
    kept["beta"] = np.ldexp(columns["beta"], -columns["exponent"][:, None])
    return kept


def widened(kept: Columns) -> Columns:
    """The inverse of `narrowed`."""
    columns = np.empty(len(kept), _kind(kept["beta"].shape[1], "<f4"))
    for name in _BESIDE_BETA:
        columns[name] = kept[name]
    columns["beta"] = np.ldexp(kept["beta"].astype(np.float32), kept["exponent"][:, None])
    return columns


def _on_cells(beta: Float64, grid: Grid, cells: Cells) -> Float64:
    """(N, K) means over what gates share with each cell; NaN where less than half of it is measured."""
    gate_m = float(grid.step_m)
    bottom_m = float(grid.gate_m[0]) - gate_m / 2
    at = np.clip((np.arange(cells.num + 1) * cells.cell_m - bottom_m) / gate_m, 0.0, beta.shape[1])
    whole = np.minimum(at.astype(np.int64), beta.shape[1] - 1)
    part = at - whole
    is_there = np.isfinite(beta)

    def integral(values: Float64) -> Float64:
        sums = np.zeros((len(values), values.shape[1] + 1))
        np.cumsum(values, axis=1, out=sums[:, 1:])
        return np.asarray(np.diff(sums[:, whole] + part * values[:, whole], axis=1))

    measured = integral(is_there.astype(np.float64))
    found = integral(np.where(is_there, beta, 0.0)) / measured
    return np.asarray(np.where(measured * gate_m >= ENOUGH * cells.cell_m, found, np.nan))
