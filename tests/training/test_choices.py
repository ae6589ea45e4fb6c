"""What a training leaves to the device it runs on."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ipdsf_spark.config import load
from ipdsf_spark.ct.cube_set import CubeSet
from ipdsf_spark.errors import ConfigError
from ipdsf_spark.training.choices import memory_layout
from ipdsf_spark.training.configured import settings_of
from ipdsf_spark.training.loop import Trainer
from tests.training.test_loop import SMALL

pytestmark = pytest.mark.training


@pytest.mark.parametrize(
    ("said", "device", "layout"),
    [
        ([], "cpu", torch.channels_last_3d),
        ([], "cuda", torch.contiguous_format),
        (["training.channels_last=auto"], "cuda", torch.contiguous_format),
        (["training.channels_last=true"], "cuda", torch.channels_last_3d),
        (["training.channels_last=false"], "cpu", torch.contiguous_format),
    ],
)
def test_the_memory_layout_is_that_of_the_device_unless_it_is_stated(
    said: list[str], device: str, layout: torch.memory_format
) -> None:
    settings = settings_of(load(overrides=said), device="cpu")  # as the driver of a cluster with GPUs does

    assert memory_layout(settings, torch.device(device)) is layout


@pytest.mark.parametrize("said", ["yes", "1", '"true"'])
def test_a_memory_layout_that_is_none_is_refused(said: str) -> None:
    with pytest.raises(ConfigError, match=r"training\.channels_last"):
        load(overrides=[f"training.channels_last={said}"])


def test_a_training_on_a_cpu_keeps_its_weights_channels_last(phantom_cubes: CubeSet, tmp_path: Path) -> None:
    trainer = Trainer(phantom_cubes, SMALL, tmp_path / "model")

    weights = [p for p in trainer.nets.generator.parameters() if p.ndim == 5 and min(p.shape[:3]) > 1]
    assert weights and all(p.is_contiguous(memory_format=torch.channels_last_3d) for p in weights)


@pytest.mark.parametrize(
    ("said", "rate", "momentum"),
    [
        ([], 4e-4, 0.5),
        (["training.task=autoencode", "training.is_adversarial=false"], 1e-4, 0.9),
        (["training.task=autoencode"], 1e-4, 0.5),  # an adversary wants a short memory
        (["training.is_adversarial=false"], 4e-4, 0.5),
        (["training.task=autoencode", "training.learning_rate=1"], 1.0, 0.5),
    ],
)
def test_an_autoencoder_takes_smaller_steps_unless_its_rate_is_stated(
    said: list[str], rate: float, momentum: float
) -> None:
    optimiser = settings_of(load(overrides=said)).optimiser

    assert (optimiser.learning_rate, optimiser.beta_1) == (rate, momentum)


@pytest.mark.parametrize("said", ["0", "-1e-4", "fast", "true"])
def test_a_learning_rate_that_is_none_is_refused(said: str) -> None:
    with pytest.raises(ConfigError, match=r"training\.learning_rate must be"):
        load(overrides=[f"training.learning_rate={said}"])
