"""The generator: a 3-D U-Net from a degraded cube to a clean one.

Shapes for S = 32, width w = 16, 3 halvings (B batch):

    condition                (B,  1, 32, 32, 32)
    entry                    (B, 16, 32, 32, 32) ──────────────────────────────┐ skip
    down 1 + convolution     (B, 32, 16, 16, 16) ───────────────────┐ skip     │
    down 2 + convolution     (B, 64,  8,  8,  8) ────────┐ skip     │          │
    down 3 + convolution     (B,128,  4,  4,  4)         │          │          │
    up 3, join, convolution  (B, 64,  8,  8,  8) ◄───────┘          │          │
    up 2, join, convolution  (B, 32, 16, 16, 16) ◄──────────────────┘          │
    up 1, join, convolution  (B, 16, 32, 32, 32) ◄─────────────────────────────┘
    exit                     (B,  1, 32, 32, 32)   + condition, if residual

U-Net: Ronneberger et al. (2015), Çiçek et al. (2016); as the generator of a conditional GAN on CT cubes: Mirsky et al.
(2019). The level of full size has no normalisation: it would take the absolute grey level, which is what a CT measures,
out of cubes of one tissue. The exit is linear, not tanh: levels reach -1 and 1 exactly, where tanh never comes.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from ipdsf_spark.errors import InputError
from ipdsf_spark.gan.blocks import NORMS, Convolution, Down, Norm, Up, run_level


@dataclass(frozen=True)
class GeneratorSettings:
    """Shape of a generator.

    Attributes:
        width: channels at full size; doubled with every halving of the edge.
        halvings: of the edge; a cube of 32 allows up to 4.
        norm: of all levels below full size.
        is_residual: whether the network predicts the difference to the condition.
        recomputes: gradient checkpointing (Chen et al. 2016): activations are computed again in the backward pass
            instead of kept; about a third more time, and a fraction of the memory, for cubes of 64³ and 128³.
        code_channels: 0, or those of the code of an `autoencoder.Autoencoder`, which has neither skips nor norm.
    """

    width: int = 16
    halvings: int = 3
    norm: Norm = "group"
    is_residual: bool = True
    recomputes: bool = False
    code_channels: int = 0

    @property
    def ratio(self) -> float:
        """Of an autoencoder: voxels for each number of its code."""
        return 8.0**self.halvings / self.code_channels

    @property
    def facts(self) -> dict[str, Any]:
        """For JSON; without what only an autoencoder has, where it is none."""
        return {key: value for key, value in asdict(self).items() if value or key != "code_channels"}

    def __post_init__(self) -> None:
        """Refuse impossible shapes."""
        if self.code_channels < 0 or self.width < 1 or not 1 <= self.halvings <= 6 or self.norm not in NORMS:
            raise InputError(f"no such generator: {asdict(self)}; norms: {', '.join(NORMS)}, halvings 1 to 6")


class Generator(nn.Module):
    """Degraded cube to clean cube."""

    def __init__(self, settings: GeneratorSettings) -> None:
        super().__init__()
        self.settings = settings
        channels = [settings.width * 2**level for level in range(settings.halvings + 1)]
        self.entry = nn.Sequential(Convolution(1, channels[0], "none"), Convolution(channels[0], channels[0], "none"))
        self.downs = nn.ModuleList(
            nn.Sequential(Down(wide, wider, settings.norm), Convolution(wider, wider, settings.norm))
            for wide, wider in pairwise(channels)
        )
        self.ups = nn.ModuleList(Up(wider, wide) for wide, wider in pairwise(channels))
        self.joins = nn.ModuleList(
            Convolution(2 * wide, wide, settings.norm if level else "none") for level, wide in enumerate(channels[:-1])
        )
        self.exit = nn.Conv3d(channels[0], 1, 1)
        if settings.is_residual:
            # Begins as the identity: the first steps are spent on the degradation, not on the anatomy.
            for parameter in self.exit.parameters():
                nn.init.zeros_(parameter)

    def forward(self, condition: Tensor) -> Tensor:
        """(B, 1, S, S, S) in [-1, 1] → the same shape, unbounded.

        Raises:
            InputError: the edge cannot be halved often enough.
        """
        self._check(condition)
        skips: list[Tensor] = [self._level(self.entry, condition)]
        for down in self.downs:
            skips.append(self._level(down, skips[-1]))
        x = skips.pop()
        for up, join in zip(reversed(self.ups), reversed(self.joins), strict=True):
            x = self._level(join, torch.cat([up(x), skips.pop()], dim=1))
        change: Tensor = self.exit(x)
        return condition + change if self.settings.is_residual else change

    def parts_by_arrival(self) -> list[list[nn.Parameter]]:
        """All parameters in two parts: those whose gradients a backward pass finds early, and the few it ends with.

        The first levels hold a twentieth of the parameters and take a third of the pass.
        """
        last = [*self.entry.parameters(), *self.downs[0].parameters()]
        known = set(last)
        return [[p for p in self.parameters() if p not in known], last]

    def _level(self, level: nn.Module, x: Tensor) -> Tensor:
        return run_level(level, x, recomputes=self.settings.recomputes and self.training)

    def _check(self, condition: Tensor) -> None:
        step = 2**self.settings.halvings
        if condition.ndim != 5 or condition.shape[1] != 1 or any(n % step for n in condition.shape[2:]):
            raise InputError(
                f"a generator with {self.settings.halvings} halvings takes cubes (B, 1, S, S, S) with S a multiple of "
                f"{step}, got {tuple(condition.shape)}"
            )
