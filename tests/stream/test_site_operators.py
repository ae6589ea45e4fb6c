"""Operators of one site, without Spark: faults, several sites at once, states of other versions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from site_pieces import STAGE, TOPICS, counting, counts, letters, piece_of, products, step

from ipdsf_spark.lidar.operators import Case, News, Operator, Result, Row
from ipdsf_spark.lidar.site import Site
from ipdsf_spark.stream.site_stage import Outcome, Share, SiteStage


class Failing:
    """Raises where it is told to."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __call__(self, site: Site, news: News, state: bytes) -> tuple[list[Row], bytes]:
        raise self.error


@pytest.mark.parametrize(
    "error",
    [ValueError("bad"), OverflowError(), RecursionError(), MemoryError(), KeyError("x"), np.linalg.LinAlgError()],
)
def test_an_operator_that_raises_begins_anew_and_nobody_else_notices(cl51_files: list[bytes], error: Exception) -> None:
    pieces = [piece_of(raw, number) for number, raw in enumerate(cl51_files[:6])]
    stage = SiteStage((Operator("failing", 1, Failing(error)), *STAGE.operators), TOPICS)

    with_fault, without = step(stage, pieces), step(STAGE, pieces)

    assert products(with_fault) == products(without)
    ((_, headers),) = letters(with_fault)
    assert headers["reason"].startswith(f"operator failing: {type(error).__name__}")
    assert headers["__streams.errors.exception"] == type(error).__name__
    assert counts(with_fault).faults == 1
    (status,) = products(with_fault, "site").values()
    assert "failing_began_anew" in status["flags"]


def shares_of(cl51_files: list[bytes], num: int = 4) -> list[Share]:
    """Sites that send the same files, each so many of them."""
    pieces = [piece_of(raw, number) for number, raw in enumerate(cl51_files[: num + 2])]
    return [Share(Site(f"site-{k}", 59.94, 10.72), pieces[: k + 2], b"") for k in range(num)]


def said(outcomes: Sequence[Outcome]) -> list[object]:
    return [(outcome.records, outcome.state.to_bytes() if outcome.state else b"") for outcome in outcomes]


def test_many_sites_at_once_give_what_each_gives_alone(cl51_files: list[bytes]) -> None:
    shares = shares_of(cl51_files)

    assert said(STAGE.step_many(shares)) == said([STAGE.step(*share[:3]) for share in shares])


@pytest.mark.parametrize("wrong", [ValueError("one of many"), []])
def test_what_an_operator_cannot_do_for_many_sites_it_does_for_one_after_the_other(
    cl51_files: list[bytes], wrong: Exception | list[object]
) -> None:
    def for_many(cases: Sequence[Case]) -> list[Result]:
        if isinstance(wrong, Exception):
            raise wrong
        return []  # too few

    (layers,) = STAGE.operators
    odd = SiteStage((replace(layers, step_many=for_many),), TOPICS)
    shares = shares_of(cl51_files)

    assert said(odd.step_many(shares)) == said(STAGE.step_many(shares))


def test_a_site_whose_heights_cannot_be_read_costs_its_neighbours_nothing(cl51_files: list[bytes]) -> None:
    good = STAGE.step_many(shares_of(cl51_files))
    states = [outcome.state for outcome in good if outcome.state is not None]
    states[1].operators["layers"] = (states[1].operators["layers"][0], b"rubbish")
    news = piece_of(cl51_files[6], 6)
    shares = [Share(Site(f"site-{k}", 59.94, 10.72), [news], state.to_bytes()) for k, state in enumerate(states)]

    after = STAGE.step_many(shares)

    assert [counts(outcome).faults for outcome in after] == [0, 1, 0, 0]
    assert said(after) == said([STAGE.step(*share[:3]) for share in shares])


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        3,
        [("count", 0)],
        [("count", 2**62, {})],
        [(1, 0, {})],
        [("count", 0, {"x": object()})],
        [("count", 0, {(1, 2): 3})],
    ],
)
def test_what_is_no_row_is_a_fault_of_its_operator(cl51_file: bytes, wrong: object) -> None:
    stage = SiteStage((Operator("odd", 1, lambda site, news, state: (wrong, b"")), *STAGE.operators), TOPICS)

    after = step(stage, [piece_of(cl51_file)])

    assert counts(after).faults == 1
    assert products(after) == products(step(STAGE, [piece_of(cl51_file)]))


def test_numbers_of_numpy_and_values_that_are_none_can_stand_in_a_record(cl51_file: bytes) -> None:
    values = {"a": np.float32(1.5), "b": np.arange(2), "c": float("nan"), "d": [np.nan, 1]}
    stage = SiteStage((Operator("odd", 1, lambda site, news, state: ([Row("odd", 0, values)], b"")),), TOPICS)

    (product,) = products(step(stage, [piece_of(cl51_file)]), "odd").values()

    assert (product["a"], product["b"], product["c"], product["d"]) == (1.5, [0, 1], None, [None, 1])


def test_the_state_of_an_older_version_is_migrated_or_begun_anew_with_a_flag(cl51_files: list[bytes]) -> None:
    old = SiteStage((Operator("count", 1, counting),), TOPICS)
    moved = SiteStage((Operator("count", 2, counting, migrate=lambda version, raw: raw),), TOPICS)
    anew = SiteStage((Operator("count", 2, counting),), TOPICS)
    before = step(old, [piece_of(raw, number) for number, raw in enumerate(cl51_files[:5])])
    ((_, product),) = products(before, "count").items()

    after = {name: step(stage, [piece_of(cl51_files[5], 5)], before) for name, stage in
             (("moved", moved), ("anew", anew))}  # fmt: skip

    seen = {name: next(iter(products(outcome, "count").values()))["seen"] for name, outcome in after.items()}
    assert seen["moved"] > product["seen"] >= 4
    assert seen["anew"] == seen["moved"] - product["seen"]
    for outcome in after.values():
        (status,) = products(outcome, "site").values()
        assert "count_state_of_another_version" in status["flags"]
