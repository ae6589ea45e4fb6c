"""From averaged profiles to evidence: at which height nodes the mixing layer's top may be seen, and what hides it.

An edge is a fall of the signal with height that stands out of noise and instrument's ripple, over air that is no
cleaner than the air above the ground. Its evidence lies between 0 and 1 and depends on the fall relative to the air
right below, not on that of other edges: a weak top in the night's air is not outshone by the residual layer's.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.averages.average import MICROSECONDS
from ipdsf_spark.lidar.layers import cloud, screening, wavelet
from ipdsf_spark.lidar.layers.candidates import strongest
from ipdsf_spark.lidar.layers.chain import nodes_up_to
from ipdsf_spark.lidar.layers.grids import Grid, grid_of
from ipdsf_spark.lidar.layers.settings import LayerSettings
from ipdsf_spark.lidar.layers.standing import LEARNING, UNSURE, Standing, believed, learned
from ipdsf_spark.lidar.products.quality import Quality
from ipdsf_spark.lidar.profiles import Float64
from ipdsf_spark.lidar.site import Site

LEAST_CONTRAST: Final = 0.08  # of the air right below; less is no edge
FULL_CONTRAST: Final = 0.35  # from here on an edge cannot be clearer
LEAST_SNR, FULL_SNR = 1.5, 5.0  # of W over its noise
CONNECTED: Final = 0.7  # cleanest air below an edge over the air right below it: from here on, surface-connected
DETACHED: Final = 0.3  # down to here, an elevated layer: no mixing from the ground made it
NOISE_MARGIN: Final = 2.0
SHARPNESS: Final = 3  # evidence falls with this power of W over the largest W within 100 m
# What an instrument's electronics leave in the signal at 1 km, growing with range² [m-1 sr-1] (Kotthaus et al. 2016,
# AMT 9, 3769, for CL31)
RIPPLE: Final = {"Vaisala CL31": 3e-8, "Vaisala CT25K": 3e-8, "Campbell CS135": 3e-8}
USUAL_RIPPLE: Final = 2e-9
FURTHEST_RIPPLE_M: Final = 1500.0  # beyond, the detector's noise is what counts
CLOUD_REACH_M: Final = 250.0  # below a cloud's base its own signal falls into the windows
KNOWN: Final = 0.5  # of the ripple, when ...
KNOWN_FROM: Final = 2.0 / 3.0  # ... so much of the time that learning takes is over
CHUNK: Final = 96  # profiles worked on together, so that they stay in the cache
NO_HEIGHT: Final = 65535  # of heights in quarters of a metre
QUARTERS: Final = 4.0
FOG, PRECIPITATION, CLIPPED = (np.uint16(bit) for bit in (Quality.FOG, Quality.PRECIPITATION, Quality.CLIPPED))
SCREENED: Final = np.uint16(Quality.FOG | Quality.PRECIPITATION)
ZERO_RUN: Final = 5  # gates of exactly zero: signal that the maker has cut
CUT_M: Final = 150.0  # below the first of them some profiles are cut already
NUM_CANDIDATES: Final = 5

Rows = NDArray[np.void]

ROW: Final = np.dtype(
    [
        ("index", "<i8"),
        ("num", "<u2"),
        ("quality", "<u2"),
        ("cloud", "<u2"),
        ("cloud_top", "u1"),
        ("floor", "<u2"),
        ("hidden", "u1"),
        ("seen_to", "u1"),
        ("height", "<u2", (NUM_CANDIDATES,)),
        ("strength", "<f2", (NUM_CANDIDATES,)),
        ("sigma", "<f2", (NUM_CANDIDATES,)),
        ("evidence", "u1", (NUM_CANDIDATES,)),
        ("thickness", "u1", (NUM_CANDIDATES,)),
        ("residual", "<u2"),
        ("gathered", "<f2"),
    ]
)
"""What is remembered of an interval until its height is final.

index: interval number. num: profiles. quality: bits known before the chain. cloud: lowest cloud base. cloud_top: 255
times its evidence as the layer's top. floor: lowest height that is seen. hidden: the lowest nodes that are too low to
be seen. seen_to: nodes below this one show an edge if there is one. height, strength, sigma, evidence, thickness: of
the candidates, strongest first; heights in quarters of a metre, thickness of the entrainment zone in tens of metres.
residual: top of the residual layer as it was known when the interval was closed. gathered: ln of the signal right above
the lowest trustworthy height over that of the air above it, NaN where cloud, fog or rain are in the way.
"""


@dataclass(frozen=True, eq=False)
class Evidence:
    """Of N intervals on K nodes.

    Attributes:
        rows: (N,) of `ROW`.
        edges: (N, K) evidence of a layer top at a node, as 255ths.
    """

    rows: Rows
    edges: NDArray[np.uint8]

    def rows_from(self, begin: int, end: int) -> Evidence:
        """The intervals from `begin` to `end`."""
        return Evidence(self.rows[begin:end], self.edges[begin:end])

    @classmethod
    def concatenate(cls, parts: Sequence[Evidence]) -> Evidence:
        """All of `parts`, in order."""
        if len(parts) == 1:
            return parts[0]
        # Of a table's columns numpy would ask whether they agree, one by one and every time, were the kind not named.
        return cls(
            np.concatenate([part.rows for part in parts], dtype=ROW), np.concatenate([part.edges for part in parts])
        )


class Seen(NamedTuple):
    """What is to be looked at of a site.

    Attributes:
        averages: at least one, in time order.
        num_closed: of these the first are closed: they are learned from.
        site: where they are from.
        standing: what is known before them.
    """

    averages: Sequence[Any]
    num_closed: int
    site: Site
    standing: Standing


def evidence_of_sites(sites: Sequence[Seen], settings: LayerSettings) -> list[tuple[Evidence, Standing]]:
    """Evidence of averaged profiles of many sites; those of one kind are worked on together.

    Returns:
        Evidence, and what stands after the closed intervals, of every site.
    """
    kinds: dict[tuple[int, Hashable], list[tuple[int, int]]] = {}
    for number, (averages, _, site, _) in enumerate(sites):
        kind: Hashable = None
        run = 0  # of averages of one kind: those of a later one are looked at later
        for at, average in enumerate(averages):
            before, kind = kind, _kind_of(average, site)
            run += at > 0 and kind != before
            kinds.setdefault((run, kind), []).append((number, at))
    standing = [seen.standing for seen in sites]
    rows = [np.empty(len(seen.averages), ROW) for seen in sites]
    edges = [np.empty((len(seen.averages), nodes_up_to(seen.site.max_height_m).size), np.uint8) for seen in sites]
    with np.errstate(invalid="ignore", divide="ignore"):
        for _, alike in sorted(kinds.items(), key=lambda item: item[0][0]):
            for start in range(0, len(alike), CHUNK):
                places = alike[start : start + CHUNK]
                teacher = _Teacher(
                    standing,
                    np.array([number for number, _ in places]),
                    np.array([at < sites[number].num_closed for number, at in places]),
                )
                found = _of_one_kind(
                    [sites[k].averages[at] for k, at in places], sites[places[0][0]].site, settings, teacher
                )
                for line, (number, at) in enumerate(places):
                    rows[number][at], edges[number][at] = found.rows[line], found.edges[line]
    return list(zip(map(Evidence, rows, edges), standing, strict=True))


@dataclass(frozen=True, eq=False)
class _Teacher:
    """Whose intervals are looked at, in time order for every site, and whether they are learned from.

    Attributes:
        standing: of all sites; what is learned is put there.
        number: (T,) site of each interval.
        is_closed: (T,) whether it is closed.
    """

    standing: list[Standing]
    number: NDArray[np.int64]
    is_closed: NDArray[np.bool_]

    def parts_of(self, w: Float64, top: NDArray[np.int64]) -> tuple[Float64, Float64]:
        """(T, E) the part of W that stood before every interval [m-1 sr-1], and (T,) how far that is known.

        Args:
            w: (T, E) at the places where it is remembered.
            top: (T,) the first of these in cloud, fog or rain.
        """
        found, known = np.empty(w.shape), np.empty(len(w))
        turn = np.arange(len(w)) - np.searchsorted(self.number, self.number)  # sites come one behind the other
        for number in set(self.number.tolist()):
            self.standing[number] = self.standing[number].of_edges(w.shape[1])
        for of_all in range(int(turn.max()) + 1):
            lines = np.flatnonzero(turn == of_all)
            told = [self.standing[number] for number in self.number[lines].tolist()]
            mean, part = np.array([one.mean for one in told]), np.array([one.part for one in told])
            known[lines] = [one.num / LEARNING for one in told]
            found[lines] = believed(mean, part, known[lines])
            mean, part = learned(mean, part, w[lines], top[lines])
            for line, number in enumerate(self.number[lines].tolist()):
                if self.is_closed[lines[line]] and top[lines[line]] > 0:
                    num = min(told[line].num + 1, LEARNING)
                    self.standing[number] = Standing(mean[line], part[line], num)
        return found, known


def _kind_of(average: Any, site: Site) -> Hashable:
    """What must agree for averages to be worked on together: all that is not taken profile by profile."""
    return (
        (average.instrument, average.is_calibrated, average.tilt_deg),
        (average.first_m, average.resolution_m, average.total.size),
        (site.calibration, site.min_height_m, site.max_height_m),
        isfinite(site.latitude_deg + site.longitude_deg),
    )


def _of_one_kind(averages: Sequence[Any], site: Site, settings: LayerSettings, teacher: _Teacher) -> Evidence:
    first = averages[0]
    factor, is_absolute = screening.calibration(first.instrument, site.calibration, is_calibrated=first.is_calibrated)
    lowest_m = screening.min_height_m(first.instrument, site.min_height_m)
    geometry = (first.first_m, first.resolution_m, first.total.size)
    grid = grid_of(geometry, first.tilt_deg, lowest_m, site.max_height_m, settings)

    rows = np.zeros(len(averages), ROW)
    rows["index"] = [average.index for average in averages]
    rows["num"] = [min(average.num_profiles, 65535) for average in averages]
    rows["height"] = rows["residual"] = NO_HEIGHT
    rows["strength"] = rows["gathered"] = np.nan
    quality = np.array([_few_profiles(average, settings) for average in averages], np.uint16)
    beta = np.array([average.mean() for average in averages])
    if factor != 1.0:
        beta *= factor
    cut = cut_clipped(averages, beta, grid)
    if cut is not None:
        quality |= cut * CLIPPED
    cloud_m, cover = cloud.lowest(averages, first.tilt_deg)
    has_level = is_absolute or factor != 1.0
    fog, wet = screening.weather(averages, beta, grid.columns, cloud_m, cover, has_level=has_level)
    quality |= fog * FOG | wet * PRECIPITATION
    if not is_absolute:
        quality |= np.uint16(Quality.UNCALIBRATED)
    if not isfinite(site.latitude_deg + site.longitude_deg):
        quality |= np.uint16(Quality.NO_SUN)
    rows["quality"] = quality
    rows["cloud"] = in_quarters(cloud_m)
    edges = np.zeros((len(averages), grid.nodes_m.size), np.uint8)
    rows["hidden"], rows["seen_to"] = grid.num_hidden, grid.num_hidden
    rows["floor"] = int(QUARTERS * lowest_m)
    if not grid.is_usable:
        return Evidence(rows, edges)
    rows["floor"] = int(QUARTERS * grid.floor_m)
    ripple = RIPPLE.get(first.instrument, USUAL_RIPPLE) if has_level else 0.0
    sigma = np.array([[average.sigma_unit * factor] for average in averages])
    says_nothing = fog | wet
    _look(rows, edges, beta[:, grid.work], sigma, ripple, cloud_m, cover, says_nothing, grid, settings, teacher)
    if says_nothing.any():
        edges[says_nothing] = 0
        rows["seen_to"][says_nothing] = 0
    return Evidence(rows, edges)


def _look(
    rows: Rows,
    edges: NDArray[np.uint8],
    beta: Float64,
    sigma: Float64,
    ripple: float,
    cloud_m: Float64,
    cover: Float64,
    says_nothing: NDArray[np.bool_],
    grid: Grid,
    settings: LayerSettings,
    teacher: _Teacher,
) -> None:
    """Transform, candidates and evidence of screened profiles."""
    rows["gathered"] = _gathered(beta, np.where(says_nothing, 0.0, np.where(cloud_m > 0, cloud_m, np.inf)), grid)
    seen = wavelet.transform(beta, grid.windows)
    scale = _scale(beta[:, grid.reference])
    w, below = seen.w * scale, seen.below * scale
    sigma = sigma * scale
    sigma_w = noise_w = np.hypot(sigma * grid.noise_w, (ripple * scale) * grid.ripple_shape)
    if ripple:
        clear_m = np.where(cloud_m > 0, cloud_m - CLOUD_REACH_M, np.inf)
        top = np.searchsorted(grid.edge_m[grid.places.edges], np.where(says_nothing, 0.0, clear_m))
        stands, known = teacher.parts_of(seen.w[:, grid.places.edges], top)
        stands = grid.places.at_edges(stands)
        most = ripple * grid.largest_standing
        np.clip(stands, -most, most, out=stands)
        stands *= scale
        w -= stands
        # of the ripple some is in what stands, and no error any more once that is known
        left = ripple * (1.0 - KNOWN * np.minimum(known / KNOWN_FROM, 1.0))
        noise_w = np.hypot(sigma * grid.noise_w, (left[:, None] * scale) * grid.ripple_shape)
        sigma_w = np.hypot(noise_w, UNSURE * stands)
    # an edge belongs to the mixing layer only if no much cleaner air lies between it and the ground
    cleanest = np.fmin.accumulate(below + NOISE_MARGIN * sigma * grid.noise_below, axis=1)
    connected = np.clip((cleanest / below - DETACHED) * (1.0 / (CONNECTED - DETACHED)), 0.0, 1.0)
    contrast = 2.0 * w / below
    found = np.clip((contrast - LEAST_CONTRAST) * (1.0 / (FULL_CONTRAST - LEAST_CONTRAST)), 0.0, 1.0)
    np.sqrt(found, out=found)
    found *= np.clip((w / sigma_w - LEAST_SNR) * (1.0 / (FULL_SNR - LEAST_SNR)), 0.0, 1.0)
    found *= connected
    found[~((below > 0) & (found > 0))] = 0.0
    found[:, : grid.first_edge] = 0.0
    w[~(w > -np.inf)] = -np.inf

    peaks = strongest(
        w, sigma_w, grid.edge_m, grid.first_edge,
        num=settings.num_candidates, min_strength=settings.min_strength, min_snr=settings.min_snr, rank_by=found,
    )  # fmt: skip
    at = (peaks.row, peaks.rank)
    rows["height"][at] = in_quarters(peaks.height_m)
    rows["strength"][at] = peaks.strength
    rows["sigma"][at] = peaks.sigma_m
    rows["evidence"][at] = 255.0 * found[peaks.row, peaks.edge]
    thickness_m = wavelet.entrainment_m(seen.sums, grid.windows, grid.step_m, peaks.row, peaks.edge)
    rows["thickness"][at] = np.nan_to_num(np.minimum(thickness_m / 10.0, 255.0))

    of_node = np.maximum.reduceat(np.maximum(w, 0.0), grid.node_start, axis=1)
    highest = _widened(of_node, SHARPNESS)
    of_node /= np.maximum(highest, 1e-12)
    on_nodes = np.maximum.reduceat(found, grid.node_start, axis=1)
    on_nodes *= of_node**SHARPNESS
    on_nodes *= grid.is_seen
    cloud_top = cloud.as_top(below, cloud_m, cover, grid)
    for row in np.flatnonzero(cloud_top):
        node = int(np.abs(grid.nodes_m - cloud_m[row]).argmin())
        on_nodes[row, node] = max(on_nodes[row, node], cloud_top[row])
    np.multiply(on_nodes, 255.0, out=on_nodes)
    edges[:] = on_nodes
    rows["cloud_top"] = 255.0 * cloud_top
    # up to where a clear edge would stand out of the noise
    visible = (2.0 * LEAST_SNR / FULL_CONTRAST) * noise_w < below
    visible[:, : grid.first_edge] = True
    rows["seen_to"] = np.searchsorted(grid.nodes_m, grid.edge_m[_first_run_of_false(visible) - 1])


def _gathered(beta: Float64, clear_m: Float64, grid: Grid) -> Float64:
    """(T,) ln of the mean of the lowest gates over that of those above; NaN without signal or where it is hidden."""
    if grid.lowest.start >= grid.lowest.stop or grid.above.start >= grid.above.stop:
        return np.full(len(beta), np.nan)
    lowest, above = beta[:, grid.lowest].mean(axis=1), beta[:, grid.above].mean(axis=1)
    is_clear = (lowest > 0) & (above > 0) & (clear_m > grid.clear_m)
    return np.log(np.where(is_clear, lowest / above, np.nan))


def _first_run_of_false(visible: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(T,) the edge from which on most edges are not visible."""
    count = visible.shape[1]
    # the place that parts visible from invisible edges best
    score = np.cumsum(np.where(visible, 1, -1), axis=1)
    found = score.argmax(axis=1) + 1
    return np.asarray(np.minimum(np.maximum(found, 1), count), np.int64)


def _widened(values: Float64, reach: int) -> Float64:
    """(T, K) the largest value within `reach` nodes."""
    found = values.copy()
    for step in range(1, reach + 1):
        np.maximum(found[:, step:], values[:, :-step], out=found[:, step:])
        np.maximum(found[:, :-step], values[:, step:], out=found[:, :-step])
    return found


def _scale(near: Float64) -> Float64:
    """(T, 1) one over the mean near-surface beta; 0 where that is not positive: nothing is divided by noise."""
    total = near.sum(axis=1, keepdims=True)
    if np.isnan(total).any():
        count = np.isfinite(near).sum(axis=1, keepdims=True)
        total = np.nansum(near, axis=1, keepdims=True) * (near.shape[1] / np.maximum(count, 1))
    return np.where(total > 0, near.shape[1] / total, 0.0)


def cut_clipped(averages: Sequence[Any], beta: Float64, grid: Grid) -> NDArray[np.bool_] | None:
    """Take gates away that the maker has cut to zero, and those below where some profiles are cut; (T,) where."""
    given = [getattr(average, "clipped_from_m", None) for average in averages]
    is_zero = beta[:, grid.work] == 0.0
    from_m = np.full(len(averages), np.inf)
    for row in np.flatnonzero(is_zero.sum(axis=1) >= ZERO_RUN).tolist():
        runs = np.convolve(is_zero[row], np.ones(ZERO_RUN), "valid") >= ZERO_RUN
        if runs.any():
            from_m[row] = grid.edge_m[int(runs.argmax())] - CUT_M
    for row, heights_m in enumerate(given):
        if heights_m is not None and len(heights_m):
            from_m[row] = min(from_m[row], float(heights_m[0]) * grid.slant)
    is_cut = np.isfinite(from_m)
    if not is_cut.any():
        return None
    gate_m = grid.gate_m
    for row in np.flatnonzero(is_cut).tolist():
        beta[row, gate_m > from_m[row]] = np.nan
    return np.asarray(is_cut)


def _few_profiles(average: Any, settings: LayerSettings) -> int:
    """The bit for less than half of the interval between the first and the last profile's reach."""
    num = average.num_profiles
    whole_us = settings.averaging_s * MICROSECONDS
    if num == 1:
        return 0  # one profile may stand for the whole interval, as in E-PROFILE L2
    reach_us = int(average.times[-1] - average.times[0]) * num // (num - 1)
    return int(Quality.FEW_PROFILES) if 2 * reach_us < whole_us else 0


def in_quarters(height_m: Float64) -> NDArray[np.uint16]:
    """Heights in quarters of a metre, `NO_HEIGHT` where NaN."""
    whole = np.rint(np.where(np.isfinite(height_m), height_m, NO_HEIGHT) * QUARTERS)
    return np.asarray(np.clip(whole, 0, NO_HEIGHT), np.uint16)


def in_metres(quarters: NDArray[np.uint16]) -> Float64:
    """The inverse of `in_quarters`."""
    return np.where(quarters == NO_HEIGHT, np.nan, quarters / QUARTERS)
