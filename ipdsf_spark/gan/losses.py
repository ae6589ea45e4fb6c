"""Losses of the conditional GAN, all means over the batch: so the mean over workers is that of their joint batch.

D:  ½ mean((D(y, x) - 1)²) + ½ mean(D(G(x), x)²)           least squares, Mao et al. (2017), eq. 9 with a=0, b=c=1
G:  mean((D(G(x), x) - 1)²) + λ mean|G(x) - y|             λ = 100, Isola et al. (2017), eq. 4
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

L1_WEIGHT: Final = 100.0
LEVEL_RANGE: Final = 2.0  # of enhanced levels in [-1, 1]


def discriminator_loss_real(scores_real: Tensor) -> Tensor:
    """How far real patches are from 1: the first term of the discriminator's loss."""
    return 0.5 * (scores_real - 1).square().mean()


def discriminator_loss_fake(scores_fake: Tensor) -> Tensor:
    """How far generated patches are from 0: the second term."""
    return 0.5 * scores_fake.square().mean()


def adversarial_loss(scores_fake: Tensor) -> Tensor:
    """How far generated patches are from passing for real."""
    return (scores_fake - 1).square().mean()


def accuracy(scores_real: Tensor, scores_fake: Tensor) -> Tensor:
    """Share of patches on the right side of one half."""
    return 0.5 * ((scores_real > 0.5).float().mean() + (scores_fake <= 0.5).float().mean())


def psnr_db(predicted: Tensor, target: Tensor) -> Tensor:
    """PSNR in enhanced space, data range 2, of a batch as one volume; generated levels are clipped to [-1, 1]."""
    mse = (predicted.clamp(-1.0, 1.0) - target).square().mean()
    return 10.0 * torch.log10(LEVEL_RANGE**2 / mse.clamp_min(1e-12))
