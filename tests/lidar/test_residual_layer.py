"""The residual layer's top is remembered from the night, bounds the path in the morning, and is no mixing height."""

from __future__ import annotations

from dataclasses import replace
from math import nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipdsf_spark.lidar.layers.mixing_height import retrieve
from ipdsf_spark.lidar.layers.replay import replay
from ipdsf_spark.lidar.layers.residual_layer import CONFIRMED, LONGEST_MEMORY, ceiling_below, followed
from ipdsf_spark.lidar.products.quality import Quality
from ipdsf_spark.lidar.simulator import SimulatedDay, reference_plan, simulate_day
from ipdsf_spark.lidar.site import Site

MUNICH = Site("munich", 48.15, 11.57, 539.0)
NIGHT_M = 800.0


def seen(*heights_m: float, weight: float = 0.2) -> tuple[float, int]:
    residual = (0.0, 0)
    for height_m in heights_m:
        residual = followed(residual, [height_m], [weight], NIGHT_M)
    return residual


def test_a_drop_above_the_night_ceiling_is_confirmed_by_being_seen_again() -> None:
    residual = seen(*([1500.0] * CONFIRMED))

    assert residual == (1500.0, CONFIRMED)
    assert ceiling_below(residual, 2000.0, 300.0) == 1400.0
    assert ceiling_below(seen(*([1500.0] * (CONFIRMED - 1))), 2000.0, 300.0) == 2000.0


def test_it_is_followed_as_it_sinks_and_forgotten_when_it_is_gone() -> None:
    sinking = seen(*np.arange(1500.0, 700.0, -50.0))
    assert sinking == (750.0, LONGEST_MEMORY)

    for _ in range(LONGEST_MEMORY):
        sinking = followed(sinking, [nan], [0.0], NIGHT_M)
    assert sinking[1] == 0


def test_neither_what_lies_below_the_ceiling_nor_dust_aloft_is_a_residual_layer() -> None:
    assert seen(700.0) == (0.0, 0)
    assert seen(3000.0, weight=0.0) == (0.0, 0)


def test_a_path_that_has_grown_up_to_it_may_go_on() -> None:
    residual = seen(*([1500.0] * CONFIRMED))

    assert ceiling_below(residual, 2000.0, 1310.0) == 2000.0
    assert ceiling_below(residual, 1200.0, 300.0) == 1200.0


@given(
    st.lists(st.tuples(st.floats(100, 4000) | st.just(nan), st.floats(0, 0.5)), min_size=1, max_size=5),
    st.floats(100, 4000),
    st.integers(0, LONGEST_MEMORY),
    st.floats(500, 4000),
)
def test_the_memory_is_bounded_and_the_ceiling_only_falls(
    candidates: list[tuple[float, float]], height_m: float, count: int, ceiling_m: float
) -> None:
    heights, weights = zip(*candidates, strict=True)
    residual = followed((height_m, count), heights, weights, ceiling_m)

    assert 0 <= residual[1] <= LONGEST_MEMORY
    assert np.isfinite(residual[0])
    assert ceiling_below(residual, ceiling_m, 300.0) <= ceiling_m


def rmse_m(layers, day: SimulatedDay) -> float:
    return float(np.sqrt(np.nanmean((layers.mixing_height_m - day.truth_at(layers.time)) ** 2)))


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.02, 0.05, 0.10])
@pytest.mark.parametrize(("residual", "decay_s"), [(0.45, 3600.0), (0.7, 3600.0), (1.0, 0.0)])
@pytest.mark.parametrize("instrument", ["cl31", "chm15k"])
def test_a_residual_layer_as_strong_as_the_mixing_layer_does_not_lead_the_path_astray(
    instrument: str, residual: float, decay_s: float, noise: float
) -> None:
    plan = replace(reference_plan(), residual=residual, residual_decay_s=decay_s)
    day = simulate_day(
        MUNICH,
        "2026-06-15",
        rng=np.random.default_rng(1),
        plan=plan,
        noise=noise,
        instrument=instrument,
        cadence_s=30,
    )
    seen_live = replay([day.profiles], MUNICH)

    assert rmse_m(retrieve([day.profiles], MUNICH), day) <= 66.0
    assert rmse_m(seen_live.issued, day) <= 66.0  # a provisional height has to be as careful


@pytest.mark.slow
def test_at_dusk_a_high_drop_is_called_residual_and_gets_no_height() -> None:
    plan = replace(reference_plan(), residual=0.7, residual_decay_s=3600.0)
    day = simulate_day(MUNICH, "2026-06-15", rng=np.random.default_rng(1), plan=plan, noise=0.02, cadence_s=30)
    layers = retrieve([day.profiles], MUNICH)
    is_residual = layers.quality & Quality.RESIDUAL_LAYER > 0
    hour = (layers.time - layers.time[0]) / np.timedelta64(1, "h")

    assert is_residual.any()
    assert np.isnan(layers.mixing_height_m[is_residual]).all()
    assert ((hour[is_residual] > 18.0) & (hour[is_residual] < 20.5)).all()  # sunset is at 19:15 UTC
    noon = (hour > 10.0) & (hour < 17.0)
    assert np.isfinite(layers.mixing_height_m[noon]).mean() > 0.95


@pytest.mark.slow
def test_at_dusk_a_new_low_drop_is_a_height_like_any_other() -> None:
    day = simulate_day(
        MUNICH, "2026-06-15", rng=np.random.default_rng(1), plan=reference_plan(), noise=0.02, cadence_s=30
    )
    layers = retrieve([day.profiles], MUNICH)
    hour = (layers.time - layers.time[0]) / np.timedelta64(1, "h")
    has_collapsed = (hour > 19.9) & (hour < 20.2)

    assert (layers.mixing_height_m[has_collapsed] < 400.0).all()
    assert (layers.quality[has_collapsed] & Quality.RESIDUAL_LAYER == 0).all()
