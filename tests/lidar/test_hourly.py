"""Hourly heights by the network plan's rules: what is dropped, what is complete, and state that makes no difference."""

from __future__ import annotations

import dataclasses
import itertools
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipdsf_spark.lidar.averages.build import averages_of
from ipdsf_spark.lidar.layers.evidence import ROW, Rows
from ipdsf_spark.lidar.layers.hourly import Hourly, hours_of
from ipdsf_spark.lidar.layers.layer_tracker import LayerTracker
from ipdsf_spark.lidar.layers.operator import operator
from ipdsf_spark.lidar.layers.product import Layers
from ipdsf_spark.lidar.layers.settings import LayerSettings
from ipdsf_spark.lidar.layers.tracker_state import TrackerState
from ipdsf_spark.lidar.operators import Parameters
from ipdsf_spark.lidar.products.quality import Quality
from tests.lidar.erf_profiles import MUNICH, steady

NOON = np.datetime64("2021-06-21T12:02:30", "us")


def heights(height_m: list[float], *, sigma_m: float = 50.0, quality: dict[int, Quality] | None = None) -> Layers:
    """Final heights of five minutes from noon on."""
    num = len(height_m)
    bits = np.zeros(num, np.uint16)
    for line, flag in (quality or {}).items():
        bits[line] = int(flag)
    nothing = np.full(num, np.nan)
    return Layers(
        NOON + np.arange(num) * np.timedelta64(300, "s"),
        np.array(height_m, float),
        np.full(num, sigma_m),
        np.zeros(num, bool),
        bits,
        np.full((num, 5), np.nan),
        np.full((num, 5), np.nan),
        nothing,
        np.full(num, 20, np.int32),
    )


def taken(layers: Layers, lines: np.ndarray) -> Layers:
    """Some rows of a series."""
    parts = {field.name: getattr(layers, field.name) for field in dataclasses.fields(Layers)}
    return Layers(**{name: value if value is None else value[lines] for name, value in parts.items()})


def test_an_hour_is_the_mean_of_its_ten_minute_means() -> None:
    (hour,) = hours_of(heights([900, 1100, *[1000] * 10]), 300)

    assert hour.start_s == NOON.astype("datetime64[h]").astype(int) * 3600
    assert hour.values["mixing_height_m"] == 1000.0
    assert hour.values["num_parts"] == 6
    # The first ten minutes: 50 m stated, and 100 m between the two.
    assert hour.values["uncertainty_m"] == pytest.approx(np.sqrt((50**2 * 6 + 100**2) / 6), abs=0.1)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"quality": {0: Quality.PRECIPITATION}}, "precipitation"),
        ({"quality": {1: Quality.FOG}}, "precipitation"),
        ({"quality": {0: Quality.CLOUD_CAPPED}}, "cloud"),
    ],
)
def test_ten_minutes_of_rain_or_cloud_are_dropped(changed: dict[str, dict[int, Quality]], reason: str) -> None:
    (hour,) = hours_of(heights([9000, 9000, *[1000] * 10], quality=changed["quality"]), 300)

    assert hour.values["mixing_height_m"] == 1000.0
    assert hour.values["dropped"][reason] == 1


def test_ten_minutes_more_uncertain_than_200_m_are_dropped() -> None:
    certain = hours_of(heights([1000] * 12, sigma_m=199.0), 300)
    uncertain = hours_of(heights([1000] * 12, sigma_m=201.0), 300)
    apart = hours_of(heights([600, 1400, *[1000] * 10]), 300)  # 400 m from their mean

    assert certain[0].values["mixing_height_m"] == 1000.0
    assert uncertain[0].values["mixing_height_m"] is None
    assert uncertain[0].values["quality"] == ["incomplete"]
    assert apart[0].values["dropped"]["uncertain"] == 1


@pytest.mark.parametrize(("num_parts", "is_complete"), [(3, True), (2, False)])
def test_half_of_the_ten_minutes_make_an_hour(num_parts: int, is_complete: bool) -> None:
    # One height of two is half of ten minutes.
    of_parts = [1000.0 if number % 2 == 0 and number < 2 * num_parts else np.nan for number in range(12)]

    (hour,) = hours_of(heights(of_parts), 300)

    assert hour.values["completeness"] == round(num_parts / 6, 3)
    assert (hour.values["mixing_height_m"] == 1000.0) == is_complete


def test_the_residual_layer_has_its_own_completeness() -> None:
    layers = dataclasses.replace(heights([np.nan] * 12), residual_height_m=np.full(12, 1500.0))

    (hour,) = hours_of(layers, 300)

    assert hour.values["mixing_height_m"] is None
    assert hour.values["residual_height_m"] == 1500.0


@given(st.lists(st.integers(1, 35), max_size=4), st.booleans())
def test_batches_and_kept_state_make_no_difference(cuts: list[int], has_gap: bool) -> None:
    height_m = [1000.0 + 10 * number for number in range(36)]
    layers = heights(height_m)
    if has_gap:
        kept = np.r_[0:10, 20:36]
        layers = Layers(*(getattr(layers, name)[kept] for name in Layers.__dataclass_fields__))
    expected = hours_of(layers, 300)

    hourly, found = Hourly(300), []
    bounds = [0, *sorted({cut for cut in cuts if cut < len(layers)}), len(layers)]
    for start, stop in itertools.pairwise(bounds):
        part = Layers(*(getattr(layers, name)[start:stop] for name in Layers.__dataclass_fields__))
        found += hourly.step(part)
        hourly, rest = Hourly.from_bytes(hourly.to_bytes() + b"tracker", 300)
        assert rest == b"tracker"
    found += hourly.close()

    assert found == expected
    assert len(hourly.to_bytes()) < 500


@pytest.mark.parametrize("silent_after", [5, 11, 12, 18])
def test_an_hour_goes_on_where_its_site_fell_silent_in_it_and_is_told_whole(silent_after: int) -> None:
    whole = heights([1000.0 + 10.0 * line for line in range(30)])
    parts = np.split(np.arange(len(whole)), [silent_after])
    state, told = Hourly(300).to_bytes(), {}
    for part in parts:
        hourly = Hourly.from_bytes(state, 300)[0]
        told |= {hour.start_s: hour for hour in [*hourly.step(taken(whole, part)), *hourly.told()]}
        hourly = Hourly.from_bytes(hourly.to_bytes(), 300)[0]
        assert hourly.told() == []  # what was said is not said again
        state = hourly.to_bytes()

    assert list(told.values()) == hours_of(whole, 300)


def test_an_hour_told_when_its_site_fell_silent_is_not_told_again_by_a_later_one() -> None:
    whole = heights([1000.0] * 40)
    hourly = Hourly(300)
    first = [*hourly.step(taken(whole, np.arange(5))), *hourly.told()]

    assert [hour.start_s for hour in first] == [hours_of(whole, 300)[0].start_s]
    assert hourly.step(taken(whole, np.arange(24, 36))) == hours_of(whole, 300)[2:3]


def test_state_without_hours_is_migrated_and_the_heights_go_on() -> None:
    made = operator(Parameters())
    assert made.migrate is not None

    _, rest = Hourly.from_bytes(made.migrate(2, b"heights"), 300)

    assert rest == b"heights"
    with pytest.raises(ValueError, match="version 1 is not known"):
        made.migrate(1, b"heights")


def test_state_without_standing_parts_is_migrated_and_the_heights_go_on() -> None:
    made = operator(Parameters())
    assert made.migrate is not None
    state = TrackerState.empty(70, 12345)
    head_of_4 = struct.Struct("<BBHHHq").pack(4, 0, 70, 0, 0, 12345)
    raw_of_4 = head_of_4 + state.residual.tobytes()

    _, raw = Hourly.from_bytes(made.migrate(3, Hourly(300).to_bytes() + raw_of_4), 300)

    assert raw == state.to_bytes()
    assert TrackerState.from_bytes(raw, 70).last_index == 12345
    assert made.migrate(3, b"") == b""


def test_state_that_knew_nothing_of_what_gathers_is_migrated_and_the_heights_go_on() -> None:
    made = operator(Parameters())
    assert made.migrate is not None
    averages = averages_of(steady(num_profiles=30 * 20), 300)
    tracker = LayerTracker(MUNICH, LayerSettings())
    tracker.step(averages[:-2], averages[-2:-1])
    tracker.state.told["gathered"] = tracker.state.rows["gathered"] = np.nan
    for part in tracker.state.open.values():
        part.rows["gathered"] = np.nan

    _, raw = Hourly.from_bytes(made.migrate(4, Hourly(300).to_bytes() + of_version_5(tracker.state)), 300)

    assert raw == tracker.to_bytes()
    went_on = LayerTracker.from_bytes(raw, MUNICH, LayerSettings()).step(averages[-2:], ())
    assert went_on.mixing_height_m == pytest.approx(tracker.step(averages[-2:], ()).mixing_height_m)


def of_version_5(state: TrackerState) -> bytes:
    """The bytes of a version whose records ended before what gathers."""
    names = [name for name in ROW.names or () if name != "gathered"]
    kind = np.dtype([(name, *ROW[name].subdtype) if ROW[name].subdtype else (name, ROW[name]) for name in names])

    def cut(rows: Rows) -> bytes:
        found = np.empty(len(rows), kind)
        for name in names:
            found[name] = rows[name]
        return found.tobytes()

    assert state.base is not None and state.tip is not None
    counts = state.residual.size, len(state.rows), len(state.open), len(state.told), state.last_index
    open_ = [cut(part.rows) + part.edges.tobytes() for _, part in sorted(state.open.items())]
    parts = [state.base.tobytes(), state.tip.tobytes(), state.residual.tobytes(), cut(state.told), cut(state.rows)]
    return b"".join(
        [struct.pack("<BBHHHBq", 5, 3, *counts), *parts, state.stored.tobytes(), *open_, state.standing.to_bytes()]
    )
