"""An autoencoder with a bottleneck and no way around it: a cube to a code of a few numbers, and back.

Shapes for S = 32, width w = 16, 3 halvings, c = 32 channels of code (B batch):

    cube                     (B,  1, 32, 32, 32)
    entry                    (B, 16, 32, 32, 32)
    down 1 + convolution     (B, 32, 16, 16, 16)
    down 2 + convolution     (B, 64,  8,  8,  8)
    down 3 + convolution     (B,128,  4,  4,  4)
    code                     (B, 32,  4,  4,  4)     + a linear projection of each block of 8³ voxels
    widen + convolution      (B,128,  4,  4,  4)
    up 3, 2, 1               (B, 16, 32, 32, 32)     + a look at what the projection's transpose makes of the code
    exit                     (B,  1, 32, 32, 32)     + that

Nothing but the code reaches the decoder: 8^halvings / c voxels are one number, 16 as above, which is that of the
variational autoencoder of MAISI (Guo et al. 2024: 4 channels at a quarter of each edge). For inference the code is
rounded to half precision, so that a number of it has as many bits as a voxel of a CT. The linear parts begin as the
lowest frequencies of the discrete cosine transform (Ahmed et al. 1974) of each block, everything else at zero: training
begins where transform coding stands and spends its time on what that loses. Without normalisation: it would take the
absolute grey level, which is what a CT measures, out of the code.

Adam moves every weight by about the learning rate, whatever its size. The transform's orthonormal weights are of size
1/16, and all 512 of a block move together: one step took the grey level by a hundredth of the range, more than is to be
gained. So the transform is held at weights of size 1, by which a number of the code is a mean over its block, and what
is learnt for the code enters it by a tenth.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import torch
from torch import Tensor, nn

from ipdsf_spark.errors import InputError
from ipdsf_spark.gan.blocks import SLOPE, Convolution, Down, Up, run_level
from ipdsf_spark.gan.cosine import lowest_frequencies
from ipdsf_spark.gan.generator import Generator, GeneratorSettings

LEARNT: Final = 0.1  # by which what the encoder has learnt enters the code


class Autoencoder(nn.Module):
    """Cube to code to cube."""

    def __init__(self, settings: GeneratorSettings) -> None:
        super().__init__()
        if settings.code_channels < 1:
            raise InputError("an autoencoder needs a code of 1 channel or more")
        self.settings = settings
        channels = [settings.width * 2**level for level in range(settings.halvings + 1)]
        self.entry = nn.Sequential(Convolution(1, channels[0], "none"), Convolution(channels[0], channels[0], "none"))
        self.downs = nn.ModuleList(
            nn.Sequential(Down(wide, wider, "none"), Convolution(wider, wider, "none"))
            for wide, wider in pairwise(channels)
        )
        self.to_code = nn.Conv3d(channels[-1], settings.code_channels, 1)
        edge = 2**settings.halvings
        self.project = nn.Conv3d(1, settings.code_channels, edge, stride=edge, bias=False)
        self.restore = nn.ConvTranspose3d(settings.code_channels, 1, edge, stride=edge, bias=False)
        self.widen = nn.Sequential(
            Convolution(settings.code_channels, channels[-1], "none"), Convolution(channels[-1], channels[-1], "none")
        )
        self.ups = nn.ModuleList(
            nn.Sequential(Up(wider, wide), Convolution(wide, wide, "none")) for wide, wider in pairwise(channels)
        )
        self.look = Convolution(1, channels[0], "none")
        self.mix = Convolution(channels[0], channels[0], "none")
        self.exit = nn.Conv3d(channels[0], 1, 1)
        for part in (self.entry, self.downs, self.widen, self.ups, self.look, self.mix):
            _keep_signal(part)
        for parameter in (*self.exit.parameters(), *self.to_code.parameters()):
            nn.init.zeros_(parameter)
        with torch.no_grad():
            basis = lowest_frequencies(edge, settings.code_channels) * edge**1.5
            self.project.weight.copy_(basis)
            self.restore.weight.copy_(basis)

    @property
    def ratio(self) -> float:
        """Voxels for each number of the code."""
        return self.settings.ratio

    def encode(self, cube: Tensor) -> Tensor:
        """(B, 1, S, S, S) → (B, c, S/2^h, S/2^h, S/2^h); in half precision unless it is being trained.

        Raises:
            InputError: the edge cannot be halved often enough.
        """
        step = 2**self.settings.halvings
        if cube.ndim != 5 or cube.shape[1] != 1 or any(n % step for n in cube.shape[2:]):
            raise InputError(
                f"an autoencoder with {self.settings.halvings} halvings takes cubes (B, 1, S, S, S) with S a multiple "
                f"of {step}, got {tuple(cube.shape)}"
            )
        x = self._level(self.entry, cube)
        for down in self.downs:
            x = self._level(down, x)
        code: Tensor = _exactly(self.project, cube) / step**3 + LEARNT * self.to_code(x)
        return code if self.training else code.half()

    def decode(self, code: Tensor) -> Tensor:
        """(B, c, S/2^h, S/2^h, S/2^h) → (B, 1, S, S, S), unbounded."""
        code = code.to(self.exit.weight.dtype)
        x = self._level(self.widen, code)
        for up in reversed(self.ups):
            x = self._level(up, x)
        restored = _exactly(self.restore, code)
        x = self._level(self.mix, x + self.look(restored))
        decoded: Tensor = restored + self.exit(x)
        return decoded

    def forward(self, cube: Tensor) -> Tensor:
        """(B, 1, S, S, S) in [-1, 1] → what its code says of it."""
        return self.decode(self.encode(cube))

    def parts_by_arrival(self) -> list[list[nn.Parameter]]:
        """All parameters in two parts: those whose gradients a backward pass finds early, and those it ends with."""
        last = [*self.entry.parameters(), *self.downs[0].parameters()]
        known = set(last)
        return [[p for p in self.parameters() if p not in known], last]

    def _level(self, level: nn.Module, x: Tensor) -> Tensor:
        return run_level(level, x, recomputes=self.settings.recomputes and self.training)


def _exactly(layer: nn.Module, x: Tensor) -> Tensor:
    """A layer in the precision of its weights: in bfloat16 a grey level would be known to three HU."""
    with torch.autocast(x.device.type, enabled=False):
        result: Tensor = layer(x.to(next(layer.parameters()).dtype))
    return result


def _keep_signal(part: nn.Module) -> None:
    """Weights of He et al. (2015): by torch's own a thousandth of what differs between cubes would come to the code."""
    for layer in part.modules():
        if isinstance(layer, nn.Conv3d):
            nn.init.kaiming_normal_(layer.weight, a=SLOPE)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


AnyGenerator = Generator | Autoencoder


def new_generator(settings: GeneratorSettings) -> AnyGenerator:
    """A U-Net, or an autoencoder where the settings have a code."""
    return Autoencoder(settings) if settings.code_channels else Generator(settings)
