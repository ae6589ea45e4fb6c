"""The path is the cheapest of all paths."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ipdsf_spark.lidar.layers.tracking import Moves, advance, backtrack

MOVES = Moves(cost_per_100_m=0.7, max_down_m=60.0, max_up_m=30.0, node_m=30.0)
COSTS = hnp.arrays(np.float32, (5, 5), elements=st.floats(0, 8, width=16))


def walked(costs: np.ndarray, moves: Moves = MOVES) -> tuple[list[int], np.ndarray]:
    total, pointers = np.zeros(costs.shape[1], np.float32), []
    for row in costs:
        total, come_from = advance(total, row, moves)
        pointers.append(come_from)
    return backtrack(np.stack(pointers), int(total.argmin())), total


def price(path: tuple[int, ...], costs: np.ndarray, moves: Moves = MOVES) -> float:
    up, down = moves.reach()
    total = sum(float(costs[at, node]) for at, node in enumerate(path))
    for before, after in itertools.pairwise(path):
        if not -down <= after - before <= up:
            return float("inf")
        total += abs(after - before) * moves.node_m / 100.0 * moves.cost_per_100_m
    return total


@given(COSTS)
def test_no_path_of_all_paths_is_cheaper(costs: np.ndarray) -> None:
    path, _ = walked(costs)
    cheapest = min(price(other, costs) for other in itertools.product(range(5), repeat=5))

    assert price(tuple(path), costs) == pytest.approx(cheapest, abs=1e-4)


@given(COSTS)
def test_costs_do_not_grow_with_time(costs: np.ndarray) -> None:
    _, total = walked(np.concatenate([costs] * 20))

    assert total.min() == 0.0


def test_a_layer_grows_slower_than_it_collapses() -> None:
    moves = Moves()
    low_then_high = np.ones((40, 100), np.float32)
    low_then_high[:10, 5] = low_then_high[10:, 60] = 0.0
    rise = np.diff(walked(low_then_high, moves)[0]).max()
    fall = -np.diff(walked(low_then_high[::-1].copy(), moves)[0]).min()

    assert rise * moves.node_m <= moves.max_up_m
    assert rise * moves.node_m < fall * moves.node_m <= moves.max_down_m + moves.node_m / 2


def test_a_longer_gap_allows_a_longer_move() -> None:
    cost = np.full(40, 50.0, np.float32)
    cost[5] = 0.0
    after = np.ones(40, np.float32)
    after[17] = 0.0
    moves = Moves(node_m=30.0, max_up_m=90.0)

    assert int(advance(cost, after, moves, 1)[0].argmin()) != 17
    assert int(advance(cost, after, moves, 4)[0].argmin()) == 17


def test_a_path_over_silence_stays_where_it_is() -> None:
    costs = np.zeros((12, 30), np.float32)
    costs[0] = costs[-1] = 1.0
    costs[0, 12] = costs[-1, 12] = 0.0

    assert walked(costs, Moves())[0] == [12] * 12


def test_a_restart_forgets_what_follows() -> None:
    pointers = np.zeros((4, 6), np.int8)
    restart = np.array([-1, -1, 3, -1], np.int16)

    assert backtrack(pointers, 5, restart) == [3, 3, 5, 5]


def test_no_rows_make_no_path() -> None:
    assert backtrack(np.empty((0, 6), np.int8), 5) == []
