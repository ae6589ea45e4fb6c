"""What an interval's edges say of the mixing layer's top."""

from __future__ import annotations

import numpy as np
import pytest

from ipdsf_spark.lidar.layers.ceiling import Ceiling
from ipdsf_spark.lidar.layers.chain import CONVECTIVE, STABLE, nodes_up_to
from ipdsf_spark.lidar.layers.evidence import NO_HEIGHT, QUARTERS, ROW, Evidence
from ipdsf_spark.lidar.layers.likelihood import STEPS_PER_NAT, explained, remembered, stored_likelihood
from ipdsf_spark.lidar.layers.sun import SunPrior, sun_prior

NODES_M = nodes_up_to(4000.0)
DAY_S = 20_619 * 86_400.0  # 15 June 2026
HIDDEN = 4
TOP_M = 1500.0
NOTHING = np.zeros(1)


def sun_at(hour: float) -> SunPrior:
    return sun_prior(DAY_S + 3600.0 * hour, (48.0, 0.0), Ceiling(), 4000.0)


def node_of(height_m: float) -> int:
    return int(np.abs(NODES_M - height_m).argmin())


def interval(*, peaks: dict[float, int], slope: int = 0) -> Evidence:
    """Edges at some heights, and a fall that is the same from node to node up to 800 m."""
    rows = np.zeros(1, ROW)
    rows["height"], rows["hidden"], rows["seen_to"] = NO_HEIGHT, HIDDEN, NODES_M.size
    edges = np.zeros((1, NODES_M.size), np.uint8)
    edges[0, HIDDEN : node_of(800.0)] = slope
    for rank, (height_m, evidence) in enumerate(peaks.items()):
        rows["height"][0, rank], rows["evidence"][0, rank] = height_m * QUARTERS, evidence
        edges[0, node_of(height_m)] = evidence
    return Evidence(rows, edges)


def nats(
    evidence: Evidence, hour: float, residual_m: float | None = None, gathered: np.ndarray = NOTHING
) -> np.ndarray:
    """(2, K) log likelihood, 0 for the best."""
    memory = np.zeros((1, NODES_M.size), np.float32)
    if residual_m is not None:
        memory[0, node_of(residual_m)] = 1.0
    return stored_likelihood(explained(evidence, [sun_at(hour)], gathered, NODES_M), memory)[0] / -STEPS_PER_NAT


def test_a_weak_edge_below_the_afternoons_layer_speaks_against_it_more_than_in_the_morning() -> None:
    both = interval(peaks={TOP_M: 255, 400.0: 130})
    gain = {hour: nats(both, hour)[CONVECTIVE, [node_of(400.0), node_of(TOP_M)]] for hour in (9.0, 15.0)}

    assert gain[9.0][1] > gain[9.0][0]  # a growing layer's plumes and moist sheets make such edges
    assert gain[15.0][0] > gain[15.0][1] + 0.5


def test_a_signal_that_falls_evenly_with_height_is_no_second_layer_in_the_afternoon() -> None:
    even, top = interval(peaks={TOP_M: 255}, slope=130), interval(peaks={TOP_M: 255})

    of_top = [explained(part, [sun_at(15.0)], NOTHING, NODES_M).convective[0, node_of(TOP_M)] for part in (even, top)]
    assert of_top[0] == pytest.approx(of_top[1], abs=0.05)


@pytest.mark.parametrize("hour", [4.5, 5.5])
def test_a_remembered_edge_aloft_does_not_tell_that_the_layer_below_it_has_begun_to_convect(hour: float) -> None:
    found = nats(interval(peaks={650.0: 255}), hour, residual_m=650.0)

    assert found[STABLE, 0] >= found[CONVECTIVE, 0] - 0.05
    assert found[STABLE, 0] > found[CONVECTIVE, node_of(650.0)]


NEW_M = 520.0


def gain_of_the_edge(hour: float, *, aloft_m: float | None) -> float:
    """How much more likely a stable layer's top at an edge of `NEW_M` is than one too low to be seen."""
    found = nats(interval(peaks={NEW_M: 150, TOP_M: 255}), hour, residual_m=aloft_m)
    return float(found[STABLE, node_of(NEW_M)] - found[STABLE, 0])


def test_an_edge_that_has_come_to_be_below_the_top_that_the_day_has_left_is_the_evenings_new_layer() -> None:
    assert gain_of_the_edge(20.5, aloft_m=TOP_M) > 0.5
    assert gain_of_the_edge(20.5, aloft_m=None) < 0.05  # nothing tells that the day had mixed the air there
    assert gain_of_the_edge(20.5, aloft_m=NEW_M) < 0.05  # it is what the day has left
    assert gain_of_the_edge(3.0, aloft_m=TOP_M) < 0.2  # by then it may have come from elsewhere


def test_an_edge_as_deep_as_no_new_layer_is_said_to_be_one_by_nothing_overhead() -> None:
    found = nats(interval(peaks={1000.0: 255, 2000.0: 255}), 20.5, residual_m=2000.0)

    assert found[STABLE, node_of(1000.0)] <= found[STABLE, 0]


def test_what_the_day_has_left_overhead_is_no_sign_of_convection_in_the_evening() -> None:
    found = nats(interval(peaks={NEW_M: 150, TOP_M: 255}), 20.5, residual_m=TOP_M)

    assert found[STABLE, node_of(NEW_M)] >= found[CONVECTIVE, node_of(NEW_M)]
    assert found[STABLE, 0] >= found[CONVECTIVE, 0] - 0.05


@pytest.mark.parametrize(("hour", "is_told"), [(20.5, False), (3.0, True)])
def test_an_edge_below_the_top_that_the_day_has_left_is_not_remembered_as_a_residual_layers(
    hour: float, is_told: bool
) -> None:
    edges = interval(peaks={NEW_M: 255, TOP_M: 255}).edges / np.float32(255.0)
    state = np.zeros((1, 2, NODES_M.size), np.float32)
    state[0, STABLE, 0] = 1.0
    memory = np.zeros((1, NODES_M.size), np.float16)
    memory[0, node_of(TOP_M)] = 1.0
    for _ in range(6):
        memory = remembered(memory, state, edges, [sun_at(hour)], NODES_M)

    assert memory[0, node_of(TOP_M)] > 0.9
    assert (memory[0, node_of(NEW_M)] > 0.4) == is_told


def test_a_stable_layer_is_young_from_the_afternoon_on_and_full_in_the_morning() -> None:
    young = [sun_at(hour).young for hour in (4.5, 9.0, 15.0, 19.5, 21.0, 24.0, 27.0)]

    assert young[0] == pytest.approx(0.06, abs=0.03)
    assert young[1] < 0.05
    assert young[2] == young[3] == 1.0
    assert 1.0 > young[4] > young[5] > young[6] > 0.0
    assert sun_prior(DAY_S, (float("nan"), float("nan")), Ceiling(), 4000.0).young == 0.5


@pytest.mark.parametrize(("hour", "is_told"), [(18.0, True), (20.5, True), (4.5, False), (9.0, False)])
def test_what_gathers_above_the_ground_tells_of_shallow_stable_layers_from_the_afternoon_on(
    hour: float, is_told: bool
) -> None:
    edge = interval(peaks={TOP_M: 255})
    against, without, for_it = (nats(edge, hour, gathered=np.array([said])) for said in (-0.3, 0.0, 0.3))
    for height_m in (0.0, 200.0):  # too low to be seen, and seen
        stable, mixed = node_of(height_m), node_of(TOP_M)
        odds = [float(found[STABLE, stable] - found[CONVECTIVE, mixed]) for found in (against, without, for_it)]
        if is_told:
            assert odds[0] < odds[1] - 0.2 < odds[2] - 0.4
        else:
            assert odds == pytest.approx([odds[1]] * 3, abs=0.13)  # an eighth of a nat, as likelihoods are kept
