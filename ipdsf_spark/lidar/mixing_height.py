"""Mixing-layer height of one site, in stream: provisional at once, final after a fixed lag.

Order of work per interval: average, screen (fog, rain, cloud, near range), wavelet transform, candidates, diurnal
ceiling, path. The tracker holds the averages of the intervals that may still grow, the path's costs at the last
closed interval, and the back-pointers of the lag; it is a value that becomes bytes and comes back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar import averaging
from ipdsf_spark.lidar.averaging import Average
from ipdsf_spark.lidar.ceiling import Ceiling
from ipdsf_spark.lidar.edges import Edges, edges_of
from ipdsf_spark.lidar.layer_state import LayerState, pack_state, unpack_state
from ipdsf_spark.lidar.profiles import Float64, Profiles, Time
from ipdsf_spark.lidar.quality import Quality
from ipdsf_spark.lidar.site import Site
from ipdsf_spark.lidar.tracking import Moves, advance, backtrack

SUPPORT_M = 120.0  # a path value needs a candidate this close


@dataclass(frozen=True)
class LayerSettings:
    """Parameters of the retrieval; sources in the science notes §1.2, §1.7 and §1.8.

    Attributes:
        averaging_s: interval of a product (E-PROFILE: 5 min).
        dilations_m: wavelet widths, averaged; below 150 m ceilometer noise dominates.
        num_candidates: layer tops kept per product.
        min_strength: W over the mean of `reference_m` that a candidate needs.
        min_snr: W over its own noise that a candidate needs.
        reference_m: heights whose mean beta makes W dimensionless.
        ceiling: diurnal ceiling.
        above_ceiling_cost: added to a node's cost above the ceiling.
        moves: cost and limit of the path's moves.
        lag_s: a height is final this long after its interval.
        reorder_s: intervals this much older than the newest still take late profiles.
        reset_gap_s: after such a gap the path starts anew.
    """

    averaging_s: int = 300
    dilations_m: tuple[float, ...] = (200.0, 300.0, 400.0)
    num_candidates: int = 5
    min_strength: float = 0.05
    min_snr: float = 4.0
    reference_m: tuple[float, float] = (100.0, 600.0)
    ceiling: Ceiling = field(default_factory=Ceiling)
    above_ceiling_cost: float = 5.0
    moves: Moves = field(default_factory=Moves)
    lag_s: int = 7200
    reorder_s: int = 600
    reset_gap_s: int = 3600

    @property
    def lag_intervals(self) -> int:
        """The lag in intervals."""
        return self.lag_s // self.averaging_s

    @property
    def reorder_intervals(self) -> int:
        """Closed intervals that still take profiles."""
        return self.reorder_s // self.averaging_s


@dataclass(frozen=True, eq=False)
class Layers:
    """Mixing-layer heights, one row per product time.

    Attributes:
        time: (N,) datetime64[us], centre of the averaging interval, UTC.
        mixing_height_m: (N,) above the instrument, NaN where there is none.
        uncertainty_m: (N,) one standard deviation, NaN where there is no height.
        provisional: (N,) a final value will follow.
        quality: (N,) bits of `Quality`.
        candidates_m: (N, 5) layer tops, strongest first, NaN where fewer.
        candidate_strength: (N, 5) their strength, dimensionless.
        cloud_base_m: (N,) lowest cloud base, NaN where none.
        num_profiles: (N,) profiles averaged.
    """

    time: Time
    mixing_height_m: Float64
    uncertainty_m: Float64
    provisional: NDArray[np.bool_]
    quality: NDArray[np.uint16]
    candidates_m: Float64
    candidate_strength: Float64
    cloud_base_m: Float64
    num_profiles: NDArray[np.int32]

    def __len__(self) -> int:
        """Number of product times."""
        return len(self.time)

    @classmethod
    def empty(cls, num_candidates: int = 5) -> Layers:
        """No product at all."""
        none = np.empty(0)
        return cls(
            np.empty(0, "datetime64[us]"),
            none,
            none,
            np.empty(0, bool),
            np.empty(0, np.uint16),
            np.empty((0, num_candidates)),
            np.empty((0, num_candidates)),
            none,
            np.empty(0, np.int32),
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Layers]) -> Layers:
        """All rows of `parts`, in order."""
        kept = [part for part in parts if len(part)]
        if len(kept) <= 1:
            return kept[0] if kept else cls.empty()
        return cls(*(np.concatenate([getattr(part, name) for part in kept]) for name in cls.__dataclass_fields__))


@dataclass(frozen=True, eq=False)
class Update:
    """What new profiles changed.

    Attributes:
        layers: heights that are new or revised; a later row for the same time replaces an earlier one.
        num_late: profiles that came after their interval was closed for good; they changed nothing.
    """

    layers: Layers
    num_late: int


def summarise(profiles: Profiles, settings: LayerSettings) -> bytes:
    """What the tracker needs of some profiles, as mergeable bytes; knows no site."""
    return averaging.pack(averaging.averages_of(profiles, settings.averaging_s))


def retrieve(blocks: Iterable[Profiles], site: Site, settings: LayerSettings | None = None) -> Layers:
    """Final heights of whole files: the same kernels as the stream, all at once.

    Args:
        blocks: profiles of one instrument in any order.
        site: where it stands.
        settings: parameters of the retrieval.
    """
    settings = settings or LayerSettings()
    merged: dict[int, Average] = {}
    for block in blocks:
        for average in averaging.averages_of(block, settings.averaging_s):
            merged[average.index] = merged[average.index].merge(average) if average.index in merged else average
    tracker = SiteTracker.of(site, settings)
    parts = [tracker.absorb([merged[index] for index in sorted(merged)], only_final=True), tracker.finish()]
    return Layers.concatenate(parts)


class SiteTracker:
    """The state of one site. Not thread-safe; `to_bytes` and `from_bytes` carry it from batch to batch."""

    def __init__(self, site: Site, settings: LayerSettings, state: LayerState) -> None:
        self.site = site
        self.settings = settings
        self._state = state

    @classmethod
    def of(cls, site: Site, settings: LayerSettings | None = None) -> SiteTracker:
        """A tracker that has seen nothing."""
        settings = settings or LayerSettings()
        return cls(site, settings, LayerState.empty(_num_nodes(site, settings), settings.num_candidates))

    @classmethod
    def from_bytes(cls, raw: bytes, site: Site, settings: LayerSettings | None = None) -> SiteTracker:
        """The tracker that `to_bytes` wrote.

        Raises:
            ValueError: the bytes were written by another version or with another height grid.
        """
        settings = settings or LayerSettings()
        return cls(site, settings, unpack_state(raw, _num_nodes(site, settings), settings.num_candidates))

    def to_bytes(self) -> bytes:
        """The state as versioned bytes."""
        return pack_state(self._state)

    def update(self, summaries: Sequence[bytes]) -> Update:
        """Take in what `summarise` made of new profiles.

        Returns:
            A provisional height for the newest interval, and final heights for those that the lag has passed.
        """
        averages = [average for raw in summaries for average in averaging.unpack(raw)]
        before = sum(average.num_profiles for average in averages)
        closed = self._state.closed_index
        kept = [average for average in averages if average.index > closed]
        num_late = before - sum(average.num_profiles for average in kept)
        return Update(self.absorb(kept, only_final=False), num_late)

    def num_late(self, summaries: Sequence[bytes]) -> int:
        """Profiles of `summaries` whose interval is closed already; `update` leaves them out."""
        averages = [average for raw in summaries for average in averaging.unpack(raw)]
        return sum(average.num_profiles for average in averages if average.index <= self._state.closed_index)

    def absorb(self, averages: Sequence[Average], *, only_final: bool) -> Layers:
        """Merge averages of intervals that are still open, close those that are complete, and report."""
        if not averages:
            return Layers.empty(self.settings.num_candidates)
        pending = dict(self._state.pending)
        for average in averages:
            held = pending.get(average.index)
            pending[average.index] = average if held is None else held.merge(average)
        ordered = [pending[index] for index in sorted(pending)]
        newest = ordered[-1].index
        num_closing = sum(average.index < newest - self.settings.reorder_intervals for average in ordered)
        edges = edges_of(ordered, self.site, self.settings, self._nodes_m)
        parts = [self._close(ordered[:num_closing], edges)]
        self._state.pending = {average.index: average for average in ordered[num_closing:]}
        if not only_final:
            parts.append(self._provisional(ordered, edges, num_closing))
        return Layers.concatenate(parts)

    def finish(self) -> Layers:
        """End of the data: whatever is pending becomes final, and the tracker starts anew."""
        ordered = [self._state.pending[index] for index in sorted(self._state.pending)]
        parts = []
        if ordered:
            parts.append(self._close(ordered, edges_of(ordered, self.site, self.settings, self._nodes_m)))
        parts.append(self._flush(len(self._state.trail)))
        self._state = LayerState.empty(len(self._nodes_m), self.settings.num_candidates)
        return Layers.concatenate(parts)

    @cached_property
    def _nodes_m(self) -> Float64:
        return (np.arange(_num_nodes(self.site, self.settings)) + 1.0) * self.settings.moves.node_m

    def _close(self, averages: Sequence[Average], edges: Edges) -> Layers:
        """Move the path on over intervals that take no more profiles."""
        state, settings = self._state, self.settings
        parts = []
        for row, average in enumerate(averages):
            gap = average.index - state.closed_index if state.trail else 1
            if state.trail and gap * settings.averaging_s > settings.reset_gap_s:
                parts.append(self._flush(len(state.trail)))
                state.cost = np.zeros_like(state.cost)
            cost, pointers = advance(state.cost, edges.node_cost[row], _stretched(settings.moves, gap))
            state.cost = cost.astype(np.float32).astype(np.float64)  # as it is stored: bytes change nothing
            state.append(average.index, pointers, edges.row(row))
            overdue = sum(1 for index in state.trail_index if index <= average.index - settings.lag_intervals)
            if overdue:
                parts.append(self._flush(overdue))
        return Layers.concatenate(parts)

    def _flush(self, count: int) -> Layers:
        """Make the oldest `count` closed intervals final, seen from the newest."""
        state = self._state
        if count == 0:
            return Layers.empty(self.settings.num_candidates)
        path = backtrack(np.stack(state.trail), int(np.argmin(state.cost)))[:count]
        rows = state.take(count)
        return self._layers(rows, path, provisional=False)

    def _provisional(self, ordered: Sequence[Average], edges: Edges, first: int) -> Layers:
        """The newest interval as seen now, from the path's costs and the intervals that are still open."""
        cost = self._state.cost
        previous = self._state.closed_index if self._state.trail else None
        for row in range(first, len(ordered)):
            index = ordered[row].index
            gap = index - previous if previous is not None else 1
            if gap * self.settings.averaging_s > self.settings.reset_gap_s:
                cost = np.zeros_like(cost)
            cost, _ = advance(cost, edges.node_cost[row], _stretched(self.settings.moves, gap))
            previous = index
        newest = edges.rows(len(ordered) - 1, len(ordered))
        return self._layers(newest, np.array([int(np.argmin(cost))]), provisional=True)

    def _layers(self, rows: Edges, path: NDArray[np.int64], *, provisional: bool) -> Layers:
        settings = self.settings
        on_path = self._nodes_m[path]
        distance = np.abs(rows.candidates_m - on_path[:, None])
        distance[np.isnan(distance)] = np.inf
        chosen = distance.argmin(axis=1)
        line = np.arange(len(path))
        quality = rows.quality.copy()
        has_none = quality & int(Quality.FOG | Quality.PRECIPITATION) > 0
        is_supported = (distance[line, chosen] <= SUPPORT_M) & ~has_none
        quality[~is_supported & ~has_none] |= int(Quality.LOW_SNR)
        height = np.where(is_supported, rows.candidates_m[line, chosen], np.nan)
        spread = _ambiguity_m(rows, height, settings)
        sigma = np.sqrt(rows.sigma_m[line, chosen] ** 2 + spread**2)
        uncertainty = np.where(is_supported, np.maximum(sigma, settings.moves.node_m / 2), np.nan)
        quality[is_supported & (spread > 150.0)] |= int(Quality.AMBIGUOUS)
        if provisional:
            quality |= int(Quality.PROVISIONAL)
        centre = (rows.index * settings.averaging_s + settings.averaging_s // 2) * averaging.MICROSECONDS
        return Layers(
            time=centre.astype("datetime64[us]"),
            mixing_height_m=height,
            uncertainty_m=uncertainty,
            provisional=np.full(len(path), provisional),
            quality=quality,
            candidates_m=rows.candidates_m,
            candidate_strength=rows.strength,
            cloud_base_m=rows.cloud_base_m,
            num_profiles=rows.num_profiles,
        )


def _num_nodes(site: Site, settings: LayerSettings) -> int:
    return max(2, int(site.max_height_m // settings.moves.node_m))


def _stretched(moves: Moves, gap: int) -> Moves:
    """The same cost per metre, with room to move for every missing interval."""
    return moves if gap <= 1 else Moves(moves.cost_per_100_m, moves.max_m * min(gap, 5), moves.node_m)


def _ambiguity_m(rows: Edges, height_m: Float64, settings: LayerSettings) -> Float64:
    """(N,) spread of the other candidates around the chosen one, weighted by how much weaker they are."""
    best = np.nanmax(np.where(np.isnan(rows.strength), 0.0, rows.strength), axis=1, initial=0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        weight = np.exp(-(1.0 - rows.strength / best[:, None]) / 0.15)
        weight[np.isnan(weight) | (rows.candidates_m > rows.ceiling_m[:, None])] = 0.0
        off = np.where(weight > 0, rows.candidates_m - height_m[:, None], 0.0)
        spread = np.sqrt((weight * off**2).sum(axis=1) / np.maximum(weight.sum(axis=1), 1e-9))
    return np.asarray(np.nan_to_num(spread) * 0.35)
