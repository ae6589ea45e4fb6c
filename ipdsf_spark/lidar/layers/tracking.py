"""The most coherent path through the layer tops of successive profiles: Viterbi on a time–height grid.

An exactly solvable form of the graph methods Pathfinder and STRATfinder (de Bruine et al. 2017, AMT 10, 1893; Kotthaus
et al. 2020, Remote Sens. 12, 3259): every height node k at time t has a cost c(t, k), a move between nodes costs in
proportion to its height difference and is limited, and D(t, k) is the cost of the cheapest path that ends in k.

    D(t, k) = c(t, k) + min over k' of [ D(t-1, k') + move_cost · |z_k - z_k'| ],   moves up and down limited
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.profiles import Float32

MAX_REACH = 127  # back-pointers are signed bytes


@dataclass(frozen=True)
class Moves:
    """What a move costs.

    Attributes:
        cost_per_100_m: lambda.
        max_down_m: largest move down per interval; a layer may collapse.
        max_up_m: largest move up per interval; a layer has to grow, 1 km/h is fast (Stull 1988, ch. 11).
        node_m: node spacing.
    """

    cost_per_100_m: float = 0.05
    max_down_m: float = 200.0
    max_up_m: float = 90.0
    node_m: float = 30.0

    def reach(self, gap: int = 1) -> tuple[int, int]:
        """Nodes of the largest moves up and down over `gap` intervals."""
        up, down = (min(MAX_REACH, max(1, round(m * gap / self.node_m))) for m in (self.max_up_m, self.max_down_m))
        return up, down


def advance(cost: Float32, node_cost: Float32, moves: Moves, gap: int = 1) -> tuple[Float32, NDArray[np.int8]]:
    """One step of the recursion.

    Args:
        cost: (K,) D(t-1, .).
        node_cost: (K,) c(t, .).
        moves: what a move costs.
        gap: intervals since the last step; a move may be so much longer.

    Returns:
        D(t, .) with its minimum subtracted (only differences matter, and sums do not grow), and for every node how many
        nodes higher the path was one step before.
    """
    up, down = moves.reach(gap)
    padded = np.full(cost.size + up + down, np.inf, np.float32)
    padded[up : up + cost.size] = cost
    # row o of the view is the costs of the nodes o - up higher, from where the path may come
    step = padded.itemsize
    moved: Float32 = np.ndarray((up + down + 1, cost.size), np.float32, padded, strides=(step, step))
    reached = moved + _penalty(up, down, moves.node_m / 100.0 * moves.cost_per_100_m)
    best = reached.argmin(axis=0)
    total = reached.min(axis=0)
    total += node_cost
    total -= total.min()
    best -= up
    return total, best.astype(np.int8)


@lru_cache(maxsize=64)
def _penalty(up: int, down: int, cost_per_node: float) -> Float32:
    """(up + down + 1, 1) cost of moving by that many nodes."""
    return np.asarray(np.abs(np.arange(-up, down + 1))[:, None] * cost_per_node, np.float32)


def backtrack(pointers: NDArray[np.int8], last: int, restart: NDArray[np.int16] | None = None) -> list[int]:
    """Nodes of the path that ends in node `last`.

    Args:
        pointers: (T, K) back-pointers of successive steps; row t leads from t to t - 1.
        last: node at the end of the last row.
        restart: (T,) where not negative, row t starts a new path and the one before it ends in this node.

    Returns:
        T nodes at the times of the rows.
    """
    starts = {} if restart is None else {int(row): int(restart[row]) for row in np.flatnonzero(restart >= 0)}
    come_from = pointers.item
    node = int(last)
    path = [node] * len(pointers)
    for row in range(len(pointers) - 1, 0, -1):
        node = starts[row] if row in starts else node + come_from(row, node)
        path[row - 1] = node
    return path
