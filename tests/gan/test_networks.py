"""Generator and discriminator as networks: shapes, independence of the cubes of a batch, what they refuse."""

from __future__ import annotations

import itertools

import pytest
import torch

from ipdsf_spark.errors import InputError
from ipdsf_spark.gan.discriminator import Discriminator, DiscriminatorSettings
from ipdsf_spark.gan.generator import Generator, GeneratorSettings
from ipdsf_spark.gan.networks import Networks, OptimiserSettings

pytestmark = pytest.mark.training


def cubes(batch: int = 2, size: int = 16, *, seed: int = 0) -> torch.Tensor:
    return torch.rand(batch, 1, size, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.mark.parametrize(("size", "halvings"), [(16, 2), (32, 3), (64, 4)])
def test_the_generator_gives_a_cube_for_a_cube_and_the_discriminator_a_score_for_each_patch(
    size: int, halvings: int
) -> None:
    generator = Generator(GeneratorSettings(width=4, halvings=halvings))
    discriminator = Discriminator(DiscriminatorSettings(width=4, halvings=halvings))
    condition = cubes(1, size)

    generated = generator(condition)

    patches = size // 2**halvings
    assert generated.shape == condition.shape
    assert discriminator(generated, condition).shape == (1, 1, patches, patches, patches)


def test_a_residual_generator_begins_as_the_identity() -> None:
    condition = cubes()

    assert torch.equal(Generator(GeneratorSettings(width=4, halvings=2))(condition), condition)


@pytest.mark.parametrize("norm", ["group", "instance", "none"])
def test_a_cube_comes_out_the_same_whatever_else_is_in_the_batch(norm: str) -> None:
    generator = Generator(GeneratorSettings(width=8, halvings=2, norm=norm, is_residual=False))  # type: ignore[arg-type]
    discriminator = Discriminator(DiscriminatorSettings(width=8, halvings=2, norm=norm))  # type: ignore[arg-type]
    both, other = cubes(2), cubes(2, seed=1)
    mixed = torch.cat([both[:1], other[:1]])

    torch.testing.assert_close(generator(both)[0], generator(mixed)[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(discriminator(both, both)[0], discriminator(mixed, mixed)[0], atol=1e-5, rtol=1e-5)


def test_the_absolute_grey_level_of_a_uniform_cube_passes_the_generator() -> None:
    # Normalisation at full size would take it away: every uniform cube would come out the same.
    generator = Generator(GeneratorSettings(width=8, halvings=2, is_residual=False))
    dark, bright = (generator(torch.full((1, 1, 16, 16, 16), level)) for level in (-0.5, 0.5))

    assert (dark - bright).abs().mean() > 1e-3


def test_gradient_checkpointing_changes_memory_and_nothing_else() -> None:
    kept = Generator(GeneratorSettings(width=4, halvings=2, is_residual=False))
    recomputing = Generator(GeneratorSettings(width=4, halvings=2, is_residual=False, recomputes=True))
    recomputing.load_state_dict(kept.state_dict())
    condition = cubes()

    for generator in (kept, recomputing):
        generator(condition).square().mean().backward()

    for a, b in zip(kept.parameters(), recomputing.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)


def test_the_same_seed_gives_the_same_weights_and_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)

    nets = [Networks.new(GeneratorSettings(4, 2), DiscriminatorSettings(4, 2), OptimiserSettings(), seed=s)
            for s in (1, 1, 2)]  # fmt: skip

    assert torch.equal(torch.rand(3), expected)
    first, same, other = (dict(n.tensors()) for n in nets)
    assert all(torch.equal(first[k], same[k]) for k in first)
    assert any(not torch.equal(first[k], other[k]) for k in first)


def test_the_average_follows_the_generator_quickly_at_first_and_slowly_later() -> None:
    nets = Networks.new(GeneratorSettings(4, 2), DiscriminatorSettings(4, 2), OptimiserSettings())
    weight, slow = next(nets.generator.parameters()), next(nets.average.parameters())
    with torch.no_grad():
        weight.fill_(1.0)
        slow.fill_(0.0)

    followed = []
    no_gradient = [torch.zeros_like(p) for p in nets.generator.parameters()]
    for nets.num_updates in (0, 8, 10**6):
        before = slow.flatten()[0].item()
        nets.step_generator_later(no_gradient, 1e-3, 0.999, lambda: None)
        nets.apply_deferred()
        followed.append((slow.flatten()[0].item() - before) / (1.0 - before))

    assert followed == pytest.approx([1 - 2 / 11, 1 - 10 / 19, 0.001], rel=1e-3)


@pytest.mark.parametrize("shape", [(1, 2, 16, 16, 16), (1, 16, 16, 16), (1, 1, 16, 18, 16)])
def test_cubes_that_cannot_be_halved_often_enough_are_refused_by_name(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="multiple of 4"):
        Generator(GeneratorSettings(width=4, halvings=2))(torch.zeros(shape))


CASES = list(
    itertools.product([GeneratorSettings, DiscriminatorSettings], [{"width": 0}, {"halvings": 0}, {"norm": "batch"}])
)


@pytest.mark.parametrize(("build", "wrong"), CASES)
def test_shapes_that_do_not_exist_are_refused(build: type, wrong: dict[str, object]) -> None:
    with pytest.raises(InputError, match="no such"):
        build(**wrong)
