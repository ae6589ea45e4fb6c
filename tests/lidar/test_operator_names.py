"""An operator is found by its name, or by the module and function of anybody's own."""

from __future__ import annotations

import pytest

from ipdsf_spark.errors import ConfigError
from ipdsf_spark.lidar.operators import KNOWN, Parameters, operator_named, operators_named


def test_every_known_operator_can_be_made() -> None:
    assert [operator.name for operator in operators_named(list(KNOWN), Parameters())] == list(KNOWN)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("layer", "no operator 'layer': use one of layers, air_quality, targets, calibration"),
        (
            "nowhere:operator",
            "cannot be imported: No module named 'nowhere'; the folder of your own file must stand in PYTH",
        ),
        ("json:nothing", "cannot be imported: module 'json' has no attribute"),
        ("ipdsf_spark.lidar.site:Site", "must be made from Parameters"),
        ("builtins:len", "must be made from Parameters"),
        ("builtins:repr", "must return an Operator, got str"),
    ],
)
def test_an_operator_that_does_not_exist_is_refused_before_a_query_starts(name: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        operator_named(name, Parameters())


def test_two_operators_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="two operators are called layers"):
        operators_named(["layers", "layers"], Parameters())


def test_an_operator_stands_behind_those_it_needs() -> None:
    with pytest.raises(ConfigError, match="operator forecast needs layers before it, got forecast, layers"):
        operators_named(["forecast", "layers"], Parameters())
