"""A network with drawn weights, as a model and in a folder; and one averaged interval after the other."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from ipdsf_spark.forecast.folder import load_model, save_model
from ipdsf_spark.forecast.model import ForecastModel
from ipdsf_spark.forecast.network import ForecastNetwork
from ipdsf_spark.forecast.rows import middle_us_of
from ipdsf_spark.lidar.operators import News, Row
from ipdsf_spark.lidar.site import Site

SITE = Site("oslo", 59.94, 10.72)
START = 5_950_000  # number of an interval of 2026


@pytest.fixture(scope="session")
def network() -> ForecastNetwork:
    torch.manual_seed(1)
    network = ForecastNetwork(width=16, num_layers=2)
    with torch.no_grad():
        network.head.weight.mul_(10.0)
    return network.eval()


@pytest.fixture(scope="session")
def model_folder(network: ForecastNetwork, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("forecast")
    save_model(folder, network.arrays(), {"command": "drawn"})
    return folder


@pytest.fixture(scope="session")
def model(model_folder: Path) -> ForecastModel:
    return load_model(model_folder)


def heights_row(index: int, height_m: float | None, **values: Any) -> Row:
    """A row of heights as the operator `layers` makes it."""
    whole = {"mixing_height_m": height_m, "uncertainty_m": 30.0, "quality": [], "provisional": True}
    return Row("layers", middle_us_of(index), whole | values)


def news_of(*rows: tuple[int, Row | None]) -> News:
    """Closed intervals with their rows of heights."""
    closed: Any = tuple(SimpleNamespace(index=index) for index, _ in rows)
    return News(closed=closed, rows={"layers": tuple(row for _, row in rows if row is not None)})
