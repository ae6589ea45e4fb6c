"""Mixing-layer height of one site, in stream: provisional at once, final after a fixed lag.

Order of work per interval: average, screen (fog, rain, cloud, near range), wavelet transform, candidates, diurnal
ceiling, path. The tracker holds the averages of the intervals that may still grow, the path's costs around them, and
the back-pointers of the lag; it is a value that becomes bytes and comes back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ipdsf_spark.lidar.averages import average_bytes
from ipdsf_spark.lidar.averages.average import MICROSECONDS, Average
from ipdsf_spark.lidar.averages.build import averages_of
from ipdsf_spark.lidar.layers import interval_rows as layout
from ipdsf_spark.lidar.layers import uncertainty
from ipdsf_spark.lidar.layers.grids import nodes
from ipdsf_spark.lidar.layers.interval_rows import Rows
from ipdsf_spark.lidar.layers.product import Layers, Update
from ipdsf_spark.lidar.layers.residual_layer import ceiling_below, followed
from ipdsf_spark.lidar.layers.screened import edges_of
from ipdsf_spark.lidar.layers.settings import LayerSettings
from ipdsf_spark.lidar.layers.state import NOTHING_CLOSED, LayerState, pack_state, unpack_state
from ipdsf_spark.lidar.layers.tracking import advance, backtrack
from ipdsf_spark.lidar.products.quality import Quality
from ipdsf_spark.lidar.profiles import Float32, Profiles
from ipdsf_spark.lidar.site import Site

__all__ = ["LayerSettings", "Layers", "SiteTracker", "Update", "retrieve", "summarise"]

SUPPORT_M = 120.0  # a path value needs a candidate this close
SUPPORT_SHARE = 0.45  # and one this strong beside the profile's strongest, be that a residual layer above the ceiling
AMBIGUOUS_M = 150.0  # rivals that make the height uncertain by more than this are worth a bit
SCREENED, PROVISIONAL = np.uint16(Quality.FOG | Quality.PRECIPITATION), np.uint16(Quality.PROVISIONAL)
NEAR_RANGE_EDGE, LOW_SNR = np.uint16(Quality.NEAR_RANGE_EDGE), np.uint16(Quality.LOW_SNR)
AMBIGUOUS, RESIDUAL_LAYER = np.uint16(Quality.AMBIGUOUS), np.uint16(Quality.RESIDUAL_LAYER)
LONGEST_GAP = 5  # the largest move grows with missing intervals up to this many


def summarise(profiles: Profiles, settings: LayerSettings) -> bytes:
    """What the tracker needs of some profiles, as mergeable bytes; knows no site."""
    return average_bytes.pack(averages_of(profiles, settings.averaging_s))


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
        for average in averages_of(block, settings.averaging_s):
            held = merged.get(average.index)
            merged[average.index] = average if held is None else held.merge(average)
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
        num_nodes = nodes(site.max_height_m, settings.moves.node_m).size
        return cls(site, settings, LayerState.empty(num_nodes, settings.num_candidates))

    @classmethod
    def from_bytes(cls, raw: bytes, site: Site, settings: LayerSettings | None = None) -> SiteTracker:
        """The tracker that `to_bytes` wrote.

        Raises:
            ValueError: the bytes were written by another version or with another height grid.
        """
        settings = settings or LayerSettings()
        num_nodes = nodes(site.max_height_m, settings.moves.node_m).size
        return cls(site, settings, unpack_state(raw, num_nodes, settings.num_candidates))

    def to_bytes(self) -> bytes:
        """The state as versioned bytes."""
        return pack_state(self._state)

    def update(self, summaries: Sequence[bytes]) -> Update:
        """Take in what `summarise` made of new profiles.

        Returns:
            A provisional height for every interval that changed and is not final yet, and final heights for those that
            the lag has passed.
        """
        averages = average_bytes.unpack(b"".join(summaries))
        closed = self._state.closed_index
        kept = [average for average in averages if average.index > closed]
        num_late = sum(average.num_profiles for average in averages if self._is_late(average))
        return Update(self.absorb(kept, only_final=False), num_late)

    def num_late(self, summaries: Sequence[bytes]) -> int:
        """Profiles of `summaries` whose interval is closed already; `update` leaves them out."""
        averages = average_bytes.unpack(b"".join(summaries))
        return sum(average.num_profiles for average in averages if self._is_late(average))

    def absorb(self, averages: Sequence[Average], *, only_final: bool) -> Layers:
        """Merge averages of open intervals, close the intervals that are complete, and report.

        Args:
            averages: of intervals newer than the newest closed one, in any order.
            only_final: leave provisional heights out.
        """
        state = self._state
        changed = self._merge(averages)
        if not changed:
            return Layers.empty(self.settings.num_candidates)
        first = min(changed)
        indices = sorted({*state.open, *changed})
        again = [index for index in indices if index >= first]
        kept_open = len(indices) - len(again)
        num_kept = len(state.rows) - len(state.open) + kept_open
        fresh, node_cost = edges_of(
            [changed.get(index) or average_bytes.from_bytes(state.open[index]) for index in again],
            self.site,
            self.settings,
        )
        rows = layout.joined(state.rows[:num_kept], fresh)
        costs = self._walk(rows, num_kept, node_cost, state.cost[kept_open])

        newest = indices[-1]
        num_closing = sum(index < newest - self.settings.reorder_intervals for index in indices)
        num_closed = len(rows) - len(indices) + num_closing
        path = self._pass_lag(rows, num_closed - num_closing, num_closed)
        num_final = len(path)
        told = rows[:num_final]
        if not only_final:
            since = max(num_kept, num_final)
            latest = backtrack(rows["pointers"][since:], rows["end"][-1], rows["restart"][since:])
            told, path = (layout.joined(told, rows[since:]), path + latest) if path else (rows[since:], latest)

        all_costs = np.concatenate([state.cost[: kept_open + 1], costs])
        still_open = indices[num_closing:]
        self._state = LayerState(
            rows=rows[num_final:],
            cost=all_costs[num_closing:],
            open={
                index: average_bytes.to_bytes(changed[index]) if index in changed else state.open[index]
                for index in still_open
            },
            closed_index=indices[num_closing - 1] if num_closing else state.closed_index,
        )
        return self._layers(told, path, num_final)

    def finish(self) -> Layers:
        """End of the data: whatever is pending becomes final, and the tracker starts anew."""
        rows, num_open = self._state.rows, len(self._state.open)
        self._state = LayerState.empty(self._state.cost.shape[1], self.settings.num_candidates)
        if not len(rows):
            return Layers.empty(self.settings.num_candidates)
        # the lag passes for those that close now, in the same order as if more data had closed them
        path = self._pass_lag(rows, len(rows) - num_open, len(rows))
        done = len(path)
        path += backtrack(rows["pointers"][done:], rows["end"][-1], rows["restart"][done:])
        return self._layers(rows, path, num_final=len(rows))

    @property
    def silent_from(self) -> np.datetime64:
        """When the site counts as silent if nothing more comes: then `flush` has something to tell. NaT if never."""
        rows = self._state.rows
        if not len(rows):
            return np.datetime64("NaT", "us")
        settings = self.settings
        end = (int(rows["index"][-1]) + 1) * settings.averaging_s
        return np.datetime64((end + settings.reset_gap_s + settings.reorder_s) * MICROSECONDS, "us")

    def flush(self, now: np.datetime64) -> Layers:
        """What is pending becomes final if the site has been silent for so long that the path will start anew.

        The heights are those that data after the gap would have made final. Profiles of flushed intervals that come
        after all are late.

        Args:
            now: UTC, on the clock of the data: where a recording is replayed, the newest profile of all sites.
        """
        if not now >= self.silent_from:  # nor if nothing is pending
            return Layers.empty(self.settings.num_candidates)
        newest = int(self._state.rows["index"][-1])
        layers = self.finish()
        self._state.closed_index = newest
        return layers

    def _is_late(self, average: Average) -> bool:
        """Whether the average's interval is closed and, as far as is remembered, did not have these profiles."""
        if average.index > self._state.closed_index:
            return False
        rows = self._state.rows
        at = int(np.searchsorted(rows["index"], average.index)) if len(rows) else 0
        if at == len(rows) or rows["index"][at] != average.index:
            return True
        row, begin_us = rows[at], average.index * self.settings.averaging_s * MICROSECONDS
        return bool(average.times[0] < begin_us + row["first_us"] or average.times[-1] > begin_us + row["last_us"])

    def _merge(self, averages: Sequence[Average]) -> dict[int, Average]:
        """The open intervals that `averages` change, as they are then."""
        changed: dict[int, Average] = {}
        for average in averages:
            index = average.index
            held = changed.get(index)
            if held is None and index in self._state.open:
                held = average_bytes.from_bytes(self._state.open[index])
            merged = average if held is None else held.merge(average)
            if merged is not held:
                changed[index] = merged
        return changed

    def _walk(self, rows: Rows, start: int, node_cost: Float32, cost: Float32) -> Float32:
        """Advance the path over `rows[start:]`, filling their path columns; (n, K) the costs after each."""
        settings = self.settings
        costs = np.empty_like(node_cost)
        longest = settings.reset_gap_s // settings.averaging_s
        for at in range(start, len(rows)):
            gap = int(rows["index"][at] - rows["index"][at - 1]) if at else 1
            if not at and self._state.closed_index != NOTHING_CLOSED:
                gap = int(rows["index"][at]) - self._state.closed_index
            if gap > 1:
                rows["quality"][at] |= int(Quality.GAP_FILLED)
            if gap > longest:
                rows["restart"][at] = np.argmin(cost)
                rows["quality"][at] &= ~int(Quality.GAP_FILLED) & 0xFFFF
                cost = np.zeros_like(cost)
            self._shade(rows, at, node_cost[at - start], is_new=not at or gap > longest)
            cost, rows["pointers"][at] = advance(cost, node_cost[at - start], settings.moves, min(gap, LONGEST_GAP))
            rows["end"][at] = cost.argmin()
            costs[at - start] = cost
        return costs

    def _shade(self, rows: Rows, at: int, node_cost: Float32, *, is_new: bool) -> None:
        """Follow the residual layer's top into row `at`, and keep the path below it if it is far below."""
        row = rows[at]
        if row["is_day"] or is_new:
            return
        before = rows[at - 1]
        residual = float(before["residual_m"]), int(before["residual_seen"])
        if not row["quality"] & SCREENED:
            table, ceiling_m = row["table"], float(row["ceiling_m"])
            residual = followed(residual, table[layout.HEIGHT].tolist(), table[layout.WEIGHT].tolist(), ceiling_m)
            nodes_m = nodes(self.site.max_height_m, self.settings.moves.node_m)
            lower_m = ceiling_below(residual, ceiling_m, float(nodes_m[before["end"]]))
            if lower_m < ceiling_m:
                node_cost[(nodes_m > lower_m) & (nodes_m <= ceiling_m)] = 1.0 + self.settings.above_ceiling_cost
                row["ceiling_m"] = lower_m
        row["residual_m"], row["residual_seen"] = residual

    def _pass_lag(self, rows: Rows, start: int, stop: int) -> list[int]:
        """Path over the rows that become final while `rows[start:stop]` close one after the other.

        Each is seen from the row that closes when its lag has passed, however the rows came in.
        """
        index = rows["index"]
        path: list[int] = []
        pointers, restart, end = rows["pointers"], rows["restart"], rows["end"]
        for at in range(start, stop):
            done = len(path)
            num_final = int(index[: at + 1].searchsorted(index[at] - self.settings.lag_intervals, side="right"))
            if num_final > done:
                path += backtrack(pointers[done : at + 1], end[at], restart[done : at + 1])[: num_final - done]
        return path

    def _layers(self, rows: Rows, path: Sequence[int], num_final: int) -> Layers:
        """The product of intervals whose path is known; the first `num_final` of them are final."""
        settings = self.settings
        if not len(rows):
            return Layers.empty(settings.num_candidates)
        node_m = settings.moves.node_m
        on_path = nodes(self.site.max_height_m, node_m)[np.array(path)]
        table = rows["table"]
        tops = table[:, layout.HEIGHT].astype(np.float64)
        weight = np.where(tops <= rows["ceiling_m"][:, None] + node_m, table[:, layout.WEIGHT], 0.0)
        is_clear = weight > SUPPORT_SHARE * table[:, layout.WEIGHT].max(axis=1, keepdims=True)
        distance = np.where(is_clear, np.abs(tops - on_path[:, None]), np.inf)
        chosen = distance.argmin(axis=1)
        line = np.arange(len(rows))
        quality = rows["quality"].copy()
        is_screened = (quality & SCREENED) > 0
        is_supported = (distance[line, chosen] <= SUPPORT_M) & ~is_screened
        # Dusk: what stays up there while the layer collapses is the residual layer.
        is_residual = is_supported & (quality & RESIDUAL_LAYER > 0) & (tops[line, chosen] > settings.ceiling.night_m)
        is_supported &= ~is_residual
        quality[~is_residual] &= ~RESIDUAL_LAYER
        height = np.where(is_supported, tops[line, chosen], np.nan)
        rivals = uncertainty.ambiguity_m(tops, weight, height)
        sigma = uncertainty.total_m(table[line, layout.SIGMA, chosen], rivals)
        # Without a value the reason is said: a top below what is seen, or nothing that stands out.
        reason = np.where(on_path < rows["floor_m"], NEAR_RANGE_EDGE, LOW_SNR)
        quality |= np.where(is_supported, (rivals > AMBIGUOUS_M) * AMBIGUOUS, ~(is_screened | is_residual) * reason)
        quality[num_final:] |= PROVISIONAL
        centre = (rows["index"] * settings.averaging_s + settings.averaging_s // 2) * MICROSECONDS
        return Layers(
            time=centre.view("datetime64[us]"),
            mixing_height_m=height,
            uncertainty_m=np.where(is_supported, sigma, np.nan),
            provisional=line >= num_final,
            quality=quality,
            candidates_m=tops,
            candidate_strength=table[:, layout.STRENGTH].astype(np.float64),
            cloud_base_m=rows["cloud_m"].astype(np.float64),
            num_profiles=rows["num"].copy(),
        )
