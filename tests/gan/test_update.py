"""One adversarial update: whose weights move, by which gradient, and the law of workers."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from ipdsf_spark.gan.discriminator import DiscriminatorSettings
from ipdsf_spark.gan.generator import GeneratorSettings
from ipdsf_spark.gan.losses import (
    accuracy,
    adversarial_loss,
    discriminator_loss_fake,
    discriminator_loss_real,
    psnr_db,
)
from ipdsf_spark.gan.networks import Networks, OptimiserSettings
from ipdsf_spark.gan.update import UpdateSettings, adversarial_update, both_gradients, l1_update

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
        self._given: list[list[Tensor]] = []
        self._lock = threading.Lock()
        self.names: list[str] = []

    def exchange(self, name: str, gradients: Sequence[Tensor]) -> Callable[[], None]:
        self.names.append(name)
        given = [g.clone() for g in gradients]

        def arrive() -> None:
            with self._lock:
                self._given.append(given)
            self._barrier.wait()
            means = [torch.stack(tensors).mean(dim=0) for tensors in zip(*self._given, strict=True)]
            if self._barrier.wait() == 0:
                self._given = []
            self._barrier.wait()
            for gradient, mean in zip(gradients, means, strict=True):
                gradient.copy_(mean)

        return arrive


def test_k_workers_with_batch_b_are_one_worker_with_batch_k_times_b_for_both_networks() -> None:
    condition, target = pairs(6)
    alone = networks()
    workers = [networks() for _ in range(3)]
    together = Together(3)

    def work(rank: int) -> None:
        for _ in range(3):
            part = slice(rank, None, 3)
            adversarial_update(workers[rank], condition[part], target[part], UpdateSettings(), together.exchange)
        workers[rank].apply_deferred()

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for _ in range(3):
        adversarial_update(alone, condition, target, UpdateSettings())

    exchanged = sorted(together.names)  # per step and worker one of each
    assert exchanged == ["discriminator"] * 9 + ["generator 0"] * 9 + ["generator 1"] * 9
    # Against the way that the weights went: Adam makes a whole step of a gradient that is nothing but rounding.
    begun, expected = dict(networks().tensors()), dict(alone.tensors())
    for worker in workers:
        found = dict(worker.tensors())
        for network in ("generator.", "discriminator.", "average."):
            names = [name for name in begun if name.startswith(network)]
            apart = torch.cat([(found[n] - expected[n]).flatten() for n in names])
            moved = torch.cat([(expected[n] - begun[n]).flatten() for n in names])
            assert apart.norm() < 0.005 * moved.norm(), network


def test_each_network_gets_the_gradient_of_its_own_loss_and_of_no_other() -> None:
    nets = networks()
    condition, target = pairs(2)
    generated = nets.generator(condition)
    real, fake = nets.discriminator(target, condition), nets.discriminator(generated, condition)
    loss_d = discriminator_loss_real(real) + discriminator_loss_fake(fake)
    loss_g = adversarial_loss(fake) + 100 * (generated - target).abs().mean()
    expected: dict[str, Sequence[Tensor]] = {
        "discriminator": torch.autograd.grad(loss_d, list(nets.discriminator.parameters()), retain_graph=True)
    }
    seen: dict[str, list[Tensor]] = {"generator": [], "discriminator": []}

    def remember(name: str, gradients: Sequence[Tensor]) -> Callable[[], None]:
        seen[name.split()[0]] += [g.clone() for g in gradients]
        return lambda: None

    in_order = [p for part in nets.generator.parts_by_arrival() for p in part]
    expected["generator"] = torch.autograd.grad(loss_g, in_order)

    report = adversarial_update(nets, condition, target, UpdateSettings(), remember)

    assert report.loss_g == pytest.approx(loss_g.item(), rel=1e-6)
    assert report.loss_d == pytest.approx(loss_d.item(), rel=1e-6)
    for name, wanted in expected.items():
        for found, gradient in zip(seen[name], wanted, strict=True):
            torch.testing.assert_close(found, gradient, atol=1e-7, rtol=1e-4)


def test_what_arrives_from_the_workers_is_what_the_optimisers_apply() -> None:
    nets = networks()
    before = {name: tensor.clone() for name, tensor in nets.tensors()}

    def nothing(name: str, gradients: Sequence[Tensor]) -> Callable[[], None]:
        return lambda: [g.zero_() for g in gradients] and None

    adversarial_update(nets, *pairs(2), UpdateSettings(), nothing)

    assert all(torch.equal(tensor, before[n]) for n, tensor in nets.tensors() if n in before)


def test_gradients_of_both_networks_travel_until_somebody_asks_for_the_network() -> None:
    nets = networks()
    asked: list[str] = []

    def slow(name: str, gradients: Sequence[Tensor]) -> Callable[[], None]:
        return lambda: asked.append(name)

    adversarial_update(nets, *pairs(2), UpdateSettings(), slow)
    assert (asked, nets.num_updates) == ([], 0)
    weights = nets.generator.state_dict()
    assert (asked, nets.num_updates) == (["generator 0", "generator 1"], 1)
    judge = nets.discriminator.state_dict()

    assert asked == ["generator 0", "generator 1", "discriminator"]
    assert any(not torch.equal(weights[n], w) for n, w in networks().generator.state_dict().items())
    assert any(not torch.equal(judge[n], w) for n, w in networks().discriminator.state_dict().items())


def test_the_next_update_waits_for_the_discriminator_only_after_the_generator_has_looked() -> None:
    nets = networks()
    order: list[str] = []

    def slow(name: str, gradients: Sequence[Tensor]) -> Callable[[], None]:
        return lambda: order.append(name)

    adversarial_update(nets, *pairs(2), UpdateSettings(), slow)
    generator, judge = nets._generator, nets._discriminator
    generator.register_forward_hook(lambda *_: order.append("G looks"))
    judge.register_forward_hook(lambda *_: order.append("D looks"))
    adversarial_update(nets, *pairs(2), UpdateSettings(), slow)

    assert order == ["generator 0", "generator 1", "G looks", "discriminator", "D looks", "D looks"]


def test_the_time_waited_for_both_networks_gradients_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    nets = networks()
    clock = [0.0]

    def second_long(name: str, gradients: Sequence[Tensor]) -> Callable[[], None]:
        return lambda: clock.__setitem__(0, clock[0] + 1.0)

    monkeypatch.setattr("ipdsf_spark.gan.update.time.perf_counter", lambda: clock[0])
    first, second = (adversarial_update(nets, *pairs(2), UpdateSettings(), second_long) for _ in range(2))

    assert (first.exchange_s, second.exchange_s) == (0.0, 3.0)  # two parts of the generator, one discriminator


def test_the_deep_levels_gradients_leave_while_the_first_levels_are_still_computed() -> None:
    nets = networks()
    first = nets.generator.parts_by_arrival()[1]
    order: list[str] = []

    def note(name: str, gradients: Sequence[Tensor]) -> Callable[[], None]:
        order.append(name)
        return lambda: None

    for parameter in first:
        parameter.register_hook(lambda gradient: order.append("first levels"))
    adversarial_update(nets, *pairs(2), UpdateSettings(), note)

    assert order[0] == "generator 0"
    assert order[1:] == ["first levels"] * len(first) + ["generator 1", "discriminator"]


def test_every_parameter_of_the_generator_travels_in_one_of_its_parts() -> None:
    generator = networks().generator
    parts = generator.parts_by_arrival()

    assert sorted(id(p) for part in parts for p in part) == sorted(id(p) for p in generator.parameters())


def test_a_step_on_its_way_is_made_at_the_learning_rate_it_was_begun_with() -> None:
    nets, patient = networks(), networks()
    for rate in (1e-3, 0.0):
        nets.learning_rate = patient.learning_rate = rate
        adversarial_update(nets, *pairs(2), UpdateSettings())
        adversarial_update(patient, *pairs(2), UpdateSettings())
        patient.apply_deferred()

    assert all(torch.equal(a, b) for (_, a), (_, b) in zip(nets.tensors(), patient.tensors(), strict=True))


def test_a_restored_state_discards_the_step_that_was_on_its_way() -> None:
    nets = networks()
    state = copy.deepcopy(nets.state())
    adversarial_update(nets, *pairs(2), UpdateSettings())

    nets.load_state(state)

    assert nets.state()["num_updates"] == 0
    assert all(torch.equal(w, state["generator"][n]) for n, w in nets.generator.state_dict().items())


def test_training_brings_the_generated_cubes_nearer_to_the_clean_ones() -> None:
    nets = networks(learning_rate=3e-3)
    reports = [adversarial_update(nets, *pairs(2, seed=k % 4), UpdateSettings()) for k in range(60)]

    assert reports[-1].psnr_db > reports[0].psnr_db + 1


def test_least_squares_losses_are_those_of_the_literature() -> None:
    real, fake = torch.tensor([1.0, 0.5]), torch.tensor([0.0, 0.2])

    # Mao et al. 2017, eq. 9
    assert discriminator_loss_real(real).item() == pytest.approx(0.5 * 0.125)
    assert discriminator_loss_fake(fake).item() == pytest.approx(0.5 * 0.02)
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


@pytest.mark.parametrize("share", [0.5, 0.2])
def test_the_discriminator_steps_at_its_share_of_the_learning_rate(share: float) -> None:
    """The first step of Adam moves a weight by the learning rate, whatever its gradient (Kingma & Ba 2015, §2.1)."""
    nets = Networks.new(
        GeneratorSettings(width=4, halvings=2), DiscriminatorSettings(width=4, halvings=2),
        OptimiserSettings(learning_rate=1e-3, discriminator_share=share),
    )  # fmt: skip
    before = {name: t.clone() for name, t in nets.tensors()}
    adversarial_update(nets, *pairs(2), UpdateSettings())
    moved = {name: float((t - before[name]).abs().max()) for name, t in nets.tensors() if name in before}

    assert max(v for n, v in moved.items() if n.startswith("generator.")) == pytest.approx(1e-3, rel=1e-3)
    assert max(v for n, v in moved.items() if n.startswith("discriminator.")) == pytest.approx(share * 1e-3, rel=1e-3)


def test_without_an_adversary_only_the_generator_learns_and_only_from_the_l1_term() -> None:
    nets, twin = networks(), networks()
    condition, target = pairs(2)
    before = [p.clone() for p in nets.discriminator.parameters()]
    report = l1_update(nets, condition, target, UpdateSettings(l1_weight=100.0))

    loss = 100.0 * (twin.generator(condition) - target).abs().mean()
    optimiser = torch.optim.Adam(twin.generator.parameters(), lr=1e-3, betas=(0.5, 0.999))
    loss.backward()
    optimiser.step()
    assert report.loss_g == pytest.approx(loss.item(), rel=1e-5)
    assert (report.loss_adversarial, report.loss_d) == (0.0, 0.0)
    for found, expected in zip(nets.generator.parameters(), twin.generator.parameters(), strict=True):
        torch.testing.assert_close(found, expected, atol=2e-5, rtol=0)
    assert all(torch.equal(p, q) for p, q in zip(before, nets.discriminator.parameters(), strict=True))


def test_what_a_graph_captures_is_the_same_update() -> None:
    condition, target = pairs(3)
    settings, nets, twin = UpdateSettings(), networks(), networks()
    for _ in range(3):
        report = adversarial_update(nets, condition, target, settings)
        made = both_gradients(twin, condition, target, settings)
        twin.step_generator_later(made.generator, twin.learning_rate, settings.ema_decay, lambda: None)
        twin.step_discriminator_later(made.discriminator, twin.learning_rate, lambda: None)
        said = [
            report.loss_g,
            report.loss_l1,
            report.loss_adversarial,
            report.loss_d,
            report.accuracy_d,
            report.psnr_db,
        ]
        assert made.numbers.tolist() == pytest.approx(said, rel=1e-5)

    expected = dict(nets.tensors())
    for name, tensor in twin.tensors():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-4, atol=1e-6)
