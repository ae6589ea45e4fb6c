"""The two networks, their optimisers and the average of the generator's weights: all that one training owns."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ipdsf_spark.gan.discriminator import Discriminator, DiscriminatorSettings
from ipdsf_spark.gan.generator import Generator, GeneratorSettings


@dataclass(frozen=True)
class OptimiserSettings:
    """Adam (Kingma & Ba 2015) for both networks; β₁ = .5 as Radford et al. (2016) found for GANs."""

    learning_rate: float = 4e-4
    discriminator_share: float = 0.5  # of the learning rate
    beta_1: float = 0.5
    beta_2: float = 0.999


@dataclass
class Networks:
    """Generator, discriminator, one optimiser for each, and the averaged generator that is used for inference."""

    generator: Generator
    discriminator: Discriminator
    average: Generator
    generator_optimiser: torch.optim.Adam
    discriminator_optimiser: torch.optim.Adam
    optimiser_settings: OptimiserSettings = field(default_factory=OptimiserSettings)
    num_updates: int = 0

    @classmethod
    def new(
        cls,
        generator: GeneratorSettings,
        discriminator: DiscriminatorSettings,
        optimiser: OptimiserSettings,
        *,
        seed: int = 0,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        channels_last: bool = False,
    ) -> Networks:
        """Fresh networks; the same weights for the same seed on every worker and device."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            nets = Generator(generator), Discriminator(discriminator)
        layout = torch.channels_last_3d if channels_last else torch.contiguous_format
        g, d = (net.to(device, dtype).to(memory_format=layout) for net in nets)  # type: ignore[call-overload]
        average = copy.deepcopy(g).requires_grad_(False).eval()
        betas = (optimiser.beta_1, optimiser.beta_2)
        rate = optimiser.learning_rate
        return cls(
            generator=g,
            discriminator=d,
            average=average,
            generator_optimiser=torch.optim.Adam(g.parameters(), lr=rate, betas=betas),
            discriminator_optimiser=torch.optim.Adam(
                d.parameters(), lr=rate * optimiser.discriminator_share, betas=betas
            ),
            optimiser_settings=optimiser,
        )

    @property
    def device(self) -> torch.device:
        """Where the networks live."""
        return next(self.generator.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Of weights and cubes."""
        return next(self.generator.parameters()).dtype

    @property
    def num_parameters(self) -> int:
        """Weights of generator and discriminator together."""
        return sum(p.numel() for net in (self.generator, self.discriminator) for p in net.parameters())

    def set_learning_rate(self, learning_rate: float) -> None:
        """Of the generator; the discriminator's keeps its share."""
        for optimiser, share in (
            (self.generator_optimiser, 1.0),
            (self.discriminator_optimiser, self.optimiser_settings.discriminator_share),
        ):
            for group in optimiser.param_groups:
                group["lr"] = learning_rate * share

    def follow(self, decay: float) -> None:
        """Let the averaged generator follow: θ̄ ← d θ̄ + (1 - d) θ, with d rising to `decay` as training goes on."""
        warmed = min(decay, (1 + self.num_updates) / (10 + self.num_updates))
        with torch.no_grad():
            for slow, fast in zip(self.average.parameters(), self.generator.parameters(), strict=True):
                slow.lerp_(fast, 1.0 - warmed)

    def state(self) -> dict[str, Any]:
        """Everything a resumed training needs to go on bit for bit."""
        return {
            "generator": self.generator.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "average": self.average.state_dict(),
            "generator_optimiser": self.generator_optimiser.state_dict(),
            "discriminator_optimiser": self.discriminator_optimiser.state_dict(),
            "num_updates": self.num_updates,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        for name in ("generator", "discriminator", "average", "generator_optimiser", "discriminator_optimiser"):
            getattr(self, name).load_state_dict(state[name])
        self.num_updates = int(state["num_updates"])

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Every tensor of the state by name, in a fixed order: weights, averages and the optimisers' moments."""
        modules: dict[str, nn.Module] = {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "average": self.average,
        }
        for name, module in modules.items():
            for key, tensor in module.state_dict().items():
                yield f"{name}.{key}", tensor
        for name in ("generator_optimiser", "discriminator_optimiser"):
            optimiser: torch.optim.Adam = getattr(self, name)
            for number, parameter in enumerate(p for group in optimiser.param_groups for p in group["params"]):
                for key, value in sorted(optimiser.state.get(parameter, {}).items()):
                    if isinstance(value, Tensor):
                        yield f"{name}.{number}.{key}", value
