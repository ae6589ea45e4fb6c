"""How sure a filled gap may be: intervals that hold as often as they say, on gaps nothing was fitted on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from closed_intervals import SITE, START, heights_row, news_of
from hypothesis import given
from hypothesis import strategies as st

from ipdsf_spark.errors import InputError
from ipdsf_spark.forecast.filling import LARGEST, NUM_REASONS, REASONS, fitted_factors, reasons_of, widened
from ipdsf_spark.forecast.folder import load_model, save_model, shipped_folder
from ipdsf_spark.forecast.memory import NAMES, NUM_FEATURES
from ipdsf_spark.forecast.model import FACTORS, ForecastModel
from ipdsf_spark.forecast.network import ForecastNetwork
from ipdsf_spark.forecast.operator import operator_of
from ipdsf_spark.forecast.series import LEADS_MIN

DRAWN = 4000


def features_of(**told: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    features = np.zeros((1, NUM_FEATURES), np.float32)
    for name, value in told.items():
        features[0, NAMES.index(name)] = value
    return features


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ({"has_data": 1, "has_height": 1, "rain": 1}, -1),
        ({}, REASONS.index("no data")),
        ({"has_data": 1, "rain": 1, "has_bound": 1}, REASONS.index("rain")),
        ({"has_data": 1, "fog": 1}, REASONS.index("fog")),
        ({"has_data": 1, "has_bound": 1}, REASONS.index("a bound alone")),
        ({"has_data": 1, "is_ambiguous": 1}, REASONS.index("nothing found")),
    ],
)
def test_a_gap_has_one_reason_and_a_seen_height_none(told: dict[str, float], reason: int) -> None:
    assert reasons_of(features_of(**told)).tolist() == [reason]


def gaps(
    rng: np.random.Generator, spread_m: tuple[float, float]
) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.float64]], np.ndarray[tuple[int, ...], np.dtype[np.float64]]]:
    """Quantiles of a network that is too sure of itself, and truths that lie `spread_m` below and above."""
    median_m = rng.uniform(500.0, 1500.0, DRAWN)
    width_m = rng.uniform(20.0, 80.0, DRAWN)
    error = rng.exponential(1.0, DRAWN) * np.where(rng.random(DRAWN) < 0.5, -spread_m[0], spread_m[1]) * width_m / 50.0
    return np.stack([median_m - width_m, median_m, median_m + width_m], axis=-1), median_m + error


def test_intervals_fitted_on_some_gaps_hold_eight_in_ten_of_others(rng: np.random.Generator) -> None:
    fitted, judged = gaps(rng, (100.0, 400.0)), gaps(rng, (100.0, 400.0))
    reason = REASONS.index("a bound alone")
    reasons, runs = np.full(DRAWN, reason), np.arange(DRAWN)  # every gap a run of its own

    factors = fitted_factors(*fitted, reasons, runs)
    quantiles_m, truth_m = judged
    features = np.repeat(features_of(has_data=1, has_bound=1), DRAWN, axis=0)
    wide_m = widened(quantiles_m[:, None], features, factors, 0.0)[:, 0]

    assert np.mean((truth_m >= quantiles_m[:, 0]) & (truth_m <= quantiles_m[:, 2])) < 0.5
    assert np.mean(truth_m < wide_m[:, 0]) == pytest.approx(0.1, abs=0.02)
    assert np.mean(truth_m > wide_m[:, 2]) == pytest.approx(0.1, abs=0.02)
    assert factors[reason, 1] > 2 * factors[reason, 0]


def test_the_fewer_runs_the_wider_the_interval(rng: np.random.Generator) -> None:
    quantiles_m, truth_m = gaps(rng, (100.0, 100.0))
    reasons, number = np.zeros(DRAWN, int), np.arange(DRAWN)

    of_runs = [fitted_factors(quantiles_m, truth_m, reasons, number % runs)[0] for runs in (400, 30, 12)]

    assert (np.diff(of_runs, axis=0) > 0).all()


def test_a_reason_that_was_hardly_met_takes_the_factors_of_all_gaps(rng: np.random.Generator) -> None:
    quantiles_m, truth_m = gaps(rng, (100.0, 300.0))
    reasons, runs = np.full(DRAWN, 4), np.arange(DRAWN) // 100
    reasons[:100] = 2  # a single run of fog

    factors = fitted_factors(quantiles_m, truth_m, reasons, runs)

    np.testing.assert_array_equal(factors[2], factors[0])
    np.testing.assert_allclose(factors[2], factors[4], rtol=0.1)


@given(st.lists(st.floats(1.0, LARGEST, width=32), min_size=2 * NUM_REASONS, max_size=2 * NUM_REASONS), st.booleans())
def test_only_a_filled_gap_is_widened_and_its_median_stays(values: list[float], has: bool) -> None:
    factors = np.reshape(values, (NUM_REASONS, 2))
    quantiles_m = np.tile([300.0, 400.0, 550.0], (1, len(LEADS_MIN), 1))

    found = widened(quantiles_m, features_of(has_data=1, has_height=has, fog=1), factors, 20.0)

    np.testing.assert_array_equal(found[:, 1:], quantiles_m[:, 1:])
    assert found[0, 0, 1] == 400.0
    assert found[0, 0, 0] == (300.0 if has else pytest.approx(max(400.0 - 100.0 * factors[2, 0], 20.0)))
    assert found[0, 0, 2] == (550.0 if has else pytest.approx(400.0 + 150.0 * factors[2, 1]))


def test_factors_are_kept_with_the_weights_and_a_model_without_them_is_not_widened(
    network: ForecastNetwork, tmp_path: Path
) -> None:
    factors = np.linspace(1.0, 5.0, 2 * NUM_REASONS, dtype=np.float32).reshape(-1, 2)

    save_model(tmp_path / "with", network.arrays() | {FACTORS: factors}, {})
    save_model(tmp_path / "without", network.arrays(), {})

    kept = load_model(tmp_path / "with")
    np.testing.assert_array_equal(kept.filled_factors, factors)
    assert (load_model(tmp_path / "without").filled_factors == 1.0).all()


def test_factors_of_another_shape_are_refused(network: ForecastNetwork, tmp_path: Path) -> None:
    save_model(tmp_path, network.arrays() | {FACTORS: np.ones((2, 2), np.float32)}, {})

    with pytest.raises(InputError, match=f"{FACTORS} must be"):
        load_model(tmp_path)


def filled(model: ForecastModel, quality: list[str]) -> dict[str, float]:
    rows, _ = operator_of(model).step(
        SITE,
        news_of(*((START + at, heights_row(START + at, 700.0)) for at in range(4)),
                (START + 4, heights_row(START + 4, None, quality=quality))),
        b"",
    )  # fmt: skip
    found: dict[str, float] = rows[-1].values["filled"]
    return found


def test_the_stream_tells_the_wider_interval_and_the_same_median(network: ForecastNetwork, tmp_path: Path) -> None:
    factors = np.ones((NUM_REASONS, 2), np.float32)
    factors[REASONS.index("fog")] = 2.0, 3.0
    save_model(tmp_path / "wide", network.arrays() | {FACTORS: factors}, {})
    save_model(tmp_path / "bare", network.arrays(), {})
    wide, bare = (load_model(tmp_path / name) for name in ("wide", "bare"))

    in_fog, before = filled(wide, ["fog"]), filled(bare, ["fog"])

    assert in_fog["p50_m"] == before["p50_m"]
    assert in_fog["p90_m"] - in_fog["p50_m"] == pytest.approx(3.0 * (before["p90_m"] - before["p50_m"]), abs=0.5)
    assert filled(wide, ["precipitation"]) == filled(bare, ["precipitation"])


def test_the_model_of_the_package_knows_how_sure_a_gap_may_be() -> None:
    model = load_model(shipped_folder())

    assert (model.filled_factors >= 1.0).all()
    assert (model.filled_factors > 1.0).any()
    assert set(model.facts["filled"]["factors"]) == set(REASONS)
