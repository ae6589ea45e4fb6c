"""A GPU that is asked for and not there is named, by a training as by whatever uses a model."""

from __future__ import annotations

import pytest
import torch

from ipdsf_spark.errors import InputError
from ipdsf_spark.gan.checkpoint import Model
from ipdsf_spark.gan.inference import Predictor
from ipdsf_spark.training.worker import device_of


def test_a_gpu_that_is_not_there_is_a_named_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    with pytest.raises(InputError, match="device cuda: torch finds no GPU"):
        device_of("cuda", 0)
    with pytest.raises(InputError, match="device cuda: torch finds no GPU"):
        Predictor(Model(torch.nn.Identity(), {}), "cuda")
    assert Predictor(Model(torch.nn.Identity(), {})).device == device_of("", 0) == torch.device("cpu")
