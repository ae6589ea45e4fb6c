"""What is remarked about values that can be HU and are hardly those of a patient."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from synthetic_dicom import WriteSeries

from ipdsf_spark.ct.phantom import chest_phantom
from ipdsf_spark.ct.plausibility import padding_problems, slice_problems, value_problems
from ipdsf_spark.ct.reading import survey

Chest = NDArray[np.int16]


@pytest.fixture
def chest() -> Chest:
    """An upright chest with noise, which no row at the end of a slice lacks."""
    hu = chest_phantom((12, 32, 32), seed=0, spacing_mm=(20.0, 11.0, 11.0)).volume.hu
    noise = np.random.default_rng(0).normal(0, 10, hu.shape)
    return np.maximum(np.rint(hu + noise), -1024).astype(np.int16)


@pytest.mark.parametrize("rows", [5, 20, 32])
def test_a_slice_that_ends_in_one_value_where_its_neighbours_do_not_is_told(chest: Chest, rows: int) -> None:
    chest[4, -rows:] = -1024

    (problem,) = slice_problems(chest)

    assert problem.kind == "unusual_values"
    assert problem.text.startswith(f"slice 5 ({rows} rows of -1024) of 12 ends in one value")


@pytest.mark.parametrize("slices", [slice(0, 3), slice(9, 12), slice(None)])
def test_padding_that_neighbours_share_is_no_damage(chest: Chest, slices: slice) -> None:
    chest[slices, 20:] = -2048

    assert slice_problems(chest) == slice_problems(chest[:2]) == []


def test_a_file_of_full_length_whose_end_is_zeros_is_told(chest: Chest, write_series: WriteSeries) -> None:
    file = write_series(chest)[6]
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2] + bytes(len(whole) - len(whole) // 2))

    assert "are its bytes gone?" in "; ".join(p.text for p in survey(file.parent).problems)


def test_values_without_anything_but_air_are_remarked(chest: Chest) -> None:
    assert value_problems(chest) == []
    flat = (chest + 1024) * 0.1 - 1024  # a slope of a tenth of the right one

    (problem,) = value_problems(flat)

    assert (problem.kind, problem.is_serious) == ("unusual_values", False)
    assert "nothing but air and lung" in problem.text


@pytest.fixture
def outside() -> NDArray[np.bool_]:
    """What lies outside the circle of reconstruction."""
    y, x = np.indices((32, 32)) - 15.5
    return np.asarray(np.hypot(y, x) > 16)


@pytest.mark.parametrize("is_stated", [False, True])
def test_padding_at_the_white_end_is_no_hu(
    chest: Chest, outside: NDArray[np.bool_], write_series: WriteSeries, is_stated: bool
) -> None:
    chest[:, outside] = 3071
    stated = {"PixelPaddingValue": 4095} if is_stated else {}

    problems = survey(write_series(chest, **stated)[0].parent).problems

    assert [p.kind for p in problems if p.is_serious] == ["not_hu"]
    assert "all corners of the slices are 3071" in "; ".join(p.text for p in problems)


@pytest.mark.parametrize("padding", [-3024, -1024, 0])
def test_padding_elsewhere_and_metal_are_not_at_the_white_end(
    chest: Chest, outside: NDArray[np.bool_], padding: int
) -> None:
    chest[:, outside] = padding
    chest[3:5, 10:14, 10:14] = 3071

    assert padding_problems(chest) == []
