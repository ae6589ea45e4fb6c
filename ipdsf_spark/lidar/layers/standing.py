"""The part of a signal's fall that never goes away: steps of an instrument's electronics, no layer tops.

Layers move, by some ten metres an hour at the least; what the electronics leave in the signal stays at one range and
grows with range² (Kotthaus et al. 2016, AMT 9, 3769). So of the wavelet transform at every edge the part is remembered
that has been there at all times, and taken off. It grows from nothing in `LEARNING` intervals, falls at once with the
hourly mean, and is held to what electronics leave, so that of a real top that stands for hours most is kept.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.profiles import Float64

LEARNING: Final = 144  # intervals: twelve hours
MEAN_OF: Final = 12  # intervals that a mean looks back
LARGEST: Final = 5.0  # of the instrument's usual ripple; what is larger is no step of electronics
UNSURE: Final = 0.3  # of the standing part is noise to what is left
SHARES: Final = (0.5, 0.8)  # of the standing part in the mean: it is not believed, and it is
FIRST: Final = (0.7, 0.8)  # of what is to be learned: nothing is believed, and all is
SPACING_M: Final = 40.0
UNIT: Final = 1e-9  # of what is stored [m-1 sr-1]
MOST: Final = 3e4  # of these
_HEAD: Final = struct.Struct("<HH")

Float16 = NDArray[np.float16]


@dataclass(frozen=True, eq=False)
class Standing:
    """What is remembered of E places, in `UNIT`; E = 0 where nothing is known.

    Attributes:
        mean: (E,) of W, looking back for an hour.
        part: (E,) of it that has never gone away.
        num: intervals that were learned from, at most `LEARNING`.
    """

    mean: Float16
    part: Float16
    num: int = 0

    @classmethod
    def empty(cls, num_edges: int = 0) -> Standing:
        """Nothing has been seen."""
        return cls(np.zeros(num_edges, np.float16), np.zeros(num_edges, np.float16))

    def of_edges(self, num_edges: int) -> Standing:
        """This, or nothing where the gates are others than they were."""
        return self if self.part.size == num_edges else Standing.empty(num_edges)

    def to_bytes(self) -> bytes:
        """Four bytes, and four for every edge."""
        return _HEAD.pack(self.part.size, self.num) + self.mean.tobytes() + self.part.tobytes()

    @classmethod
    def from_bytes(cls, raw: bytes) -> tuple[Standing, bytes]:
        """The inverse of `to_bytes`, and what stands behind it.

        Raises:
            ValueError: the bytes end early.
        """
        if len(raw) < _HEAD.size:
            raise ValueError(f"{len(raw)} bytes are no standing part")
        size, num = _HEAD.unpack_from(raw)
        end = _HEAD.size + 4 * size
        if len(raw) < end:
            raise ValueError(f"standing part ends after {len(raw)} bytes, should have {end}")
        both = np.frombuffer(raw, np.float16, 2 * size, _HEAD.size).reshape(2, size)
        return cls(both[0], both[1], num), raw[end:]


@dataclass(frozen=True, eq=False)
class Places:
    """Edges at which the standing part is remembered: W changes little within `SPACING_M`.

    Attributes:
        edges: (E,) numbers of these edges.
        lower: (all edges,) the place below each edge ...
        upper: (all edges,) ... and above it,
        share: (all edges,) and how much of the way from one to the other the edge is.
    """

    edges: NDArray[np.int64]
    lower: NDArray[np.int64]
    upper: NDArray[np.int64]
    share: Float64

    @classmethod
    def of(cls, num_edges: int, step_m: float) -> Places:
        """Those among `num_edges` edges that are `step_m` apart."""
        stride = max(1, round(SPACING_M / step_m))
        edges = np.arange(0, num_edges, stride)
        number = np.arange(num_edges)
        lower = number // stride
        return cls(edges, lower, np.minimum(lower + 1, edges.size - 1), (number % stride) / stride)

    def at_edges(self, values: Float64) -> Float64:
        """(T, all edges) linear between the places of `values` (T, E)."""
        low = values[:, self.lower]
        return np.asarray(low + (values[:, self.upper] - low) * self.share)


def largest(edge_m: Float64, furthest_m: float) -> Float64:
    """(E,) what electronics leave at most at heights `edge_m`, over the ripple at 1 km; range² up to `furthest_m`."""
    return np.asarray(LARGEST * (np.minimum(edge_m, furthest_m) / 1000.0) ** 2)


def believed(mean: Float16, part: Float16, known: Float64) -> Float64:
    """(S, E) what is to be taken off [m-1 sr-1]: where hardly anything but the standing part is there, all of it.

    Where the mean is twice as much, a layer's top is there as well, or it is one that has stood for half a day.

    Args:
        mean: (S, E) in `UNIT`.
        part: (S, E) likewise.
        known: (S,) share of `LEARNING` that has been learned; in the first hours nothing is believed.
    """
    now = part.astype(np.float64)
    share = now / np.where(mean == 0.0, 1.0, mean.astype(np.float64))
    belief = np.clip((share - SHARES[0]) * (1.0 / (SHARES[1] - SHARES[0])), 0.0, 1.0)
    belief *= np.clip((known - FIRST[0]) * (1.0 / (FIRST[1] - FIRST[0])), 0.0, 1.0)[:, None]
    return np.asarray(now * belief * UNIT)


def learned(mean: Float16, part: Float16, w: Float64, top: NDArray[np.int64]) -> tuple[Float16, Float16]:
    """Both after one more interval of S sites.

    Args:
        mean: (S, E) before.
        part: (S, E) before.
        w: (S, E) wavelet transform [m-1 sr-1]; NaN where undefined.
        top: (S,) edges from this one on are in cloud, fog or rain.
    """
    now = np.clip(w * (1.0 / UNIT), -MOST, MOST)
    before = mean.astype(np.float64)
    new = before + (now - before) * (1.0 / MEAN_OF)
    grown = part.astype(np.float64) + new * (1.0 / LEARNING)
    held = np.clip(grown, np.minimum(new, 0.0), np.maximum(new, 0.0))
    is_known = (now == now) & (np.arange(w.shape[1]) < top[:, None])
    return np.where(is_known, new, mean).astype(np.float16), np.where(is_known, held, part).astype(np.float16)
