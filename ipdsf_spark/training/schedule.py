"""Which cube is seen when, and by whom: a function of seed, epoch and position alone.

The cubes of an epoch stand in one random order. A step takes the next K·b of them, of which worker r of K gets every
K-th, from the r-th on: so K workers with batches of b see together what one worker with a batch of K·b sees, shards are
disjoint, every worker takes the same number of steps, and a resumed training goes on with the next cube. What does not
fill a last step is left out of this epoch; another order leaves out others in the next.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.errors import InputError

Indices = NDArray[np.int64]


def order_of_epoch(num_cubes: int, *, seed: int, epoch: int) -> Indices:
    """Indices of all cubes in the order of an epoch."""
    return np.random.default_rng((seed, epoch)).permutation(num_cubes)


def share_of(order: Indices, position: int, *, batch: int, rank: int, size: int) -> Indices | None:
    """Indices of a worker's next `batch` cubes; None where the epoch ends.

    Args:
        order: of the epoch.
        position: cubes of it that all workers together have seen.
        batch: cubes per worker.
        rank: this worker, 0 … size - 1.
        size: workers.
    """
    end = position + batch * size
    return order[position + rank : end : size] if end <= len(order) else None


def require_one_step(num_cubes: int, *, batch: int, size: int) -> None:
    """Refuse a set of cubes that fills no step.

    Raises:
        InputError: fewer cubes than K·b.
    """
    if num_cubes < batch * size:
        raise InputError(
            f"{num_cubes} cubes do not fill one step of {size} worker(s) with {batch} each: "
            "pack more volumes or lower the batch"
        )
