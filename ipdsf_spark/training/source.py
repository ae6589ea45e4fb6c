"""Where the cubes of a training come from: what the loop asks of them, and cubes that lie on this machine.

A source decides which cubes are held out for validation, and in which order the others come: a function of seed, epoch
and position alone, so that every worker takes the same number of steps and a resumed training goes on with the next
cube.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.ct.cube_set import CubeSet
from ipdsf_spark.ct.cubes import CubeKey, uniform_of
from ipdsf_spark.ct.enhancement import Enhancement
from ipdsf_spark.training.schedule import Indices, order_of_epoch, require_one_step, share_of


@dataclass(frozen=True)
class Portion:
    """A worker's cubes for one step, and where the training stands after it."""

    hu: NDArray[np.int16]  # (b, S, S, S)
    keys: list[CubeKey]
    epoch: int
    position: int  # cubes of the epoch that all workers together have seen after this step


class Source(Protocol):
    """Cubes to train on and cubes to validate with."""

    kind: str  # "copy" or "shards": orders differ, so a checkpoint of one is none of the other
    size: int
    enhancement: Enhancement

    @property
    def num_cubes(self) -> int:
        """Of the whole set."""

    @property
    def validation(self) -> CubeSet:
        """Holds the cubes that are never trained on."""

    @property
    def validation_numbers(self) -> Indices:
        """Which of `validation` they are."""

    def require_one_step(self, *, batch: int, size: int) -> None:
        """Refuse a set that fills no step of `size` workers with `batch` cubes each."""

    def epoch_end(self, epoch: int, *, batch: int, size: int) -> int:
        """Cubes that all workers together see in an epoch."""

    def portions(self, *, batch: int, rank: int, size: int, epoch: int, position: int) -> Iterator[Portion]:
        """Those of worker `rank`, without end, from a place in the training on."""


def levels_for(task: str, enhancement: Enhancement) -> Enhancement:
    """The levels in which a task is learnt: those of the data set, or for an autoencoder HU in a straight line.

    Equalised levels spread the grey levels that are most frequent, and their noise, over most of the range. No code of
    a few numbers holds noise, so that nearly all that an autoencoder is judged by would be what it cannot learn.
    """
    return Enhancement.straight(enhancement.window_hu) if task == "autoencode" else enhancement


class CopiedCubes:
    """All cubes on this machine: any of them is found at once, and one random order goes over all patients."""

    kind = "copy"

    def __init__(self, cubes: CubeSet, *, seed: int, order_seed: int, validation_share: float) -> None:
        self._cubes, self._order_seed = cubes, order_seed
        self.size, self.enhancement = cubes.size, cubes.enhancement
        held_out = np.array([uniform_of(key, seed=seed + 1) for key in cubes.keys])
        self.validation_numbers: Indices = np.flatnonzero(held_out < validation_share)
        self._training: Indices = np.flatnonzero(held_out >= validation_share)

    @property
    def num_cubes(self) -> int:
        """Of the whole set."""
        return len(self._cubes)

    @property
    def validation(self) -> CubeSet:
        """The whole set."""
        return self._cubes

    def require_one_step(self, *, batch: int, size: int) -> None:
        """Refuse too few cubes."""
        require_one_step(len(self._training), batch=batch, size=size)

    def epoch_end(self, epoch: int, *, batch: int, size: int) -> int:
        """All that fill whole steps."""
        return len(self._training) // (batch * size) * (batch * size)

    def portions(self, *, batch: int, rank: int, size: int, epoch: int, position: int) -> Iterator[Portion]:
        """Every K-th cube of the epoch's order, for worker r of K from the r-th on."""
        while True:
            order = self._training[order_of_epoch(len(self._training), seed=self._order_seed, epoch=epoch)]
            while (mine := share_of(order, position, batch=batch, rank=rank, size=size)) is not None:
                position += batch * size
                yield Portion(self._cubes.take(mine), [self._cubes.keys[i] for i in mine], epoch, position)
            epoch, position = epoch + 1, 0
