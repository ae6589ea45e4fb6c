"""From averaged profiles to what the path needs: screened wavelet transform, candidates, node costs, quality bits."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from math import isfinite
from typing import Final

import numpy as np

from ipdsf_spark.lidar.averages.average import MICROSECONDS, Average
from ipdsf_spark.lidar.averages.build import BELOW_CLOUD_M
from ipdsf_spark.lidar.layers import interval_rows as layout
from ipdsf_spark.lidar.layers import screening, wavelet
from ipdsf_spark.lidar.layers.candidates import Peaks, strongest
from ipdsf_spark.lidar.layers.ceiling import course_of_day
from ipdsf_spark.lidar.layers.grids import Grid, grid_of, node_maxima, nodes
from ipdsf_spark.lidar.layers.interval_rows import Rows
from ipdsf_spark.lidar.layers.settings import LayerSettings
from ipdsf_spark.lidar.products.quality import Quality
from ipdsf_spark.lidar.profiles import Float32, Float64
from ipdsf_spark.lidar.site import Site

MAX_STRENGTH: Final = 0.5  # a layer cannot lose more than all it has; more than that is a cloud's or a plume's edge
NOISE_MARGIN: Final = 2.0  # sigmas by which W must exceed its noise before the path notices
WEAK_STRENGTH: Final = 0.1  # below this the strongest edge of a profile does not draw the path with full force
CONNECTED: Final = 0.7  # cleanest air below an edge over the air right below it: from here on, surface-connected
DETACHED: Final = 0.3  # down to here, an elevated layer: no mixing from the ground made it
HIDDEN_SHARE: Final = 0.5  # of the strongest weight, for a top that is too low to be seen at all
HIDDEN_WEIGHT: Final = 0.75  # of W at the lowest edge, for a top that may lie below it
CLOUD_STRENGTH: Final = 0.25  # W that a cloud base on a mixed layer is worth; what lies above cannot be seen
CLOUD_COVER: Final = 0.3  # of the interval's profiles, from which on a cloud base counts in full
FOG, PRECIPITATION, CLOUD_CAPPED = map(np.uint16, (Quality.FOG, Quality.PRECIPITATION, Quality.CLOUD_CAPPED))
RESIDUAL_LAYER: Final = np.uint16(Quality.RESIDUAL_LAYER)
CHUNK: Final = 96  # profiles worked on together, so that they stay in the cache
CLOUD_SIGMA_M: Final = 100.0  # the mixing height of a cloud-topped layer lies around its base
LOWEST_CLOUD_M: Final = 400.0  # a lower base is lifted fog or stratus whose top, not base, bounds the mixing


def edges_of(averages: Sequence[Average], site: Site, settings: LayerSettings) -> tuple[Rows, Float32]:
    """Layer tops of averaged profiles.

    Args:
        averages: in time order; consecutive ones of one geometry are worked on together.
        site: coordinates, calibration and limits.
        settings: parameters of the retrieval.

    Returns:
        (N,) records without path, and (N, K) costs of the path's nodes: 0 best, equal where an interval says nothing.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        if len(averages) == 1:
            return _edges_of_one_kind(averages, site, settings)
        groups = groupby(averages, key=lambda average: (average.likeness, average.tilt_deg))
        parts = [
            _edges_of_one_kind(alike[start : start + CHUNK], site, settings)
            for alike in (list(group) for _, group in groups)
            for start in range(0, len(alike), CHUNK)
        ]
    if len(parts) == 1:
        return parts[0]
    return layout.joined(*(part[0] for part in parts)), np.concatenate([part[1] for part in parts])


def _edges_of_one_kind(averages: Sequence[Average], site: Site, settings: LayerSettings) -> tuple[Rows, Float32]:
    first = averages[0]
    factor, is_absolute = screening.calibration(first.instrument, site.calibration, is_calibrated=first.is_calibrated)
    lowest_m = screening.min_height_m(first.instrument, site.min_height_m)
    geometry = (first.first_m, first.resolution_m, first.total.size)
    grid = grid_of(geometry, first.tilt_deg, lowest_m, site.max_height_m, settings)

    found = _blank(averages, site, settings, first.tilt_deg)
    num = found["num"]
    ceiling = found["ceiling_m"].astype(np.float64)
    cloud_m, cover = _cloud(averages, ceiling, first.tilt_deg)
    found["cloud_m"] = cloud_m
    beta = np.stack([average.mean() for average in averages])
    if factor != 1.0:
        beta *= factor
    has_level = is_absolute or factor != 1.0
    nothing = slice(0, 0)
    said_fog, said_wet = np.array([(average.num_fog, average.num_precipitation) for average in averages]).T / num
    wet = screening.is_precipitation(
        said_wet,
        beta[:, grid.rain if has_level else nothing],
        grid.rain_m if has_level else grid.rain_m[:0],
        cloud_m,
        cover,
    )
    fog = screening.is_fog(said_fog, beta[:, grid.fog if has_level else nothing])
    fog &= ~wet | (said_fog >= screening.MAJORITY)  # strong rain is as bright as fog
    found["quality"] |= fog * FOG | wet * PRECIPITATION | (cloud_m <= ceiling) * CLOUD_CAPPED
    if not is_absolute:
        found["quality"] |= int(Quality.UNCALIBRATED)
    if not isfinite(site.latitude_deg + site.longitude_deg):
        found["quality"] |= int(Quality.NO_SUN)
    cost = np.zeros((len(averages), nodes(site.max_height_m, settings.moves.node_m).size), np.float32)
    if not grid.is_usable:
        return found, cost

    found["floor_m"] = grid.edge_m[grid.first_edge] - settings.moves.node_m / 2
    sigma = np.array([[average.sigma_unit * factor] for average in averages])
    w, sigma_w, weight, below = normalised(beta[:, grid.work], sigma, grid)
    peaks = strongest(
        w,
        sigma_w,
        grid.edge_m,
        grid.first_edge,
        num=settings.num_candidates,
        min_strength=settings.min_strength,
        min_snr=settings.min_snr,
    )
    cloud_weight = _cloud_weight(below, cloud_m, cover, ceiling, grid)
    _fill_table(found["table"], peaks, weight, cloud_m, cloud_weight)
    _cost(cost, node_maxima(weight, grid), w[:, grid.lowest_edge], cloud_m, cloud_weight, ceiling, grid, site, settings)
    says_nothing = fog | wet
    if says_nothing.any():
        cost[says_nothing] = 0.0
    return found, cost


def _blank(averages: Sequence[Average], site: Site, settings: LayerSettings, tilt_deg: int) -> Rows:
    """Records with what is known without looking at the profiles."""
    num_nodes = nodes(site.max_height_m, settings.moves.node_m).size
    found = np.zeros(len(averages), layout.row_type(num_nodes, settings.num_candidates))
    found["index"] = [average.index for average in averages]
    begin_us = found["index"] * (settings.averaging_s * MICROSECONDS)
    found["first_us"] = np.array([average.times[0] for average in averages]) - begin_us
    found["last_us"] = np.array([average.times[-1] for average in averages]) - begin_us
    found["num"] = [average.num_profiles for average in averages]
    found["restart"] = layout.NO_RESTART
    found["table"] = np.nan
    found["table"][:, layout.WEIGHT] = 0.0
    centre = (found["index"] * settings.averaging_s + settings.averaging_s // 2) * MICROSECONDS
    sun = course_of_day(
        centre.view("datetime64[us]"), site.latitude_deg, site.longitude_deg, settings.ceiling, site.max_height_m
    )
    found["ceiling_m"], found["is_day"] = sun.ceiling_m, sun.is_day
    found["quality"] = [_few_profiles(average, settings) for average in averages]
    found["quality"] |= sun.is_dusk * RESIDUAL_LAYER  # until the path shows how high the drop lies
    return found


def _few_profiles(average: Average, settings: LayerSettings) -> int:
    """The bit for less than half of the interval between the first and the last profile's reach."""
    num = average.num_profiles
    whole_us = settings.averaging_s * MICROSECONDS
    if num == 1:
        return 0  # one profile may stand for the whole interval, as in E-PROFILE L2
    reach_us = int(average.times[-1] - average.times[0]) * num // (num - 1)
    return int(Quality.FEW_PROFILES) if 2 * reach_us < whole_us else 0


def _cloud(averages: Sequence[Average], ceiling: Float64, tilt_deg: int) -> tuple[Float64, Float64]:
    """(T,) lowest cloud base, and the share of profiles that have one; of those below the ceiling where there are any.

    The base is the lower quartile of the profiles' bases: one low wisp is no deck, and a deck is seen from below.
    """
    slant = float(np.cos(np.radians(tilt_deg)))
    base_m, cover = np.full(len(averages), np.nan), np.zeros(len(averages))
    for row, average in enumerate(averages):
        bases = average.cloud_base_m
        if bases.size:
            num_low = int(np.searchsorted(bases, ceiling[row] / slant)) or bases.size
            base_m[row] = float(bases[(num_low - 1) // 4]) * slant
            cover[row] = num_low / average.num_profiles
    return base_m, cover


def normalised(beta: Float64, sigma: Float64, grid: Grid) -> tuple[Float64, Float64, Float64, Float64]:
    """W over the near-surface mean, its noise, its weight for the path, and the mean below each edge; each (T, E)."""
    seen = wavelet.transform(beta, grid.windows)
    scale = _scale(beta[:, grid.reference])
    w = seen.w * scale
    sigma = sigma * scale
    sigma_w = sigma * grid.noise_w
    below = seen.below * scale
    sigma_below = sigma * grid.noise_below
    # An edge belongs to the mixing layer only if no much cleaner air lies between it and the ground.
    cleanest = np.fmin.accumulate(below + NOISE_MARGIN * sigma_below, axis=1)
    weight = cleanest / below
    weight -= DETACHED
    weight *= 1.0 / (CONNECTED - DETACHED)
    np.minimum(weight, 1.0, out=weight)
    strength = np.minimum(w, MAX_STRENGTH)
    strength -= NOISE_MARGIN * sigma_w
    weight *= strength
    weight[~((weight > 0) & (strength > 0) & (below > 0))] = 0.0
    weight[:, : grid.first_edge] = 0.0
    w[~(w > -np.inf)] = -np.inf
    return w, sigma_w, weight, below


def _scale(near: Float64) -> Float64:
    """(T, 1) one over the mean near-surface beta; 0 where that is not positive: nothing is divided by noise."""
    total = near.sum(axis=1, keepdims=True)
    if np.isnan(total).any():
        count = np.isfinite(near).sum(axis=1, keepdims=True)
        total = np.nansum(near, axis=1, keepdims=True) * (near.shape[1] / np.maximum(count, 1))
    return np.where(total > 0, near.shape[1] / total, 0.0)


def _cloud_weight(below: Float64, cloud_m: Float64, cover: Float64, ceiling: Float64, grid: Grid) -> Float64:
    """(T,) weight of a cloud base as a layer top: full if the air below it is that of the ground."""
    result = np.zeros(len(cloud_m))
    rows = np.flatnonzero((cloud_m <= grid.edge_m[-1]) & (cloud_m >= LOWEST_CLOUD_M))
    if not rows.size:
        return result
    step_m = grid.edge_m[1] - grid.edge_m[0]
    clear_m = cloud_m[rows] - BELOW_CLOUD_M - step_m  # the highest edge below which all gates are clear
    edge = np.clip(((clear_m - grid.edge_m[0]) / step_m).astype(np.int64), 0, below.shape[1] - 1)
    filled = below[rows, edge]
    cleanest = np.fmin.accumulate(below[rows], axis=1)[np.arange(rows.size), edge]
    filled = np.clip(filled, 0.0, 1.0)  # swelling haze right under a cloud is no layer of its own
    connected = np.clip((cleanest / filled - DETACHED) / (CONNECTED - DETACHED), 0.0, 1.0)
    share = np.minimum(cover[rows] / CLOUD_COVER, 1.0)
    result[rows] = CLOUD_STRENGTH * share * np.nan_to_num(connected * filled)
    return result


def _fill_table(table: Float32, peaks: Peaks, weight: Float64, cloud_m: Float64, cloud_weight: Float64) -> None:
    """Write the candidates, strongest first; a cloud base takes the place that its weight gives it."""
    table[peaks.row, layout.HEIGHT, peaks.rank] = peaks.height_m
    table[peaks.row, layout.STRENGTH, peaks.rank] = peaks.strength
    table[peaks.row, layout.SIGMA, peaks.rank] = peaks.sigma_m
    table[peaks.row, layout.WEIGHT, peaks.rank] = weight[peaks.row, peaks.edge]
    for row in np.flatnonzero(cloud_weight):
        strength = cloud_weight[row]
        rank = int(np.sum(table[row, layout.STRENGTH] >= strength))
        if rank < table.shape[2]:
            table[row, :, rank + 1 :] = table[row, :, rank:-1].copy()
            table[row, :, rank] = (cloud_m[row], strength, CLOUD_SIGMA_M, strength)


def _cost(
    cost: Float32,
    at_nodes: Float32,
    lowest_w: Float64,
    cloud_m: Float64,
    cloud_weight: Float64,
    ceiling: Float64,
    grid: Grid,
    site: Site,
    settings: LayerSettings,
) -> None:
    """c(t, k) = 1 - sqrt(weight(t, k) / max weight(t, .)) below the ceiling; more above it (SCIENCE notes §1.8).

    The root lets a weaker edge that goes on hold out against the strong one of the residual layer above it.
    """
    nodes_m = nodes(site.max_height_m, settings.moves.node_m)
    # A drop that is strongest where seeing begins may belong to a layer below: the path may hide there.
    hidden = np.minimum(np.maximum(lowest_w, 0.0), MAX_STRENGTH)
    hidden *= HIDDEN_WEIGHT
    at_nodes[:, : grid.num_hidden] = hidden[:, None]
    for row in np.flatnonzero(cloud_weight):
        near = np.abs(nodes_m - cloud_m[row]) <= settings.moves.node_m
        at_nodes[row, near] = np.maximum(at_nodes[row, near], cloud_weight[row])
    is_above = nodes_m > ceiling[:, None]
    at_nodes[is_above] = 0.0
    best = np.maximum(at_nodes.max(axis=1, keepdims=True), WEAK_STRENGTH)
    at_nodes[:, : grid.num_hidden] = np.maximum(at_nodes[:, : grid.num_hidden], HIDDEN_SHARE * best)
    np.divide(at_nodes, best, out=cost)
    np.sqrt(cost, out=cost)
    np.subtract(1.0, cost, out=cost)
    cost[is_above] += settings.above_ceiling_cost
