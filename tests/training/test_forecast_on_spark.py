"""The forecast trained by two Horovod processes on Spark."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ipdsf_spark.forecast.folder import load_model
from tests.conftest import run_ipdsf

pytestmark = [pytest.mark.spark, pytest.mark.training, pytest.mark.slow]

TINY = ["--sites", "4", "--days", "2", "--epochs", "1", "--width", "4", "--layers", "1", "--threads", "1", "--json"]


@pytest.mark.long
def test_two_workers_train_one_forecast_on_half_of_the_sites_each(tmp_path: Path) -> None:
    ended = run_ipdsf("forecast", "train", "-o", tmp_path / "model", "--workers", "2", *TINY)

    told = json.loads(ended.stdout)
    assert told["ended"] == "1 epochs"
    assert load_model(tmp_path / "model").facts["data"]["workers"] == 2
