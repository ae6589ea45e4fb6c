"""Headers of slices alone: their spacing, gaps, tilt, and which of them are one acquisition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic_dicom import save, slice_dataset

from ipdsf_spark.ct.dicom_groups import Group, group_slices
from ipdsf_spark.ct.dicom_header import SliceHeader, read_headers
from ipdsf_spark.ct.dicom_spacing import coincide, normal_of, stack_of, tilt_deg, tolerance_mm
from ipdsf_spark.errors import InputError

X, Y, Z = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
AXIAL, CORONAL, SAGITTAL = (X, Y), (X, (0.0, 0.0, -1.0)), (Y, (0.0, 0.0, -1.0))


@pytest.fixture(scope="module")
def slice_(tmp_path_factory: pytest.TempPathFactory) -> SliceHeader:
    """An axial slice of 2.5 mm, pixels of 0.7 mm."""
    path = save(slice_dataset(np.zeros((8, 8))), tmp_path_factory.mktemp("one") / "slice.dcm")
    (header,) = read_headers(path)
    return header


def stack(one: SliceHeader, at_mm: Sequence[float], **changed: Any) -> list[SliceHeader]:
    """Slices at these places along z, numbered from 1 on."""
    return [
        replace(
            one,
            path=Path(f"{at:g} {number}.dcm"),
            position_mm=(-10.0, -20.0, float(at)),
            instance=number,
            sop_instance_uid=f"1.{number}.{at:g}",
            **changed,
        )
        for number, at in enumerate(at_mm, start=1)
    ]


def told(headers: Sequence[SliceHeader]) -> list[tuple[str, str]]:
    return [(each.kind, each.text) for each in stack_of(headers).problems]


def kinds(group: Group) -> list[str]:
    return [each.kind for each in group.problems]


@pytest.mark.parametrize(("spacing", "tolerance"), [(5.0, 0.25), (2.02, 0.101), (1.0, 0.101), (0.3, 0.06), (0.1, 0.02)])
def test_a_step_may_differ_by_a_twentieth_or_by_the_rounding_of_positions(spacing: float, tolerance: float) -> None:
    assert tolerance_mm(spacing) == pytest.approx(tolerance)


def test_slices_nearer_than_a_tenth_of_the_smaller_side_of_a_pixel_show_one_place(slice_: SliceHeader) -> None:
    first, near, far = stack(slice_, [0.0, 0.049, 0.051], spacing_mm=(0.9, 0.5))

    assert coincide(first, near) and coincide(near, first)
    assert not coincide(first, far)


@pytest.mark.parametrize("plane", [AXIAL, CORONAL, SAGITTAL])
@pytest.mark.parametrize("turn", [1.0, -1.0])
def test_a_normal_grows_to_head_back_or_left_whichever_way_the_rows_run(
    slice_: SliceHeader, plane: tuple[Any, Any], turn: float
) -> None:
    row = tuple(turn * value for value in plane[0])
    normal = normal_of(replace(slice_, row_direction=row, column_direction=plane[1]))

    assert np.linalg.norm(normal) == pytest.approx(1.0)
    assert normal.max() == pytest.approx(1.0)
    assert normal @ plane[0] == normal @ plane[1] == 0.0


@pytest.mark.parametrize("spacing", [0.5, 1.25, 2.5, 5.0])
def test_even_slices_have_their_spacing_and_nothing_to_tell(slice_: SliceHeader, spacing: float) -> None:
    found = stack_of(stack(slice_, np.arange(12) * spacing, thickness_mm=spacing))

    assert found.spacing_mm == pytest.approx(spacing)
    assert found.problems == ()
    assert found.places_mm[3] == (-10.0, -20.0, 3 * spacing)


@pytest.mark.parametrize("num_missing", [1, 2, 3])
def test_missing_slices_are_counted_and_named_between_their_neighbours(slice_: SliceHeader, num_missing: int) -> None:
    at = np.delete(np.arange(14) * 2.5, slice(6, 6 + num_missing))

    assert stack_of(stack(slice_, at)).spacing_mm == pytest.approx(2.5)
    end = 15.0 + 2.5 * num_missing
    assert told(stack(slice_, at)) == [
        ("missing_slices", f"{num_missing} slice(s) missing between 12.50 and {end:.2f} mm")
    ]


@pytest.mark.parametrize(("step", "is_told"), [(5.2, False), (5.3, True), (4.8, False), (4.7, True), (7.5, True)])
def test_a_step_that_is_another_by_more_than_a_twentieth_is_uneven(
    slice_: SliceHeader, step: float, is_told: bool
) -> None:
    at = np.cumsum([0.0, 5, 5, 5, 5, step, 5, 5, 5, 5])

    found = told(stack(slice_, at, thickness_mm=5.0))

    assert found == ([("uneven_spacing", f"a step of {step:.3f} mm among steps of 5.000 mm")] if is_told else [])


@pytest.mark.parametrize(("num", "is_told"), [(20, True), (8, False)])
def test_steps_that_each_are_near_enough_and_add_up_to_half_a_slice_are_told(
    slice_: SliceHeader, num: int, is_told: bool
) -> None:
    # halfway the slices lie `num` times a twenty-fifth of the spacing beside an even grid
    at = np.cumsum([0.0, *[4.8] * num, *[5.2] * num])

    found = told(stack(slice_, at, thickness_mm=5.0))

    assert [kind for kind, _ in found] == (["uneven_spacing"] if is_told else [])
    assert not is_told or "up to 4.00 mm beside an even grid of 5.000 mm" in found[0][1]


def test_of_a_few_slices_out_of_a_series_the_numbers_tell_the_spacing(slice_: SliceHeader) -> None:
    numbers = [1, 2, 4, 7, 11]
    headers = [replace(h, instance=n) for h, n in zip(stack(slice_, [2.5 * n for n in numbers]), numbers, strict=True)]

    for some in (headers, [replace(h, instance=20 - h.instance) for h in headers]):
        assert stack_of(some).spacing_mm == pytest.approx(2.5)
        assert [text.split()[0] for kind, text in told(some) if kind == "missing_slices"] == ["1", "2", "3"]


def test_every_second_slice_of_a_series_is_half_of_it_unless_the_header_says_the_distance(slice_: SliceHeader) -> None:
    headers = [replace(h, instance=2 * h.instance) for h in stack(slice_, np.arange(8) * 5.0)]

    ((kind, text),) = told(headers)
    assert kind == "missing_slices" and "InstanceNumber grows by 2" in text and "of each 2 slices one is there" in text
    assert told([replace(h, between_mm=5.0) for h in headers]) == []
    assert told([replace(h, thickness_mm=4.0) for h in headers]) == []  # no multiple of it: a protocol with gaps


@pytest.mark.parametrize(("between", "is_told"), [(2.5, False), (2.6, False), (2.63, True), (2.37, True), (5.0, True)])
def test_a_distance_that_the_header_says_otherwise_is_told(slice_: SliceHeader, between: float, is_told: bool) -> None:
    assert [kind for kind, _ in told(stack(slice_, np.arange(8) * 2.5, between_mm=between))] == (
        ["geometry_conflict"] if is_told else []
    )


def test_one_slice_is_as_thick_as_it_says_or_a_millimetre(slice_: SliceHeader) -> None:
    for thickness, words in ((2.5, "its SliceThickness, 2.5 mm,"), (None, "1 mm is taken")):
        found = stack_of(stack(slice_, [7.0], thickness_mm=thickness))
        assert found.spacing_mm == 0.0
        assert [each.kind for each in found.problems] == ["single_slice"] and words in found.problems[0].text


@given(angle_deg=st.floats(0.0, 40.0), turn=st.sampled_from([1.0, -1.0]))
def test_a_tilt_is_the_angle_between_the_path_of_the_slices_and_their_normal(
    slice_: SliceHeader, angle_deg: float, turn: float
) -> None:
    shift = turn * np.tan(np.radians(angle_deg))
    headers = [replace(h, position_mm=(-10.0, shift * k * 5.0, k * 5.0)) for k, h in enumerate(stack(slice_, range(9)))]

    assert tilt_deg(headers) == tilt_deg(headers[::-1]) == pytest.approx(angle_deg, abs=1e-5)


@pytest.mark.parametrize(
    ("angle_deg", "num", "is_told"), [(0.09, 40, False), (0.12, 40, True), (15.0, 40, True), (0.3, 3, False)]
)
def test_a_gantry_is_tilted_from_a_tenth_of_a_degree_on_if_that_moves_a_tenth_of_a_pixel(
    slice_: SliceHeader, angle_deg: float, num: int, is_told: bool
) -> None:
    shift = np.tan(np.radians(angle_deg))
    headers = [
        replace(h, position_mm=(-10.0, shift * k * 5.0, k * 5.0), thickness_mm=5.0)
        for k, h in enumerate(stack(slice_, range(num)))
    ]

    assert [kind for kind, _ in told(headers)] == (["tilt"] if is_told else [])


def test_slices_shifted_here_and_there_are_told_as_such(slice_: SliceHeader) -> None:
    headers = stack(slice_, np.arange(12) * 2.5)
    headers[4] = replace(headers[4], position_mm=(-8.0, -20.0, 10.0))

    ((kind, text),) = told(headers)
    assert kind == "tilt" and "by up to 2.00 mm, and not evenly" in text


@pytest.mark.parametrize(("spacing", "is_same"), [(0.7006, True), (0.7009, False)])
def test_pixels_that_differ_by_half_of_one_over_a_plane_are_of_another_kind(
    slice_: SliceHeader, spacing: float, is_same: bool
) -> None:
    headers = stack(slice_, np.arange(6) * 2.5)
    headers[5] = replace(headers[5], spacing_mm=(0.7, spacing))

    found = group_slices(headers)

    assert len(found.headers) == (6 if is_same else 5)
    assert ("mixed_acquisitions" in kinds(found)) != is_same


@pytest.mark.parametrize(("num", "kind"), [(1, "scout"), (2, "scout"), (3, "mixed_acquisitions")])
def test_one_or_two_images_across_a_stack_are_overviews_and_three_are_another_stack(
    slice_: SliceHeader, num: int, kind: str
) -> None:
    across = stack(slice_, np.arange(num) * 9.0, row_direction=CORONAL[0], column_direction=CORONAL[1])

    found = group_slices([*across, *stack(slice_, np.arange(6) * 2.5)])

    assert [h.position_mm[2] for h in found.headers if h.position_mm] == [0.0, 2.5, 5.0, 7.5, 10.0, 12.5]
    assert kinds(found) == [kind]


@pytest.mark.parametrize(("num", "is_one"), [(2, False), (3, True), (8, True)])
def test_three_slices_and_more_with_a_series_each_were_torn_by_an_anonymiser(
    slice_: SliceHeader, num: int, is_one: bool
) -> None:
    headers = [replace(h, series_uid=f"1.9.{k}") for k, h in enumerate(stack(slice_, np.arange(num) * 2.5))]

    found = group_slices(headers)

    assert len(found.headers) == (num if is_one else 1)
    assert kinds(found)[0] == ("alternating_header" if is_one else "several_series")


@pytest.mark.parametrize(("kvp", "num"), [(120.9, 12), (121.5, 6), (80.0, 6)])
def test_two_energies_of_one_place_are_never_one_volume(slice_: SliceHeader, kvp: float, num: int) -> None:
    at = np.arange(12) * 2.5
    headers = [replace(h, kvp=120.0 if k % 2 else kvp) for k, h in enumerate(stack(slice_, at))]

    found = group_slices(headers)

    assert len(found.headers) == num
    assert ("mixed_acquisitions" in kinds(found)) == (num == 6)


def test_parts_of_a_scan_that_follow_each_other_are_one_volume_and_two_passes_are_not(slice_: SliceHeader) -> None:
    at = np.arange(12) * 2.5
    after = [replace(h, acquisition=1 + (k >= 6)) for k, h in enumerate(stack(slice_, at))]
    again = [replace(h, acquisition=2, instance=h.instance + 12, sop_instance_uid=f"2.{h.instance}") for h in after[:5]]

    assert len(group_slices(after).headers) == 12
    assert kinds(group_slices(after)) == []
    twice = group_slices([*[replace(h, acquisition=1) for h in after], *again])
    assert [h.acquisition for h in twice.headers] == [1] * 12
    assert kinds(twice) == ["mixed_acquisitions"]


def test_slices_come_in_the_order_of_their_places_whatever_their_numbers_and_names(
    slice_: SliceHeader, rng: np.random.Generator
) -> None:
    headers = stack(slice_, np.arange(10) * -2.5)

    found = group_slices([headers[k] for k in rng.permutation(10)])

    assert list(found.headers) == headers[::-1]


def test_a_series_that_is_not_there_is_refused_with_those_that_are(slice_: SliceHeader) -> None:
    headers = stack(slice_, np.arange(4) * 2.5, series_number=3)

    with pytest.raises(InputError, match=r"no series number 7 here; there are \[3\]"):
        group_slices(headers, series=7)
    assert len(group_slices(headers, series=3).headers) == 4


@pytest.mark.parametrize(("apart_mm", "kind"), [(3.5, "geometry_conflict"), (4.5, "missing_slices")])
def test_two_slices_are_neighbours_up_to_one_and_a_half_of_the_larger_distance_said(
    slice_: SliceHeader, apart_mm: float, kind: str
) -> None:
    first, second = stack(slice_, [0.0, apart_mm], between_mm=2.0, thickness_mm=2.5)

    assert [each for each, _ in told([first, replace(second, instance=4)])] == [kind]
