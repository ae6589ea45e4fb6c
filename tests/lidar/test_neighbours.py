"""A final height leans on the edges of half an hour before and after it."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ipdsf_spark.lidar.layers.evidence import NO_HEIGHT, QUARTERS, ROW, Rows
from ipdsf_spark.lidar.layers.neighbours import REACH, Neighbours, fitted_m


def records(height_m: np.ndarray, strength: float = 0.2) -> Rows:
    """One edge in each interval."""
    rows = np.zeros(len(height_m), ROW)
    rows["height"] = NO_HEIGHT
    rows["height"][:, 0] = np.rint(height_m * QUARTERS)
    rows["strength"] = np.nan
    rows["strength"][:, 0] = strength
    rows["sigma"], rows["evidence"] = 30.0, 255
    return rows


def fitted(before: Rows, rows: Rows, after: Rows) -> np.ndarray:
    start_m = rows["height"][:, 0] / QUARTERS
    return fitted_m(start_m, Neighbours.of([(before, rows, after)]))


@settings(max_examples=50, deadline=None)
@given(st.floats(600.0, 3000.0), st.floats(-40.0, 60.0))  # no edge lies below the ground
def test_edges_on_a_line_stay_where_they_are(start_m: float, rise_m: float) -> None:
    height_m = start_m + rise_m * np.arange(2 * REACH + 1)
    rows = records(height_m)

    middle = slice(REACH, REACH + 1)
    found_m = fitted(rows[:REACH], rows[middle], rows[REACH + 1 :])

    assert abs(found_m[0] - height_m[REACH]) < 0.5


def test_noise_of_single_edges_is_less_than_half_in_the_final_height() -> None:
    rng = np.random.default_rng(3)
    truth_m = 800.0 + 15.0 * np.arange(200)
    rows = records(truth_m + 50.0 * rng.standard_normal(200))
    found_m = fitted(rows[:0], rows, rows[:0])[REACH:-REACH]

    assert np.std(found_m - truth_m[REACH:-REACH]) < 25.0


def test_of_two_flanks_the_one_that_falls_more_attracts() -> None:
    rows = records(np.full(13, 1500.0), strength=0.08)
    rows["height"][:, 1], rows["strength"][:, 1], rows["evidence"] = 1650 * QUARTERS, 0.3, 255

    assert fitted(rows[:6], rows[6:7], rows[7:])[0] > 1600.0


def test_an_edge_far_from_the_path_does_not_move_it() -> None:
    rows = records(np.full(13, 900.0))
    rows["height"][:, 1], rows["strength"][:, 1] = 2400 * QUARTERS, 0.5

    assert abs(fitted(rows[:6], rows[6:7], rows[7:])[0] - 900.0) < 1.0


def test_a_residual_layers_stronger_edge_does_not_draw_the_growing_layers_height_away() -> None:
    rows = records(np.full(13, 1080.0), strength=0.08)
    rows["height"][:, 1], rows["strength"][:, 1] = 1330 * QUARTERS, 0.4

    assert abs(fitted(rows[:6], rows[6:7], rows[7:])[0] - 1080.0) < 60.0


def test_a_nights_shallow_layer_keeps_its_own_edge_under_a_low_residual_layer() -> None:
    rows = records(np.full(13, 195.0), strength=0.1)
    rows["height"][:, 1], rows["strength"][:, 1] = 395 * QUARTERS, 0.4

    assert abs(fitted(rows[:6], rows[6:7], rows[7:])[0] - 195.0) < 20.0


def test_blank_neighbours_leave_the_height_alone() -> None:
    blank = np.zeros(6, ROW)
    blank["height"] = NO_HEIGHT
    rows = blank[:1].copy()

    assert fitted_m(np.array([750.0]), Neighbours.of([(blank, rows, blank)]))[0] == 750.0


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 8)] * 3).filter(lambda part: part[1] > 0), min_size=1, max_size=5))
def test_every_part_is_fitted_as_if_it_were_alone(sizes: list[tuple[int, int, int]]) -> None:
    rng = np.random.default_rng(sum(map(sum, sizes)))
    parts = [tuple(records(rng.uniform(300.0, 900.0, size)) for size in part) for part in sizes]
    together = fitted_m(np.full(sum(part[1] for part in sizes), 600.0), Neighbours.of(parts))
    alone = [fitted_m(np.full(len(part[1]), 600.0), Neighbours.of([part])) for part in parts]

    np.testing.assert_array_equal(together, np.concatenate(alone))


def test_where_nothing_comes_after_the_line_follows_the_growth() -> None:
    height_m = 500.0 + 30.0 * np.arange(REACH + 1)
    rows = records(height_m)

    assert abs(fitted(rows[:REACH], rows[REACH:], rows[:0])[0] - height_m[-1]) < 20.0
