"""Errors, rivals and honesty on courses whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from ipdsf_spark.forecast.judging import damping_of, judged, rivals_m, slopes_m
from ipdsf_spark.forecast.memory import PER_DAY
from ipdsf_spark.forecast.series import LEAD_STEPS, Observed, Series
from ipdsf_spark.forecast.table import Table, table_of

DAYS = 3


def table_of_course(height_m: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Table:
    nothing = Observed.nothing(len(height_m), 1)
    fields = {name: getattr(nothing, name) for name in Observed.__dataclass_fields__}
    observed = Observed(**(fields | {"height_m": height_m[:, None], "has_data": np.ones((len(height_m), 1), bool)}))
    return table_of(Series(("a",), np.array([48.0]), np.array([11.0]), 20_000 * PER_DAY, observed, height_m[:, None]))


@pytest.fixture(scope="module")
def rising() -> Table:
    return table_of_course(400.0 + 0.5 * np.arange(DAYS * PER_DAY))


def test_the_trend_of_a_straight_course_foretells_it(rising: Table) -> None:
    np.testing.assert_allclose(slopes_m(rising.seen_m)[12:], 0.5, atol=1e-3)
    damping = damping_of(rising)
    late = slice(PER_DAY, -LEAD_STEPS[-1])

    np.testing.assert_allclose(damping[1:], 1.0, atol=0.05)
    trend_m = rivals_m(rising, np.ones_like(damping))["damped trend"]
    np.testing.assert_allclose(trend_m[late], rising.target_m[late], atol=0.2)


def test_yesterday_foretells_a_day_that_returns() -> None:
    of_day = 600.0 + 300.0 * np.sin(2 * np.pi * np.arange(PER_DAY) / PER_DAY)
    table = table_of_course(np.tile(of_day, DAYS))
    late = slice(2 * PER_DAY, -LEAD_STEPS[-1])

    rivals = rivals_m(table, np.zeros(len(LEAD_STEPS)))

    for name in ("yesterday", "climatology", "diurnal step"):
        np.testing.assert_allclose(rivals[name][late], table.target_m[late], atol=6.0)


def test_errors_and_coverage_are_those_of_the_hand(rising: Table) -> None:
    middle_m = rising.target_m + 30.0
    found_m = np.stack([middle_m - 20.0, middle_m, middle_m + 20.0], axis=-1)
    found_m[: len(rising) // 2] -= 30.0  # the first half is right, and within its interval

    (line, *_) = judged(rising, found_m, damping_of(rising), np.ones(rising.seen_m.shape, bool))

    assert line.errors["LSTM"].mae_m == pytest.approx(15.0)
    assert line.errors["LSTM"].rmse_m == pytest.approx(np.sqrt(450.0), rel=1e-4)
    assert line.covered == 0.5
    assert line.width_m == pytest.approx(40.0)
