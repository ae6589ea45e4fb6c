"""One adversarial update: whose weights move, by which gradient, and the law of workers."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from ipdsf_spark.gan.discriminator import DiscriminatorSettings
from ipdsf_spark.gan.generator import GeneratorSettings
from ipdsf_spark.gan.losses import accuracy, adversarial_loss, discriminator_loss, psnr_db
from ipdsf_spark.gan.networks import Networks, OptimiserSettings
from ipdsf_spark.gan.update import UpdateSettings, adversarial_update

pytestmark = pytest.mark.training


def networks(seed: int = 0, learning_rate: float = 1e-3) -> Networks:
    return Networks.new(
        GeneratorSettings(width=4, halvings=2),
        DiscriminatorSettings(width=4, halvings=2),
        OptimiserSettings(learning_rate=learning_rate),
        seed=seed,
    )


def pairs(batch: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    coarse = torch.rand(batch, 1, 4, 4, 4, generator=random) * 2 - 1
    target = torch.nn.functional.interpolate(coarse, scale_factor=4.0, mode="trilinear")
    return (target + 0.1 * torch.randn(target.shape, generator=random)).clamp(-1, 1), target


class Together:
    """The mean over threads that each train the same networks: a collective without any engine."""

    def __init__(self, size: int) -> None:
        self._barrier = threading.Barrier(size)
        self._given: list[Sequence[Tensor]] = []
        self._lock = threading.Lock()
        self.names: list[str] = []

    def average(self, name: str, gradients: Sequence[Tensor]) -> None:
        with self._lock:
            self._given.append(gradients)
            self.names.append(name)
        if self._barrier.wait() == 0:
            for tensors in zip(*self._given, strict=True):
                mean = torch.stack(list(tensors)).mean(dim=0)
                for tensor in tensors:
                    tensor.copy_(mean)
            self._given = []
        self._barrier.wait()


def test_k_workers_with_batch_b_are_one_worker_with_batch_k_times_b_for_both_networks() -> None:
    condition, target = pairs(6)
    alone = networks()
    workers = [networks() for _ in range(3)]
    together = Together(3)

    def work(rank: int) -> None:
        for _ in range(3):
            part = slice(rank, None, 3)
            adversarial_update(workers[rank], condition[part], target[part], UpdateSettings(), together.average)

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for _ in range(3):
        adversarial_update(alone, condition, target, UpdateSettings())

    assert set(together.names) == {"generator", "discriminator"}
    # Against the way that the weights went: Adam makes a whole step of a gradient that is nothing but rounding.
    begun, expected = dict(networks().tensors()), dict(alone.tensors())
    for worker in workers:
        found = dict(worker.tensors())
        for network in ("generator.", "discriminator.", "average."):
            names = [name for name in begun if name.startswith(network)]
            apart = torch.cat([(found[n] - expected[n]).flatten() for n in names])
            moved = torch.cat([(expected[n] - begun[n]).flatten() for n in names])
            assert apart.norm() < 0.005 * moved.norm(), network


def test_the_generators_step_leaves_no_gradient_in_the_discriminator() -> None:
    nets, seen = networks(), {}

    def remember(name: str, gradients: Sequence[Tensor]) -> None:
        seen[name] = [g.clone() for g in gradients]

    adversarial_update(nets, *pairs(2), UpdateSettings(), remember)

    left = [p.grad for p in nets.discriminator.parameters() if p.grad is not None]
    assert all(torch.equal(a, b) for a, b in zip(left, seen["discriminator"], strict=True))
    assert all(p.requires_grad for p in nets.discriminator.parameters())


def test_the_discriminators_step_moves_no_weight_of_the_generator() -> None:
    nets = networks()
    before = [p.detach().clone() for p in nets.generator.parameters()]

    def stop(name: str, gradients: Sequence[Tensor]) -> None:
        if name == "generator":
            for gradient in gradients:
                gradient.zero_()

    adversarial_update(nets, *pairs(2), UpdateSettings(), stop)

    assert all(torch.equal(a, b) for a, b in zip(before, nets.generator.parameters(), strict=True))


def test_training_brings_the_generated_cubes_nearer_to_the_clean_ones() -> None:
    nets = networks(learning_rate=3e-3)
    reports = [adversarial_update(nets, *pairs(2, seed=k % 4), UpdateSettings()) for k in range(60)]

    assert reports[-1].psnr_db > reports[0].psnr_db + 1


def test_least_squares_losses_are_those_of_the_literature() -> None:
    real, fake = torch.tensor([1.0, 0.5]), torch.tensor([0.0, 0.2])

    assert discriminator_loss(real, fake).item() == pytest.approx(0.5 * 0.125 + 0.5 * 0.02)  # Mao et al. 2017, eq. 9
    assert adversarial_loss(fake).item() == pytest.approx((1 + 0.64) / 2)
    assert accuracy(real, fake).item() == pytest.approx(0.75)


def test_psnr_uses_the_stated_range_of_two_and_clips_what_is_generated() -> None:
    target = torch.ones(1, 1, 4, 4, 4)

    assert psnr_db(target - 0.2, target).item() == pytest.approx(20.0, abs=1e-4)
    assert psnr_db(target + 5, target).item() > 100


def test_bfloat16_stays_near_float32_and_keeps_weights_in_float32() -> None:
    exact, mixed = networks(), networks()
    first = adversarial_update(exact, *pairs(4), UpdateSettings())
    second = adversarial_update(mixed, *pairs(4), UpdateSettings(is_mixed=True))

    assert second.loss_d == pytest.approx(first.loss_d, rel=0.02)
    assert {p.dtype for p in mixed.generator.parameters()} == {torch.float32}
