"""Where the top of the mixing layer is, and of what kind: a hidden Markov chain over height nodes and two kinds.

    stable      what wind and cooling ground leave at night; shallow, changes slowly
    convective  grows with the sun, collapses when it sinks

Forward, p(state | profiles so far); backward, what later profiles say of an earlier one (Rabiner 1989, Proc. IEEE 77,
257). A path may jump anywhere at a price, so that a lost layer is found again. Arrays end in (2, K): stable and
convective, K nodes; leading axes, e.g. sites, are carried along.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.layers.sun import SunPrior
from ipdsf_spark.lidar.profiles import Float64

Float = NDArray[np.floating[Any]]
STABLE, CONVECTIVE = 0, 1
GROWTH_SCALE_M: Final = 40.0  # of a convective layer's rise in five minutes; 500 m/h
FAST_GROWTH_SCALE_M: Final = 150.0  # through the nearly neutral air of a residual layer
FAST_GROWTH: Final = 0.1  # of the rises
MOST_GROWTH_M: Final = 400.0
SINKING_SCALE_M: Final = 15.0
MOST_SINKING_M: Final = 250.0
STABLE_SCALE_M: Final = 12.0
MOST_STABLE_M: Final = 120.0
JUMP: Final = 0.002  # in five minutes
RENEWAL: Final = 0.006  # in five minutes, of a stable layer: wind rises or falls
STABLE_MEDIAN_M: Final = 180.0
STABLE_SPREAD: Final = 0.65  # standard deviation of ln height
NIGHT_TAIL: Final = 0.01  # a night of wind or city
DESCENT: Final = 0.4  # of the collapses, the layer comes down in steps rather than at once


@dataclass(frozen=True, eq=False)
class Chain:
    """What does not change with time, for K nodes.

    Attributes:
        nodes_m: (K,) heights.
        stable_moves, convective_moves: (K, K) from row to column, within a kind.
        stable_prior: (K,) of a stable layer of which nothing is known.
        width: (K,) metres that a node stands for, relative to the sum.
        one_below: (K,) one over the number of nodes up to this one.
    """

    nodes_m: Float64
    stable_moves: NDArray[np.float32]
    convective_moves: NDArray[np.float32]
    stable_prior: NDArray[np.float32]
    width: NDArray[np.float32]
    one_below: NDArray[np.float32]

    @classmethod
    def of(cls, nodes_m: Float64) -> Chain:
        """The chain on these nodes."""
        return _chain(tuple(nodes_m.tolist()))

    def jump_prior(self, reach_m: Float64 | float) -> Float:
        """(..., K) where a convective layer is that jumps: anywhere that the sun allows, less and less above."""
        reach = np.asarray(reach_m, np.float64)[..., None]
        prior = self.width * np.exp(np.maximum(self.nodes_m - reach, 0.0) * (-1.0 / (0.3 * reach + 100.0)))
        return np.asarray(prior / prior.sum(axis=-1, keepdims=True), np.float32)

    def start(self, sun: SunPrior) -> Float:
        """(2, K) before any profile."""
        share = sun.day_share
        return np.asarray(
            np.stack([(1.0 - share) * self.stable_prior, share * self.jump_prior(sun.reach_m)]), np.float32
        )

    def forward(self, state: Float, rates: Rates) -> Float:
        """(..., 2, K) the state one interval later, before its profile."""
        stable, convective = state[..., STABLE, :], state[..., CONVECTIVE, :]
        stays, renews, drops, descends, onset, grows, jumps = rates.moves
        num_stable, num_convective = stable.sum(-1, keepdims=True), convective.sum(-1, keepdims=True)
        # a layer that comes down in steps lies anywhere below where it was
        descending = (convective * self.one_below)[..., ::-1].cumsum(axis=-1)[..., ::-1]
        new = np.empty_like(state)
        new[..., STABLE, :] = (
            _moved(stays * stable, self.stable_moves)
            + (renews * num_stable + drops * num_convective) * self.stable_prior
            + descends * descending
        )
        new[..., CONVECTIVE, :] = (
            _moved(onset * stable + grows * convective, self.convective_moves) + jumps * num_convective * rates.jump
        )
        return new

    def backward(self, message: Float, rates: Rates) -> Float:
        """(..., 2, K) what lies ahead, seen one interval earlier; `message` includes the likelihood of its own time.

        The transpose of `forward`, with the same `rates`.
        """
        stable, convective = message[..., STABLE, :], message[..., CONVECTIVE, :]
        a, b = rates.collapse, rates.onset
        kept, grown = stable @ self.stable_moves.T, convective @ self.convective_moves.T
        settled = (stable @ self.stable_prior)[..., None]
        jumped = (convective * rates.jump).sum(-1, keepdims=True)
        new = np.empty_like(message)
        new[..., STABLE, :] = (1.0 - b) * ((1.0 - RENEWAL) * kept + RENEWAL * settled) + b * grown
        new[..., CONVECTIVE, :] = (
            (1.0 - a) * ((1.0 - JUMP) * grown + JUMP * jumped)
            + (a * (1.0 - DESCENT)) * settled
            + (a * DESCENT) * (stable.cumsum(axis=-1) * self.one_below)
        )
        return new

    def rates(self, sun: SunPrior) -> Rates:
        """What the sun says of one interval, ready for `forward` and `backward`."""
        return _rates(self, sun)


@dataclass(frozen=True, eq=False)
class Rates:
    """Of one interval, or of many with leading axes.

    Attributes:
        collapse, onset: () or (..., 1) rates from convective to stable and back.
        jump: (..., K) where a convective layer that jumps is.
        moves: (7,) or (7, ..., 1) shares of the state that go each way, as `forward` takes them.
    """

    collapse: Any
    onset: Any
    jump: Float
    moves: NDArray[np.float32]

    @classmethod
    def stack(cls, parts: Sequence[Rates]) -> Rates:
        """Those of many intervals, one behind the other."""
        return cls(
            np.array([part.collapse for part in parts], np.float32)[:, None],
            np.array([part.onset for part in parts], np.float32)[:, None],
            np.stack([part.jump for part in parts]),
            np.stack([part.moves for part in parts], axis=1)[..., None],
        )

    def take(self, rows: slice) -> Rates:
        """Those of some intervals."""
        return Rates(self.collapse[rows], self.onset[rows], self.jump[rows], self.moves[:, rows])


@lru_cache(maxsize=4096)
def _rates(chain: Chain, sun: SunPrior) -> Rates:
    a, b = np.float32(sun.collapse), np.float32(sun.onset)
    collapse, onset = float(a), float(b)
    moves = (
        (1.0 - onset) * (1.0 - RENEWAL),
        (1.0 - onset) * RENEWAL,
        collapse * (1.0 - DESCENT),
        collapse * DESCENT,
        onset,
        (1.0 - collapse) * (1.0 - JUMP),
        (1.0 - collapse) * JUMP,
    )
    return Rates(a, b, chain.jump_prior(sun.reach_m), np.array(moves, np.float32))


def _moved(state: Float, moves: Float) -> Float:
    """(..., K) one product for each row, so that none depends on how many there are."""
    return np.asarray((state[..., None, :] @ moves)[..., 0, :])


@lru_cache(maxsize=64)
def _chain(nodes: tuple[float, ...]) -> Chain:
    nodes_m = np.array(nodes)
    edges = np.concatenate([[0.0], (nodes_m[1:] + nodes_m[:-1]) / 2, [nodes_m[-1] + (nodes_m[-1] - nodes_m[-2]) / 2]])
    width = np.diff(edges)
    step = nodes_m[None, :] - nodes_m[:, None]
    own = np.minimum(width[:, None], width[None, :]) / 2  # within a node nothing has moved
    distance = np.maximum(np.abs(step) - own, 0.0)
    stable = np.exp(-distance / (STABLE_SCALE_M + 0.03 * nodes_m[:, None])) * (np.abs(step) <= MOST_STABLE_M + own)
    up = (1.0 - FAST_GROWTH) * np.exp(-distance / GROWTH_SCALE_M)
    up += FAST_GROWTH * (GROWTH_SCALE_M / FAST_GROWTH_SCALE_M) * np.exp(-distance / FAST_GROWTH_SCALE_M)
    up *= step <= MOST_GROWTH_M + own
    down = np.exp(-distance / SINKING_SCALE_M) * (-step <= MOST_SINKING_M + own)
    convective = np.where(step >= 0, up, down)
    moves = np.stack([kernel * width[None, :] for kernel in (stable, convective)])
    moves /= moves.sum(axis=2, keepdims=True)
    prior = np.exp(-((np.log(nodes_m / STABLE_MEDIAN_M) / STABLE_SPREAD) ** 2) / 2) * width / nodes_m
    tail = width / nodes_m * (nodes_m < 1500.0)
    prior = (1 - NIGHT_TAIL) * prior / prior.sum() + NIGHT_TAIL * tail / tail.sum()
    one_below = 1.0 / np.arange(1.0, nodes_m.size + 1.0)
    of_32_bits = (part.astype(np.float32) for part in (*moves, prior, width / width.sum(), one_below))
    return Chain(nodes_m, *of_32_bits)


@lru_cache(maxsize=64)
def nodes_up_to(max_height_m: float) -> Float64:
    """(K,) heights of the nodes: 30 m apart near the ground, 3.5 % of the height farther up."""
    found = [45.0]
    while found[-1] < max_height_m:
        found.append(found[-1] + max(30.0, 0.035 * found[-1]))
    return np.array(found)
