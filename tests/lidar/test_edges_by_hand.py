"""Parts of the edges on images made by hand: cells, maxima, links, lines, and how they are judged."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from edge_images import SETTINGS, averages_with
from hypothesis import given
from hypothesis import strategies as st

from ipdsf_spark.lidar.edges.detector import Response
from ipdsf_spark.lidar.edges.image import Cells, blank, columns_of, in_half_precision, noise_shape, ripple_shape
from ipdsf_spark.lidar.edges.lines import lines_of, newest_rows
from ipdsf_spark.lidar.edges.scoring import compared
from ipdsf_spark.lidar.edges.settings import EdgeSettings
from ipdsf_spark.lidar.edges.thinning import PEAK, Peaks, thinned
from ipdsf_spark.lidar.edges.tracker import EdgeRow
from ipdsf_spark.lidar.edges.tracks import MAX_TRACKS, Edge, Linker
from ipdsf_spark.lidar.site import Site

CELLS = Cells(30.0, 100)


def peaks_at(*heights_m: float, sign: int = -1, probability: float = 0.9, contrast: float = 0.5) -> Peaks:
    found = np.zeros(len(heights_m), PEAK)
    for name, value in (("sign", sign), ("probability", probability), ("contrast", contrast), ("snr", 9.0)):
        found[name] = value
    found["height"] = heights_m
    return found


def edge(height_m: float, sign: int = -1, name: str = "a", probability: float = 0.9) -> Edge:
    return Edge(name, sign, height_m, 0.0, probability, 0.5, 9.0, 0, 0, 9)


def response_of(ridge: np.ndarray, probability: float = 0.5) -> Response:
    both = np.stack([ridge, np.zeros_like(ridge)])
    return Response(np.where(both > 0, probability, 0.0), both, ridge, ridge)


# Cells


def test_cells_lie_one_upon_another_from_the_ground_and_edges_between_them() -> None:
    assert CELLS.middle_m[[0, 1, -1]].tolist() == [15.0, 45.0, 2985.0]
    assert CELLS.boundary_m[[0, -1]].tolist() == [30.0, 2970.0]
    # up to the highest height and twice the wide window, 90 m, but not beyond the fine gates at 6 km
    assert Cells.of(Site("a", 0.0, 0.0, max_height_m=3000.0), SETTINGS).num == 106
    assert Cells.of(Site("a", 0.0, 0.0, max_height_m=9000.0), SETTINGS).num == 200


def test_noise_grows_with_the_square_of_the_range_and_ripple_no_further_than_it_is_known() -> None:
    assert noise_shape(CELLS)[[0, 10]] == pytest.approx([15.0**2, 315.0**2])
    ripple = ripple_shape(Cells(30.0, 200))
    assert ripple[33] == pytest.approx(1.005**2)
    assert (np.diff(ripple) >= 0).all()


@pytest.mark.parametrize("resolution_m", [5.0, 10.0, 15.0, 20.0])
def test_a_cell_holds_the_mean_of_what_the_gates_share_with_it(resolution_m: float) -> None:
    averages = averages_with([900.0] * 2, noise=0.0, num_gates=int(4500 / resolution_m), resolution_m=resolution_m)
    site = Site("a", 0.0, 0.0, min_height_m=100.0)
    columns = columns_of(averages, site, CELLS, SETTINGS)

    seen = averages[0].mean()
    fine = np.repeat(seen, round(averages[0].resolution_m / 5.0))  # gates of 5 m were joined to 10 m
    per_cell = fine.reshape(-1, 6).mean(axis=1)[:100]
    assert columns["first"].tolist() == [4, 4]  # of the cells that lie wholly above 100 m
    assert np.isnan(columns["beta"][0, :4]).all()
    np.testing.assert_allclose(columns["beta"][0, 4:], per_cell[4:], rtol=6e-4)  # kept in half precision


@given(st.lists(st.floats(1e-12, 1e3), min_size=3, max_size=20), st.floats(-20.0, 20.0))
def test_half_precision_keeps_three_digits_of_a_signal_of_any_size(values: list[float], power: float) -> None:
    columns = blank(7, 1, Cells(30.0, len(values)))
    middle = float(np.median(values))
    beta = np.clip(np.array(values), 0.01 * middle, 100.0 * middle) * 10.0**power
    columns["beta"][0] = beta

    kept = in_half_precision(columns)

    np.testing.assert_allclose(kept["beta"][0], beta, rtol=2.0**-11 + 1e-6)
    np.testing.assert_array_equal(in_half_precision(kept)["beta"], kept["beta"])
    assert (kept["index"].tolist(), kept["num"].tolist()) == ([7], [0])


def test_a_wild_cell_is_held_to_a_million_times_the_median_and_hides_no_other() -> None:
    columns = blank(0, 1, Cells(30.0, 9))
    columns["beta"][0] = [1e-6] * 7 + [1e9, np.nan]

    kept = in_half_precision(columns)["beta"][0]

    np.testing.assert_allclose(kept[:7], 1e-6, rtol=1e-3)
    assert 0.5 < kept[7] < 2.0
    assert np.isnan(kept[8])


@pytest.mark.parametrize("tilt_deg", [0.0, 20.0])
def test_noise_of_a_cell_is_that_of_the_gates_in_it_along_a_slanted_beam(tilt_deg: float) -> None:
    made = averages_with([900.0] * 2, num_gates=400, tilt_deg=np.full(2, tilt_deg, np.float32))
    averages = [replace(each, variance=4e-26, num_noise=1) for each in made]
    columns = columns_of(averages, Site("a", 0.0, 0.0), CELLS, SETTINGS)

    # a gate of 10 m is 10 m cos(tilt) high, and a height lies 1 / cos(tilt) further along the beam
    slant = np.cos(np.radians(tilt_deg))
    expected = averages[0].sigma_unit * np.sqrt(10.0 * slant / 30.0) / slant**2
    assert expected > 0.0
    assert columns["noise"][0] == pytest.approx(expected, rel=1e-5, abs=0.0)


# Maxima


@given(st.floats(-0.45, 0.45), st.integers(10, 80))
def test_a_maximum_lies_where_the_parabola_through_three_boundaries_has_its_vertex(shift: float, at: int) -> None:
    away = np.arange(99) - (at + shift)
    (peak,) = thinned(response_of(np.maximum(9.0 - away**2, 0.0)), CELLS, SETTINGS)

    assert peak["height"] == pytest.approx((at + 1 + shift) * 30.0)
    assert peak["sign"] == -1


@pytest.mark.parametrize(("apart", "heights_m"), [(2, [330.0]), (3, [330.0, 420.0])])
def test_two_maxima_nearer_than_90_metres_are_one(apart: int, heights_m: list[float]) -> None:
    ridge = np.zeros(99)
    ridge[10], ridge[10 + apart] = 2.0, 1.0

    assert sorted(thinned(response_of(ridge), CELLS, SETTINGS)["height"]) == pytest.approx(heights_m)


def test_of_a_plateau_the_lowest_boundary_counts_and_the_strongest_come_first() -> None:
    ridge = np.zeros(99)
    ridge[[20, 21]] = 1.0
    ridge[np.arange(30, 99, 5)] = 1.0
    both = response_of(ridge)
    both.probability[0, 40] = 0.95

    found = thinned(both, CELLS, SETTINGS)

    assert len(found) == SETTINGS.num_peaks
    assert found["height"][:2] == pytest.approx([41 * 30.0, 21.5 * 30.0])
    assert thinned(response_of(ridge, probability=0.19), CELLS, SETTINGS).size == 0
    assert thinned(response_of(ridge, probability=0.2), CELLS, SETTINGS).size == SETTINGS.num_peaks


# Links


def pushed(heights_m: list[float | None], linker: Linker, probability: float = 0.9) -> np.ndarray:
    tracks = linker.empty()
    for index, height_m in enumerate(heights_m):
        found = peaks_at(*([] if height_m is None else [height_m]), probability=probability)
        tracks = linker.push(tracks, found, index)
    return tracks


@pytest.mark.parametrize("slope_m_per_h", [-240.0, 0.0, 360.0])
def test_the_slope_of_an_edge_is_that_of_its_line_and_needs_three_columns(slope_m_per_h: float) -> None:
    linker = Linker(EdgeSettings(num_columns=2, num_certain=1), 4)
    line = [1500.0 + slope_m_per_h / 12.0 * column for column in range(8)]
    (found,) = linker.edges_at(pushed(line, linker), -1)
    (short,) = linker.edges_at(pushed(line[:2], linker), -1)

    assert found.slope_m_per_h == pytest.approx(slope_m_per_h, abs=3.0)  # heights are kept in quarters of a metre
    assert found.id == "0-1500" and (found.first_index, found.last_index, found.num_columns) == (0, 7, 8)
    assert found.height_m == pytest.approx(line[-1], abs=0.125)
    assert np.isnan(short.slope_m_per_h)


def test_a_slope_is_that_of_half_an_hour_also_where_the_newest_column_is_not_decided() -> None:
    linker = Linker(SETTINGS, 4)
    heights_m = [1000.0 + column**2 for column in range(10)]
    tracks = pushed(heights_m, linker)
    steep = np.polyfit(np.arange(7), heights_m[-7:], 1)[0] * 12.0  # the newest column and six before it

    (decided,) = linker.edges_at(tracks, -1)
    (open_,) = linker.provisional(tracks, peaks_at(1095.0), 10, 1)

    assert decided.slope_m_per_h == open_.slope_m_per_h == pytest.approx(steep, rel=1e-6)
    assert (open_.height_m, open_.last_index, open_.num_columns) == (1095.0, 10, 11)


@pytest.mark.parametrize(("leap_m", "num"), [(100.0, 1), (110.0, 2), (-100.0, 1), (-110.0, 2)])
def test_an_edge_at_a_kilometre_goes_on_within_75_metres_and_three_percent_of_its_height(
    leap_m: float, num: int
) -> None:
    tracks = pushed([1000.0, 1000.0, 1000.0 + leap_m], Linker(SETTINGS, 4))

    assert len(tracks) == num


@pytest.mark.parametrize(("num_missed", "num"), [(1, 1), (2, 1), (3, 2)])
def test_an_edge_may_miss_two_columns_and_not_three(num_missed: int, num: int) -> None:
    tracks = pushed([1000.0] * 5 + [None] * num_missed + [1000.0], Linker(SETTINGS, 4))

    assert len(tracks) == num


@pytest.mark.parametrize(
    ("num_columns", "probability", "is_told"), [(6, 0.9, True), (5, 0.9, False), (9, 0.34, False), (9, 0.35, True)]
)
def test_an_edge_needs_six_columns_and_three_of_them_certain(
    num_columns: int, probability: float, is_told: bool
) -> None:
    linker = Linker(SETTINGS, 4)

    assert bool(linker.edges_at(pushed([1000.0] * num_columns, linker, probability), -1)) == is_told


def test_a_rise_never_goes_on_as_a_fall_and_each_peak_takes_one_track() -> None:
    linker = Linker(SETTINGS, 4)
    tracks = linker.push(linker.empty(), peaks_at(1000.0, 1080.0), 0)
    fell = linker.push(tracks, peaks_at(1050.0), 1)
    rose = linker.push(tracks, peaks_at(1000.0, sign=1), 1)

    assert sorted(fell["num"]) == [1, 2]
    assert fell["last_height"][fell["num"] == 2] == 1050 * 4
    assert fell["first_height"][fell["num"] == 2] == 1080 * 4  # the nearer of both
    assert rose["num"].tolist() == [1, 1, 1]


def test_tracks_are_bounded_and_the_strongest_peaks_are_born_first() -> None:
    linker = Linker(SETTINGS, 4)
    tracks = linker.push(linker.empty(), peaks_at(*np.arange(100.0, 9000.0, 100.0)), 0)

    assert len(tracks) == MAX_TRACKS
    assert tracks["first_height"].max() == 4 * 100 * MAX_TRACKS


# Lines, and the judge


def test_a_line_stands_in_the_middle_of_its_intervals_and_a_final_row_goes_before_a_provisional_one() -> None:
    rows = [EdgeRow(5, 1, 0, 0, is_provisional, (edge(height),)) for height, is_provisional in (
        (1000.0, True), (1010.0, False), (1020.0, True))]  # fmt: skip
    later = EdgeRow(4, 1, 0, 0, True, (edge(900.0), edge(500.0, 1, "b")))

    first, second = lines_of(newest_rows([*rows, later]), 300)

    assert (first.id, first.sign, first.height_m.tolist()) == ("a", -1, [900.0, 1010.0])
    assert first.time.astype("datetime64[s]").astype(int).tolist() == [4 * 300 + 150, 5 * 300 + 150]
    assert (second.id, second.sign) == ("b", 1)


@pytest.mark.parametrize(("off_m", "is_same"), [(0.0, True), (100.0, True), (-100.0, True), (101.0, False)])
def test_an_edge_within_a_hundred_metres_is_the_same(off_m: float, is_same: bool) -> None:
    found = compared([[edge(1000.0 + off_m)]], [peaks_at(1000.0)], 3000.0)

    assert (found.num_true, found.num_edges) == (1, 1)
    assert (found.num_true_found, found.num_edges_true) == (int(is_same), int(is_same))


def test_a_faint_true_edge_is_not_wanted_but_right_to_find_and_none_above_the_top_counts() -> None:
    faint = compared([[edge(1000.0), edge(3500.0)]], [peaks_at(1000.0, contrast=0.14)], 3000.0)
    wanted = compared([[edge(1000.0)]], [peaks_at(1000.0, contrast=-0.15)], 3000.0)
    other = compared([[edge(1000.0, sign=1)]], [peaks_at(1000.0)], 3000.0)

    assert (faint.num_true, faint.num_edges, faint.num_edges_true) == (0, 1, 1)
    assert (wanted.num_true, wanted.recall, wanted.precision) == (1, 1.0, 1.0)
    assert (other.recall, other.precision) == (0.0, 0.0)
    assert compared([[edge(1000.0)]], [peaks_at(1000.0)], 3000.0, sign=1) == compared([[]], [peaks_at()], 3000.0)


@pytest.mark.parametrize(("reach", "lag"), [(2, 10), (12, 1), (40, 1)])
def test_a_row_is_final_an_hour_after_its_interval(reach: int, lag: int) -> None:
    assert SETTINGS.lag(reach) == lag
    assert (SETTINGS.reach, SETTINGS.longest_gap) == (2, 12)
    assert EdgeSettings(averaging_s=10).lag(2) == 64
