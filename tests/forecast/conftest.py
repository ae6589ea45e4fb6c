"""A network with drawn weights, as a model and in a folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ipdsf_spark.forecast.folder import load_model, save_model
from ipdsf_spark.forecast.model import ForecastModel
from ipdsf_spark.forecast.network import ForecastNetwork


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
