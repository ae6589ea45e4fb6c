"""A chest, and models whose answers are known: what goes in comes out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ipdsf_spark.ct.enhancement import Enhancement, HuHistogram
from ipdsf_spark.ct.phantom import chest_phantom
from ipdsf_spark.ct.volume import Volume
from ipdsf_spark.gan.checkpoint import Model
from ipdsf_spark.gan.inference import Predictor
from ipdsf_spark.imaging.generate import Generation

Known = Callable[..., Generation]


class Answer(torch.nn.Module):
    """A generator that answers by a rule."""

    def __init__(self, rule: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.rule = rule

    def forward(self, cubes: Tensor) -> Tensor:
        return self.rule(cubes)


@pytest.fixture(scope="session")
def chest() -> Volume:
    """A phantom of whole HU."""
    volume = chest_phantom((24, 40, 44), seed=9, spacing_mm=(10.0, 9.0, 8.0)).volume
    return Volume(np.rint(volume.hu).astype(np.int16), volume.grid, study="chest-9")


@pytest.fixture(scope="session")
def enhancement(chest: Volume) -> Enhancement:
    """Fitted on the chest."""
    return Enhancement.fit({"chest-9": HuHistogram.of(chest.hu)})


@pytest.fixture(scope="session")
def known(enhancement: Enhancement) -> Known:
    """Makes a model that answers by a rule; by default it gives back what it is given."""

    def make(rule: Callable[[Tensor], Tensor] = lambda x: x, *, overlap: int | None = None, **facts: Any) -> Generation:
        stated = {"cube_size": 16, "overlap": 4, "enhancement": enhancement.to_json()}
        stated |= {"enhancement_sha256": enhancement.sha256, **facts}
        model = Model(Answer(rule), stated)  # type: ignore[arg-type]
        return Generation.of(Predictor(model, "cpu", is_mixed=False), overlap=overlap)

    return make
