"""Volumes through a model, cube by cube, and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipdsf_spark.ct.stitching import SEAM_LIMIT, seam_ratio
from ipdsf_spark.ct.volume import Volume
from ipdsf_spark.errors import InputError
from tests.imaging.conftest import Known

pytestmark = pytest.mark.training


@pytest.mark.parametrize("overlap", [0, 4, 8])
def test_a_model_that_changes_nothing_gives_the_volume_back_within_the_stated_bound(
    chest: Volume, known: Known, overlap: int
) -> None:
    generation = known(overlap=overlap)
    low, high = generation.enhancement.window_hu

    found = np.concatenate(list(generation.volume(chest.hu)))

    assert found.shape == chest.hu.shape
    # Blending adds rounding of weights to that of levels, hence the factor.
    assert np.abs(found - np.clip(chest.hu, low, high)).max() <= 3 * generation.enhancement.round_trip_bound_hu


@given(
    shape=st.tuples(*[st.integers(1, 40)] * 3),
    batch=st.integers(1, 40),
    seed=st.integers(0, 99),
)
def test_any_shape_and_any_batch_give_the_same_levels(
    known: Known, shape: tuple[int, int, int], batch: int, seed: int
) -> None:
    hu = np.random.default_rng(seed).integers(-1200, 600, shape, dtype=np.int16)
    generation = known(lambda x: -0.5 * x)

    found = np.concatenate(list(generation.levels(hu, batch=batch)))

    np.testing.assert_allclose(found, -0.5 * generation.enhancement.enhanced(hu), atol=1e-6)


def test_levels_that_a_model_overdoes_end_at_the_ends_of_the_window(chest: Volume, known: Known) -> None:
    found = np.concatenate(list(known(lambda x: 7 * x.sign()).volume(chest.hu)))

    low, high = known().enhancement.window_hu
    assert (found.min(), found.max()) == pytest.approx((low, high), abs=0.01)


def test_slabs_leave_before_the_whole_volume_is_generated(known: Known) -> None:
    generation = known()
    hu = np.full((160, 40, 40), -800, np.int16)
    made: list[int] = []

    slabs = generation.levels(hu, on_cubes=made.append)
    next(slabs)

    assert 0 < sum(made) <= generation.plan(hu.shape).num_cubes / 5
    assert sum(len(slab) for slab in slabs) > 0
    assert sum(made) == generation.plan(hu.shape).num_cubes


def test_cubes_that_are_each_a_little_off_leave_no_seam(chest: Volume, known: Known) -> None:
    rng = np.random.default_rng(3)
    generation = known(lambda x: x + 0.02 * float(rng.standard_normal()))

    found = np.concatenate(list(generation.levels(chest.hu, batch=1)))

    plan = generation.plan(chest.grid.shape)
    assert seam_ratio(found, plan, generation.enhancement.enhanced(chest.hu)) <= SEAM_LIMIT


def test_hu_that_are_no_number_are_refused_by_name(chest: Volume, known: Known) -> None:
    hu = chest.hu.astype(np.float32)
    hu[3, 4, 5] = np.nan

    with pytest.raises(InputError, match="no number"):
        list(known().volume(hu))


def test_a_model_that_does_not_say_how_its_cubes_were_made_is_refused(known: Known) -> None:
    with pytest.raises(InputError, match="how its cubes were made"):
        known(cube_size="large")
    with pytest.raises(InputError, match="damaged enhancement"):
        known(enhancement="not an enhancement")
    with pytest.raises(InputError, match="not the one it was trained with"):
        known(enhancement_sha256="0" * 64)
