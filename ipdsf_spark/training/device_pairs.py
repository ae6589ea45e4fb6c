"""Who makes the pairs: the host, in the thread that prepares batches, or the device the networks are on.

A CPU core makes some hundred pairs a second, a GPU learns from thousands. There the cubes travel as int16, half the
bytes of one condition, and are turned, degraded and enhanced beside the networks. The pairs are the same in kind as
those of `pairs.pairs_of`; their random numbers are others, drawn per step from seed, epoch, position and rank.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ipdsf_spark.ct.enhancement import Enhancement
from ipdsf_spark.training.pairs import PairSettings, pairs_of
from ipdsf_spark.training.source import Portion

Tensors = tuple[Tensor, ...]


class PairMaker(Protocol):
    """Makes the pairs of a step in two halves."""

    def prepared(self, portion: Portion) -> Tensors:
        """What travels to the device; in the thread that prepares batches."""

    def finished(self, tensors: Tensors, *, epoch: int, position: int) -> tuple[Tensor, Tensor]:
        """Condition and target (b, 1, S, S, S); on the device."""


class HostPairs:
    """Pairs made by numpy: everything random belongs to the cube and the epoch."""

    def __init__(self, enhancement: Enhancement, settings: PairSettings) -> None:
        self._enhancement, self._settings = enhancement, settings

    def prepared(self, portion: Portion) -> Tensors:
        """The pairs themselves."""
        pair = pairs_of(portion.hu, portion.keys, self._enhancement, self._settings, epoch=portion.epoch)
        return tuple(torch.from_numpy(array)[:, None] for array in pair)

    def finished(self, tensors: Tensors, *, epoch: int, position: int) -> tuple[Tensor, Tensor]:
        """As they came."""
        condition, target = tensors
        return condition, target


class DevicePairs:
    """Pairs made by torch from cubes of int16 HU that are on the device already.

    Args:
        enhancement: of the data set.
        settings: what is done to the cubes.
        device: where.
        rank: of the worker, so that no two draw the same noise.
    """

    def __init__(
        self, enhancement: Enhancement, settings: PairSettings, device: torch.device, *, rank: int = 0
    ) -> None:
        self._low, self._high = enhancement.window_hu
        self._levels = torch.tensor(enhancement.levels, dtype=torch.float32, device=device)
        self._settings, self._rank = settings, rank
        self._random = torch.Generator(device)

    def prepared(self, portion: Portion) -> Tensors:
        """The cubes of HU."""
        return (torch.from_numpy(portion.hu),)

    def finished(self, tensors: Tensors, *, epoch: int, position: int) -> tuple[Tensor, Tensor]:
        """Turned, degraded and enhanced; the same for the same seed, epoch, position and rank on one kind of device."""
        (hu,) = tensors
        words = np.random.SeedSequence((self._settings.seed, 7, epoch, position, self._rank)).generate_state(2)
        self._random.manual_seed(int(words[0]) << 31 | int(words[1]) >> 1)
        if self._settings.is_flipped:
            hu = self._turned(hu)
        steps = hu.clamp(self._low, self._high).int() - self._low
        target = self._levels[steps]
        condition = target if self._settings.task == "autoencode" else self._degraded(steps)
        return condition[:, None], target[:, None]

    def _turned(self, hu: Tensor) -> Tensor:
        """One of sixteen ways to lay each cube down; the body's axis stays."""
        flags = torch.randint(0, 2, (4, len(hu), 1, 1, 1), generator=self._random, device=hu.device) > 0
        hu = torch.where(flags[3], hu.transpose(2, 3), hu)
        for axis in range(3):
            hu = torch.where(flags[axis], hu.flip(axis + 1), hu)
        return hu

    def _degraded(self, steps: Tensor) -> Tensor:
        width = float(self._high - self._low)
        share = steps.float() / width
        if self._settings.task in ("depixelate", "refine"):
            share = _pixelated(share, self._settings.factor)
        if self._settings.task in ("denoise", "refine"):
            low, high = self._settings.sigma
            sigma = torch.rand((len(share), 1, 1, 1), generator=self._random, device=share.device)
            noise = torch.randn(share.shape, generator=self._random, device=share.device)
            share = (share + noise * (low + (high - low) * sigma)).clamp(0.0, 1.0)
        return self._levels[(share * width).round().int()]  # by way of whole HU, as scanners deliver them


def _pixelated(share: Tensor, factor: int) -> Tensor:
    """Every block of factor³ voxels holds its mean; a last block that is not full, the mean of what it has."""
    depth, height, width = share.shape[1:]
    means = functional.avg_pool3d(share[:, None], factor, ceil_mode=True, count_include_pad=False)[:, 0]
    for axis in (1, 2, 3):
        means = means.repeat_interleave(factor, dim=axis)
    return means[:, :depth, :height, :width]
