from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ipdsf_spark.ct.cubes import CubeKey, CubePlan, cubes_of, cut, generator_of, is_air, is_kept_for_training
from ipdsf_spark.errors import InputError

plans = st.builds(
    lambda shape, size, part: CubePlan(shape, size, int(part * (size // 2))),
    st.tuples(*[st.integers(1, 20)] * 3),
    st.integers(2, 10),
    st.floats(0, 1),
)


@settings(max_examples=60)
@given(plan=plans)
def test_every_voxel_is_covered_and_by_at_most_two_cubes_along_an_axis(plan: CubePlan) -> None:
    covered = np.zeros(plan.shape, int)
    for key in plan.cube_keys():
        box = tuple(slice(max(0, start), start + plan.size) for start in key[1:])
        covered[box] += 1

    assert covered.min() >= 1
    assert covered.max() <= 8


@settings(max_examples=60)
@given(plan=plans)
def test_padding_completes_the_volume_to_whole_strides(plan: CubePlan) -> None:
    keys = list(plan.cube_keys())

    assert len(keys) == len(set(keys)) == plan.num_cubes
    for axis, (before, after) in enumerate(plan.padding):
        starts = sorted({key[1 + axis] for key in keys})
        assert starts[0] == -before
        assert starts[-1] + plan.size == plan.shape[axis] + after
        assert before + plan.shape[axis] + after == len(starts) * plan.stride + plan.overlap
        assert before == plan.overlap // 2
        assert 0 <= after < plan.stride + plan.overlap


@settings(max_examples=60)
@given(plan=plans)
def test_a_cube_holds_the_volume_mirrored_at_its_borders(plan: CubePlan) -> None:
    volume = np.arange(np.prod(plan.shape), dtype=np.int32).reshape(plan.shape)
    # numpy's own reflection is the oracle; it repeats an axis of one voxel, as a cube does.
    padded = np.pad(volume, plan.padding, mode="reflect")

    for key, cube in cubes_of(volume, plan, "study"):
        box = tuple(slice(s + b, s + b + plan.size) for s, (b, _) in zip(key[1:], plan.padding, strict=True))
        np.testing.assert_array_equal(cube, padded[box])
        assert key.study == "study"


def test_keys_run_from_inferior_to_superior() -> None:
    keys = list(CubePlan((50, 40, 30), 16, 4).cube_keys("s"))

    assert keys == sorted(keys)
    assert keys[0] == CubeKey("s", -2, -2, -2)


def test_a_chest_of_512_gives_22_by_22_cubes_per_layer() -> None:
    plan = CubePlan((133, 512, 512))

    assert (plan.stride, plan.num_cubes) == (24, 22 * 22 * 6)  # 484 · Z/24


@pytest.mark.parametrize(("size", "overlap"), [(32, 17), (32, -1), (1, 0)])
def test_cubes_that_would_not_overlap_in_pairs_are_refused(size: int, overlap: int) -> None:
    with pytest.raises(InputError, match="can overlap by 0 to"):
        CubePlan((64, 64, 64), size, overlap)


@pytest.mark.parametrize("shape", [(0, 8, 8), (8, 8), (8, 8, 8, 8)])
def test_what_has_not_three_axes_of_voxels_is_no_volume(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="three axes of at least one voxel"):
        CubePlan(shape)  # type: ignore[arg-type]


def test_a_plan_is_for_one_shape() -> None:
    with pytest.raises(InputError, match=r"for a volume of \(8, 8, 8\), not \(8, 8, 9\)"):
        cubes_of(np.zeros((8, 8, 9)), CubePlan((8, 8, 8), 4, 2))


def test_a_cube_of_air_or_padding_is_air_and_a_cube_with_tissue_is_not() -> None:
    cube = np.full((32, 32, 32), -1000, np.int16)
    cube[:16] = -2048
    assert is_air(cube)

    cube[4:12, 4:16, 4:16] = -500  # 3.5 % of ground glass
    assert not is_air(cube)


def test_training_keeps_all_tissue_and_the_asked_share_of_air() -> None:
    keys = list(CubePlan((200, 200, 200), 16, 4).cube_keys("s"))

    assert all(is_kept_for_training(key, is_air=False, air_share_kept=0.0) for key in keys)
    kept = [is_kept_for_training(key, is_air=True, air_share_kept=0.2) for key in keys]
    assert sum(kept) / len(keys) == pytest.approx(0.2, abs=0.02)
    assert kept == [is_kept_for_training(key, is_air=True, air_share_kept=0.2) for key in keys]
    assert kept != [is_kept_for_training(key, is_air=True, air_share_kept=0.2, seed=1) for key in keys]


def test_random_numbers_belong_to_the_cube_and_its_purpose() -> None:
    key = CubeKey("a", 1, 2, 3)

    def draw(key: CubeKey, **options: object) -> NDArray[np.float64]:
        return generator_of(key, **options).random(4)  # type: ignore[arg-type]

    np.testing.assert_array_equal(draw(key), draw(CubeKey("a", 1, 2, 3)))
    others = [draw(key._replace(study="b")), draw(key._replace(x=4)), draw(key, seed=1), draw(key, purpose="noise")]
    assert all((draw(key) != other).all() for other in others)


def test_a_cube_does_not_share_memory_with_its_volume() -> None:
    volume = np.zeros((8, 8, 8), np.int16)
    cut(volume, CubeKey("", 0, 0, 0), 8)[:] = 7

    assert not volume.any()
