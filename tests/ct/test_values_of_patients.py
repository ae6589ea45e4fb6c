"""Where the bounds of plausible values lie, on made histograms of which every share is known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from ipdsf_spark.ct.plausibility import padding_problems, size_problems, slice_problems, value_problems
from ipdsf_spark.ct.volume import Grid

Values = NDArray[np.float64]
NUM = 10_000


@pytest.fixture
def patient() -> Values:
    """Air, lung, fat, soft tissue and bone, each spread evenly, no value twice; in no order."""
    parts = ((3000, -1060, -940), (2000, -900, -750), (1500, -130, -70), (3000, 0, 90), (500, 300, 900))
    hu = np.concatenate([np.linspace(low, high, num) + 0.123 for num, low, high in parts])
    return np.random.default_rng(0).permutation(hu)


def said(hu: Values, **how: object) -> list[tuple[str, str]]:
    return [(each.kind, each.text) for each in value_problems(hu, **how)]  # type: ignore[arg-type]


def some(hu: Values, share: float, values: Values | float) -> Values:
    """The same with a share of the voxels replaced."""
    changed = hu.copy()
    changed[: round(share * NUM)] = values
    return changed


def test_values_of_a_patient_are_those_of_a_patient(patient: Values) -> None:
    assert said(patient) == []
    assert said(some(patient, 0.01, 3071.0)) == []  # a hip of metal


@pytest.mark.parametrize(("highest", "is_hu"), [(30_710.0, True), (31_000.0, True), (31_001.0, False)])
def test_metal_on_the_extended_scale_ends_below_31_000(patient: Values, highest: float, is_hu: bool) -> None:
    assert (said(some(patient, 0.001, highest)) == []) == is_hu
    assert (said(some(patient, 0.0001, -highest)) == []) == is_hu


@pytest.mark.parametrize(("share", "is_hu"), [(0.049, True), (0.051, False)])
def test_metal_is_no_twentieth_of_a_patient(patient: Values, share: float, is_hu: bool) -> None:
    found = said(some(patient, share, np.linspace(5000, 8000, round(share * NUM))))

    assert [kind for kind, _ in found] == ([] if is_hu else ["not_hu"])
    assert is_hu or "above 4095" in found[0][1]


@pytest.mark.parametrize(("value", "is_hu"), [(-1000.0, True), (-201.0, True), (-200.0, False), (0.0, False)])
def test_one_value_throughout_may_be_air_and_nothing_else(value: float, is_hu: bool) -> None:
    assert [kind for kind, _ in said(np.full(NUM, value))] == ([] if is_hu else ["not_hu"])


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.0, 1.0, "scaled to 0 … 1"), (-1.0, 1.0, "scaled to -1 … 1"), (0.0, 255.0, "a mask or grey levels"),
        (-199.0, 299.0, "without air, lung and bone"),
    ],
)  # fmt: skip
def test_values_of_a_narrow_range_are_scaled(low: float, high: float, words: str) -> None:
    ((kind, text),) = said(np.linspace(low, high, NUM))

    assert kind == "not_hu" and words in text


def test_zeros_and_ones_are_a_mask() -> None:
    assert "a mask" in said(np.arange(NUM) % 2.0)[0][1]
    assert "a mask" in said(np.where(np.arange(NUM) % 2, -1000.0, 255.0))[0][1]
    assert said(np.where(np.arange(NUM) % 2, -1000.0, 300.0)) != said(np.arange(NUM) % 2.0)


def test_fewer_voxels_than_512_have_no_histogram() -> None:
    assert said(np.zeros(511)) == []
    assert said(np.zeros(512)) != []


@pytest.mark.parametrize(("share", "is_hu"), [(0.049, True), (0.051, False)])
def test_below_air_there_is_nothing_but_padding(patient: Values, share: float, is_hu: bool) -> None:
    noise = some(patient, share, np.linspace(-2000, -1301, round(share * NUM)))

    assert [kind for kind, _ in said(noise)] == ([] if is_hu else ["not_hu"])
    assert said(some(patient, share, -2000.0)) == []
    assert is_hu or "applied twice" in said(noise)[0][1]


def test_stated_padding_is_no_value_at_all(patient: Values) -> None:
    padded = np.concatenate([patient, np.full(NUM, 32_767.0)])

    assert said(padded, padding_hu=32_767.0) == []
    assert said(padded) != []


@pytest.mark.parametrize("offset", [1000.0, 1024.0])
def test_raw_values_are_told_by_soft_tissue_a_thousand_too_high(patient: Values, offset: float) -> None:
    ((kind, text),) = said(patient + offset + 61.0 * (offset == 1000.0))

    assert kind == "not_hu" and "RescaleIntercept was not applied" in text


def test_air_at_the_wrong_end_is_a_sign_turned_round(patient: Values) -> None:
    ((kind, text),) = said(-patient)

    assert kind == "not_hu" and "sign is turned round" in text


@pytest.mark.parametrize(("highest", "is_told"), [(-201.0, True), (-199.0, False)])
def test_air_and_lung_alone_are_told(highest: float, is_told: bool) -> None:
    lung = np.append(np.linspace(-1050, -700, NUM - 1), highest)

    assert any("nothing but air and lung" in text for _, text in said(lung)) == is_told


@pytest.mark.parametrize(("lower", "is_told"), [(-850.0, True), (-910.0, False)])
def test_a_windows_lower_end_above_air_is_told(patient: Values, lower: float, is_told: bool) -> None:
    assert any("clipped to a window" in text for _, text in said(np.maximum(patient, lower))) == is_told


@pytest.mark.parametrize(("share", "is_told"), [(0.049, False), (0.051, True)])
def test_zero_where_noise_lets_no_value_stand_is_the_outside_of_a_mask(
    patient: Values, share: float, is_told: bool
) -> None:
    assert any("outside a mask set to 0" in text for _, text in said(some(patient, share, 0.0))) == is_told


@pytest.mark.parametrize(("share_of_tissue", "is_told"), [(0.19, True), (0.21, False)])
def test_of_what_is_no_air_a_fifth_is_tissue(share_of_tissue: float, is_told: bool) -> None:
    num = round(share_of_tissue * 5000)
    solid = np.concatenate([np.linspace(-100, 100, num), np.linspace(160, 590, 5000 - num)])
    found = said(np.concatenate([np.linspace(-1060, -940, 5000), solid]))

    assert any("stretched, or no patient" in text for _, text in found) == is_told


@pytest.mark.parametrize(
    ("spacing_mm", "is_told"),
    [
        ((0.05, 0.05, 0.05), False), ((0.049, 0.7, 0.7), True), ((2.5, 0.7, 0.049), True),
        ((50.0, 20.0, 20.0), False), ((51.0, 0.7, 0.7), True), ((2.5, 21.0, 0.7), True), ((2.5, 0.7, 21.0), True),
    ],
)  # fmt: skip
def test_voxels_of_a_scanner_are_between_a_twentieth_of_a_millimetre_and_some_centimetres(
    spacing_mm: tuple[float, float, float], is_told: bool
) -> None:
    assert bool(size_problems(Grid((4, 4, 4), spacing_mm))) == is_told


@pytest.mark.parametrize(("rows", "is_told"), [(3, False), (4, True)])
def test_an_eighth_of_the_rows_is_the_least_that_is_gone(rows: int, is_told: bool, rng: np.random.Generator) -> None:
    hu = rng.integers(-900, 300, (5, 32, 32)).astype(np.int16)
    hu[2, -rows:] = 0

    assert bool(slice_problems(hu)) == is_told
    hu[3, -1:] = 0  # a neighbour that ends so as well takes its rows away
    assert slice_problems(hu) == []


@pytest.mark.parametrize(
    ("value", "num_slices", "is_told"),
    [(1000, 8, True), (999, 8, False), (3071, 4, True), (3071, 3, False)],
)
def test_padding_at_the_white_end_fills_all_corners_of_half_of_the_slices(
    value: int, num_slices: int, is_told: bool, rng: np.random.Generator
) -> None:
    hu = rng.integers(-900, 300, (8, 16, 16)).astype(np.int16)
    hu[:num_slices, [0, 0, -1, -1], [0, -1, 0, -1]] = value
    if num_slices == 4:
        hu[4, 0, 0] = value  # the median of all corners is padding

    assert bool(padding_problems(hu)) == is_told


def test_air_that_was_set_to_zero_is_told_where_no_other_value_is_near_it() -> None:
    ((kind, text),) = said(np.concatenate([np.zeros(3000), np.linspace(120, 590, 7000)]))

    assert kind == "not_hu" and "air was set to 0" in text
