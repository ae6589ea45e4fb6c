"""Training on images whose edges are known, weighted for class balance (Xie and Tu 2015, arXiv:1504.06375)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from ipdsf_spark.deep_edges.network import EdgeNetwork
from ipdsf_spark.errors import IpdsfError

Float32 = NDArray[np.float32]
POSITIVE_WEIGHT: Final = 8.0  # of an edge beside the many places without one


class Image(NamedTuple):
    """features (C, T, K), targets and weights (2, T, K - 1)."""

    features: Float32
    targets: Float32
    weights: Float32


@dataclass(frozen=True)
class TrainingSettings:
    """How to train.

    Attributes:
        num_steps: updates at most.
        seconds: processor time at most; training stops with what it has.
        batch: crops per update.
        num_columns, num_heights: of a crop.
        learning_rate: highest; it rises for a tenth of the steps and falls to nothing at the last one.
        seed: decides crops and first weights.
    """

    num_steps: int = 900
    seconds: float = 420.0
    batch: int = 8
    num_columns: int = 32
    num_heights: int = 128
    learning_rate: float = 4e-3
    seed: int = 0


def train(
    images: Sequence[Image],
    settings: TrainingSettings,
    tell: Callable[[int, float], None] | None = None,
) -> EdgeNetwork:
    """A network trained on crops of these images.

    Args:
        images: at least one.
        settings: how.
        tell: is told step and loss.

    Raises:
        IpdsfError: there is no image, or the loss is no number any more.
    """
    if not images:
        raise IpdsfError("no image to learn edges from")
    torch.manual_seed(settings.seed)
    rng = np.random.default_rng(settings.seed)
    network = EdgeNetwork(images[0].features.shape[0])
    optimiser = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=1e-4)
    start = time.process_time()
    for step in range(settings.num_steps):
        if time.process_time() - start > settings.seconds:
            break
        rate = (
            settings.learning_rate
            * min((step + 1) / (0.1 * settings.num_steps), 1.0)
            * (1.0 - step / settings.num_steps)
        )
        for group in optimiser.param_groups:
            group["lr"] = rate
        features, targets, weights = (torch.from_numpy(part) for part in _crops(images, settings, rng))
        losses = F.binary_cross_entropy_with_logits(
            network(features), targets, weight=weights * (1.0 + (POSITIVE_WEIGHT - 1.0) * targets), reduction="sum"
        )
        loss = losses / weights.sum().clamp_min(1.0)
        if not torch.isfinite(loss):
            raise IpdsfError(f"the loss is {loss.item()} after {step} steps; a smaller learning rate may help")
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        if tell is not None:
            tell(step, loss.item())
    return network.eval()


def _crops(images: Sequence[Image], settings: TrainingSettings, rng: np.random.Generator) -> list[Float32]:
    """Features, targets and weights of a batch of crops."""
    parts = []
    for _ in range(settings.batch):
        image = images[int(rng.integers(len(images)))]
        _, num_columns, num_heights = image.features.shape
        first = int(rng.integers(max(num_columns - settings.num_columns, 0) + 1))
        low = int(rng.integers(max(num_heights - settings.num_heights, 0) + 1)) if rng.random() < 0.3 else 0
        columns = slice(first, first + settings.num_columns)
        heights, edges = slice(low, low + settings.num_heights), slice(low, low + settings.num_heights - 1)
        parts.append(
            (image.features[:, columns, heights], image.targets[:, columns, edges], image.weights[:, columns, edges])
        )
    return [np.ascontiguousarray(np.stack(part)) for part in zip(*parts, strict=True)]
