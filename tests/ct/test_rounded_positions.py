"""Positions that were written in whole units: the constant spacing behind them, and what is no rounding."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from synthetic_dicom import WriteSeries

from ipdsf_spark.ct.reading import read_volume, survey
from ipdsf_spark.ct.rounded_positions import rounded_positions
from ipdsf_spark.errors import InputError

Positions = NDArray[np.float64]
AXIAL = np.array([0.0, 0.0, 1.0])
UNITS = st.sampled_from([1.0, 0.5, 0.25, 0.2, 0.1])
ROUNDINGS: dict[str, Callable[[Positions], Positions]] = {
    "half to even": np.rint,
    "half up": lambda z: np.floor(z + 0.5),
    "down": np.floor,
    "cut off": np.trunc,
}


def axial(z: Positions) -> Positions:
    return np.stack([np.full(len(z), -10.0), np.full(len(z), -20.0), z], axis=1)


def kinds(folder: Path) -> dict[str, str]:
    return {p.kind: str(p) for p in survey(folder).problems}


@pytest.fixture
def write_at(rng: np.random.Generator, write_series: WriteSeries) -> Callable[..., Path]:
    """Writes one slice at each height [mm], with what else its header says."""

    def write(heights: list[float], **attributes: object) -> Path:
        for k, z in enumerate(heights):
            hu = rng.integers(-1000, 400, (1, 16, 20)).astype(np.int16)
            numbered = {"first_mm": z, "prefix": f"s{k:02d}", "first_instance": 1 + k, **attributes}
            folder = write_series(hu, **numbered)[0].parent
        return folder

    return write


@pytest.mark.parametrize("heights", [(0, 3, 5, 8, 10), (0, 2, 5, 8, 10, 12), (-5, -2, 0, 2, 5, 7), (100, 103, 105)])
def test_slices_2_5_mm_apart_whose_positions_are_whole_millimetres_are_read_as_such(
    write_at: Callable[..., Path], heights: tuple[float, ...]
) -> None:
    volume = read_volume(write_at(list(heights)))

    assert volume.grid.spacing_mm[0] == 2.5
    assert volume.hu.shape[0] == len(heights)
    (remark,) = volume.problems
    assert (remark.kind, remark.is_serious) == ("unusual_geometry", False)
    assert "whole 1 mm (steps of 2 and 3 mm)" in str(remark)


@settings(max_examples=200)
@given(
    unit=UNITS,
    ratio=st.floats(2.05, 12),
    offset=st.floats(-3, 3),
    count=st.integers(8, 60),
    rounding=st.sampled_from(sorted(ROUNDINGS)),
)
def test_the_spacing_behind_rounded_positions_is_found_within_a_unit_over_the_whole_stack(
    unit: float, ratio: float, offset: float, count: int, rounding: str
) -> None:
    true = (offset + np.arange(count) - count // 2) * ratio * unit
    written = unit * ROUNDINGS[rounding](np.round(true / unit, 9))
    steps = np.diff(np.rint(written / unit))
    rarer = min((steps == step).sum() for step in set(steps))
    assume(len(set(steps)) > 1 and rarer > 1)  # else the steps are even, or one of them is odd

    found = rounded_positions(axial(written), AXIAL)

    assert found is not None
    assert abs(found.spacing_mm - ratio * unit) <= 3 * unit / (count - 1)  # positions cut off may look rounded
    assert np.abs(written - written[0] - found.spacing_mm * found.index).max() <= 3 * unit


@settings(max_examples=100)
@given(unit=UNITS, ratio=st.floats(1.1, 12), count=st.integers(4, 60), rounding=st.sampled_from(sorted(ROUNDINGS)))
def test_a_spacing_that_the_headers_name_is_taken_where_it_gives_the_positions(
    unit: float, ratio: float, count: int, rounding: str
) -> None:
    assume(abs(ratio - round(ratio)) > 0.01)
    written = unit * ROUNDINGS[rounding](np.round(np.arange(count) * ratio, 9))
    assume(len(set(np.rint(np.diff(written) / unit))) > 1)

    found = rounded_positions(axial(written), AXIAL, said_mm=[5 * ratio * unit, ratio * unit], numbers=range(count))

    assert found is not None
    assert found.spacing_mm == ratio * unit


@settings(max_examples=200)
@given(
    unit=UNITS,
    ratio=st.floats(2.05, 12),
    count=st.integers(10, 40),
    data=st.data(),
    rounding=st.sampled_from(["half to even", "half up", "down"]),
)
def test_slices_missing_among_rounded_positions_are_counted_where_they_are_missing(
    unit: float, ratio: float, count: int, data: st.DataObject, rounding: str
) -> None:
    gone = data.draw(st.lists(st.integers(1, count - 2), min_size=1, max_size=2))
    index = np.setdiff1d(np.arange(count), gone)
    written = unit * ROUNDINGS[rounding](np.round(index * ratio, 9))

    found = rounded_positions(axial(written), AXIAL, said_mm=[ratio * unit])

    assert found is None or found.index.tolist() == index.tolist()


@settings(max_examples=200)
@given(spacing=st.floats(2.05, 12), count=st.integers(8, 40), data=st.data())
def test_a_slice_two_units_from_its_place_is_no_rounding(spacing: float, count: int, data: st.DataObject) -> None:
    written = 100 + np.rint(np.arange(count) * spacing)
    at = data.draw(st.integers(1, count - 2))
    written[at] += data.draw(st.sampled_from([-2, 2]))
    assume((np.diff(written) > 0).all())

    assert rounded_positions(axial(written), AXIAL, said_mm=[spacing]) is None


def test_a_slice_missing_from_a_rounded_series_is_named_and_when_accepted_interpolated(
    write_at: Callable[..., Path],
) -> None:
    folder = write_at([0, 3, 5, 10, 13, 15, 18])

    found = kinds(folder)

    assert set(found) == {"unusual_geometry", "missing_slices"}
    assert "1 slice(s) missing between 5.00 and 10.00 mm" in found["missing_slices"]
    with pytest.raises(InputError, match="missing"):
        read_volume(folder)
    raw, whole = survey(folder).hu, read_volume(folder, accept=["missing_slices"])
    assert (whole.hu.shape[0], whole.grid.spacing_mm[0]) == (8, 2.5)
    np.testing.assert_array_equal(whole.hu[[0, 1, 2, 4, 5, 6, 7]], raw)
    np.testing.assert_allclose(whole.hu[3], (raw[2].astype(float) + raw[3]) / 2, atol=0.6)


@pytest.mark.parametrize(
    ("heights", "attributes"),
    [
        ([0, 1, 2, 4, 5, 6, 7], {"SliceThickness": 1}),  # one of the slices of 1 mm
        ([0, 1, 2, 4, 5, 6, 7], {}),  # nothing speaks for 1.17 mm
        ([0, 3, 6, 9, 13, 16, 19, 22], {}),  # two scans with a millimetre between them
        ([0, 2, 4, 5, 8, 10, 12], {"SliceThickness": 2}),  # one slice in a wrong place
        ([0, 2, 4, 6, 9, 12, 15], {}),  # another spacing from the middle on
        ([0, 3, 5, 8, 10.3, 13], {}),  # not in whole millimetres
    ],
)
def test_gaps_and_odd_places_among_whole_millimetres_are_still_refused(
    write_at: Callable[..., Path], heights: list[float], attributes: dict[str, object]
) -> None:
    with pytest.raises(InputError, match=r"missing|steps? of"):
        read_volume(write_at(heights, **attributes))


def test_numbers_that_leave_some_out_where_steps_are_long_tell_of_missing_slices(
    write_at: Callable[..., Path], write_series: WriteSeries, rng: np.random.Generator
) -> None:
    """Every fourth slice of 1 mm is gone: the same positions as those of 4/3 mm, but not the same numbers."""
    heights = [h for h in range(16) if h % 4 != 3]
    for height in heights:
        hu = rng.integers(-1000, 400, (1, 16, 20)).astype(np.int16)
        numbered = {"first_mm": height, "prefix": f"s{height:02d}", "first_instance": 1 + height}
        folder = write_series(hu, folder="gone", SliceThickness=4 / 3, **numbered)[0].parent

    assert "missing_slices" in kinds(folder)
    there = read_volume(write_at([float(h) for h in heights], SliceThickness=1.333333))
    assert there.grid.spacing_mm[0] == pytest.approx(4 / 3, rel=1e-5)


def test_headers_that_alternate_along_rounded_positions_do_not_tear_the_pass_apart(
    rng: np.random.Generator, write_series: WriteSeries
) -> None:
    hu = rng.integers(-1000, 400, (8, 16, 20)).astype(np.int16)
    for k, values in enumerate(hu):
        kind = ["ORIGINAL", "PRIMARY", "AXIAL", "X"][: 3 + k % 2]
        numbered = {"first_mm": np.rint(2.5 * k), "prefix": f"s{k}", "first_instance": 1 + k}
        folder = write_series(values[None], ImageType=kind, **numbered)[0].parent

    volume = read_volume(folder)

    np.testing.assert_array_equal(volume.hu, hu)
    assert {p.kind for p in volume.problems} == {"alternating_header", "unusual_geometry"}


@pytest.mark.parametrize("unit", [1.0, 0.5])
def test_oblique_slices_whose_positions_were_rounded_are_neither_uneven_nor_tilted(
    rng: np.random.Generator, write_series: WriteSeries, unit: float
) -> None:
    angle = np.radians(25)
    column = np.array([0, np.cos(angle), -np.sin(angle)])
    normal = np.cross([1, 0, 0], column)
    hu = rng.integers(-1000, 400, (12, 16, 20)).astype(np.int16)
    for k, values in enumerate(hu):
        place = unit * np.rint((np.array([-10, -20, 0]) + 3.3 * k * normal) / unit)
        made = {"position": tuple(place), "orientation": (1, 0, 0, *column), "prefix": f"s{k:02d}"}
        folder = write_series(values[None], first_instance=1 + k, **made)[0].parent

    volume = read_volume(folder)

    np.testing.assert_array_equal(volume.hu, hu)
    assert volume.grid.spacing_mm[0] == pytest.approx(3.3, abs=unit / 8)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6))
def test_positions_at_random_are_refused(seed: int) -> None:
    steps = np.random.default_rng(seed).integers(1, 6, 20)

    assert rounded_positions(axial(np.cumsum(steps).astype(float)), AXIAL) is None


def test_slices_that_jump_sideways_by_whole_millimetres_are_told_though_their_heights_were_rounded(
    rng: np.random.Generator, write_series: WriteSeries
) -> None:
    for k in range(8):
        hu = rng.integers(-1000, 400, (1, 16, 20)).astype(np.int16)
        made = {"position": (-10.0 - k % 2, -20.0, float(np.rint(2.5 * k))), "first_instance": 1 + k}
        folder = write_series(hu, prefix=f"s{k}", **made)[0].parent

    assert "shifted within their plane" in kinds(folder)["tilt"]


@settings(max_examples=200)
@given(spacing=st.floats(1.1, 1.9), count=st.integers(8, 40), data=st.data())
def test_slices_missing_among_fine_rounded_ones_are_counted_by_their_numbers(
    spacing: float, count: int, data: st.DataObject
) -> None:
    gone = data.draw(st.lists(st.integers(1, count - 2), min_size=1, max_size=3))
    index = np.setdiff1d(np.arange(count), gone)
    written = np.rint(np.round(index * spacing, 9))

    found = rounded_positions(axial(written), AXIAL, said_mm=[spacing], numbers=(1 + index).tolist())

    assert found is not None
    assert (found.spacing_mm, found.index.tolist()) == (spacing, index.tolist())


def test_a_slice_missing_from_a_fine_rounded_series_is_named_where_it_is_and_interpolated_there(
    rng: np.random.Generator, write_series: WriteSeries
) -> None:
    hu = rng.integers(-1000, 400, (12, 16, 20)).astype(np.int16)
    for k in (k for k in range(12) if k != 5):
        made = {"first_mm": float(np.rint(1.25 * k)), "first_instance": 1 + k, "SliceThickness": 1.25}
        folder = write_series(hu[k : k + 1], prefix=f"s{k:02d}", **made)[0].parent

    assert "1 slice(s) missing between 5.00 and 8.00 mm" in kinds(folder)["missing_slices"]
    whole = read_volume(folder, accept=["missing_slices"])
    assert (whole.hu.shape[0], whole.grid.spacing_mm[0]) == (12, 1.25)
    np.testing.assert_array_equal(np.delete(whole.hu, 5, axis=0), np.delete(hu, 5, axis=0))


@pytest.mark.parametrize(
    ("steps", "said"), [([3] * 9 + [4], 3.0), ([2, 2, 3], 2.0), ([5, 5, 6], 5.0)], ids=["3 and 4", "2 and 3", "5 and 6"]
)
def test_longer_steps_among_those_that_the_headers_name_are_odd_places_and_no_rounding(
    write_at: Callable[..., Path], steps: list[int], said: float
) -> None:
    heights = np.cumsum([0, *(steps * 4)]).tolist()

    found = kinds(write_at(heights, SliceThickness=said, SpacingBetweenSlices=said))

    assert "unusual_geometry" not in found
    assert {"uneven_spacing", "missing_slices"} & set(found)


def test_every_second_slice_missing_is_named_also_where_positions_were_rounded(write_at: Callable[..., Path]) -> None:
    folder = None
    for k, z in enumerate(np.rint(np.arange(12) * 2.5).tolist()):
        folder = write_at([z], prefix=f"t{k:02d}", first_instance=1 + 2 * k, SliceThickness=1.25,
                          SpacingBetweenSlices=1.25)  # fmt: skip

    assert folder is not None
    assert "of each 2 slices one is there" in kinds(folder)["missing_slices"]


def test_a_spacing_that_rounded_positions_contradict_is_a_remark(write_at: Callable[..., Path]) -> None:
    heights = np.rint(np.arange(12) * 2.5).tolist()

    found = kinds(write_at(heights, SliceThickness=2.5, SpacingBetweenSlices=5.0))

    assert "lie 2.5 mm apart" in found["geometry_conflict"]


@pytest.mark.parametrize("spacing", [0.2, 0.25, 0.3])
def test_a_slice_that_is_missing_in_the_middle_of_a_fine_stack_is_named(
    write_at: Callable[..., Path], spacing: float
) -> None:
    heights = [round(k * spacing, 3) for k in range(31) if k != 15]

    assert "1 slice(s) missing" in kinds(write_at(heights, SliceThickness=spacing))["missing_slices"]
