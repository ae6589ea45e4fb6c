"""Edges of the time–height image: where they are, how they are linked, and what must not be taken for one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from edge_images import PLAIN, SETTINGS, averages_with, heights_of, rows_of

from ipdsf_spark.lidar.averages.average import Average
from ipdsf_spark.lidar.averages.build import averages_of, averages_of_all
from ipdsf_spark.lidar.edges.examples import day_image
from ipdsf_spark.lidar.edges.lines import lines_of, newest_rows
from ipdsf_spark.lidar.edges.scoring import Found, compared
from ipdsf_spark.lidar.edges.tracker import EdgeTracker
from ipdsf_spark.lidar.edges.tracks import MAX_TRACKS
from ipdsf_spark.lidar.files import FileReader
from ipdsf_spark.lidar.products.quality import Quality
from ipdsf_spark.lidar.simulator.hard_days import hard_day
from ipdsf_spark.lidar.site import Site

DECREASE, INCREASE = -1, 1


@pytest.mark.parametrize("height_m", [300.0, 815.0, 1630.0, 2400.0])
def test_a_layers_top_is_a_decrease_at_its_height_and_keeps_its_identity(height_m: float) -> None:
    rows = rows_of(averages_with([height_m] * 24))

    heights = heights_of(rows, DECREASE)
    assert all(len(found) == 1 for found in heights)
    assert np.abs(np.array(heights) - height_m).max() < 20.0
    assert heights_of(rows, INCREASE) == [[]] * 24
    assert len({edge.id for row in rows for edge in row.edges}) == 1


def test_a_layers_base_is_an_increase() -> None:
    rows = rows_of(averages_with([1200.0] * 24, below=4e-7, above=2e-6))

    assert np.abs(np.array(heights_of(rows, INCREASE)) - 1200.0).max() < 20.0
    assert heights_of(rows, DECREASE) == [[]] * 24


@pytest.mark.parametrize("slope_m_per_h", [-240.0, 0.0, 300.0, 900.0])
def test_a_slanted_edge_is_one_edge_and_its_slope_is_told(slope_m_per_h: float) -> None:
    start_m = 1800.0 if slope_m_per_h < 0 else 500.0
    rows = rows_of(averages_with(start_m + slope_m_per_h / 12.0 * np.arange(24)))

    edges = [edge for row in rows[3:-3] for edge in row.edges]
    assert len({edge.id for edge in edges}) == 1
    assert len(edges) == 18
    assert np.median([edge.slope_m_per_h for edge in edges]) == pytest.approx(slope_m_per_h, abs=30.0)


def test_age_and_first_interval_of_an_edge_are_those_of_its_beginning() -> None:
    averages = averages_with([900.0] * 24)

    rows = rows_of(averages)

    for number, row in enumerate(rows):
        (edge,) = row.edges
        assert edge.first_index == averages[0].index
        assert row.index - edge.first_index == number
        assert edge.last_index >= row.index


def test_twice_the_noise_is_half_the_signal_to_noise() -> None:
    quiet, loud = (
        np.median([edge.snr for row in rows_of(averages_with([1500.0] * 36, noise=noise)) for edge in row.edges])
        for noise in (0.1, 0.2)
    )

    assert quiet / loud == pytest.approx(2.0, rel=0.25)


def test_noise_alone_makes_no_edges() -> None:
    rows = rows_of(averages_with([9000.0] * 96, noise=0.3, below=1e-6))

    assert sum(len(row.edges) for row in rows) <= 0.05 * len(rows)


def test_a_steady_decrease_of_clear_air_has_no_edge() -> None:
    averages = averages_with([1200.0] * 24)
    height_m = averages[0].range_m
    air = [replace(each, total=(2e-6 * np.exp(-height_m / 3000.0)).astype(np.float32)) for each in averages]

    assert sum(len(row.edges) for row in rows_of(air)) == 0


def test_hysteresis_keeps_the_weak_end_of_a_clear_edge_and_drops_what_is_nowhere_clear() -> None:
    fading = [*np.linspace(0.4, 0.9, 24)]  # the air above, relative to the layer
    faint = [0.9] * 24

    def averages(shares: list[float]) -> list[Average]:
        found = []
        for number, share in enumerate(shares):
            found.append(averages_with([1200.0] * 24, above=share * 2e-6, seed=number)[number])
        return found

    kept, dropped = rows_of(averages(fading)), rows_of(averages(faint))

    assert [len(row.edges) for row in kept] == [1] * 24
    assert kept[-1].edges[0].probability < SETTINGS.high
    assert [len(row.edges) for row in dropped] == [0] * 24


def test_the_edge_of_a_cut_cloud_is_no_edge() -> None:
    base_m = np.full((24, 1), 1500.0, np.float32)
    rows = rows_of(averages_with([9000.0] * 24, cloud_base_m=base_m))

    assert sum(len(row.edges) for row in rows) == 0
    assert {row.cloud_quarters for row in rows} == {6000}


def test_the_edge_of_clipped_zeros_is_no_edge_and_is_named() -> None:
    averages = averages_with([9000.0] * 24)
    cut = [replace(each, total=np.where(each.range_m > 1400.0, np.float32(0), each.total)) for each in averages]

    rows = rows_of(cut)

    assert sum(len(row.edges) for row in rows) == 0
    assert all(row.quality & Quality.CLIPPED for row in rows)


def test_fog_and_rain_have_no_edges_and_say_so() -> None:
    fog = rows_of(averages_with([800.0] * 12, is_fog=np.ones(12, bool), below=5e-5))
    rain = rows_of(averages_with([800.0] * 12, is_precipitation=np.ones(12, bool)))

    assert not any(row.edges for row in (*fog, *rain))
    assert all(row.quality & Quality.FOG for row in fog)
    assert all(row.quality & Quality.PRECIPITATION for row in rain)


def test_an_interval_of_rain_is_not_filled_from_its_neighbours() -> None:
    is_rain = np.arange(24) == 12

    rows = rows_of(averages_with([1000.0] * 24, is_precipitation=is_rain))

    assert [len(row.edges) for row in rows] == [int(not wet) for wet in is_rain]
    assert len({edge.id for row in rows for edge in row.edges}) == 1


def test_an_edge_goes_on_behind_a_short_gap_and_anew_behind_a_long_one() -> None:
    averages = averages_with([1000.0] * 60)

    short = rows_of([*averages[:20], *averages[22:]])
    long = rows_of([*averages[:20], *averages[40:]])

    assert [row.index for row in short] == [each.index for each in (*averages[:20], *averages[22:])]
    assert len({edge.id for row in short for edge in row.edges}) == 1
    assert len({edge.id for row in long for edge in row.edges}) == 2
    assert all(len(row.edges) == 1 for row in (*short, *long))


@pytest.mark.parametrize(("num_gates", "resolution_m"), [(3, 10.0), (12, 10.0), (40, 10.0), (20, 200.0), (2, 3000.0)])
def test_a_short_range_or_coarse_gates_give_rows_without_an_exception(num_gates: int, resolution_m: float) -> None:
    averages = averages_with([300.0] * 6, num_gates=num_gates, resolution_m=resolution_m)

    assert len(rows_of(averages)) == 6


@pytest.mark.parametrize("resolution_m", [5.0, 14.985, 30.0])
def test_gates_of_any_length_see_the_same_height(resolution_m: float) -> None:
    rows = rows_of(averages_with([1111.0] * 12, num_gates=int(5000 / resolution_m), resolution_m=resolution_m))

    assert np.abs(np.array(heights_of(rows, DECREASE)) - 1111.0).max() < 20.0


def test_a_changed_grid_does_not_break_an_edge() -> None:
    fine = averages_with([1000.0] * 12)
    coarse = averages_with([1000.0] * 12, num_gates=166, resolution_m=30.0, start=np.datetime64("2021-06-15T13:00"))

    rows = rows_of([*fine, *coarse])

    assert [len(row.edges) for row in rows] == [1] * 24
    assert len({edge.id for row in rows for edge in row.edges}) == 1


def test_a_tilted_beam_tells_vertical_heights() -> None:
    rows = rows_of(averages_with([1200.0] * 12, tilt_deg=np.full(12, 12.0, np.float32)))

    assert np.abs(np.array(heights_of(rows, DECREASE)) - 1200.0 * np.cos(np.radians(12.0))).max() < 20.0


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, -1e-6])
def test_profiles_that_hold_nothing_have_no_edges(value: float) -> None:
    averages = averages_with([1000.0] * 8)
    nothing = [replace(each, total=np.full_like(each.total, value)) for each in averages]

    rows = rows_of(nothing)

    assert len(rows) == 8
    assert not any(row.edges for row in rows)


def test_without_an_estimate_of_noise_a_clear_edge_is_found_all_the_same() -> None:
    averages = [replace(each, variance=0.0, num_noise=0) for each in averages_with([1000.0] * 12, noise=0.0)]

    assert [len(row.edges) for row in rows_of(averages)] == [1] * 12


def test_the_factor_of_calibration_moves_no_edge() -> None:
    averages = averages_with([1000.0] * 12)
    scaled = [
        replace(
            each,
            total=each.total * np.float32(2.0),
            variance=each.variance * 4.0,
        )
        for each in averages
    ]

    one, other = rows_of(averages), rows_of(scaled, replace(PLAIN, calibration=0.5))

    assert heights_of(one, DECREASE) == heights_of(other, DECREASE)


def test_tracks_stay_bounded_in_wild_noise() -> None:
    rng = np.random.default_rng(0)
    wild = [
        replace(each, total=rng.lognormal(-13.0, 2.0, each.total.size).astype(np.float32))
        for each in averages_with([1000.0] * 60)
    ]
    tracker = EdgeTracker(PLAIN, SETTINGS)

    sizes = []
    for average in wild:
        tracker.step([average])
        sizes.append(len(tracker.to_bytes()))

    assert max(sizes) < 16_000
    assert len(tracker._tracks) <= MAX_TRACKS


@pytest.mark.parametrize(("name", "least"), [("smoke_aloft", 0.9), ("touching_layers", 0.9)])
def test_the_edges_of_a_hard_day_are_those_of_its_signal_without_noise(name: str, least: float) -> None:
    image = day_image(name, 5, SETTINGS)
    averages = averages_of(image.day.profiles, 300)

    rows = rows_of(averages, image.day.site)

    found = compared([row.edges for row in rows], image.truth, image.day.site.max_height_m)
    assert found.num_true > 250
    assert found.f1 > least


def test_counts_of_comparisons_add_up_and_nothing_found_is_no_success() -> None:
    both = Found(4, 2, 3, 3) + Found(0, 0, 1, 0)

    assert (both.recall, both.precision) == (0.5, 0.75)
    assert both.f1 == pytest.approx(0.6)
    assert Found(4, 0, 0, 0).f1 == 0.0


def test_a_real_day_has_edges_in_clear_air_and_none_in_fog(real_ceilometer_data: Path) -> None:
    (path,) = real_ceilometer_data.rglob("L2_0-20000-001492_A20210909.nc")
    averages = averages_of_all(FileReader().blocks([(path.name, path.read_bytes())]), 300)

    rows = rows_of(averages, Site("oslo", 59.94, 10.72))

    is_fog = np.array([bool(row.quality & Quality.FOG) for row in rows])
    num = np.array([len(row.edges) for row in rows])
    assert len(rows) == len(averages)
    assert num[is_fog].sum() == 0
    assert num[~is_fog].mean() > 3.0
    # the base of the air between 2 and 3.5 km is one edge over most of the afternoon
    longest = max(lines_of(rows, 300), key=lambda line: len(line.time))
    assert len(longest.time) > 100
    assert longest.sign == INCREASE


def test_the_provisional_edge_of_a_growing_layer_is_where_the_final_one_will_be() -> None:
    day = hard_day("clear", seed=3)
    tracker = EdgeTracker(day.site, SETTINGS)
    seen = [*tracker.step(averages_of(day.profiles, 300)), *tracker.flush()]
    final = {row.index: {edge.id: edge.height_m for edge in row.edges} for row in newest_rows(seen)}

    early = [(row.index, edge) for row in seen if row.is_provisional for edge in row.edges]
    differences = [abs(edge.height_m - final[index][edge.id]) for index, edge in early if edge.id in final[index]]

    assert len(early) > 200
    assert len(differences) > 0.8 * len(early)
    assert np.percentile(differences, 90) < 60.0
