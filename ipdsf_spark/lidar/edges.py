"""From averaged profiles to what the path needs: screened wavelet transform, candidates, node costs, quality bits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar import screening, wavelet
from ipdsf_spark.lidar.averaging import MICROSECONDS, Average
from ipdsf_spark.lidar.candidates import strongest
from ipdsf_spark.lidar.ceiling import ceiling_m
from ipdsf_spark.lidar.profiles import Float64
from ipdsf_spark.lidar.quality import Quality
from ipdsf_spark.lidar.signal import noise
from ipdsf_spark.lidar.site import Site

if TYPE_CHECKING:
    from ipdsf_spark.lidar.mixing_height import LayerSettings


@dataclass(frozen=True, eq=False)
class Edges:
    """Layer tops of N intervals. K path nodes, C candidates.

    Attributes:
        index: (N,) interval numbers.
        node_cost: (N, K) cost of every height node, 0 best; equal costs where the interval says nothing.
        candidates_m, strength, sigma_m: (N, C).
        quality: (N,) bits known before the path.
        cloud_base_m: (N,) lowest cloud base, NaN where none.
        ceiling_m: (N,) diurnal ceiling.
        num_profiles: (N,).
    """

    index: NDArray[np.int64]
    node_cost: Float64
    candidates_m: Float64
    strength: Float64
    sigma_m: Float64
    quality: NDArray[np.uint16]
    cloud_base_m: Float64
    ceiling_m: Float64
    num_profiles: NDArray[np.int32]

    def rows(self, start: int, stop: int) -> Edges:
        """Some of the intervals."""
        return Edges(*(getattr(self, name)[start:stop] for name in Edges.__dataclass_fields__))

    def row(self, at: int) -> Edges:
        """One interval."""
        return self.rows(at, at + 1)

    @staticmethod
    def concatenate(parts: Sequence[Edges]) -> Edges:
        """All rows of `parts`, in order."""
        if len(parts) == 1:
            return parts[0]
        return Edges(*(np.concatenate([getattr(p, name) for p in parts]) for name in Edges.__dataclass_fields__))


def edges_of(averages: Sequence[Average], site: Site, settings: LayerSettings, nodes_m: Float64) -> Edges:
    """Layer tops of averaged profiles.

    Args:
        averages: in time order; consecutive ones of one geometry are worked on together.
        site: coordinates, calibration and limits.
        settings: parameters of the retrieval.
        nodes_m: (K,) heights of the path's nodes.
    """
    groups = groupby(averages, key=_likeness)
    return Edges.concatenate([_edges_of_one_geometry(list(group), site, settings, nodes_m) for _, group in groups])


def _likeness(average: Average) -> tuple[str, bool, tuple[float, float, int], int]:
    """Averages that share a height grid: one instrument, one set of gates, one tilt (to the degree)."""
    tilt_deg = round(average.tilt_sum_deg / average.num_profiles)
    return average.instrument, average.is_calibrated, average.geometry, tilt_deg


def _edges_of_one_geometry(averages: list[Average], site: Site, settings: LayerSettings, nodes_m: Float64) -> Edges:
    first = averages[0]
    num = np.array([average.num_profiles for average in averages])
    index = np.array([average.index for average in averages])
    factor, is_known = (
        screening.calibration(first.instrument, site.calibration) if not first.is_calibrated else (1.0, True)
    )
    if first.is_calibrated and site.calibration is not None:
        factor = site.calibration
    is_absolute = first.is_calibrated or is_known or factor != 1.0
    range_m = first.first_m + first.resolution_m * np.arange(first.total.size)
    slant = float(np.cos(np.radians(_likeness(first)[3])))
    height_m, resolution_m = range_m * slant, first.resolution_m * slant
    beta = np.stack([average.mean() for average in averages]) * factor
    sigma = noise(np.array([average.sigma_unit for average in averages]) * factor, range_m)
    cloud_m = np.array([average.cloud_base_m for average in averages]) * slant
    cloud_m[np.array([average.num_cloud for average in averages]) < screening.CLOUD_FRACTION * num] = np.nan
    cloud_m[np.isinf(cloud_m)] = np.nan

    fog = screening.is_fog(beta, height_m, _fraction(averages, "num_fog", num), cloud_m, is_calibrated=is_absolute)
    wet = screening.is_precipitation(
        beta, height_m, _fraction(averages, "num_precipitation", num), is_calibrated=is_absolute
    )
    min_height_m = screening.min_height_m(first.instrument, site.min_height_m)
    time = ((index * settings.averaging_s + settings.averaging_s // 2) * MICROSECONDS).astype("datetime64[us]")
    top_m = np.minimum(
        ceiling_m(time, site.latitude_deg, site.longitude_deg, settings.ceiling, site.max_height_m), site.max_height_m
    )

    beta[:, height_m < min_height_m] = np.nan
    narrowest = min(settings.dilations_m)
    beta[height_m[None, :] > (cloud_m - narrowest / 4)[:, None]] = np.nan
    edge_m = wavelet.boundaries_m(height_m, resolution_m)
    transform, gain = wavelet.multi_dilation_transform(beta, resolution_m, settings.dilations_m)
    reference = _reference(beta, height_m, settings.reference_m)
    with np.errstate(invalid="ignore", divide="ignore"):
        transform = transform / reference[:, None]
        variance = sigma**2
        sigma_edge = np.sqrt(gain * np.concatenate([variance[:, :1], variance], axis=1)) / reference[:, None]

    guard_m = narrowest / 2 + resolution_m
    is_inside = (edge_m >= min_height_m + guard_m) & (edge_m <= site.max_height_m)
    searched = np.broadcast_to(is_inside, transform.shape) & np.isfinite(transform)
    found = strongest(
        transform,
        sigma_edge,
        edge_m,
        searched,
        num=settings.num_candidates,
        min_strength=settings.min_strength,
        min_snr=settings.min_snr,
    )
    heights, strength, errors = _with_cloud_top(found.height_m, found.strength, found.sigma_m, cloud_m, top_m)
    says_nothing = fog | wet
    node_cost = _node_cost(transform, edge_m, nodes_m, top_m, cloud_m, settings)
    node_cost[says_nothing] = 0.0
    quality = _bits(
        {
            Quality.FOG: fog,
            Quality.PRECIPITATION: wet,
            Quality.CLOUD_CAPPED: cloud_m <= top_m,
            Quality.NEAR_RANGE_EDGE: _peaks_at_the_edge(transform, edge_m, min_height_m + guard_m, top_m),
            Quality.FEW_PROFILES: _is_sparse(averages, settings),
            Quality.UNCALIBRATED: np.full(len(num), not (first.is_calibrated or is_known)),
            Quality.NO_SUN: np.full(len(num), not np.isfinite(site.latitude_deg + site.longitude_deg)),
        }
    )
    return Edges(index, node_cost, heights, strength, errors, quality, cloud_m, top_m, num.astype(np.int32))


def _fraction(averages: list[Average], name: str, num: NDArray[np.int64]) -> Float64:
    return np.array([getattr(average, name) for average in averages]) / num


def _reference(beta: Float64, height_m: Float64, between_m: tuple[float, float]) -> Float64:
    """(T,) mean beta near the surface; NaN where it is not positive, so that nothing is divided by noise."""
    near = (height_m >= between_m[0]) & (height_m <= between_m[1])
    values = beta[:, near]
    count = np.isfinite(values).sum(axis=1)
    mean = np.where(count > 0, np.nansum(values, axis=1) / np.maximum(count, 1), np.nan)
    return np.where(mean > 0, mean, np.nan)


def _node_cost(
    transform: Float64,
    edge_m: Float64,
    nodes_m: Float64,
    top_m: Float64,
    cloud_m: Float64,
    settings: LayerSettings,
) -> Float64:
    """c(t, k) = 1 - W(t, k) / max W(t, .) below the ceiling; more above it (SCIENCE notes §1.8)."""
    spacing_m = edge_m[1] - edge_m[0]
    nearest = np.rint((nodes_m - edge_m[0]) / spacing_m).astype(np.int64)
    reach = int(settings.moves.node_m / spacing_m / 2)
    w = np.where(np.isnan(transform), 0.0, np.maximum(transform, 0.0))
    # the strongest edge that belongs to the node, so that a narrow maximum between nodes is not missed
    columns = np.clip(nearest[:, None] + np.arange(-reach, reach + 1), 0, edge_m.size - 1)
    at_nodes = w[:, columns].max(axis=2)
    at_nodes[:, (nearest < 0) | (nearest >= edge_m.size)] = 0.0
    is_above = nodes_m[None, :] > top_m[:, None]
    # A cloud base within reach of mixing is itself a layer top (the convective layer feeds the cloud).
    with np.errstate(invalid="ignore"):
        at_cloud = np.abs(nodes_m[None, :] - cloud_m[:, None]) <= settings.moves.node_m
    strongest_below = np.where(is_above, 0.0, at_nodes).max(axis=1, keepdims=True)
    at_nodes = np.where(at_cloud & ~is_above, np.maximum(at_nodes, CLOUD_WEIGHT * strongest_below), at_nodes)
    with np.errstate(invalid="ignore", divide="ignore"):
        cost = np.where(strongest_below > 0, 1.0 - np.minimum(at_nodes / strongest_below, 1.0), 0.0)
    total: Float64 = cost + np.where(is_above, settings.above_ceiling_cost, 0.0)
    return total


CLOUD_WEIGHT = 0.8  # of the strongest aerosol edge: a cloud base is a good, not a certain, layer top
CLOUD_SIGMA_M = 100.0  # the mixing height of a cloud-topped layer lies around its base


def _with_cloud_top(
    height_m: Float64, strength: Float64, sigma_m: Float64, cloud_m: Float64, top_m: Float64
) -> tuple[Float64, Float64, Float64]:
    """Put the cloud base among the candidates where mixing can reach it, in place of the weakest."""
    with np.errstate(invalid="ignore"):
        here = np.flatnonzero(cloud_m <= top_m)
    for row in here:
        if np.nanmin(np.abs(np.append(height_m[row], np.inf) - cloud_m[row])) < 60.0:
            continue
        strongest_w = np.nanmax(np.append(strength[row], 0.0))
        weight = CLOUD_WEIGHT * strongest_w if strongest_w > 0 else 0.05
        rank = int(np.sum(strength[row] >= weight))
        if rank < height_m.shape[1]:
            height_m[row] = np.insert(height_m[row], rank, cloud_m[row])[:-1]
            strength[row] = np.insert(strength[row], rank, weight)[:-1]
            sigma_m[row] = np.insert(sigma_m[row], rank, CLOUD_SIGMA_M)[:-1]
    return height_m, strength, sigma_m


def _peaks_at_the_edge(transform: Float64, edge_m: Float64, lowest_m: float, top_m: Float64) -> NDArray[np.bool_]:
    """(T,) W is largest where the search begins: an overlap artefact or a layer too shallow to see."""
    below = np.where(np.isnan(transform) | (edge_m[None, :] > top_m[:, None]), -np.inf, transform)
    strongest_edge = edge_m[below.argmax(axis=1)]
    return np.asarray((below.max(axis=1) > 0) & (strongest_edge <= lowest_m + (edge_m[1] - edge_m[0])))


def _is_sparse(averages: list[Average], settings: LayerSettings) -> NDArray[np.bool_]:
    """(T,) less than half of the interval lies between neighbouring profiles' reach."""
    sparse = []
    for average in averages:
        step = (
            float(np.median(np.diff(average.times))) / MICROSECONDS
            if average.num_profiles > 1
            else settings.averaging_s
        )
        sparse.append(average.num_profiles * min(step, settings.averaging_s) < 0.5 * settings.averaging_s)
    return np.array(sparse)


def _bits(flags: dict[Quality, NDArray[np.bool_]]) -> NDArray[np.uint16]:
    total = np.zeros(len(next(iter(flags.values()))), np.uint16)
    for bit, is_set in flags.items():
        total |= np.where(is_set, np.uint16(bit), np.uint16(0))
    return total
