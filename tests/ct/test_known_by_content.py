"""A volume is known by its voxels, a patient's pseudonyms by a check value of the key that made them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from ipdsf_spark.ct.identity import content_of, made_name, share_of_marks, slice_marks, whole_hu
from ipdsf_spark.ct.pseudonyms import is_key_of, stated

VOLUMES = arrays(np.int16, array_shapes(min_dims=3, max_dims=3, max_side=5), elements=st.integers(-3, 3))
KEYS = st.binary(min_size=1, max_size=64)


@pytest.mark.parametrize(
    ("measured", "whole"),
    [(-1000.4, -1000), (39.6, 40), (40_000.0, 32_767), (-40_000.0, -32_768), (32_767.4, 32_767), (0.5, 0), (1.5, 2)],
)
def test_hu_are_compared_as_the_nearest_whole_numbers_of_sixteen_bits(measured: float, whole: int) -> None:
    found = whole_hu(np.full((1, 1, 1), measured))

    assert (found.dtype, found.item()) == (np.int16, whole)


@given(VOLUMES)
def test_one_content_has_one_hash_in_any_type_and_order_of_bytes(hu: NDArray[np.int16]) -> None:
    same = [hu.astype(dtype) for dtype in (">i2", "<i4", "<f4", ">f8")] + [np.asfortranarray(hu), hu[::-1][::-1]]

    assert {content_of(each) for each in same} == {content_of(hu)}
    assert {slice_marks(each) for each in same} == {slice_marks(hu)}


@given(VOLUMES)
def test_the_same_bytes_in_another_shape_and_one_other_voxel_are_other_volumes(hu: NDArray[np.int16]) -> None:
    other = hu.copy()
    other.flat[hu.size // 2] += 1

    assert content_of(other) != content_of(hu)
    assert len({content_of(hu.reshape(shape)) for shape in {(1, 1, hu.size), (hu.size, 1, 1), hu.shape}}) == len(
        {(1, 1, hu.size), (hu.size, 1, 1), hu.shape}
    )


def test_a_volume_without_a_name_is_called_by_ten_digits_of_its_content() -> None:
    content = content_of(np.zeros((2, 3, 4), np.int16))

    assert made_name(content) == f"ct-{content[:10]}"
    assert len(content) == 32


def test_slices_of_one_value_and_slices_that_repeat_leave_no_marks_of_their_own(rng: np.random.Generator) -> None:
    hu = rng.integers(-900, 300, (6, 8, 8)).astype(np.int16)
    hu[2], hu[3], hu[5] = -1000, 0, hu[4]

    assert len(slice_marks(hu)) == 3
    assert slice_marks(hu[2:4]) == ()
    assert slice_marks(hu[:0]) == slice_marks(hu[:, :0]) == ()


@given(VOLUMES, VOLUMES, st.integers(1, 4))
def test_the_sketch_of_two_volumes_together_follows_from_those_of_each(
    one: NDArray[np.int16], two: NDArray[np.int16], num_marks: int
) -> None:
    # bottom-k (Cohen & Kaplan 2007): the lowest of all are among the lowest of each part
    sketches = slice_marks(one, num_marks) + slice_marks(two, num_marks)
    together = tuple(sorted({*slice_marks(one), *slice_marks(two)})[:num_marks])

    assert tuple(sorted(set(sketches))[:num_marks]) == together
    assert slice_marks(one, num_marks) == slice_marks(one)[:num_marks]
    assert list(slice_marks(one)) == sorted(slice_marks(one))


def test_the_share_of_a_volumes_marks_is_of_those_that_were_remembered() -> None:
    assert share_of_marks("abcd", "bcx") == 0.5
    assert share_of_marks("b", "abcd") == 1.0
    assert share_of_marks("abcd", "x") == share_of_marks("", "abcd") == share_of_marks("", "") == 0.0


@given(KEYS, KEYS, st.sampled_from(["key", "salt"]))
def test_a_key_is_known_by_its_check_value_and_no_other_is(key: bytes, other: bytes, kind: str) -> None:
    said = stated(kind, key)

    assert is_key_of(said, key)
    assert is_key_of(said, other) == (other == key)
    assert not is_key_of(said, b"")
    assert said.startswith(f"{kind}:") and len(said) == len(kind) + 9


def test_without_a_key_nothing_is_the_check_value_of_it_and_nothing_said_is_that_of_a_key() -> None:
    assert not is_key_of(stated("key", b""), b"")
    assert not is_key_of("", b"a key of the hospital")
    assert not is_key_of("key:", b"a key of the hospital")
