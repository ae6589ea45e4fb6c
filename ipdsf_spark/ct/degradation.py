"""What the networks have to undo.

All on the scale of an HU window, 0 … 1 (`window.windowed`), before enhancement, so that a network and the trivial
baselines see the same picture. Random numbers belong to the cube (`cubes.generator_of`) or are passed in. Nothing but
numpy is needed: training runs where no image library is installed.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.ct.cubes import CubeKey, generator_of
from ipdsf_spark.errors import InputError

Task = Literal["autoencode", "denoise", "depixelate", "refine"]
TASKS: Final[tuple[Task, ...]] = ("autoencode", "denoise", "depixelate", "refine")
SIGMA: Final = 0.05  # of the window: 70 HU in the HU window


def noisy(share: NDArray[Any], rng: np.random.Generator, *, sigma: float = SIGMA) -> NDArray[np.float32]:
    """`share` with Gaussian noise, kept within 0 … 1 as a scanner's range would."""
    noise = rng.normal(0.0, sigma, share.shape).astype(np.float32)
    return np.clip(share + noise, 0.0, 1.0).astype(np.float32)


def pixelated(share: NDArray[Any], factor: int) -> NDArray[np.float32]:
    """Every block of factor³ voxels holds its mean; a last block that is not full, the mean of what it has."""
    return _spread(block_means(share, factor), factor, share.shape)


def block_means(share: NDArray[Any], factor: int) -> NDArray[np.float32]:
    """Means of blocks of factor³ voxels: the small volume from which a pixelated one is made.

    A layer of blocks at a time, in the memory of a layer.
    """
    if factor < 1:
        raise InputError(f"blocks have at least one voxel per edge, got {factor}")
    layers = (share[first : first + factor].astype(np.float32) for first in range(0, len(share), factor))
    return np.stack([_layer_means(layer, factor) for layer in layers])


def _layer_means(layer: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Means of one layer of blocks [y, x]."""
    means: NDArray[Any] = layer.sum(axis=0) / np.float32(len(layer))
    for axis, number in enumerate(means.shape):
        starts = np.arange(0, number, factor)
        counts = np.diff(np.append(starts, number)).astype(np.float32)
        means = np.add.reduceat(means, starts, axis=axis) / (counts[:, None] if axis == 0 else counts)
    return means


def degraded(
    share: NDArray[Any], task: Task, key: CubeKey, *, sigma: float = SIGMA, factor: int = 2, seed: int = 0
) -> NDArray[np.float32]:
    """A training cube as the network gets to see it; the same for the same key on every worker."""
    if task == "denoise":
        return noisy(share, generator_of(key, seed=seed, purpose="noise"), sigma=sigma)
    if task == "depixelate":
        return pixelated(share, factor)
    if task == "refine":
        return noisy(pixelated(share, factor), generator_of(key, seed=seed, purpose="noise"), sigma=sigma)
    if task == "autoencode":
        return share.astype(np.float32)
    raise InputError(f"no such task: {task!r}; known: {', '.join(TASKS)}")


def _spread(means: NDArray[np.float32], factor: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
    for axis in range(3):
        means = means.repeat(factor, axis=axis)
    return np.ascontiguousarray(means[: shape[0], : shape[1], : shape[2]])
