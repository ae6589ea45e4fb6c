"""Cubes read from the Petastorm data set while training: for sets larger than the disks of those who train.

The row groups of an epoch stand in a random order; worker r of K reads every K-th of them, and its cubes leave in
random order from a window of some groups. All workers take as many steps as the one with the fewest cubes can; the
groups are dealt anew in every epoch. What is held out for validation are whole row groups, held in memory.

A step of K workers is not that of one worker with a K-fold batch, as it is with copied cubes: who reads what differs.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.ct.cube_set import CubeSet
from ipdsf_spark.ct.cubes import CubeKey
from ipdsf_spark.errors import InputError
from ipdsf_spark.packing.local_copy import DatasetReference
from ipdsf_spark.packing.reading import RowGroups
from ipdsf_spark.training.schedule import Indices
from ipdsf_spark.training.source import Portion

Cube = tuple[NDArray[np.int16], CubeKey]
WINDOW: Final = 16  # row groups from which cubes are drawn
VALIDATION_BYTES: Final = 256 * 2**20  # held in memory at most


class ShardedCubes:
    """The split of a data set, read in place.

    Args:
        reference: the data set.
        seed: of the order and of the choice of validation groups.
        validation_share: of the row groups.
        is_read: False for who only asks whether there is enough to read: nothing is held out in memory.

    Raises:
        InputError: a file is missing or damaged, or holds other rows than the manifest says.
    """

    kind = "shards"

    def __init__(
        self, reference: DatasetReference, *, seed: int, validation_share: float, is_read: bool = True
    ) -> None:
        self._reference, self._seed = reference, seed
        self.size, self.enhancement = reference.manifest.parameters.cube_size, reference.enhancement
        self._groups = RowGroups.of(reference.files)
        found = sum(self._groups.rows)
        if found != reference.num_cubes:
            raise InputError(f"the files hold {found} cubes, the manifest says {reference.num_cubes}")
        order = np.random.default_rng((seed, 1)).permutation(len(self._groups.rows))
        num_held_out = round(validation_share * len(order)) or int(validation_share > 0 and len(order) > 1)
        self._training: Indices = np.sort(order[num_held_out:])
        held_out = order[: num_held_out if is_read else 0]
        self.validation = self._read_all(held_out)
        self.validation_numbers: Indices = np.arange(len(self.validation)) if len(held_out) else np.arange(0)

    @property
    def num_cubes(self) -> int:
        """Of the whole split."""
        return self._reference.num_cubes

    def require_one_step(self, *, batch: int, size: int) -> None:
        """Refuse too few row groups, or too few cubes in a worker's."""
        if self.epoch_end(0, batch=batch, size=size) < batch * size:
            raise InputError(
                f"{len(self._training)} row groups of {self._reference.num_cubes} cubes do not fill one step of {size} "
                f"worker(s) with {batch} each: pack more volumes, lower the batch, or set training.feed=copy"
            )

    def epoch_end(self, epoch: int, *, batch: int, size: int) -> int:
        """As many steps as the worker with the fewest cubes can take."""
        order = self._order(epoch)
        rows = [sum(self._groups.rows[g] for g in order[rank::size]) for rank in range(size)]
        return int(min(rows)) // batch * batch * size

    def portions(self, *, batch: int, rank: int, size: int, epoch: int, position: int) -> Iterator[Portion]:
        """Cubes of every K-th row group of the epoch's order, for worker r of K from the r-th on."""
        while True:
            end = self.epoch_end(epoch, batch=batch, size=size)
            stream = self._cubes(epoch, rank, size, skipped=position // size)
            while position + batch * size <= end:
                taken = [next(stream) for _ in range(batch)]
                position += batch * size
                yield Portion(np.stack([cube for cube, _ in taken]), [key for _, key in taken], epoch, position)
            stream.close()  # the rest of the epoch is left out: others are in the next
            epoch, position = epoch + 1, 0

    def _cubes(self, epoch: int, rank: int, size: int, *, skipped: int) -> Generator[Cube, None, None]:
        mine = self._order(epoch)[rank::size]
        windows = [mine[k : k + WINDOW] for k in range(0, len(mine), WINDOW)]
        counts = [sum(self._groups.rows[g] for g in window) for window in windows]
        first = 0
        while first < len(windows) and skipped >= counts[first]:
            skipped -= counts[first]
            first += 1
        groups = self._groups.read([g for window in windows[first:] for g in window], self.size)
        for number in range(first, len(windows)):
            window = [next(groups) for _ in windows[number]]
            cubes, keys = np.concatenate([c for c, _ in window]), [key for _, part in window for key in part]
            order = np.random.default_rng((self._seed, 3, epoch, rank, size, number)).permutation(len(keys))
            for place in order[skipped:]:
                yield cubes[place], keys[place]
            skipped = 0

    def _order(self, epoch: int) -> Indices:
        order: Indices = np.random.default_rng((self._seed, 2, epoch)).permutation(self._training)
        return order

    def _read_all(self, groups: Indices) -> CubeSet:
        """Row groups in memory; without any, an empty set that nobody asks for cubes."""
        each = 2 * self.size**3
        chosen: list[int] = []
        for group in groups:
            if chosen and each * sum(self._groups.rows[g] for g in (*chosen, group)) > VALIDATION_BYTES:
                break
            chosen.append(int(group))
        parts = list(self._groups.read(chosen, self.size)) if chosen else []
        if not parts:
            nothing = np.empty((0, self.size, self.size, self.size), np.int16)
            return CubeSet((), self.size, self.enhancement, {}, (nothing,), np.empty((0, 2), np.int64))
        return CubeSet.of_arrays(parts, self.enhancement)
