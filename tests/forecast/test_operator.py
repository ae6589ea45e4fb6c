"""The forecast in the stream: a row for every closed interval, gaps filled and marked, state from batch to batch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from closed_intervals import SITE, START, heights_row, news_of
from hypothesis import given, settings
from hypothesis import strategies as st

from ipdsf_spark.forecast.memory import PER_DAY
from ipdsf_spark.forecast.model import ForecastModel
from ipdsf_spark.forecast.operator import operator_of
from ipdsf_spark.lidar.operators import News, Row
from ipdsf_spark.lidar.site import Site


def walked(model: ForecastModel, batches: list[News], site: Site = SITE) -> tuple[list[Row], bytes]:
    """Rows of several batches, the state carried as bytes."""
    operator, state, rows = operator_of(model), b"", []
    for news in batches:
        found, state = operator.step(site, news, state)
        rows += found
    return rows, state


def course(num: int, missing: tuple[int, ...] = ()) -> list[tuple[int, Row | None]]:
    heights_m = 300.0 + 0.1 * np.arange(num) ** 2
    return [
        (START + at, None if at in missing else heights_row(START + at, round(float(h), 1)))
        for at, h in enumerate(heights_m)
    ]


def test_every_closed_interval_has_a_forecast_at_four_leads_with_its_interval(model: ForecastModel) -> None:
    rows, state = walked(model, [news_of(*course(5))])

    assert [row.kind for row in rows] == ["forecast"] * 5
    last = rows[-1].values
    assert [at["lead_min"] for at in last["forecast"]] == [10, 30, 60, 180]
    assert all(at["p10_m"] <= at["p50_m"] <= at["p90_m"] for at in last["forecast"])
    assert last["forecast"][2]["time"] > last["forecast"][1]["time"]
    assert last["model"] == model.sha256[:12]
    assert not last["is_filled"] and last["mixing_height_m"] == 301.6
    assert len(state) < 1_200


def test_a_gap_in_rain_is_filled_and_says_so(model: ForecastModel) -> None:
    rain = heights_row(START + 3, None, quality=["precipitation"])

    rows, _ = walked(model, [news_of(*course(3), (START + 3, rain))])

    filled = rows[-1].values
    assert filled["is_filled"] and filled["filled_because"] == ["precipitation"]
    assert filled["filled"]["p10_m"] <= filled["mixing_height_m"] <= filled["filled"]["p90_m"]


def test_an_interval_without_a_row_of_heights_is_filled_as_one_without_data(model: ForecastModel) -> None:
    rows, _ = walked(model, [news_of(*course(4, missing=(3,)))])

    assert rows[-1].values["filled_because"] == ["no_data"]


@settings(max_examples=20)
@given(st.lists(st.integers(1, 7), min_size=1, max_size=8))
def test_it_does_not_matter_how_intervals_are_dealt_into_batches(model: ForecastModel, sizes: list[int]) -> None:
    closed = course(sum(sizes), missing=(2, 9))
    ends = np.cumsum(sizes)
    batches = [news_of(*closed[end - size : end]) for size, end in zip(sizes, ends, strict=True)]

    assert walked(model, batches) == walked(model, [news_of(*closed)])


def test_intervals_that_never_came_are_walked_through_as_blank_ones(model: ForecastModel) -> None:
    first, last = course(1)[0], (START + 10, heights_row(START + 10, 400.0))
    blank = [(START + at, None) for at in range(1, 10)]

    skipped, _ = walked(model, [news_of(first, last)])
    walked_through, _ = walked(model, [news_of(first, *blank, last)])

    assert skipped[-1] == walked_through[-1]
    assert len(skipped) == 2


def test_after_more_than_a_day_of_silence_the_network_begins_anew(model: ForecastModel) -> None:
    late = START + 2 * PER_DAY + 7

    rows, _ = walked(model, [news_of(*course(30)), news_of((late, heights_row(late, 400.0)))])

    assert not rows[-1].values["is_warm"]
    assert rows[-1].values["forecast"]


def test_under_another_model_the_network_begins_anew_and_the_memory_stays(
    model: ForecastModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ipdsf_spark.forecast.folder import load_model, shipped_folder

    _, state = walked(model, [news_of(*course(30))])
    other = operator_of(load_model(shipped_folder()))

    rows, new = other.step(SITE, news_of((START + 30, heights_row(START + 30, None))), state)

    assert rows[0].values["model"] != model.sha256[:12]
    assert not rows[0].values["is_warm"]
    assert len(new) != len(state)


def test_a_site_without_coordinates_is_foretold_all_the_same(model: ForecastModel) -> None:
    rows, _ = walked(model, [news_of(*course(3))], Site("nowhere", float("nan"), float("nan")))

    assert all(np.isfinite(at["p50_m"]) for at in rows[-1].values["forecast"])


def test_a_damaged_state_is_an_error_that_costs_this_operator_alone(model: ForecastModel) -> None:
    operator = operator_of(model)
    _, state = walked(model, [news_of(*course(3))])

    for damaged in (state[:-1], b"\x07" + state[1:], b"x"):
        with pytest.raises(ValueError, match="bytes"):
            operator.step(SITE, news_of((START + 3, None)), damaged)


def test_silence_and_provisional_news_foretell_nothing(model: ForecastModel) -> None:
    rows, _ = walked(model, [news_of(*course(3)), News(is_silent=True), News()])

    assert len(rows) == 3


@pytest.mark.parametrize("highest_m", [320.0, 4000.0])
def test_nothing_is_foretold_or_filled_in_above_the_highest_height_of_the_site(
    model: ForecastModel, highest_m: float
) -> None:
    site = replace(SITE, max_height_m=highest_m)
    closed = [(START + at, heights_row(START + at, highest_m if at < 6 else None)) for at in range(12)]

    rows, _ = walked(replace(model, filled_factors=np.full_like(model.filled_factors, 20.0)), [news_of(*closed)], site)

    for row in rows:
        told = [*row.values["forecast"], *([row.values["filled"]] if row.values["is_filled"] else [])]
        for at in told:
            assert 0.0 < at["p10_m"] <= at["p50_m"] <= at["p90_m"] <= highest_m
        if row.values["is_filled"]:
            assert row.values["mixing_height_m"] == row.values["filled"]["p50_m"]
