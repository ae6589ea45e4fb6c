"""The pieces of both networks.

Shapes (B batch, C channels, S edge in voxels):

    Convolution      (B, C, S, S, S)  → (B, C', S, S, S)
    Down             (B, C, S, S, S)  → (B, C', S/2, S/2, S/2)
    Up               (B, C, S, S, S)  → (B, C', 2S, 2S, 2S)
"""

from __future__ import annotations

from typing import Any, Final, Literal

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

Norm = Literal["group", "instance", "none"]
NORMS: Final[tuple[Norm, ...]] = ("group", "instance", "none")
SLOPE: Final = 0.2  # of LeakyReLU below zero (Isola et al. 2017, pix2pix)
CHANNELS_PER_GROUP: Final = 8


def norm_of(kind: Norm, channels: int) -> nn.Module:
    """Normalisation of (B, C, S, S, S) within each cube, never across the batch.

    Batch statistics would differ between workers that train one model together, and between training and a single cube.
    Group: Wu & He (2018); instance: Ulyanov et al. (2016).
    """
    if kind == "group":
        return nn.GroupNorm(max(1, channels // CHANNELS_PER_GROUP), channels)
    if kind == "instance":
        return nn.InstanceNorm3d(channels, affine=True)
    return nn.Identity()


def run_level(level: nn.Module, x: Tensor, *, recomputes: bool) -> Tensor:
    """A level of a network; its activations kept for the backward pass, or computed again in it."""
    result: Any = checkpoint(level, x, use_reentrant=False) if recomputes else level(x)
    return torch.as_tensor(result)


class Convolution(nn.Sequential):
    """3³ convolution, normalisation, LeakyReLU."""

    def __init__(self, channels_in: int, channels_out: int, norm: Norm) -> None:
        super().__init__(
            nn.Conv3d(channels_in, channels_out, 3, padding=1, bias=norm == "none"),
            norm_of(norm, channels_out),
            nn.LeakyReLU(SLOPE, inplace=True),
        )


class Down(nn.Sequential):
    """Half the edge: 4³ convolution with stride 2, normalisation, LeakyReLU."""

    def __init__(self, channels_in: int, channels_out: int, norm: Norm) -> None:
        super().__init__(
            nn.Conv3d(channels_in, channels_out, 4, stride=2, padding=1, bias=norm == "none"),
            norm_of(norm, channels_out),
            nn.LeakyReLU(SLOPE, inplace=True),
        )


class Up(nn.Module):
    """Twice the edge: 1³ convolution at the small size, where it is eight times cheaper, then trilinear.

    Interpolation instead of a transposed convolution leaves no checkerboard (Odena et al. 2016).
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.mix = nn.Conv3d(channels_in, channels_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, S, S, S) → (B, C', 2S, 2S, 2S)."""
        mixed: Tensor = self.mix(x)
        return torch.nn.functional.interpolate(mixed, scale_factor=2.0, mode="trilinear", align_corners=False)
