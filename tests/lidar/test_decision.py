"""What is published of what is known of the mixing layer's top."""

from __future__ import annotations

import numpy as np
import pytest

from ipdsf_spark.lidar.layers.chain import CONVECTIVE, STABLE, nodes_up_to
from ipdsf_spark.lidar.layers.decision import decide, residual_top
from ipdsf_spark.lidar.layers.evidence import NO_HEIGHT, QUARTERS, ROW, in_metres
from ipdsf_spark.lidar.layers.neighbours import Neighbours

NODES_M = nodes_up_to(4000.0)


def sigma_m(height_m: float, kind: int, young: float) -> float:
    """The uncertainty of a height of which nothing else is in doubt."""
    rows = np.zeros(1, ROW)
    rows["height"], rows["cloud"], rows["residual"], rows["seen_to"] = NO_HEIGHT, NO_HEIGHT, NO_HEIGHT, NODES_M.size
    rows["height"][0, 0], rows["evidence"][0, 0], rows["sigma"][0, 0] = height_m * QUARTERS, 255, 20.0
    state = np.zeros((1, 2, NODES_M.size), np.float32)
    state[0, kind, np.abs(NODES_M - height_m).argmin()] = 1.0
    found = decide(rows, state, NODES_M, np.array([young]), np.empty(0, np.int64), Neighbours.of([]))
    assert found.height_m[0] == pytest.approx(height_m, abs=20.0)
    return float(found.sigma_m[0])


def test_the_height_of_a_stable_layer_that_is_still_being_filled_is_uncertain_by_a_quarter() -> None:
    assert sigma_m(400.0, STABLE, young=1.0) >= 100.0
    assert sigma_m(400.0, STABLE, young=0.0) < 60.0
    assert sigma_m(800.0, CONVECTIVE, young=1.0) == sigma_m(800.0, CONVECTIVE, young=0.0)


@pytest.mark.parametrize(("edges_m", "top_m"), [((3650.0, 1180.0), 1180.0), ((3650.0, 940.0), np.nan)])
def test_an_edge_far_aloft_does_not_take_the_place_of_the_residual_layers_that_is_not_seen_for_once(
    edges_m: tuple[float, float], top_m: float
) -> None:
    rows = np.zeros(1, ROW)
    rows["height"] = NO_HEIGHT
    rows["height"][0, :2], rows["evidence"][0, :2] = np.array(edges_m) * QUARTERS, 255
    memory = np.zeros((1, NODES_M.size), np.float16)
    memory[0, np.abs(NODES_M - 1170.0).argmin()] = 0.96
    memory[0, np.abs(NODES_M - 3650.0).argmin()] = 0.66
    memory[0, np.abs(NODES_M - 940.0).argmin()] = 0.6

    assert in_metres(residual_top(rows, memory, NODES_M))[0] == pytest.approx(top_m, nan_ok=True)
