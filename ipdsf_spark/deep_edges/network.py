"""A U-Net (Ronneberger, Fischer, Brox 2015, arXiv:1505.04597) of three scales in height.

Only heights are pooled: time keeps its steps, so that a column's answer depends on `REACH` columns on either side and
no others. Shapes: B images, C features, T columns, K heights.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

REACH: Final = 8  # the 3 x 3 convolutions that follow one another
WIDTHS: Final = (12, 24, 24)


class EdgeNetwork(nn.Module):
    """Logits of a fall and of a rise at every boundary between two heights: (B, C, T, K) to (B, 2, T, K - 1)."""

    def __init__(self, num_features: int, widths: tuple[int, int, int] = WIDTHS) -> None:
        super().__init__()
        fine, middle, coarse = widths
        self.fine = _twice(num_features, fine)
        self.middle = _twice(fine, middle)
        self.coarse = _twice(middle, coarse)
        self.up_middle = _once(coarse + middle, middle)
        self.up_fine = _once(middle + fine, fine)
        self.head = nn.Conv2d(fine, 2, (1, 2))

    def forward(self, images: Tensor) -> Tensor:
        """See the class."""
        fine = self.fine(images)
        middle = self.middle(F.max_pool2d(fine, (1, 2), ceil_mode=True))
        coarse = self.coarse(F.max_pool2d(middle, (1, 2), ceil_mode=True))
        middle = self.up_middle(torch.cat([_widened(coarse, middle), middle], dim=1))
        fine = self.up_fine(torch.cat([_widened(middle, fine), fine], dim=1))
        logits: Tensor = self.head(fine)
        return logits


def _widened(coarse: Tensor, like: Tensor) -> Tensor:
    """Every height twice, as many as `like` has."""
    return coarse.repeat_interleave(2, dim=3)[..., : like.shape[3]]


def _once(num_in: int, num_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(num_in, num_out, 3, padding=1), nn.ReLU())


def _twice(num_in: int, num_out: int) -> nn.Sequential:
    return nn.Sequential(*_once(num_in, num_out), *_once(num_out, num_out))
