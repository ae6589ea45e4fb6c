"""Steps of the electronics that stand still are no layer tops; layers, which move, are not taken for them."""

from __future__ import annotations

import numpy as np
import pytest
from erf_profiles import erf_profile, profiles_of
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ipdsf_spark.lidar.averages.average import Average
from ipdsf_spark.lidar.averages.build import averages_of
from ipdsf_spark.lidar.layers.chain import nodes_up_to
from ipdsf_spark.lidar.layers.evidence import Evidence, Seen, evidence_of_sites
from ipdsf_spark.lidar.layers.settings import LayerSettings
from ipdsf_spark.lidar.layers.standing import LEARNING, MEAN_OF, UNIT, Places, Standing, believed, learned
from ipdsf_spark.lidar.site import Site

MUNICH = Site("munich", 48.1, 11.6)
HEIGHT_M = (np.arange(400) + 0.5) * 10.0
STEP_M = 1200.0


def seen(averages: list[Average], standing: Standing | None = None) -> tuple[Evidence, Standing]:
    asked = Seen(averages, len(averages), MUNICH, standing or Standing.empty())
    return evidence_of_sites([asked], LayerSettings())[0]


def day_with(step: float, top_m: np.ndarray, tilt_deg: float = 0.0) -> list[Average]:
    """One profile in five minutes of a layer up to `top_m`, and an offset of the electronics up to `STEP_M`."""
    beta = np.stack([erf_profile(HEIGHT_M, at_m, s_m=60.0) for at_m in top_m])
    beta += step * (np.abs(HEIGHT_M - STEP_M + 200.0) < 200.0)
    tilts_deg = np.full(len(beta), tilt_deg, np.float32)
    return averages_of(profiles_of(beta, cadence_s=300.0, tilt_deg=tilts_deg, instrument="Vaisala CL31"), 300)


def evidence_near(evidence: Evidence, height_m: float) -> np.ndarray:
    near = np.abs(nodes_up_to(MUNICH.max_height_m) - height_m) < 100.0
    return np.asarray(evidence.edges[:, near].max(axis=1))


def test_a_step_that_stands_for_half_a_day_is_no_layer_top_and_the_layer_still_is_one() -> None:
    top_m = np.linspace(300.0, 700.0, LEARNING)
    evidence, _ = seen(day_with(2.4e-7, top_m))

    assert evidence_near(evidence, STEP_M)[0] > 50
    assert evidence_near(evidence, STEP_M)[-1] == 0
    assert evidence_near(evidence, 700.0)[-1] > 200


def test_a_top_that_has_stood_for_an_afternoon_loses_nothing() -> None:
    averages = day_with(0.0, np.where(np.arange(LEARNING) < 0.6 * LEARNING, 400.0, 1500.0))
    _, standing = seen(averages[:-1])
    before, _ = seen(averages[-1:])
    after, _ = seen(averages[-1:], standing)

    assert evidence_near(before, 1500.0)[0] > 200
    np.testing.assert_array_equal(after.rows["strength"], before.rows["strength"])


def test_what_was_learned_at_once_and_file_by_file_is_the_same() -> None:
    averages = day_with(2e-7, np.linspace(400.0, 500.0, 24))
    at_once, learned_at_once = seen(averages)
    standing = Standing.empty()
    for line, average in enumerate(averages):
        evidence, standing = seen([average], standing)
        np.testing.assert_array_equal(evidence.edges[0], at_once.edges[line])
        standing, rest = Standing.from_bytes(standing.to_bytes() + b"rest")
        assert rest == b"rest"

    assert standing.to_bytes() == learned_at_once.to_bytes()


def test_a_beam_that_tilts_and_tilts_back_teaches_in_the_order_of_time() -> None:
    both = [day_with(2e-7, np.linspace(400.0, 500.0, 12), tilt_deg) for tilt_deg in (0.0, 3.0)]
    averages = [both[line % 2][line] for line in range(12)]
    standing = Standing.empty()
    for average in averages:
        _, standing = seen([average], standing)

    assert standing.to_bytes() == seen(averages)[1].to_bytes()


def test_an_open_interval_teaches_nothing() -> None:
    averages = day_with(2e-7, np.full(3, 500.0))
    asked = Seen(averages, 2, MUNICH, Standing.empty())
    _, standing = evidence_of_sites([asked], LayerSettings())[0]

    assert standing.to_bytes() == seen(averages[:2])[1].to_bytes()
    assert standing.num == 2


@settings(max_examples=50, deadline=None)
@given(arrays(np.float64, (60, 1, 3), elements=st.floats(-1e-5, 1e-5)))
def test_the_standing_part_has_the_sign_of_the_mean_and_is_no_larger(w: np.ndarray) -> None:
    mean = part = np.zeros((1, 3), np.float16)
    for now in w:
        mean, part = learned(mean, part, now, np.array([3]))

        assert (np.abs(part) <= np.abs(mean)).all()
        assert (part.astype(float) * mean >= 0).all()
        assert (np.abs(believed(mean, part, np.ones(1))) <= np.abs(part.astype(float)) * UNIT + 1e-30).all()


def test_what_goes_away_for_some_hours_does_not_stand() -> None:
    mean = part = np.zeros((1, 1), np.float16)
    for number in range(LEARNING):
        is_there = number < LEARNING - 5 * MEAN_OF
        mean, part = learned(mean, part, np.full((1, 1), 1e-7 * is_there), np.array([1]))

    assert float(part[0, 0]) < 2.0  # of a hundred


def test_cloud_and_missing_gates_teach_nothing() -> None:
    mean, part = np.full((1, 3), 50.0, np.float16), np.full((1, 3), 20.0, np.float16)
    new_mean, new_part = learned(mean, part, np.array([[1e-7, np.nan, 1e-7]]), np.array([2]))

    assert new_mean[0, 0] > 50.0
    np.testing.assert_array_equal(new_mean[0, 1:], mean[0, 1:])
    np.testing.assert_array_equal(new_part[0, 1:], part[0, 1:])


def test_between_the_places_the_part_is_linear() -> None:
    places = Places.of(10, 10.0)

    np.testing.assert_array_equal(places.edges, [0, 4, 8])
    np.testing.assert_allclose(
        places.at_edges(np.array([[0.0, 4.0, 8.0]]))[0], [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 8.0]
    )


def test_a_cut_standing_part_is_a_named_fault() -> None:
    raw = Standing.empty(5).to_bytes()

    for end in range(len(raw)):
        with pytest.raises(ValueError, match="standing part"):
            Standing.from_bytes(raw[:end])
