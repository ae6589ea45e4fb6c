"""How well an interval's edges go with the mixing layer's top at every node, for a stable and a convective layer.

Every edge wants an explanation. At night one that lies high is as likely a residual layer's as the top of a stable
layer, so that it says nothing for or against: the prior and what was before decide. A shallow one, or any by day, is
evidence of the top, and so is in the evening one that has come to be below the top that the day has left: the day has
mixed the air there, and what it leaves lies at its top. One below a top, in air that should be mixed, speaks against
it. From about noon on that is an edge that stands out of those around it, and a weak one will do: what comes in below
or gathers there is weak at first, while a signal that falls evenly with height, as it does over a moist or hot
afternoon's ground, is no second layer. A top without an edge is unlikely where it could be seen, and natural where it
lies below the lowest trustworthy gate, in noise or in cloud. Whether the day's layer has collapsed to such a top is
told by what gathers above the ground, or does not: see `gathering`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.layers.chain import CONVECTIVE, STABLE, Float
from ipdsf_spark.lidar.layers.evidence import QUARTERS, Evidence, Rows
from ipdsf_spark.lidar.layers.sun import SunPrior
from ipdsf_spark.lidar.profiles import Float64

NATS: Final = 1.3  # per interval and full evidence; successive intervals are not independent
UNEXPLAINED: Final = 1.0  # an edge below the top of a stable layer
UNEXPLAINED_BY_DAY: Final = 0.6  # and of a convective one that grows, where plumes and moist sheets make edges
UNEXPLAINED_LATER: Final = 1.4  # in the afternoon: cold or sea air has come in below, or the ground has cooled
FULL_LATER: Final = 0.5  # evidence that is enough for that
MISSING: Final = 0.3  # no edge where one would be seen
KNOWN_RESIDUAL: Final = 0.6  # an edge above the layer that was there in the night
DISCOUNT: Final = 0.9  # of such an edge as the top of a convective layer
HIDDEN_BY_DAY: Final = 0.3  # against a top below the lowest gate under a high sun
BEYOND_SUN: Final = 0.8  # against a convective layer far above what the sun allows
SHALLOW_M: Final = (250.0, 450.0)  # an edge up to here is hardly a residual layer's, one above may be
DEEPEST_M: Final = 800.0  # no new layer of the evening is deeper; the nearer, the less an edge is held for its top
OVERHEAD: Final = (0.2, 0.6)  # memory of an edge aloft: from here on more and more, and surely, what the day has left
OWN: Final = 0.4  # memory of an edge from which on it is no new one
GAP: Final = 3  # nodes that an edge spreads over

STEPS_PER_NAT: Final = 32.0  # of a likelihood that is stored ...
ROUNDED_TO: Final = 4  # ... in multiples of this: an eighth of a nat is little beside what noise does to it
RISE, FALL = 0.12, 0.03  # of the memory of a residual layer's edge, in an interval that shows it or does not
REACHED: Final = 0.3  # of it is lost in an interval when the mixing layer has come close
USED_UP: Final = 0.2  # and from late morning on
GROWING: Final = 0.05  # rate of onset from which on the ground is heated and no residual layer comes to be
NEAR_M: Final = 150.0


@dataclass(frozen=True, eq=False)
class Explained:
    """What does not depend on the memory of the residual layer; N intervals, K nodes.

    Attributes:
        edges: (N, K) evidence of an edge.
        stable: (N, K) log likelihood of a stable layer.
        convective: (N, K) that of a convective one, without what concerns the residual layer.
        hidden: (N,) number of lowest nodes that cannot be seen.
        hidden_by_day: (N,) log likelihood of a convective layer there, likewise.
        morning: (N,) share of an edge as a convective layer's top that the evening has left.
        fresh: (N, K) what is left out of `stable` for an edge that may be a residual layer's, as far up as one of
            the evening may reach: there it counts if it has come to be since the day's layer collapsed.
        forenoon: (N,) 1 from sunrise until shortly before noon, 0 from shortly after it and at night.
    """

    edges: Float
    stable: Float
    convective: Float
    hidden: NDArray[np.uint8]
    hidden_by_day: Float
    morning: Float
    forenoon: Float
    fresh: Float

    @classmethod
    def joined(cls, parts: Sequence[Explained]) -> Explained:
        """All intervals of `parts`, in order."""
        if len(parts) == 1:
            return parts[0]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.__dataclass_fields__))

    def rows(self, begin: int, end: int) -> Explained:
        """The intervals from `begin` to `end`."""
        return Explained(
            self.edges[begin:end],
            self.stable[begin:end],
            self.convective[begin:end],
            self.hidden[begin:end],
            self.hidden_by_day[begin:end],
            self.morning[begin:end],
            self.forenoon[begin:end],
            self.fresh[begin:end],
        )


def explained(evidence: Evidence, suns: Sequence[SunPrior], gathered: Float64, nodes_m: Float64) -> Explained:
    """The part of the likelihood that is the same whatever came before.

    Args:
        evidence: of N intervals.
        suns: N.
        gathered: (N,) what the signal right above the ground says for a shallow stable layer, see `gathering`.
        nodes_m: (K,) heights.
    """
    rows = evidence.rows
    edges = evidence.edges * np.float32(1.0 / 255.0)
    shape = _shape(tuple(nodes_m.tolist()))
    residual = np.array([sun.residual for sun in suns], np.float32)[:, None]
    reach = np.array([sun.reach_m for sun in suns], np.float32)[:, None]
    below = np.zeros_like(edges)
    np.maximum.accumulate(edges[:, : -GAP - 1], axis=1, out=below[:, GAP + 1 :])
    missing = np.float32(MISSING) - np.minimum(edges * (2 * MISSING), MISSING)
    missing[shape.number >= rows["seen_to"][:, None]] = 0.0
    evening = np.array([sun.evening for sun in suns], np.float32)[:, None]
    convective = edges * (1.0 - evening * shape.deep)
    convective -= missing
    afternoon = np.array([sun.afternoon for sun in suns], np.float32)[:, None]
    convective -= (UNEXPLAINED_BY_DAY * (1.0 - afternoon)) * below
    convective -= (UNEXPLAINED_LATER * afternoon) * np.minimum(_peak_below(rows, shape) / FULL_LATER, 1.0)
    stable = edges * (1.0 - residual * shape.deep)
    young = np.array([sun.young for sun in suns], np.float32)[:, None]
    fresh = edges * ((residual * young) * shape.nightly)
    stable -= missing
    stable -= UNEXPLAINED * below
    low = (edges * shape.shallow).max(axis=1, keepdims=True) * UNEXPLAINED
    is_hidden = shape.number < rows["hidden"][:, None]
    hidden = -low - HIDDEN_BY_DAY * (1.0 - residual)
    # at night a layer that is full gathers no more
    told = (gathered[:, None] * young).astype(np.float32)
    stable += told * shape.shallow
    hidden += told
    np.copyto(stable, hidden, where=is_hidden)
    convective -= np.minimum(np.maximum(shape.nodes_m - reach, 0.0) / (0.5 * reach + 200.0), 1.0) * (BEYOND_SUN / NATS)
    hidden_by_day = -low[:, 0] - HIDDEN_BY_DAY
    return Explained(
        edges, stable, convective, rows["hidden"], hidden_by_day, 1.0 - evening[:, 0], 1.0 - afternoon[:, 0], fresh
    )


def _peak_below(rows: Rows, shape: _Shape) -> Float:
    """(N, K) evidence of the best candidate below each node; elsewhere than at candidates nothing stands out."""
    node = np.searchsorted(shape.middle_m * QUARTERS, rows["height"])
    evidence = rows["evidence"] * np.float32(1.0 / 255.0)
    is_below = node[:, :, None] < shape.number - GAP
    return np.asarray((evidence[:, :, None] * is_below).max(axis=1))


def stored_likelihood(known: Explained, residual: Float) -> NDArray[np.uint8]:
    """(N, 2, K) negative log likelihood of intervals, in steps of 1 / `STEPS_PER_NAT`.

    Args:
        known: what does not depend on the residual layer.
        residual: (N, K) memory of the residual layer's edge.
    """
    remembered = known.edges * residual
    above = np.zeros_like(remembered)
    above[:, :-GAP] = np.maximum.accumulate(remembered[:, ::-1], axis=1)[:, ::-1][:, GAP:]
    found = np.empty((len(remembered), 2, remembered.shape[1]), np.float32)
    over_hidden = KNOWN_RESIDUAL * remembered.max(axis=1, keepdims=True)
    is_hidden = np.arange(remembered.shape[1]) < known.hidden[:, None]
    # what is remembered of the night explains an edge as well above a stable layer that the sun has not reached yet
    found[:, STABLE] = known.stable + known.forenoon[:, None] * np.where(is_hidden, over_hidden, KNOWN_RESIDUAL * above)
    # the day's layer has left no edge below its top: one that is there since is the new layer's
    fresh = known.fresh * (1.0 - np.minimum(residual * (1.0 / OWN), 1.0)) * _overhead(residual)
    unexplained = UNEXPLAINED * fresh.max(axis=1, keepdims=True)
    found[:, STABLE] += np.where(is_hidden, -unexplained, fresh)
    discount = np.asarray(DISCOUNT * known.morning.astype(np.float64), np.float32)[:, None]
    by_day = known.morning[:, None]  # after sunset what the day has left overhead is no sign of convection
    found[:, CONVECTIVE] = known.convective - discount * remembered + by_day * (KNOWN_RESIDUAL * above)
    np.copyto(found[:, CONVECTIVE], known.hidden_by_day[:, None] + by_day * over_hidden - unexplained, where=is_hidden)
    found *= NATS * STEPS_PER_NAT / ROUNDED_TO
    np.subtract(found.max(axis=(1, 2), keepdims=True), found, out=found)
    return (np.minimum(np.rint(found, out=found), 255 // ROUNDED_TO) * ROUNDED_TO).astype(np.uint8)


def _overhead(residual: Float) -> Float:
    """(N, K) how sure it is that the day has left its top above a node; `residual` as in `stored_likelihood`."""
    above = np.zeros_like(residual)
    above[:, :-GAP] = np.maximum.accumulate(residual[:, ::-1], axis=1)[:, ::-1][:, GAP:]
    above -= OVERHEAD[0]
    above *= 1.0 / (OVERHEAD[1] - OVERHEAD[0])
    return np.minimum(np.maximum(above, 0.0), 1.0)


def likelihood(stored: NDArray[np.uint8]) -> Float:
    """The likelihood that was stored, 1 for the best."""
    return np.asarray(_EXP[stored])


_EXP: Final = np.exp(np.arange(256, dtype=np.float32) / -STEPS_PER_NAT)


def remembered(
    residual: Float, state: Float, edges: Float, suns: Sequence[SunPrior], nodes_m: Float64
) -> NDArray[np.float16]:
    """(N, K) memory of the residual layer's edge after one more interval.

    An edge that stays while the mixing layer is far below it is remembered; it fades while it is not seen, when the
    mixing layer has grown up to it, and from late morning on, when the residual layer has been used up. In the evening
    one below the day's top is no residual layer's.

    Args:
        residual: (N, K) before.
        state: (N, 2, K) what is known of the mixing layer.
        edges: (N, K) evidence of an edge.
        suns: of the interval, N.
        nodes_m: (K,) heights.
    """
    shape = _shape(tuple(nodes_m.tolist()))
    number = np.cumsum(state[:, STABLE] + state[:, CONVECTIVE], axis=1)
    is_below = number[:, shape.far_below] * shape.has_below
    wide = edges.copy()
    np.maximum(wide[:, 1:], edges[:, :-1], out=wide[:, 1:])
    np.maximum(wide[:, :-1], edges[:, 1:], out=wide[:, :-1])
    seen = np.minimum(2.0 * wide, 1.0)
    rise = np.array([RISE * _is_left(sun) for sun in suns], np.float32)[:, None]
    young = np.array([sun.young * sun.residual for sun in suns], np.float32)[:, None]
    is_left = is_below * (1.0 - young * shape.nightly * _overhead(residual.astype(np.float32)))
    new = residual + rise * is_left * seen * (1.0 - residual)
    new *= (1.0 - FALL * (1.0 - seen)) * (1.0 - REACHED * (1.0 - is_below))
    new *= np.array([_kept(sun) for sun in suns], np.float32)[:, None]
    return np.asarray(new, np.float16)


def _is_left(sun: SunPrior) -> float:
    """How likely a new edge aloft is one that was left: a growing layer leaves none, a sea breeze does."""
    return max(1.0 - sun.onset / GROWING, sun.afternoon)


def _kept(sun: SunPrior) -> float:
    """How much of the memory the hour of the day leaves."""
    if sun.is_late and sun.is_known:
        return 1.0 - USED_UP
    return 1.0 - RISE / 6.0 if sun.onset > 0.25 else 1.0


@dataclass(frozen=True, eq=False)
class _Shape:
    nodes_m: Float
    middle_m: Float64
    number: NDArray[np.int64]
    shallow: Float
    deep: Float
    nightly: Float
    far_below: NDArray[np.int64]
    has_below: Float


@lru_cache(maxsize=64)
def _shape(nodes: tuple[float, ...]) -> _Shape:
    nodes_m = np.array(nodes)
    shallow = np.clip((SHALLOW_M[1] - nodes_m) / (SHALLOW_M[1] - SHALLOW_M[0]), 0.0, 1.0)
    far_below = np.searchsorted(nodes_m, nodes_m - NEAR_M - 0.1 * nodes_m, side="right") - 1
    return _Shape(
        nodes_m.astype(np.float32),
        (nodes_m[1:] + nodes_m[:-1]) / 2,
        np.arange(nodes_m.size),
        shallow.astype(np.float32),
        (1.0 - shallow).astype(np.float32),
        ((1.0 - shallow) * np.clip((DEEPEST_M - nodes_m) / (DEEPEST_M - SHALLOW_M[1]), 0.0, 1.0)).astype(np.float32),
        np.maximum(far_below, 0),
        (far_below >= 0).astype(np.float32),
    )
