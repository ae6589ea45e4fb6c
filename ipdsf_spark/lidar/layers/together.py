"""The mathematics of many sites at once.

What a site's step does next depends on what it remembers, so it is a generator: it asks for a piece of mathematics and
is sent the answer. `together` lets the steps of many sites run side by side and answers all that ask the same at once;
every answer is worked out row by row, so that it does not depend on who else asks. A call of numpy costs as much for
one profile as for thirty, and in a stream of many sites every file is a profile.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Sequence
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.layers.chain import Chain, Float, Rates
from ipdsf_spark.lidar.layers.decision import decide, residual_top
from ipdsf_spark.lidar.layers.evidence import ROW, Evidence, Rows, Seen, evidence_of_sites, in_metres
from ipdsf_spark.lidar.layers.gathering import gathers
from ipdsf_spark.lidar.layers.likelihood import Explained, explained, likelihood, remembered, stored_likelihood
from ipdsf_spark.lidar.layers.neighbours import Neighbours
from ipdsf_spark.lidar.layers.product import Layers
from ipdsf_spark.lidar.layers.settings import LayerSettings
from ipdsf_spark.lidar.layers.standing import Standing
from ipdsf_spark.lidar.layers.sun import SunPrior
from ipdsf_spark.lidar.products.quality import Quality
from ipdsf_spark.lidar.profiles import Float64

FIRST: Final = 6  # intervals that the first one counts as: those that follow it are not independent of it
PROVISIONAL: Final = np.uint16(Quality.PROVISIONAL)

T = TypeVar("T")
Steps = Generator[Any, Any, T]


class LookAt(NamedTuple):
    """Evidence of averages, at least one, of a site. Answer: `Evidence` and the new `Standing`."""

    seen: Seen
    settings: LayerSettings

    @property
    def kind(self) -> Hashable:
        """Who can be answered together."""
        return self.settings


class Explain(NamedTuple):
    """The part of the likelihood that is the same whatever is known of the layer. Answer: `Explained`.

    Attributes:
        chain: its nodes.
        evidence: of N intervals.
        suns: N.
        ratios: (N, `BACK` + 1) what is told of the signal above the ground, see `gathering`.
    """

    chain: Chain
    evidence: Evidence
    suns: Sequence[SunPrior]
    ratios: Float

    @property
    def kind(self) -> Hashable:
        """Who can be answered together."""
        return id(self.chain)


class Advance(NamedTuple):
    """One more interval.

    Attributes:
        chain: its nodes and moves.
        tip: (2, K) what is known of the interval before; None at a start.
        residual: (K,) memory of the residual layer's edge.
        known: of the timeline.
        at: which of its intervals.
        row: (1,) its record.
        sun: of the interval.

    Answer: (2, K) likelihood, (2, K) state, (K,) memory, and top of the residual layer in quarters of a metre.
    """

    chain: Chain
    tip: Float | None
    residual: Float
    known: Explained
    at: int
    row: Rows
    sun: SunPrior

    @property
    def kind(self) -> Hashable:
        """Who can be answered together."""
        return id(self.chain), self.tip is None


class Filter(NamedTuple):
    """What is known of an interval from itself and what came before: (2, K), from `before` and its likelihood."""

    chain: Chain
    before: Float | None
    stored: NDArray[np.uint8]
    sun: SunPrior

    @property
    def kind(self) -> Hashable:
        """Who can be answered together."""
        return id(self.chain), self.before is None


class LookBack(NamedTuple):
    """(num, 2, K) what the intervals after each of the first `num`, up to the lag, say of it.

    Attributes:
        chain: its nodes and moves.
        num: how many.
        lag: in intervals.
        stored: (n, 2, K) likelihood of all that are known.
        suns: n.
    """

    chain: Chain
    num: int
    lag: int
    stored: NDArray[np.uint8]
    suns: Sequence[SunPrior]

    @property
    def kind(self) -> Hashable:
        """Who can be answered together."""
        return id(self.chain), self.num, self.lag, len(self.suns)


class Part(NamedTuple):
    """Intervals of which something is to be said.

    Attributes:
        rows: (n,) records.
        state: (n, 2, K) probability of the top's node and kind.
        suns: n.
        around: records before and after them, if they are final.
    """

    rows: Rows
    state: Float
    suns: Sequence[SunPrior]
    around: tuple[Rows, Rows] | None


class Say(NamedTuple):
    """The product of intervals, blank ones left out. Answer: `Layers`.

    Attributes:
        chain: its nodes.
        averaging_s: length of an interval.
        parts: the intervals.
    """

    chain: Chain
    averaging_s: int
    parts: Sequence[Part]

    @property
    def kind(self) -> Hashable:
        """Who can be answered together."""
        return id(self.chain), self.averaging_s


def together(steps: Sequence[Steps[T]]) -> list[T]:
    """What the steps of many sites come to, in their order.

    Args:
        steps: generators that yield what they ask and are sent its answer.
    """
    found: dict[int, T] = {}
    asked: dict[int, Any] = {}

    def go_on(at: int, answer: Any) -> None:
        try:
            asked[at] = steps[at].send(answer)
        except StopIteration as ended:
            asked.pop(at, None)
            found[at] = ended.value

    for at in range(len(steps)):
        go_on(at, None)
    while asked:
        # whoever is behind goes first, so that the others find company when they go on
        kind = min({type(ask) for ask in asked.values()}, key=_ORDER.index)
        groups: dict[Hashable, list[int]] = {}
        for at, ask in asked.items():
            if type(ask) is kind:
                groups.setdefault(ask.kind, []).append(at)
        for places in groups.values():
            answers = _ANSWERS[kind]([asked[at] for at in places])
            for at, answer in zip(places, answers, strict=True):
                go_on(at, answer)
    return [found[at] for at in range(len(steps))]


def _evidence(asked: Sequence[LookAt]) -> list[tuple[Evidence, Standing]]:
    return evidence_of_sites([ask.seen for ask in asked], asked[0].settings)


def _explained(asked: Sequence[Explain]) -> list[Explained]:
    suns = [sun for ask in asked for sun in ask.suns]
    gathered = gathers(np.concatenate([ask.ratios for ask in asked]))
    found = explained(Evidence.concatenate([ask.evidence for ask in asked]), suns, gathered, asked[0].chain.nodes_m)
    ends = np.cumsum([len(ask.suns) for ask in asked]).tolist()
    return [found.rows(end - len(ask.suns), end) for ask, end in zip(asked, ends, strict=True)]


def _advanced(asked: Sequence[Advance]) -> list[tuple[NDArray[np.uint8], Float, Float, int]]:
    chain, suns = asked[0].chain, [ask.sun for ask in asked]
    known = Explained.joined([ask.known.rows(ask.at, ask.at + 1) for ask in asked])
    residual = np.array([ask.residual for ask in asked])
    stored = stored_likelihood(known, residual.astype(np.float32))
    before = None if asked[0].tip is None else np.array([ask.tip for ask in asked])
    tip = filtered(chain, before, stored, suns)
    memory = remembered(residual, tip, known.edges, suns, chain.nodes_m)
    tops = residual_top(np.concatenate([ask.row for ask in asked], dtype=ROW), memory, chain.nodes_m).tolist()
    return list(zip(stored, tip, memory, tops, strict=True))


def _filtered(asked: Sequence[Filter]) -> list[Float]:
    before = None if asked[0].before is None else np.array([ask.before for ask in asked])
    return list(filtered(asked[0].chain, before, np.array([ask.stored for ask in asked]), [ask.sun for ask in asked]))


def filtered(
    chain: Chain, before: Float | None, stored: NDArray[np.uint8], suns: Sequence[SunPrior]
) -> NDArray[np.float16]:
    """(N, 2, K) what is known of an interval from itself and what came before.

    Args:
        chain: its nodes and moves.
        before: (N, 2, K) what is known of the interval before; None at a start.
        stored: (N, 2, K) likelihood of the interval.
        suns: of the interval, N.
    """
    if before is None:
        state = np.array([chain.start(sun) for sun in suns]) * likelihood(stored) ** FIRST
    else:
        rates = Rates.stack([chain.rates(sun) for sun in suns])
        state = chain.forward(before.astype(np.float32), rates) * likelihood(stored)
    state /= state.reshape(len(state), -1).sum(axis=1)[:, None, None]
    return np.asarray(state, np.float16)


def _messages(asked: Sequence[LookBack]) -> list[Float]:
    chain, num, lag = asked[0].chain, asked[0].num, asked[0].lag
    total = len(asked[0].suns)
    stored = np.array([ask.stored for ask in asked])  # (S, total, 2, K)
    message = np.ones((len(asked), num, *stored.shape[2:]), np.float32)
    stacked = Rates.stack([chain.rates(sun) for ask in asked for sun in ask.suns])
    collapse, onset, jump = (
        part.reshape(len(asked), total, -1) for part in (stacked.collapse, stacked.onset, stacked.jump)
    )
    for ahead in range(lag, 0, -1):
        # those whose interval so far ahead is known; for the others the message is still 1
        known = min(num, total - ahead)
        if known <= 0:
            continue
        later = slice(ahead, ahead + known)
        part = message[:, :known] * likelihood(stored[:, later])
        rates = Rates(collapse[:, later], onset[:, later], jump[:, later], stacked.moves)
        part = chain.backward(part, rates)
        part /= part.max(axis=(2, 3), keepdims=True)
        message[:, :known] = part
    return list(message)


def _said(asked: Sequence[Say]) -> list[Layers]:
    """Decide on the intervals of all sites; each takes its own."""
    parts = [part for ask in asked for part in ask.parts]
    rows = np.concatenate([part.rows for part in parts], dtype=ROW)
    state = np.concatenate([part.state for part in parts])
    is_final = np.repeat([part.around is not None for part in parts], [len(part.rows) for part in parts])
    neighbours = Neighbours.of([(part.around[0], part.rows, part.around[1]) for part in parts if part.around])
    young = np.array([sun.young for part in parts for sun in part.suns])
    is_real = rows["num"] > 0
    if not is_real.all():
        neighbours = neighbours.rows(is_real[is_final])
        rows, state, young, is_final = rows[is_real], state[is_real], young[is_real], is_final[is_real]
    layers = _layers(rows, state, young, is_final, neighbours, asked[0])
    ends = np.cumsum(is_real)[np.cumsum([sum(len(part.rows) for part in ask.parts) for ask in asked]) - 1].tolist()
    return [layers.rows(begin, end) for begin, end in zip([0, *ends], ends, strict=False)]


def _layers(
    rows: Rows, state: Float, young: Float64, is_final: NDArray[np.bool_], neighbours: Neighbours, ask: Say
) -> Layers:
    if not len(rows):
        return Layers.empty(rows["height"].shape[1])
    found = decide(rows, state, ask.chain.nodes_m, young, np.flatnonzero(is_final), neighbours)
    centre = (rows["index"] * ask.averaging_s + ask.averaging_s // 2) * 1_000_000
    return Layers(
        time=centre.view("datetime64[us]"),
        mixing_height_m=found.height_m,
        uncertainty_m=found.sigma_m,
        provisional=~is_final,
        quality=np.where(is_final, found.quality, found.quality | PROVISIONAL),
        candidates_m=in_metres(rows["height"]),
        candidate_strength=rows["strength"].astype(np.float64),
        cloud_base_m=in_metres(rows["cloud"]),
        num_profiles=rows["num"].astype(np.int32),
        below_m=found.below_m,
        residual_height_m=found.residual_m,
        nocturnal_height_m=found.nocturnal_m,
        entrainment_m=found.thickness_m,
    )


_ANSWERS: Final[dict[type, Callable[[Any], Sequence[Any]]]] = {
    LookAt: _evidence,
    Explain: _explained,
    Advance: _advanced,
    Filter: _filtered,
    LookBack: _messages,
    Say: _said,
}
_ORDER: Final = tuple(_ANSWERS)
