"""One adversarial update: discriminator and generator learn from the same batch.

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

from ipdsf_spark.gan.losses import (
    L1_WEIGHT,
    accuracy,
    adversarial_loss,
    discriminator_loss_fake,
    discriminator_loss_real,
    psnr_db,
)
from ipdsf_spark.gan.networks import Networks

Wait = Callable[[], None]
Exchange = Callable[[str, Sequence[Tensor]], Wait]
"""Begins to replace gradients, in place, by their mean over all workers; what it returns waits for the end."""


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
    """What one update did: losses of this worker's batch, and seconds it waited for others' gradients."""

    loss_g: float
    loss_l1: float
    loss_adversarial: float
    loss_d: float
    accuracy_d: float
    psnr_db: float
    exchange_s: float


def alone(name: str, gradients: Sequence[Tensor]) -> Wait:
    """The exchange of one worker."""
    return _nothing_to_wait_for


def adversarial_update(
    nets: Networks, condition: Tensor, target: Tensor, settings: UpdateSettings, exchange: Exchange = alone
) -> UpdateReport:
    """Update both networks, and the generator's averaged weights, in place.

    Both learn at once from the same generated cubes (simultaneous gradient descent, Mescheder et al. 2018): each gets
    the gradient of its own loss and of no other. So the order of work is free, and is chosen such that workers wait
    for each other's gradients while they compute: the discriminator's travel during the generator's backward pass, the
    generator's during the next update's look at the real cubes.

         last update        this update
        ── G backward ──┐ D real │ G forward, D fake │ D backward ──┐ G backward ─────┐ D real of the next …
                        └─ G's ─►  step G                           └─ D's ─► step D  └─ G's ─► step G
    """
    d, learning_rate = nets.discriminator, nets.learning_rate
    own_d = list(d.parameters())
    with _autocast(nets, settings):
        scores_real = d(target, condition).to(target.dtype)
    loss_real = discriminator_loss_real(scores_real)
    gradients_real = torch.autograd.grad(loss_real, own_d)

    waited_s = _timed(nets.receive)
    g = nets.generator
    with _autocast(nets, settings):
        generated = g(condition).to(target.dtype)
        scores_fake = d(generated, condition).to(target.dtype)
    loss_fake = discriminator_loss_fake(scores_fake)
    gradients_d = torch.autograd.grad(loss_fake, own_d, retain_graph=True)
    torch._foreach_add_(gradients_d, gradients_real)
    d_arrives = exchange("discriminator", gradients_d)

    adversarial = adversarial_loss(scores_fake)
    l1 = (generated - target).abs().mean()
    loss_g = adversarial + settings.l1_weight * l1
    gradients_g = torch.autograd.grad(loss_g, list(g.parameters()))
    g_arrives = exchange("generator", gradients_g)

    waited_s += _timed(d_arrives)
    nets.step_discriminator(gradients_d, learning_rate)
    nets.step_generator_later(gradients_g, learning_rate, settings.ema_decay, g_arrives)

    with torch.no_grad():
        total, l1_mean, fooled, judged, share, psnr = torch.stack(
            [
                loss_g.detach(),
                l1.detach(),
                adversarial.detach(),
                (loss_real + loss_fake).detach(),
                accuracy(scores_real, scores_fake).to(target.dtype),
                psnr_db(generated.detach(), target),
            ]
        ).tolist()  # one wait for the device, not six
    return UpdateReport(total, l1_mean, fooled, judged, share, psnr, waited_s)


def _nothing_to_wait_for() -> None:
    pass


def _timed(wait: Wait) -> float:
    started = time.perf_counter()
    wait()
    return time.perf_counter() - started


def _autocast(nets: Networks, settings: UpdateSettings) -> AbstractContextManager[Any]:
    if not settings.is_mixed:
        return contextlib.nullcontext()
    return torch.autocast(nets.device.type, dtype=torch.bfloat16)
