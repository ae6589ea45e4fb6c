from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy import stats

from ipdsf_spark.ct.enhancement import Enhancement, HuHistogram
from ipdsf_spark.errors import InputError

WINDOW = (-1000, 400)
scans = hnp.arrays(np.int16, st.integers(1, 300), elements=st.integers(-3024, 3071))
linear_shares = st.floats(0.01, 1.0)


def fitted(hu: NDArray[np.int16], linear_share: float = 0.3) -> Enhancement:
    return Enhancement.fit({"a": HuHistogram.of(hu, WINDOW)}, linear_share=linear_share)


@given(training=scans, scan=scans, linear_share=linear_shares)
def test_restoring_gives_back_every_hu_of_the_window_within_the_stated_bound(
    training: NDArray[np.int16], scan: NDArray[np.int16], linear_share: float
) -> None:
    enhancement = fitted(training, linear_share)

    restored = enhancement.restored(enhancement.enhanced(scan))

    assert np.abs(restored.astype(np.float64) - np.clip(scan, *WINDOW)).max() <= enhancement.round_trip_bound_hu


@given(training=scans, linear_share=st.floats(0.05, 1.0))
def test_whole_hu_come_back_exactly_after_rounding(training: NDArray[np.int16], linear_share: float) -> None:
    enhancement = fitted(training, linear_share)
    every_hu = np.arange(WINDOW[0], WINDOW[1] + 1).astype(np.int16)

    assert enhancement.round_trip_bound_hu < 0.01
    np.testing.assert_array_equal(np.rint(enhancement.restored(enhancement.enhanced(every_hu))), every_hu)


@given(training=scans, scan=hnp.arrays(np.float32, 50, elements=st.floats(-1000, 400, width=32)))
def test_hu_between_whole_numbers_come_back_too(training: NDArray[np.int16], scan: NDArray[np.float32]) -> None:
    enhancement = fitted(training)

    restored = enhancement.restored(enhancement.enhanced(scan))

    assert np.abs(restored.astype(np.float64) - scan).max() <= enhancement.round_trip_bound_hu + 1000 * 2**-24


@given(training=scans, linear_share=linear_shares)
def test_levels_rise_with_hu_at_least_as_fast_as_the_linear_share(
    training: NDArray[np.int16], linear_share: float
) -> None:
    enhancement = fitted(training, linear_share)

    slope = np.diff(enhancement.levels)
    assert slope.min() >= 0.999 * 2 * linear_share / 1400
    assert enhancement.max_hu_per_level <= 1400 / (2 * linear_share) * 1.002
    assert (enhancement.levels[0], enhancement.levels[-1]) == (-1.0, 1.0)


@given(training=scans, scan=scans)
def test_whole_and_broken_hu_share_one_curve(training: NDArray[np.int16], scan: NDArray[np.int16]) -> None:
    enhancement = fitted(training)

    np.testing.assert_allclose(enhancement.enhanced(scan), enhancement.enhanced(scan.astype(np.float32)), atol=1e-7)


@given(training=scans, error=st.floats(-0.2, 0.2))
def test_an_error_of_the_network_grows_by_no_more_than_stated(training: NDArray[np.int16], error: float) -> None:
    enhancement = fitted(training)
    level = np.linspace(-1, 1, 101)

    change = np.abs(enhancement.restored(level + error) - enhancement.restored(level))

    assert change.max() <= abs(error) * enhancement.max_hu_per_level + enhancement.round_trip_bound_hu


def test_equalising_uses_every_level_equally_often(rng: np.random.Generator) -> None:
    lung, tissue = rng.normal(-850, 60, 60_000), rng.normal(40, 25, 40_000)
    hu = np.clip(np.concatenate([lung, tissue]), -999, 399).astype(np.int16)

    level = fitted(hu, linear_share=0.001).enhanced(hu)

    assert stats.kstest(level, stats.uniform(-1, 2).cdf).statistic < 0.02


def test_padding_air_and_metal_do_not_move_the_curve(rng: np.random.Generator) -> None:
    tissue = rng.integers(-900, 300, 5000).astype(np.int16)
    padded = np.concatenate([tissue, np.full(90_000, -2048, np.int16), np.full(9_000, 3071, np.int16)])

    np.testing.assert_allclose(fitted(padded).levels, fitted(tissue).levels)


@given(a=scans, b=scans, c=scans)
def test_histograms_merge_in_any_order(a: NDArray[np.int16], b: NDArray[np.int16], c: NDArray[np.int16]) -> None:
    one, two, three = (HuHistogram.of(x, WINDOW) for x in (a, b, c))

    left, right = one.merge(two).merge(three), one.merge(three.merge(two))

    np.testing.assert_allclose(left.shares, right.shares)
    assert left.num_volumes == right.num_volumes
    assert left.shares.sum() == pytest.approx(left.num_volumes)


def test_a_long_scan_weighs_no_more_than_a_short_one() -> None:
    short, long = np.full(100, -800, np.int16), np.full(10_000, 100, np.int16)

    levels = Enhancement.fit({"s": HuHistogram.of(short), "l": HuHistogram.of(long)}, linear_share=0.01).levels

    assert levels[500] == pytest.approx(0.0, abs=0.01)  # half-way between the two


def test_histograms_of_two_windows_are_not_merged() -> None:
    empty = np.zeros(1, np.int16)
    with pytest.raises(ValueError, match="windows differ"):
        HuHistogram.of(empty, (-1000, 400)).merge(HuHistogram.of(empty, (-1024, 600)))


@given(training=scans, linear_share=linear_shares)
def test_saved_parameters_load_as_the_same_curve(
    tmp_path_factory: pytest.TempPathFactory, training: NDArray[np.int16], linear_share: float
) -> None:
    path = tmp_path_factory.mktemp("e") / "enhancement.json"
    enhancement = fitted(training, linear_share)

    enhancement.save(path)

    assert Enhancement.load(path) == enhancement
    assert json.loads(path.read_text())["sha256"] == enhancement.sha256
    assert Enhancement.load(path).fitted_on == ("a",)


def test_changed_parameters_are_refused(tmp_path: Path) -> None:
    path = fitted(np.array([0, 1, 2], np.int16)).save(tmp_path / "enhancement.json")
    values = json.loads(path.read_text())
    values["linear_share"] = 0.2
    path.write_text(json.dumps(values))

    with pytest.raises(InputError, match="do not match their hash"):
        Enhancement.load(path)


@pytest.mark.parametrize("text", ["", "{}", "[]", "3", '{"format": "ipdsf-enhancement/1"}', "\xff"])
def test_a_file_that_holds_no_parameters_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "enhancement.json"
    path.write_text(text, encoding="latin-1")

    with pytest.raises(InputError, match=r"enhancement\.json"):
        Enhancement.load(path)


def test_the_hash_knows_every_parameter() -> None:
    a, b = HuHistogram.of(np.array([5], np.int16)), HuHistogram.of(np.array([9], np.int16))
    fits = [Enhancement.fit({"a": a}), Enhancement.fit({"b": a}), Enhancement.fit({"a": b})]
    fits += [Enhancement.fit({"a": a}, linear_share=0.5), Enhancement.straight(), Enhancement.straight((-1024, 600))]

    assert len({fit.sha256 for fit in fits}) == len(fits)
    assert Enhancement.fit({"a": a}).sha256 == fits[0].sha256


@given(training=hnp.arrays(np.int16, st.integers(1, 300), elements=st.integers(-999, 399)), linear_share=linear_shares)
def test_the_curve_of_mirrored_values_is_the_mirrored_curve(training: NDArray[np.int16], linear_share: float) -> None:
    """A whole HU lies half-way up its own share: neither end of the window is preferred."""
    mirrored = (-600 - training).astype(np.int16)  # about the middle of the window

    levels = np.array(fitted(training, linear_share).levels)

    np.testing.assert_allclose(fitted(mirrored, linear_share).levels, -levels[::-1], atol=1e-12)


def test_a_single_value_lies_half_way_up() -> None:
    levels = fitted(np.full(10, -300, np.int16), linear_share=0.01).levels

    assert levels[700] == pytest.approx(0.0, abs=1e-9)
    assert levels[699] == pytest.approx(-levels[701])


def test_a_straight_line_only_clips_and_scales() -> None:
    levels = Enhancement.straight((-1000, 1000)).enhanced(np.array([-3024, -1000, 0, 500, 1000, 3071], np.int16))

    np.testing.assert_allclose(levels, [-1, -1, 0, 0.5, 1, 1], atol=1e-7)


@pytest.mark.parametrize("linear_share", [0.0, -0.1, 1.1])
def test_a_curve_that_could_not_be_undone_is_refused(linear_share: float) -> None:
    with pytest.raises(InputError, match="linear_share must be above 0"):
        fitted(np.zeros(1, np.int16), linear_share)


def test_an_enhancement_needs_training_volumes() -> None:
    with pytest.raises(InputError, match="none is given"):
        Enhancement.fit({})
