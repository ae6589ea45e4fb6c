"""The discriminator: is the cube beside this condition a clean one or a generated one, patch by patch?

Shapes for S = 32, width w = 16, 3 halvings (B batch):

    cube ∥ condition         (B,  2, 32, 32, 32)
    down 1                   (B, 16, 16, 16, 16)
    down 2                   (B, 32,  8,  8,  8)
    down 3                   (B, 64,  4,  4,  4)
    scores                   (B,  1,  4,  4,  4)   1 = clean, 0 = generated

PatchGAN: Isola et al. (2017); in 3-D on CT cubes: Mirsky et al. (2019).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from ipdsf_spark.errors import InputError
from ipdsf_spark.gan.blocks import NORMS, Down, Norm


@dataclass(frozen=True)
class DiscriminatorSettings:
    """Shape of a discriminator: channels after the first halving, halvings, normalisation after the first."""

    width: int = 16
    halvings: int = 3
    norm: Norm = "group"

    def __post_init__(self) -> None:
        """Refuse impossible shapes."""
        if self.width < 1 or not 1 <= self.halvings <= 6 or self.norm not in NORMS:
            raise InputError(f"no such discriminator: {asdict(self)}; norms: {', '.join(NORMS)}, halvings 1 to 6")


class Discriminator(nn.Module):
    """Scores of patches of a cube, given its condition."""

    def __init__(self, settings: DiscriminatorSettings) -> None:
        super().__init__()
        self.settings = settings
        channels = [2] + [settings.width * 2**level for level in range(settings.halvings)]
        self.layers = nn.Sequential(
            *(
                Down(wide, wider, settings.norm if level else "none")
                for level, (wide, wider) in enumerate(pairwise(channels))
            ),
            nn.Conv3d(channels[-1], 1, 3, padding=1),
        )

    def forward(self, cube: Tensor, condition: Tensor) -> Tensor:
        """Two cubes (B, 1, S, S, S) → scores (B, 1, P, P, P), P = S / 2^halvings."""
        scores: Tensor = self.layers(torch.cat([cube, condition], dim=1))
        return scores
