from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from test_cubes import plans

from ipdsf_spark.ct.cubes import CubeKey, CubePlan, cubes_of
from ipdsf_spark.ct.phantom import chest_phantom
from ipdsf_spark.ct.stitching import SEAM_LIMIT, seam_ratio, stitched, stitched_volume, weights
from ipdsf_spark.errors import InputError


@settings(max_examples=60)
@given(plan=plans, seed=st.integers(0, 99))
def test_cutting_then_stitching_restores_the_volume(plan: CubePlan, seed: int) -> None:
    volume = np.random.default_rng(seed).integers(-3024, 3072, plan.shape).astype(np.int16)

    restored = stitched_volume(plan, cubes_of(volume, plan))

    assert restored.shape == volume.shape
    np.testing.assert_array_equal(np.rint(restored), volume)
    np.testing.assert_allclose(restored, volume, atol=2e-3)


@settings(max_examples=60)
@given(plan=plans)
def test_the_weights_of_all_cubes_at_a_voxel_sum_to_one(plan: CubePlan) -> None:
    total = np.zeros(plan.shape)
    for key in plan.cube_keys():
        z, y, x = weights(plan, key)
        part = z[:, None, None] * y[None, :, None] * x[None, None, :]
        inside = [(max(0, s), min(n, s + plan.size)) for s, n in zip(key[1:], plan.shape, strict=True)]
        from_cube = tuple(slice(a - s, b - s) for (a, b), s in zip(inside, key[1:], strict=True))
        total[tuple(slice(a, b) for a, b in inside)] += part[from_cube]

    np.testing.assert_allclose(total, 1.0, atol=1e-6)


@settings(max_examples=30)
@given(plan=plans, seed=st.integers(0, 99))
def test_cubes_of_a_layer_may_come_in_any_order(plan: CubePlan, seed: int) -> None:
    rng = np.random.default_rng(seed)
    volume = rng.normal(0, 1, plan.shape).astype(np.float32)
    cubes = list(cubes_of(volume, plan))
    shuffled = [cubes[k] for k in rng.permutation(len(cubes))]

    mixed = stitched_volume(plan, sorted(shuffled, key=lambda pair: pair[0].z))

    np.testing.assert_allclose(mixed, stitched_volume(plan, cubes), atol=1e-5)


def test_two_neighbours_share_their_overlap_in_mirror_image() -> None:
    plan = CubePlan((40, 40, 40), 16, 6)
    first, second = (weights(plan, CubeKey("", -3, -3, x))[2] for x in (-3, 7))

    np.testing.assert_allclose(first[-6:], second[:6][::-1], atol=1e-7)
    assert second[0] < 0.02


def test_slabs_come_as_soon_as_no_later_cube_can_change_them() -> None:
    plan = CubePlan((100, 20, 20), 16, 4)
    taken: list[CubeKey] = []

    def cubes() -> Iterator[tuple[CubeKey, NDArray[np.float32]]]:
        for key, cube in cubes_of(np.ones(plan.shape, np.float32), plan):
            taken.append(key)
            yield key, cube

    done, slabs = 0, stitched(plan, cubes())
    for layer, following in pairwise(plan.layers):
        done += len(next(slabs))
        assert done == following  # where the next layer begins
        # One cube of the next layer was looked at, which says that this one is complete.
        assert sum(key.z > layer for key in taken) == 1
    assert done + len(next(slabs)) == 100


def test_memory_grows_with_the_slab_and_not_with_the_volume() -> None:
    def peak_bytes(depth: int) -> int:
        plan = CubePlan((depth, 48, 48), 16, 4)
        cube = np.ones((16, 16, 16), np.float32)
        tracemalloc.start()
        for _ in stitched(plan, ((key, cube) for key in plan.cube_keys())):
            pass
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    peak_bytes(20)  # first use allocates what stays
    assert peak_bytes(1200) < 1.3 * peak_bytes(60)  # the list of layers grows a little


def test_two_cubes_that_disagree_are_blended_without_a_step() -> None:
    plan = CubePlan((8, 8, 40), 24, 8)
    cubes = [(key, np.full((24, 24, 24), 100.0 if key.x > 0 else 0.0)) for key in plan.cube_keys()]

    line = stitched_volume(plan, cubes)[4, 4]

    assert line[0] == 0
    assert line[-1] == pytest.approx(100)
    steps = np.array([b - a for a, b in pairwise(line)])
    assert (steps >= -1e-4).all()
    assert steps.max() < 100 * 2 / 8


def left_out(cubes: list[tuple[CubeKey, NDArray[np.float32]]]) -> list[tuple[CubeKey, NDArray[np.float32]]]:
    return cubes[:2] + cubes[3:]


def doubled(cubes: list[tuple[CubeKey, NDArray[np.float32]]]) -> list[tuple[CubeKey, NDArray[np.float32]]]:
    return cubes[:3] + cubes[2:]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (left_out, "1 cubes of the layer at slice -2 are missing, first"),
        (doubled, "comes twice"),
        (lambda cubes: cubes[::-1], "are missing"),
        (lambda cubes: cubes[:-1], "1 cubes of the layer at slice 10 are missing"),
        (lambda cubes: [*cubes, cubes[0]], "comes twice, too late"),
        (lambda cubes: [(cubes[0][0]._replace(x=3), cubes[0][1]), *cubes[1:]], "does not belong"),
        (lambda cubes: [(cubes[0][0], cubes[0][1][1:]), *cubes[1:]], "has the shape"),
    ],
)
def test_a_missing_foreign_or_repeated_cube_is_named(spoil: object, message: str) -> None:
    plan = CubePlan((20, 20, 20), 16, 4)
    cubes = list(cubes_of(np.ones(plan.shape, np.float32), plan))

    with pytest.raises(InputError, match=message):
        stitched_volume(plan, spoil(cubes))  # type: ignore[operator]


@pytest.fixture(scope="module")
def chest_hu() -> NDArray[np.int16]:
    return chest_phantom((64, 96, 96), seed=1, spacing_mm=(4, 3.5, 3.5)).volume.hu


@pytest.mark.parametrize(("size", "overlap"), [(32, 8), (32, 0), (16, 4)])
def test_what_is_stitched_from_the_truth_shows_no_seam(chest_hu: NDArray[np.int16], size: int, overlap: int) -> None:
    plan = CubePlan((64, 96, 96), size, overlap)

    restored = stitched_volume(plan, cubes_of(chest_hu, plan))

    assert seam_ratio(restored, plan, chest_hu) == pytest.approx(1.0, abs=1e-3)


def test_blending_hides_the_disagreement_of_cubes_that_a_plain_mosaic_shows(
    chest_hu: NDArray[np.int16], rng: np.random.Generator
) -> None:
    def seam(overlap: int) -> float:
        plan = CubePlan((64, 96, 96), 32, overlap)
        cubes = ((key, cube + rng.normal(0, 15)) for key, cube in cubes_of(chest_hu, plan))
        return seam_ratio(stitched_volume(plan, cubes), plan, chest_hu)

    assert seam(overlap=8) <= SEAM_LIMIT < seam(overlap=0)


def stairs(steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """A volume that changes along x alone, by given steps."""
    line = np.concatenate([[0.0], np.cumsum(steps)])
    return np.broadcast_to(line, (8, 8, len(line))).copy()


@pytest.mark.parametrize(
    ("at_faces", "between", "expected"),
    [
        (3.0, 1.0, 3.0),  # a step where cubes begin and end: the blended mean of 1.67 would hide it
        (1.0, 4.0, (2 * 1 + 4 * 4) / 6),  # a slope within the blending: the faces would hide it
        (1.0, 1.0, 1.0),
    ],
)
def test_the_seam_is_the_worse_of_faces_and_blending(at_faces: float, between: float, expected: float) -> None:
    plan = CubePlan((8, 8, 32), 16, 5)  # along x cubes begin at -2, 9, 20; faces between 8|9 and 13|14, 19|20 and 24|25
    assert plan.starts[2] == (-2, 9, 20)
    steps = np.ones(31)
    for first, last in ((8, 13), (19, 24)):
        steps[first : last + 1] = between
        steps[[first, last]] = at_faces

    assert seam_ratio(stairs(steps), plan) == pytest.approx(expected, rel=1e-6)


def test_without_a_truth_a_featureless_noise_has_no_seam(rng: np.random.Generator) -> None:
    assert seam_ratio(rng.normal(0, 1, (64, 64, 64)), CubePlan((64, 64, 64))) == pytest.approx(1.0, abs=0.03)


def test_one_cube_has_no_seam() -> None:
    assert seam_ratio(np.zeros((8, 8, 8)), CubePlan((8, 8, 8), 16, 4)) == 1.0
