"""The two networks, their optimisers and the average of the generator's weights: all that one training owns."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ipdsf_spark.gan.autoencoder import AnyGenerator, new_generator
from ipdsf_spark.gan.discriminator import Discriminator, DiscriminatorSettings
from ipdsf_spark.gan.generator import GeneratorSettings


@dataclass(frozen=True)
class OptimiserSettings:
    """Adam (Kingma & Ba 2015) for both networks; β₁ = .5 as Radford et al. (2016) found for GANs."""

    learning_rate: float = 4e-4
    discriminator_share: float = 0.5  # of the learning rate
    beta_1: float = 0.5
    beta_2: float = 0.999


class DeferredStep:
    """A step that is made when somebody needs its result: until then its gradients travel between workers."""

    def __init__(self) -> None:
        self._await_gradients: Callable[[], None] | None = None
        self._step: Callable[[], None] | None = None

    def begin(self, await_gradients: Callable[[], None], step: Callable[[], None]) -> None:
        """The next step; the one before it is made.

        Args:
            await_gradients: returns when they are there.
            step: makes it then.
        """
        self.apply()
        self._await_gradients, self._step = await_gradients, step

    def wait(self) -> None:
        """Wait for the gradients."""
        if self._await_gradients is not None:
            await_gradients, self._await_gradients = self._await_gradients, None
            await_gradients()

    def apply(self) -> None:
        """Make the step."""
        self.wait()
        if self._step is not None:
            step, self._step = self._step, None
            step()

    def discard(self) -> None:
        """Do not make it."""
        self._await_gradients = self._step = None


class Networks:
    """Generator, discriminator, one optimiser for each, and the averaged generator that is used for inference.

    The last step of each may still be on its way, while its gradients travel between workers. Whoever asks for a
    network, the average or the state gets them after that step.
    """

    def __init__(self, generator: AnyGenerator, discriminator: Discriminator, optimiser: OptimiserSettings) -> None:
        betas, rate = (optimiser.beta_1, optimiser.beta_2), optimiser.learning_rate
        self._generator = generator
        self._average = copy.deepcopy(generator).requires_grad_(False).eval()
        # Fused: all parameters in one pass, three times as fast.
        self._generator_optimiser = torch.optim.Adam(generator.parameters(), lr=rate, betas=betas, fused=True)
        self._discriminator_share = optimiser.discriminator_share
        self._discriminator = discriminator
        self._discriminator_optimiser = torch.optim.Adam(
            discriminator.parameters(), lr=rate * optimiser.discriminator_share, betas=betas, fused=True
        )
        self.learning_rate = rate
        self.num_updates = 0
        self.kept: dict[str, Tensor] | None = None  # weights of the best average so far
        self.generator_step, self.discriminator_step = DeferredStep(), DeferredStep()

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
        compiles: bool = False,
    ) -> Networks:
        """Fresh networks; the same weights for the same seed on every worker and device.

        With `compiles` both learning networks run through `torch.compile`; the average does not.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            nets = new_generator(generator), Discriminator(discriminator)
        layout = torch.channels_last_3d if channels_last else torch.contiguous_format
        g, d = (net.to(device, dtype).to(memory_format=layout) for net in nets)  # type: ignore[call-overload]
        made = cls(g, d, optimiser)
        if compiles:
            # Both networks' losses go back through the discriminator's one pass, so it must keep what it saved.
            torch._functorch.config.donated_buffer = False
            g.compile()
            d.compile()
        return made

    @property
    def generator(self) -> AnyGenerator:
        """With all its steps made."""
        self.generator_step.apply()
        return self._generator

    @property
    def average(self) -> AnyGenerator:
        """The averaged generator, with all its steps made."""
        self.generator_step.apply()
        return self._average

    @property
    def generator_optimiser(self) -> torch.optim.Adam:
        """With all its steps made."""
        self.generator_step.apply()
        return self._generator_optimiser

    @property
    def discriminator(self) -> Discriminator:
        """With all its steps made."""
        self.discriminator_step.apply()
        return self._discriminator

    @property
    def discriminator_optimiser(self) -> torch.optim.Adam:
        """With all its steps made."""
        self.discriminator_step.apply()
        return self._discriminator_optimiser

    @property
    def device(self) -> torch.device:
        """Where the networks live."""
        return next(self._discriminator.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Of weights and cubes."""
        return next(self._discriminator.parameters()).dtype

    def step_discriminator_later(
        self, gradients: Sequence[Tensor], learning_rate: float, await_gradients: Callable[[], None]
    ) -> None:
        """One step of its optimiser, at its share of the learning rate, when somebody asks for it.

        Args:
            gradients: one per parameter; complete when `await_gradients` has returned.
            learning_rate: of this step, before the discriminator's share.
            await_gradients: returns when they are there.
        """
        rate = learning_rate * self._discriminator_share
        self.discriminator_step.begin(await_gradients, lambda: _step(self._discriminator_optimiser, gradients, rate))

    def step_generator_later(
        self, gradients: Sequence[Tensor], learning_rate: float, ema_decay: float, await_gradients: Callable[[], None]
    ) -> None:
        """One step of its optimiser and of the average, when somebody asks for either.

        Args:
            gradients: one per parameter; complete when `await_gradients` has returned.
            learning_rate: of this step.
            ema_decay: of the averaged weights.
            await_gradients: returns when they are there.
        """

        def step() -> None:
            _step(self._generator_optimiser, gradients, learning_rate)
            self.num_updates += 1
            self._follow(ema_decay)

        self.generator_step.begin(await_gradients, step)

    def apply_deferred(self) -> None:
        """Make the steps that are on their way."""
        self.generator_step.apply()
        self.discriminator_step.apply()

    def _follow(self, decay: float) -> None:
        # θ̄ ← d θ̄ + (1 - d) θ, with d rising to `decay` as training goes on
        warmed = min(decay, (1 + self.num_updates) / (10 + self.num_updates))
        with torch.no_grad():
            slow, fast = ([p.data for p in net.parameters()] for net in (self._average, self._generator))
            torch._foreach_lerp_(slow, fast, 1.0 - warmed)

    def state(self) -> dict[str, Any]:
        """Everything a resumed training needs to go on bit for bit."""
        return {
            "generator": self.generator.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "average": self.average.state_dict(),
            "generator_optimiser": self.generator_optimiser.state_dict(),
            "discriminator_optimiser": self.discriminator_optimiser.state_dict(),
            "num_updates": self.num_updates,
            "kept": self.kept,
        }

    def keep_average(self) -> None:
        """Remember the averaged weights as the best so far."""
        self.kept = {name: tensor.detach().cpu().clone() for name, tensor in self.average.state_dict().items()}

    @property
    def best_average(self) -> dict[str, Tensor]:
        """The averaged weights that were kept, or the present ones where none were."""
        return self.kept or {name: tensor.cpu() for name, tensor in self.average.state_dict().items()}

    def is_finite(self) -> bool:
        """Whether every number of the state is one."""
        return all(bool(torch.isfinite(tensor).all()) for _, tensor in self.tensors())

    def load_state(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        for deferred in (self.generator_step, self.discriminator_step):
            deferred.discard()
        for name in ("generator", "discriminator", "average", "generator_optimiser", "discriminator_optimiser"):
            getattr(self, name).load_state_dict(state[name])
        self.num_updates = int(state["num_updates"])
        self.kept = state.get("kept")

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


def _step(optimiser: torch.optim.Adam, gradients: Sequence[Tensor], learning_rate: float) -> None:
    (group,) = optimiser.param_groups
    group["lr"] = learning_rate
    for parameter, gradient in zip(group["params"], gradients, strict=True):
        parameter.grad = gradient
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
