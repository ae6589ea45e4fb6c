"""The most coherent path through the layer tops of successive profiles: Viterbi on a time–height grid.

An exactly solvable form of the graph methods Pathfinder and STRATfinder (de Bruine et al. 2017, AMT 10, 1893; Kotthaus
et al. 2020, Remote Sens. 12, 3259): every height node k at time t has a cost c(t, k), a move between nodes costs in
proportion to its height difference and is limited, and D(t, k) is the cost of the cheapest path that ends in k.

    D(t, k) = c(t, k) + min over k' of [ D(t-1, k') + move_cost · |z_k - z_k'| ],   |z_k - z_k'| <= max_move_m
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ipdsf_spark.lidar.profiles import Float64


@dataclass(frozen=True)
class Moves:
    """What a move costs.

    Attributes:
        cost_per_100_m: lambda.
        max_m: largest move per interval.
        node_m: node spacing.
    """

    cost_per_100_m: float = 0.05
    max_m: float = 200.0
    node_m: float = 30.0

    @property
    def reach(self) -> int:
        """Nodes of the largest move."""
        return max(1, round(self.max_m / self.node_m))


def advance(cost: Float64, node_cost: Float64, moves: Moves) -> tuple[Float64, NDArray[np.int8]]:
    """One step of the recursion.

    Args:
        cost: (K,) D(t-1, .).
        node_cost: (K,) c(t, .).
        moves: what a move costs.

    Returns:
        D(t, .) with its minimum subtracted (only differences matter, and sums do not grow), and for every node how many
        nodes higher the path was one step before.
    """
    reach = moves.reach
    padded = np.full(cost.size + 2 * reach, np.inf)
    padded[reach:-reach] = cost
    offsets = np.arange(-reach, reach + 1)
    penalty = np.abs(offsets) * (moves.node_m / 100.0 * moves.cost_per_100_m)
    reached = sliding_window_view(padded, 2 * reach + 1) + penalty
    best = reached.argmin(axis=1)
    total = node_cost + np.take_along_axis(reached, best[:, None], axis=1)[:, 0]
    return total - total.min(), (best - reach).astype(np.int8)


def backtrack(pointers: NDArray[np.int8], last: int) -> NDArray[np.int64]:
    """Nodes of the path that ends in node `last`.

    Args:
        pointers: (T, K) back-pointers of successive steps; row t leads from t to t - 1.
        last: node at the end of the last row.

    Returns:
        (T,) nodes at the times of the rows.
    """
    path = np.empty(len(pointers), np.int64)
    node = int(last)
    for row in range(len(pointers) - 1, -1, -1):
        path[row] = node
        node = node + int(pointers[row, node])
    return path
