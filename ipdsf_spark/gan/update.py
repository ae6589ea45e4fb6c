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
from torch.nn import Parameter

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
        is_adversarial: with a discriminator; without one the generator learns from the L1 term alone.
    """

    l1_weight: float = L1_WEIGHT
    ema_decay: float = 0.999
    is_mixed: bool = False
    is_adversarial: bool = True


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
    for each other's gradients while they compute: the generator's travel while the discriminator learns, the
    discriminator's during the next update's look through the generator.

         this update                                                                next update
        ── G forward │ D fake │ G backward, deep │ and first levels │ D fake and real ─┐ G forward │ D fake …
                                                 ├─ deep levels' gradients ────────────┼─► step G
                                                 │                  └─ first levels' ──┤
                                                                                       └─ D's ─────► step D
    """
    learning_rate, waited_s = nets.learning_rate, _timed(nets.generator_step.wait)
    g = nets.generator
    with _autocast(nets, settings):
        generated = g(condition).to(target.dtype)
    waited_s += _timed(nets.discriminator_step.wait)
    d = nets.discriminator
    with _autocast(nets, settings):
        scores_fake = d(generated, condition).to(target.dtype)
    adversarial = adversarial_loss(scores_fake)
    l1 = (generated - target).abs().mean()
    loss_g = adversarial + settings.l1_weight * l1
    gradients_g, await_g = _exchanged_as_they_come("generator", loss_g, g.parts_by_arrival(), exchange)
    in_order = [gradients_g[parameter] for parameter in g.parameters()]
    nets.step_generator_later(in_order, learning_rate, settings.ema_decay, await_g)

    gradients_d, loss_d, share_right = _judged(nets, scores_fake, condition, target, settings)
    nets.step_discriminator_later(gradients_d, learning_rate, exchange("discriminator", gradients_d))

    numbers = _numbers(loss_g, l1, adversarial, loss_d, share_right, psnr_db(generated.detach(), target))
    total, l1_mean, fooled, judged, share, psnr = numbers.tolist()  # one wait for the device, not six
    return UpdateReport(total, l1_mean, fooled, judged, share, psnr, waited_s)


@dataclass(frozen=True)
class Gradients:
    """Of both networks, in the order of their parameters, and the six numbers of a report, on the device."""

    generator: list[Tensor]
    discriminator: list[Tensor]
    numbers: Tensor


def both_gradients(nets: Networks, condition: Tensor, target: Tensor, settings: UpdateSettings) -> Gradients:
    """What `adversarial_update` steps by, computed at a stretch: nothing travels, nothing waits for the device."""
    g, d = nets.generator, nets.discriminator
    with _autocast(nets, settings):
        generated = g(condition).to(target.dtype)
    with _autocast(nets, settings):
        scores_fake = d(generated, condition).to(target.dtype)
    adversarial = adversarial_loss(scores_fake)
    l1 = (generated - target).abs().mean()
    loss_g = adversarial + settings.l1_weight * l1
    gradients_g = torch.autograd.grad(loss_g, list(g.parameters()), retain_graph=True)
    gradients_d, loss_d, share_right = _judged(nets, scores_fake, condition, target, settings)
    numbers = _numbers(loss_g, l1, adversarial, loss_d, share_right, psnr_db(generated.detach(), target))
    return Gradients(list(gradients_g), list(gradients_d), numbers)


def _judged(
    nets: Networks, scores_fake: Tensor, condition: Tensor, target: Tensor, settings: UpdateSettings
) -> tuple[Sequence[Tensor], Tensor, Tensor]:
    """Gradients of the discriminator, its loss, and the share that it judges right."""
    d = nets.discriminator
    own_d = list(d.parameters())
    loss_fake = discriminator_loss_fake(scores_fake)
    gradients_d = torch.autograd.grad(loss_fake, own_d)
    with _autocast(nets, settings):
        scores_real = d(target, condition).to(target.dtype)
    loss_real = discriminator_loss_real(scores_real)
    torch._foreach_add_(gradients_d, torch.autograd.grad(loss_real, own_d))
    with torch.no_grad():
        share = accuracy(scores_real, scores_fake).to(target.dtype)
    return gradients_d, (loss_real + loss_fake).detach(), share


def _numbers(*numbers: Tensor) -> Tensor:
    """One tensor of all, still on the device."""
    return torch.stack([number.detach() for number in numbers])


def l1_update(
    nets: Networks, condition: Tensor, target: Tensor, settings: UpdateSettings, exchange: Exchange = alone
) -> UpdateReport:
    """Update the generator by the L1 term alone: what the adversary is measured against.

    The discriminator neither works nor learns; its losses are reported as 0.
    """
    learning_rate, waited_s = nets.learning_rate, _timed(nets.generator_step.wait)
    g = nets.generator
    with _autocast(nets, settings):
        generated = g(condition).to(target.dtype)
    l1 = (generated - target).abs().mean()
    loss = settings.l1_weight * l1
    gradients, await_all = _exchanged_as_they_come("generator", loss, g.parts_by_arrival(), exchange)
    in_order = [gradients[parameter] for parameter in g.parameters()]
    nets.step_generator_later(in_order, learning_rate, settings.ema_decay, await_all)
    with torch.no_grad():
        total, l1_mean, psnr = torch.stack([loss.detach(), l1.detach(), psnr_db(generated.detach(), target)]).tolist()
    return UpdateReport(total, l1_mean, 0.0, 0.0, 0.0, psnr, waited_s)


def _exchanged_as_they_come(
    name: str, loss: Tensor, parts: Sequence[Sequence[Parameter]], exchange: Exchange
) -> tuple[dict[Parameter, Tensor], Wait]:
    """Gradients of a loss, and the wait for all of them; the exchange of a part begins when its last one is known.

    The graph is kept: the other network's backward pass goes through it too.
    """
    gradients: dict[Parameter, Tensor] = {}
    waits: list[Wait] = []

    def noted(part: Sequence[Parameter], number: int) -> Callable[[Parameter], None]:
        missing = set(part)

        def note(parameter: Parameter) -> None:
            assert parameter.grad is not None
            gradients[parameter], parameter.grad = parameter.grad, None
            missing.discard(parameter)
            if not missing:
                waits.append(exchange(f"{name} {number}", [gradients[p] for p in part]))

        return note

    hooks = []
    for number, part in enumerate(parts):
        note = noted(part, number)
        for parameter in part:
            hooks.append(parameter.register_post_accumulate_grad_hook(note))  # type: ignore[no-untyped-call]
    try:
        everything = [parameter for part in parts for parameter in part]
        torch.autograd.backward(loss, inputs=everything, retain_graph=True)
    finally:
        for hook in hooks:
            hook.remove()

    def wait_for_all() -> None:
        for wait in waits:
            wait()

    return gradients, wait_for_all


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
