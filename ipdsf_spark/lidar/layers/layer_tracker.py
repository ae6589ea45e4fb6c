"""The mixing layer of one site as a pure step: averages in, rows and a small state out.

Forward, every closed interval updates what is known of the newest one; `settings.lag_s` later an interval becomes
final, seen from both sides (fixed-lag smoothing). Missing intervals are blank ones, so that time passes; after
`settings.reset_gap_s` of silence what is pending becomes final and the chain starts anew.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.layers.chain import Chain, Float, Rates, nodes_up_to
from ipdsf_spark.lidar.layers.decision import Decision, decide, residual_top
from ipdsf_spark.lidar.layers.evidence import NO_HEIGHT, ROW, Evidence, Rows, evidence_of, in_metres
from ipdsf_spark.lidar.layers.likelihood import (
    Explained,
    explained,
    likelihood,
    remembered,
    stored_likelihood,
)
from ipdsf_spark.lidar.layers.product import Layers
from ipdsf_spark.lidar.layers.settings import LayerSettings
from ipdsf_spark.lidar.layers.sun import SunPrior, sun_prior
from ipdsf_spark.lidar.products.quality import Quality
from ipdsf_spark.lidar.site import Site

VERSION: Final = 4
NOTHING: Final = -(2**62)
FIRST: Final = 6  # intervals that the first one counts as: those that follow it are not independent of it
_HEAD: Final = struct.Struct("<BBHHHq")
PROVISIONAL, GAP_FILLED = np.uint16(Quality.PROVISIONAL), np.uint16(Quality.GAP_FILLED)


@dataclass(eq=False)
class TrackerState:
    """What is remembered of a site.

    Attributes:
        last_index: newest closed interval, `NOTHING` if none.
        base: (2, K) what is known of the interval before the first pending one, from that and before; None at a start.
        tip: (2, K) the same of the newest closed interval.
        residual: (K,) memory of the residual layer's edge.
        rows: (n,) records of the intervals that are closed and not yet final, one behind the other.
        stored: (n, 2, K) their likelihood.
        open: evidence of open intervals, by index.
    """

    last_index: int
    base: NDArray[np.float16] | None
    tip: NDArray[np.float16] | None
    residual: NDArray[np.float16]
    rows: Rows
    stored: NDArray[np.uint8]
    open: dict[int, Evidence] = field(default_factory=dict)

    @classmethod
    def empty(cls, num_nodes: int, last_index: int = NOTHING) -> TrackerState:
        """Nothing seen, or nothing pending."""
        return cls(
            last_index,
            None,
            None,
            np.zeros(num_nodes, np.float16),
            np.empty(0, ROW),
            np.empty((0, 2, num_nodes), np.uint8),
        )


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
        parts = self._close(closed, only_final=only_final) if closed else []
        if open_:
            parts.append(self._provisional(open_))
        return Layers.concatenate(parts)

    def flush(self) -> Layers:
        """No more comes: what is pending becomes final. Open intervals are to be closed before."""
        layers = self._finals(len(self.state.rows))
        self.state = TrackerState.empty(self.chain.nodes_m.size, self.state.last_index)
        return layers

    # closed intervals ------------------------------------------------------------------------------------------------

    def _close(self, closed: Sequence[Any], *, only_final: bool) -> list[Layers]:
        evidence = evidence_of(closed, self.site, self.settings)
        index = evidence.rows["index"]
        longest = self.settings.reset_gap_s // self.settings.averaging_s
        state = self.state
        gaps = np.diff(index, prepend=state.last_index if state.tip is not None else index[0] - 1)
        starts = [0, *np.flatnonzero(gaps > longest).tolist(), len(index)]
        parts = []
        for begin, end in pairwise(starts):
            if gaps[begin] > longest:
                parts.append(self.flush())
            if end > begin:
                run = Evidence(evidence.rows[begin:end], evidence.edges[begin:end])
                parts += self._close_run(run, only_final=only_final)
        self.state.open = {at: part for at, part in self.state.open.items() if at > self.state.last_index}
        return parts

    def _close_run(self, evidence: Evidence, *, only_final: bool) -> list[Layers]:
        """Close intervals that no reset parts."""
        state = self.state
        evidence = self._with_blanks(evidence, state.last_index if state.tip is not None else None)
        rows = evidence.rows
        suns = self._suns(rows["index"])
        known = explained(evidence, suns, self.chain.nodes_m)
        stored = np.empty((len(rows), 2, self.chain.nodes_m.size), np.uint8)
        tip, residual = state.tip, state.residual
        tips: list[Float] = []
        memory = np.empty((len(rows), self.chain.nodes_m.size), np.float16)
        for at, sun in enumerate(suns):
            stored[at], tip, residual = self._advance(tip, residual, known, at, sun)
            memory[at] = residual
            tips.append(tip)
        rows["residual"] = residual_top(rows, memory, self.chain.nodes_m)
        self.state = TrackerState(
            int(rows["index"][-1]),
            state.base,
            tip,
            residual,
            np.concatenate([state.rows, rows]),
            np.concatenate([state.stored, stored]),
            state.open,
        )
        parts = [self._finals(max(len(self.state.rows) - self.settings.lag_intervals, 0))]
        num = min(len(rows), len(self.state.rows))
        if num and not only_final:
            parts.append(self._layers(rows[-num:], np.stack(tips[-num:]).astype(np.float32), is_final=False))
        return parts

    def _advance(
        self, tip: Float | None, residual: Float, known: Explained, at: int, sun: SunPrior
    ) -> tuple[NDArray[np.uint8], NDArray[np.float16], NDArray[np.float16]]:
        """Likelihood, state and memory of the residual layer after one more interval."""
        stored = stored_likelihood(known, at, residual.astype(np.float32))
        state = self._filtered(tip, stored, sun)
        return stored, state, remembered(residual, state, known.edges[at], sun, self.chain.nodes_m)

    def _filtered(self, before: Float | None, stored: NDArray[np.uint8], sun: SunPrior) -> NDArray[np.float16]:
        """(2, K) what is known of an interval from itself and what came before."""
        if before is None:
            state = self.chain.start(sun) * likelihood(stored) ** FIRST
        else:
            state = self.chain.forward(before.astype(np.float32), self.chain.rates(sun)) * likelihood(stored)
        state /= state.sum()
        return state.astype(np.float16)

    def _finals(self, num: int) -> Layers:
        """The first `num` pending intervals become final."""
        state = self.state
        if not num:
            return Layers.empty(self.settings.num_candidates)
        rows, stored = state.rows, state.stored
        suns = self._suns(rows["index"])
        base = state.base
        filtered = np.empty((num, *stored.shape[1:]), np.float32)
        for at in range(num):
            base = self._filtered(base, stored[at], suns[at])
            filtered[at] = base
        filtered *= self._messages(num, stored, suns)
        filtered /= filtered.sum(axis=(1, 2), keepdims=True)
        layers = self._layers(rows[:num], filtered, is_final=True)
        self.state = TrackerState(
            state.last_index, base, state.tip, state.residual, rows[num:], stored[num:], state.open
        )
        return layers

    def _messages(self, num: int, stored: NDArray[np.uint8], suns: Sequence[SunPrior]) -> Float:
        """(num, 2, K) what the intervals after each of the first `num`, up to the lag, say of it."""
        lag = self.settings.lag_intervals
        total = len(stored)
        message = np.ones((num, *stored.shape[1:]), np.float32)
        rates = Rates.stack([self.chain.rates(sun) for sun in suns])
        for ahead in range(lag, 0, -1):
            # those whose interval so far ahead is known; for the others the message is still 1
            known = min(num, total - ahead)
            if known <= 0:
                continue
            later = slice(ahead, ahead + known)
            part = message[:known] * likelihood(stored[later])
            part = self.chain.backward(part, rates.take(later))
            part /= part.max(axis=(1, 2), keepdims=True)
            message[:known] = part
        return message

    # open intervals --------------------------------------------------------------------------------------------------

    def _provisional(self, averages: Sequence[Any]) -> Layers:
        evidence = evidence_of(averages, self.site, self.settings)
        told = set(evidence.rows["index"].tolist())
        for at in range(len(evidence.rows)):
            part = Evidence(evidence.rows[at : at + 1], evidence.edges[at : at + 1])
            self.state.open[int(part.rows["index"][0])] = part
        state = self.state
        indices = sorted(at for at in state.open if at > state.last_index)
        longest = self.settings.reset_gap_s // self.settings.averaging_s
        tip, residual, before = state.tip, state.residual, state.last_index
        rows, memories = [], []
        states: list[Float] = []
        for index in indices:
            part = state.open[index]
            if tip is not None and index - before > longest:
                tip, residual = None, np.zeros_like(residual)
            evidence = self._with_blanks(part, before if tip is not None else None)
            suns = self._suns(evidence.rows["index"])
            known = explained(evidence, suns, self.chain.nodes_m)
            for at, sun in enumerate(suns):
                _, tip, residual = self._advance(tip, residual, known, at, sun)
            before = index
            if index in told:
                rows.append(evidence.rows[-1:])
                states.append(np.asarray(tip))
                memories.append(residual)
        joined = np.concatenate(rows)
        joined["residual"] = residual_top(joined, np.stack(memories), self.chain.nodes_m)
        return self._layers(joined, np.stack(states).astype(np.float32), is_final=False)

    # both ------------------------------------------------------------------------------------------------------------

    def _with_blanks(self, evidence: Evidence, before: int | None) -> Evidence:
        """The same with a blank record for every interval that is missing since `before`."""
        index = evidence.rows["index"]
        first = int(index[0]) if before is None else before + 1
        if int(index[-1]) - first + 1 == len(index):
            return evidence
        at = index - first
        rows = np.zeros(int(at[-1]) + 1, ROW)
        rows["index"] = first + np.arange(len(rows))
        rows["height"] = rows["cloud"] = rows["residual"] = NO_HEIGHT
        edges = np.zeros((len(rows), evidence.edges.shape[1]), np.uint8)
        is_after_gap = np.diff(at, prepend=-1) > 1
        rows[at], edges[at] = evidence.rows, evidence.edges
        rows["quality"][at[is_after_gap]] |= GAP_FILLED
        return Evidence(rows, edges)

    def _suns(self, index: NDArray[np.int64]) -> list[SunPrior]:
        averaging_s, shape, top_m = self.settings.averaging_s, self.settings.ceiling, self.site.max_height_m
        return [sun_prior(at * averaging_s + averaging_s / 2, self._place, shape, top_m) for at in index.tolist()]

    def _layers(self, rows: Rows, state: Float, *, is_final: bool) -> Layers:
        """The product of intervals; blank ones are left out."""
        is_real = rows["num"] > 0
        if not is_real.all():
            rows, state = rows[is_real], state[is_real]
        if not len(rows):
            return Layers.empty(self.settings.num_candidates)
        found: Decision = decide(rows, state, self.chain.nodes_m)
        averaging_s = self.settings.averaging_s
        centre = (rows["index"] * averaging_s + averaging_s // 2) * 1_000_000
        quality = found.quality if is_final else found.quality | PROVISIONAL
        return Layers(
            time=centre.view("datetime64[us]"),
            mixing_height_m=found.height_m,
            uncertainty_m=found.sigma_m,
            provisional=np.full(len(rows), not is_final),
            quality=quality,
            candidates_m=in_metres(rows["height"]),
            candidate_strength=rows["strength"].astype(np.float64),
            cloud_base_m=in_metres(rows["cloud"]),
            num_profiles=rows["num"].astype(np.int32),
            below_m=found.below_m,
            residual_height_m=found.residual_m,
            nocturnal_height_m=found.nocturnal_m,
            entrainment_m=found.thickness_m,
        )

    # bytes -----------------------------------------------------------------------------------------------------------

    def to_bytes(self) -> bytes:
        """The state as versioned bytes."""
        state = self.state
        known = [part for part in (state.base, state.tip) if part is not None]
        flags = (state.base is not None) | ((state.tip is not None) << 1)
        head = _HEAD.pack(VERSION, flags, self.chain.nodes_m.size, len(state.rows), len(state.open), state.last_index)
        open_ = [part for _, part in sorted(state.open.items())]
        return b"".join(
            [
                head,
                *(part.tobytes() for part in known),
                state.residual.tobytes(),
                state.rows.tobytes(),
                state.stored.tobytes(),
                *(part.rows.tobytes() + part.edges.tobytes() for part in open_),
            ]
        )

    @classmethod
    def from_bytes(cls, raw: bytes, site: Site, settings: LayerSettings) -> LayerTracker:
        """The tracker that `to_bytes` wrote.

        Raises:
            ValueError: the bytes were written by another version, or for another height grid, or end early.
        """
        tracker = cls(site, settings)
        num_nodes = tracker.chain.nodes_m.size
        if len(raw) < _HEAD.size or raw[0] != VERSION:
            written = f"version {raw[0]}" if raw else "nobody"
            raise ValueError(f"site state of {len(raw)} bytes written by {written}, this is version {VERSION}")
        _, flags, nodes, num_rows, num_open, last_index = _HEAD.unpack_from(raw)
        if nodes != num_nodes:
            raise ValueError(
                f"site state has {nodes} height nodes, the site's max_height_m gives {num_nodes}: "
                "start from a new checkpoint or restore the setting"
            )
        num_known = (flags & 1) + (flags >> 1 & 1)
        size = _HEAD.size + num_known * 4 * nodes + 2 * nodes + num_rows * (ROW.itemsize + 2 * nodes)
        size += num_open * (ROW.itemsize + nodes)
        if len(raw) != size:
            raise ValueError(f"site state has {len(raw)} bytes, its head says {size}")
        at = _HEAD.size

        def taken(kind: Any, *shape: int) -> NDArray[Any]:
            nonlocal at
            count = int(np.prod(shape))
            values = np.frombuffer(raw, kind, count, at).reshape(shape)
            at += values.nbytes
            return values

        base = taken(np.float16, 2, nodes) if flags & 1 else None
        tip = taken(np.float16, 2, nodes) if flags & 2 else None
        residual = taken(np.float16, nodes)
        rows, stored = taken(ROW, num_rows), taken(np.uint8, num_rows, 2, nodes)
        open_: dict[int, Evidence] = {}
        for _ in range(num_open):
            part = Evidence(taken(ROW, 1), taken(np.uint8, 1, nodes))
            open_[int(part.rows["index"][0])] = part
        tracker.state = TrackerState(last_index, base, tip, residual, rows, stored, open_)
        return tracker
