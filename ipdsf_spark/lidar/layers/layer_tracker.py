"""The mixing layer of one site as a pure step: averages in, rows and a small state out.

Forward, every closed interval updates what is known of the newest one; `settings.lag_s` later an interval becomes
final, seen from both sides (fixed-lag smoothing). Missing intervals are blank ones, so that time passes; after
`settings.reset_gap_s` of silence what is pending becomes final and the chain starts anew.

The mathematics is asked for, not called, so that it can be done for many sites at once: see `together`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.layers.chain import Chain, Float, nodes_up_to
from ipdsf_spark.lidar.layers.evidence import NO_HEIGHT, ROW, Evidence, Rows, Seen
from ipdsf_spark.lidar.layers.gathering import BACK
from ipdsf_spark.lidar.layers.neighbours import REACH
from ipdsf_spark.lidar.layers.product import Layers
from ipdsf_spark.lidar.layers.settings import LayerSettings
from ipdsf_spark.lidar.layers.sun import SunPrior, sun_prior
from ipdsf_spark.lidar.layers.together import Advance, Explain, Filter, LookAt, LookBack, Part, Say, Steps, together
from ipdsf_spark.lidar.layers.tracker_state import TrackerState
from ipdsf_spark.lidar.products.quality import Quality
from ipdsf_spark.lidar.site import Site

GAP_FILLED = np.uint16(Quality.GAP_FILLED)

Parts = list[Part]


@dataclass(frozen=True, eq=False)
class Run:
    """Intervals that follow one upon the other.

    Attributes:
        evidence: of all of them, blank ones included.
        begins_anew: the chain starts with the first of them.
    """

    evidence: Evidence
    begins_anew: bool


@dataclass(frozen=True, eq=False)
class Walked:
    """What the chain came to on its way through runs; one entry for each interval."""

    rows: Rows
    suns: list[SunPrior]
    stored: list[NDArray[np.uint8]]
    tips: list[Float]
    memories: list[Float]


class LayerTracker:
    """The state of one site's chain. Not thread-safe; `to_bytes` and `from_bytes` carry it from batch to batch."""

    def __init__(self, site: Site, settings: LayerSettings, state: TrackerState | None = None) -> None:
        self.site = site
        self.settings = settings
        self.chain = Chain.of(nodes_up_to(site.max_height_m))
        self.state = state or TrackerState.empty(self.chain.nodes_m.size)
        self._place = (site.latitude_deg, site.longitude_deg)

    def step(self, closed: Sequence[Any], open_: Sequence[Any], *, only_final: bool = False) -> Layers:
        """Take in averages.

        Args:
            closed: intervals that are complete, each once, in time order, newer than all closed before.
            open_: newer intervals that still take profiles, in time order; those not named stay as they were told.
            only_final: leave provisional rows out.

        Returns:
            Final rows of the intervals that the lag has passed, then provisional ones of what closed and of `open_`.
        """
        return together([self.steps(closed, open_, only_final=only_final)])[0]

    def flush(self) -> Layers:
        """No more comes: what is pending becomes final. Open intervals are to be closed before."""
        return together([self.flushing()])[0]

    def steps(self, closed: Sequence[Any], open_: Sequence[Any], *, only_final: bool = False) -> Steps[Layers]:
        """`step`, to be run beside those of other sites."""
        if not (closed or open_):
            return Layers.empty(self.settings.num_candidates)
        num = len(closed)
        evidence: Evidence
        evidence, standing = yield LookAt(Seen((*closed, *open_), num, self.site, self.state.standing), self.settings)
        runs = self._closed_runs(evidence.rows_from(0, num)) if closed else []
        last_index = int(evidence.rows["index"][num - 1]) if closed else self.state.last_index
        told = self._told(evidence, num, last_index, is_reset=any(run.begins_anew for run in runs))
        open_runs = self._open_runs(runs, last_index) if open_ else []
        walked: Walked = yield from self._walk([*runs, *open_runs])
        parts: Parts = []
        begin = 0
        for run in runs:
            end = begin + len(run.evidence.rows)
            parts += yield from self._closed(run, walked, begin, end, only_final=only_final)
            begin = end
        for run in open_runs:
            begin += len(run.evidence.rows)
            row = walked.rows[begin - 1 : begin]
            if int(row["index"][0]) in told:
                parts.append(
                    Part(row, walked.tips[begin - 1][None].astype(np.float32), walked.suns[begin - 1 : begin], None)
                )
        self.state.standing = standing
        return (yield from self._said(parts))

    def flushing(self) -> Steps[Layers]:
        """`flush`, to be run beside those of other sites."""
        parts: Parts = yield from self._flushed()
        return (yield from self._said(parts))

    # the way of the chain --------------------------------------------------------------------------------------------

    def _closed_runs(self, evidence: Evidence) -> list[Run]:
        """Closed intervals, parted where the silence was too long."""
        longest = self._longest_gap
        before = self.state.last_index if self.state.tip is not None else None
        indices = evidence.rows["index"].tolist()
        runs, begin, begins_anew = [], 0, False
        for at, index in enumerate(indices):
            if before is not None and index - before > longest:
                if at:
                    runs.append(self._run(evidence.rows_from(begin, at), begin, indices, begins_anew=begins_anew))
                begin, begins_anew = at, True
            before = index
        runs.append(self._run(evidence.rows_from(begin, len(indices)), begin, indices, begins_anew=begins_anew))
        return runs

    def _run(self, evidence: Evidence, begin: int, indices: list[int], *, begins_anew: bool) -> Run:
        has_before = begin == 0 and not begins_anew and self.state.tip is not None
        return Run(_with_blanks(evidence, self.state.last_index if has_before else None), begins_anew)

    def _told(self, evidence: Evidence, num: int, last_index: int, *, is_reset: bool) -> set[int]:
        """Remember what is told of open intervals, and forget those that are closed; which ones were told."""
        open_ = {} if is_reset else self.state.open
        told = evidence.rows["index"][num:].tolist()
        for at, index in enumerate(told, num):
            open_[index] = evidence.rows_from(at, at + 1)
        self.state.open = {index: part for index, part in open_.items() if index > last_index}
        return set(told)

    def _open_runs(self, closed: Sequence[Run], last_index: int) -> list[Run]:
        """Every open interval with the blanks before it."""
        runs = []
        before = last_index if closed or self.state.tip is not None else None
        for index, part in sorted(self.state.open.items()):
            begins_anew = before is not None and index - before > self._longest_gap
            runs.append(Run(_with_blanks(part, None if begins_anew else before), begins_anew))
            before = index
        return runs

    @property
    def _longest_gap(self) -> int:
        return self.settings.reset_gap_s // self.settings.averaging_s

    def _walk(self, runs: Sequence[Run]) -> Steps[Walked]:
        """Forward through all intervals of `runs`."""
        evidence = Evidence.concatenate([run.evidence for run in runs])
        rows = evidence.rows.copy()
        suns = self._suns(rows["index"])
        known = yield Explain(self.chain, evidence, suns, self._ratios(runs))
        tip, residual = self.state.tip, self.state.residual
        stored, tips, memories, tops = [], [], [], []
        at = 0
        for run in runs:
            if run.begins_anew:
                tip, residual = None, np.zeros_like(residual)
            for _ in range(len(run.evidence.rows)):
                likely, tip, residual, top = yield Advance(
                    self.chain, tip, residual, known, at, rows[at : at + 1], suns[at]
                )
                at += 1
                stored.append(likely)
                tips.append(tip)
                memories.append(residual)
                tops.append(top)
        rows["residual"] = tops
        return Walked(rows, suns, stored, tips, memories)

    def _ratios(self, runs: Sequence[Run]) -> Float:
        """(N, `BACK` + 1) of every interval of `runs` and those before it, the ratio that tells what gathers."""
        back = min(BACK, self.settings.lag_intervals + REACH)
        before = np.full(BACK, np.nan)
        if self.state.tip is not None:
            known = np.concatenate([self.state.told["gathered"], self.state.rows["gathered"]])[-back:]
            before[BACK - len(known) :] = known
        found = []
        for run in runs:
            if run.begins_anew:
                before = np.full(BACK, np.nan)
            both = np.concatenate([before, run.evidence.rows["gathered"]])
            found.append(both[np.arange(len(both) - BACK)[:, None] + np.arange(BACK + 1)])
            before = both[-BACK:]
        ratios = np.concatenate(found)
        ratios[:, : BACK - back] = np.nan
        return ratios

    def _closed(self, run: Run, walked: Walked, begin: int, end: int, *, only_final: bool) -> Steps[Parts]:
        """The intervals of a run are closed: what has become final by that, and themselves."""
        parts: Parts = []
        if run.begins_anew:
            open_ = self.state.open
            parts += yield from self._flushed()
            self.state.open = open_
        state = self.state
        rows = walked.rows[begin:end]
        self.state = TrackerState(
            int(rows["index"][-1]),
            state.told,
            state.base,
            walked.tips[end - 1],
            walked.memories[end - 1],
            np.concatenate([state.rows, rows], dtype=ROW),
            np.concatenate([state.stored, np.array(walked.stored[begin:end])]),
            state.standing,
            state.open,
        )
        parts += yield from self._finals(max(len(self.state.rows) - self.settings.lag_intervals, 0))
        num = min(len(rows), len(self.state.rows))
        if num and not only_final:
            tips = np.array(walked.tips[end - num : end]).astype(np.float32)
            parts.append(Part(rows[-num:], tips, walked.suns[end - num : end], None))
        return parts

    # what becomes final ----------------------------------------------------------------------------------------------

    def _flushed(self) -> Steps[Parts]:
        """All pending intervals become final, and the chain is to start anew."""
        parts: Parts = yield from self._finals(len(self.state.rows))
        self.state = TrackerState.empty(self.chain.nodes_m.size, self.state.last_index, self.state.standing)
        return parts

    def _finals(self, num: int) -> Steps[Parts]:
        """The first `num` pending intervals become final."""
        state = self.state
        if not num:
            return []
        rows, stored, base = state.rows, state.stored, state.base
        suns = self._suns(rows["index"])
        before = []
        for at in range(num):
            base = yield Filter(self.chain, base, stored[at], suns[at])
            before.append(base)
        message = yield LookBack(self.chain, num, self.settings.lag_intervals, stored, suns)
        smoothed = np.array(before).astype(np.float32) * message
        smoothed /= smoothed.sum(axis=(1, 2), keepdims=True)
        self.state = TrackerState(
            state.last_index,
            np.concatenate([state.told, rows[:num]], dtype=ROW)[-REACH:],
            base,
            state.tip,
            state.residual,
            rows[num:],
            stored[num:],
            state.standing,
            state.open,
        )
        return [Part(rows[:num], smoothed, suns[:num], (state.told, rows[num : num + REACH]))]

    def _said(self, parts: Parts) -> Steps[Layers]:
        if not parts:
            return Layers.empty(self.settings.num_candidates)
        layers: Layers = yield Say(self.chain, self.settings.averaging_s, parts)
        return layers

    def _suns(self, index: NDArray[np.int64]) -> list[SunPrior]:
        averaging_s, shape, top_m = self.settings.averaging_s, self.settings.ceiling, self.site.max_height_m
        return [sun_prior(at * averaging_s + averaging_s / 2, self._place, shape, top_m) for at in index.tolist()]

    # bytes -----------------------------------------------------------------------------------------------------------

    def to_bytes(self) -> bytes:
        """The state as versioned bytes."""
        return self.state.to_bytes()

    @classmethod
    def from_bytes(cls, raw: bytes, site: Site, settings: LayerSettings) -> LayerTracker:
        """The tracker that `to_bytes` wrote.

        Raises:
            ValueError: the bytes were written by another version, or for another height grid, or end early.
        """
        return cls(site, settings, TrackerState.from_bytes(raw, nodes_up_to(site.max_height_m).size))


def _with_blanks(evidence: Evidence, before: int | None) -> Evidence:
    """The same with a blank record for every interval that is missing since `before`."""
    index = evidence.rows["index"]
    first = int(index[0]) if before is None else before + 1
    if int(index[-1]) - first + 1 == len(index):
        return evidence
    at = index - first
    rows = np.zeros(int(at[-1]) + 1, ROW)
    rows["index"] = first + np.arange(len(rows))
    rows["height"] = rows["cloud"] = rows["residual"] = NO_HEIGHT
    rows["gathered"] = np.nan
    edges = np.zeros((len(rows), evidence.edges.shape[1]), np.uint8)
    is_after_gap = np.diff(at, prepend=-1) > 1
    rows[at], edges[at] = evidence.rows, evidence.edges
    rows["quality"][at[is_after_gap]] |= GAP_FILLED
    return Evidence(rows, edges)
