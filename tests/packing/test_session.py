"""Which Spark a job of the imaging flow runs on."""

from __future__ import annotations

import pytest
from pyspark import SparkContext

from ipdsf_spark.spark.master import given_master

pytestmark = pytest.mark.training


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, ""),
        ({"MASTER": "spark://host:7077"}, "spark://host:7077"),
        ({"PYSPARK_SUBMIT_ARGS": "--master yarn --conf a=b pyspark-shell"}, "yarn"),
        ({"PYSPARK_SUBMIT_ARGS": "--conf spark.master=k8s://https://h:6443 pyspark-shell"}, "k8s://https://h:6443"),
    ],
)
def test_a_cluster_that_somebody_has_named_is_the_one_that_trains(
    environment: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SparkContext, "_active_spark_context", None)
    for name in ("MASTER", "PYSPARK_SUBMIT_ARGS", "PYSPARK_GATEWAY_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert given_master() == expected
