"""One adversarial update: the discriminator learns from a batch, then the generator from the discriminator.

Shapes: condition and target (B, 1, S, S, S), enhanced levels in [-1, 1].
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ipdsf_spark.gan.losses import L1_WEIGHT, accuracy, adversarial_loss, discriminator_loss, psnr_db
from ipdsf_spark.gan.networks import Networks

Average = Callable[[str, Sequence[Tensor]], None]
"""Replaces gradients, in place, by their mean over all workers; the name tells one network's from the other's."""


@dataclass(frozen=True)
class UpdateSettings:
    """How an update is made.

    Attributes:
        l1_weight: λ of the L1 term.
        ema_decay: of the generator's averaged weights.
        is_mixed: bfloat16 where it is safe (autocast); weights, losses and optimisers stay float32.
    """

    l1_weight: float = L1_WEIGHT
    ema_decay: float = 0.999
    is_mixed: bool = False


@dataclass(frozen=True)
class UpdateReport:
    """What one update did: losses of this worker's batch, and seconds in the exchange with others."""

    loss_g: float
    loss_l1: float
    loss_adversarial: float
    loss_d: float
    accuracy_d: float
    psnr_db: float
    exchange_s: float


def alone(name: str, gradients: Sequence[Tensor]) -> None:
    """The average of one worker."""


def adversarial_update(
    nets: Networks, condition: Tensor, target: Tensor, settings: UpdateSettings, average: Average = alone
) -> UpdateReport:
    """Update both networks, and the generator's averaged weights, in place.

    The generator runs once: its cubes teach the discriminator first and are then judged by the updated one, whose own
    weights take no gradient from that. Gradients are averaged between backward and step, one network at a time, so
    two optimisers share one exchange without hooks.
    """
    g, d = nets.generator, nets.discriminator
    with _autocast(nets, settings):
        generated = g(condition)
    generated = generated.to(target.dtype)

    nets.discriminator_optimiser.zero_grad(set_to_none=True)
    with _autocast(nets, settings):
        scores = d(torch.cat([target, generated.detach()]), torch.cat([condition, condition]))
    scores_real, scores_fake = scores.to(target.dtype).chunk(2)
    loss_d = discriminator_loss(scores_real, scores_fake)
    loss_d.backward()  # type: ignore[no-untyped-call]
    exchange_s = _exchange("discriminator", d, average)
    nets.discriminator_optimiser.step()

    nets.generator_optimiser.zero_grad(set_to_none=True)
    d.requires_grad_(False)
    with _autocast(nets, settings):
        scores_again = d(generated, condition)
    d.requires_grad_(True)
    adversarial = adversarial_loss(scores_again.to(target.dtype))
    l1 = (generated - target).abs().mean()
    loss_g = adversarial + settings.l1_weight * l1
    loss_g.backward()
    exchange_s += _exchange("generator", g, average)
    nets.generator_optimiser.step()
    nets.num_updates += 1
    nets.follow(settings.ema_decay)

    with torch.no_grad():
        total, l1_mean, fooled, judged, share, psnr = torch.stack(
            [
                loss_g.detach(),
                l1.detach(),
                adversarial.detach(),
                loss_d.detach(),
                accuracy(scores_real, scores_fake),
                psnr_db(generated.detach(), target),
            ]
        ).tolist()  # one wait for the device, not six
    return UpdateReport(total, l1_mean, fooled, judged, share, psnr, exchange_s)


def _exchange(name: str, network: torch.nn.Module, average: Average) -> float:
    if average is alone:
        return 0.0
    started = time.perf_counter()
    average(name, [p.grad for p in network.parameters() if p.grad is not None])
    return time.perf_counter() - started


def _autocast(nets: Networks, settings: UpdateSettings) -> AbstractContextManager[Any]:
    if not settings.is_mixed:
        return contextlib.nullcontext()
    return torch.autocast(nets.device.type, dtype=torch.bfloat16)
