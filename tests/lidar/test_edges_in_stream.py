"""Edges as an operator: the same however the day arrives, small state, rows that JSON can say."""

from __future__ import annotations

import itertools
import json
import struct
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from edge_images import PLAIN, SETTINGS, averages_with
from hypothesis import given, settings
from hypothesis import strategies as st

from ipdsf_spark.lidar.averages.average import Average
from ipdsf_spark.lidar.averages.average_bytes import rounded
from ipdsf_spark.lidar.averages.build import averages_of
from ipdsf_spark.lidar.edges.image import Cells, blank, in_half_precision, narrowed, widened
from ipdsf_spark.lidar.edges.tracker import EdgeTracker
from ipdsf_spark.lidar.operators import News, Operator, Parameters, Row, operator_named
from ipdsf_spark.lidar.simulator.hard_days import hard_day
from ipdsf_spark.lidar.site import Site

FIELDS = {
    *("id", "sign", "height_m", "slope_m_per_h", "probability", "contrast", "snr"),
    *("first_time", "last_time", "age_s", "num_intervals"),
}


@pytest.fixture(scope="module")
def morning() -> tuple[Site, list[Average]]:
    """Five hours with a growing layer, a residual layer, a gap and fog that lifts."""
    day = hard_day("fog_that_lifts", seed=2)
    averages = [rounded(each)[0] for each in averages_of(day.profiles, 300)[72:136]]
    del averages[40:43]
    return day.site, averages


@pytest.fixture(scope="module")
def edges() -> Operator:
    return operator_named("edges", Parameters())


def fed(operator: Operator, site: Site, parts: Sequence[Sequence[Average]]) -> tuple[list[Row], bytes]:
    """Rows and state after batches, the state through bytes every time, then silence."""
    rows: list[Row] = []
    state = b""
    for part in parts:
        found, state = operator.step(site, News(closed=part), state)
        rows += found
    found, state = operator.step(site, News(is_silent=True), state)
    return [*rows, *found], state


@settings(max_examples=3, deadline=None)
@given(cuts=st.sets(st.integers(1, 60), max_size=12))
def test_a_day_in_any_batches_gives_the_same_rows_and_the_same_state(
    morning: tuple[Site, list[Average]], edges: Operator, cuts: set[int]
) -> None:
    site, averages = morning
    bounds = [0, *sorted(cuts), len(averages)]
    parts = [averages[a:b] for a, b in itertools.pairwise(bounds)]

    assert fed(edges, site, parts) == fed(edges, site, [averages])


def test_interval_by_interval_every_row_becomes_final_once_and_is_what_json_can_say(
    morning: tuple[Site, list[Average]], edges: Operator
) -> None:
    site, averages = morning
    rows, _ = fed(edges, site, [[average] for average in averages])

    final = [row for row in rows if not row.values["provisional"]]
    middle = [(average.index * 300 + 150) * 1_000_000 for average in averages]
    assert [row.time_us for row in final] == middle
    assert sorted(row.time_us for row in rows if row.values["provisional"]) == middle
    assert {row.kind for row in rows} == {"edges"}
    assert all(json.loads(json.dumps(row.values, allow_nan=False)) == row.values for row in rows)
    told = [edge for row in final for edge in row.values["edges"]]
    assert len(told) > 40
    assert all(set(edge) == FIELDS for edge in told)
    assert {edge["sign"] for edge in told} <= {"decrease", "increase"}
    assert any("fog" in row.values["quality"] for row in final)


def test_the_state_of_a_site_is_small_and_does_not_grow(morning: tuple[Site, list[Average]], edges: Operator) -> None:
    site, averages = morning
    state, sizes = b"", []
    for average in averages:
        _, state = edges.step(site, News(closed=[average]), state)
        sizes.append(len(state))

    assert max(sizes) < 6_000


@pytest.mark.parametrize("change", [lambda raw: raw[:-1], lambda raw: b"\xff" + raw[1:], lambda raw: raw[:5]])
def test_a_state_of_another_version_or_a_torn_one_is_refused_by_name(edges: Operator, change: object) -> None:
    _, state = edges.step(PLAIN, News(closed=averages_with([1000.0] * 6)), b"")

    with pytest.raises(ValueError, match="edges of"):
        edges.step(PLAIN, News(), change(state))  # type: ignore[operator]


def test_a_state_of_another_height_range_is_refused(edges: Operator) -> None:
    _, state = edges.step(PLAIN, News(closed=averages_with([1000.0] * 6)), b"")

    with pytest.raises(ValueError, match="cells"):
        edges.step(Site("plain", 0.0, 0.0, max_height_m=5500.0), News(), state)


@pytest.mark.parametrize("wild", [1e-3, 1.0, 1e5, 1e20])
def test_one_wild_cell_far_above_does_not_move_the_edges_below(wild: float) -> None:
    plain = averages_with([1000.0] * 12)
    spoiled = []
    for average in plain:
        total = average.total.copy()
        total[-20] = wild * average.num_profiles
        spoiled.append(replace(average, total=total))
    tops = []
    for averages in (plain, spoiled):
        rows = EdgeTracker(PLAIN, SETTINGS).step(averages)
        tops.append([edge.height_m for row in rows for edge in row.edges if edge.height_m < 1_500.0])

    assert len(tops[0]) >= 5
    assert tops[1] == pytest.approx(tops[0], abs=0.5)


def as_version_1(raw: bytes) -> bytes:
    """The state as it was written when the image was kept in single precision."""
    head = struct.Struct("<BBHHHHq")
    _, undecided, num_cells, num_columns, *counts, last_index = head.unpack_from(raw)
    cells = Cells(30.0, num_cells)
    kept = np.frombuffer(raw, cells.kind_in_state, num_columns, head.size)
    ring = widened(kept)
    single = np.dtype([(name, cells.kind[name]) for name in cells.kind.names if name != "exponent"])
    image = np.empty(num_columns, single)
    for name in single.names:
        image[name] = ring[name]
    first = head.pack(1, undecided, num_cells, num_columns, *counts, last_index)
    return first + image.tobytes() + raw[head.size + kept.nbytes :]


def test_a_state_of_version_1_goes_on_as_if_it_had_been_kept_by_this_one(
    morning: tuple[Site, list[Average]], edges: Operator
) -> None:
    site, averages = morning
    _, state = edges.step(site, News(closed=averages[:30]), b"")
    old = as_version_1(state)

    assert len(old) > len(state) + 1_000
    assert edges.migrate is not None
    assert edges.migrate(1, old) == state
    assert edges.step(site, News(closed=averages[30:]), edges.migrate(1, old)) == edges.step(
        site, News(closed=averages[30:]), state
    )
    for torn in (old[:10], old[:100], b""):
        with pytest.raises(ValueError, match="edges of"):
            edges.migrate(1, torn)
    with pytest.raises(ValueError, match="version 7"):
        edges.migrate(7, old)


@pytest.mark.filterwarnings("ignore:All-NaN slice")
@given(size=st.floats(-37, 35), data=st.data())
def test_an_image_is_kept_as_it_is_used_whatever_unit_its_signal_has(size: float, data: st.DataObject) -> None:
    columns = blank(5, 3, Cells(30.0, 16))
    numbers = st.floats(-10.0, 10.0, width=32) | st.just(float("nan"))
    beta = np.array(data.draw(st.lists(numbers, min_size=48, max_size=48))).reshape(3, 16) * 10.0**size
    columns["beta"] = beta
    columns["beta"][1, 3] *= data.draw(st.sampled_from([1.0, 1e4, 1e9]))  # one wild cell

    used = in_half_precision(columns)
    kept = narrowed(used).tobytes()
    again = widened(np.frombuffer(kept, Cells(30.0, 16).kind_in_state))

    assert again.tobytes() == used.tobytes()
    if np.array_equal(used["beta"] == 0, columns["beta"] == 0):  # else the median is that of fewer cells
        assert in_half_precision(used)["beta"].tobytes() == used["beta"].tobytes()
    size = np.where(np.abs(columns["beta"]) > 0, np.abs(columns["beta"].astype(np.float64)), np.nan)
    middle = np.nan_to_num(np.nanmedian(size, axis=1))[:, None]
    is_ordinary = np.abs(columns["beta"]) < 5e5 * middle
    off = np.abs(used["beta"] - columns["beta"].astype(np.float64))
    assert np.all(off[is_ordinary] <= (2.0**-11 * np.abs(columns["beta"]) + 2e-6 * middle + 2e-45)[is_ordinary])
    assert np.all((np.abs(used["beta"]) >= 4e5 * middle)[~is_ordinary & ~np.isnan(columns["beta"]) & (middle > 1e-40)])
    assert np.array_equal(np.isnan(used["beta"]), np.isnan(beta))


def test_intervals_that_come_again_change_nothing() -> None:
    averages = averages_with([1000.0] * 24)
    tracker = EdgeTracker(PLAIN, SETTINGS)
    tracker.step(averages)
    before = tracker.to_bytes()

    assert tracker.step(averages[10:]) == []
    assert tracker.to_bytes() == before


def test_another_instrument_begins_new_edges_and_the_former_ones_become_final(edges: Operator) -> None:
    averages = averages_with([1000.0] * 24)
    _, state = edges.step(PLAIN, News(closed=averages[:12]), b"")

    rows, _ = edges.step(PLAIN, News(closed=averages[12:], has_new_source=True), state)

    final = [row for row in rows if not row.values["provisional"]][:12]
    assert [row.time_us // 300_000_000 for row in final] == [average.index for average in averages[:12]]
    assert all(len(row.values["edges"]) == 1 for row in final)
    last = rows[-1].values["edges"]
    assert last[0]["first_time"] > final[-1].values["edges"][0]["last_time"]


def test_other_intervals_than_five_minutes_work(edges: Operator) -> None:
    day = hard_day("clear", seed=0)
    quarter = operator_named("edges", Parameters(interval_s=900))

    rows, _ = fed(quarter, day.site, [averages_of(day.profiles, 900)])

    final = [row for row in rows if not row.values["provisional"]]
    assert len(final) == 96
    assert sum(bool(row.values["edges"]) for row in final) > 40
    assert np.all(np.diff([row.time_us for row in final]) == 900_000_000)


def test_an_average_without_a_gate_hides_its_interval_and_costs_no_edges(edges: Operator) -> None:
    averages = averages_with([1000.0] * 20)
    none = np.empty(0, np.float32)
    averages[12] = replace(averages[12], total=none, missing=None)

    rows, state = fed(edges, PLAIN, [averages])

    assert len(state) > 0
    assert {edge["id"] for edge in rows[-1].values["edges"]} == {
        edge["id"] for edge in fed(edges, PLAIN, [averages_with([1000.0] * 20)])[0][-1].values["edges"]
    }
