"""A fine volume whose block means are those of the coarse one it was made from.

A network that multiplies the resolution is free to drift from what it was given. What it was given is a mean over
blocks, so what is missing in the means is added, interpolated (Irani & Peleg 1991, CVGIP 53, 231). Because blocks and
interpolation are separable, the addition that gives exactly these means is solved for along each axis. What the ends
of the window cut off of it, in air and in bone, each block is given by itself: its voxels come nearer to that end, in
proportion to their distance from it.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.ct.degradation import block_means

TIMES: Final = 2  # what is cut off at the ends of the window is missing in the means again
Float32 = NDArray[np.float32]


def give_block_means(hu: Float32, means: NDArray[Any], factor: int, window_hu: tuple[int, int]) -> None:
    """Change a volume [z, y, x] in place so that its block means are given ones, as far as the window allows.

    Args:
        hu: within the window.
        means: of blocks of factor³ voxels, the last ones along each axis smaller where the volume ends.
        factor: edge of a block.
        window_hu: low and high.

    Raises:
        ValueError: the shapes do not fit.
    """
    if means.shape != tuple(-(-n // factor) for n in hu.shape):
        raise ValueError(f"a volume of {hu.shape} has no block means of {means.shape} by {factor}")
    spread = [interpolation(n, factor) for n in hu.shape]
    back = [np.linalg.inv(_averaged(weights, factor)) for weights in spread]
    for _ in range(TIMES):
        added: NDArray[Any] = means - _means(hu, factor)
        for axis, inverse in enumerate(back):
            added = np.moveaxis(np.tensordot(inverse, added, axes=(1, axis)), 0, axis)
        rows, columns = spread[1].astype(np.float32), spread[2].T.astype(np.float32)
        for z, weights in enumerate(spread[0]):
            plane = np.tensordot(weights, added, axes=(0, 0)).astype(np.float32)
            hu[z] = np.clip(hu[z] + rows @ plane @ columns, *window_hu)
    _scale_blocks(hu, np.asarray(means, np.float32), factor, window_hu)


def _scale_blocks(hu: Float32, means: Float32, factor: int, window_hu: tuple[int, int]) -> None:
    """Bring the voxels of each block nearer to an end of the window, in proportion, so that they have their mean."""
    low, high = (np.float32(end) for end in window_hu)
    for first in range(0, len(hu), factor):
        part, wanted = hu[first : first + factor], np.clip(means[first // factor], low, high)
        there = block_means(part, factor)[0]
        is_lower = wanted < there
        end = np.where(is_lower, low, high)
        distance = there - end
        scale = np.where(distance == 0, np.float32(1), (wanted - end) / np.where(distance == 0, 1, distance))
        scale, end = (_repeated(plane, factor, part.shape[1:]) for plane in (scale, end))
        part[:] = end + (part - end) * scale


def _repeated(plane: NDArray[Any], factor: int, shape: tuple[int, ...]) -> Float32:
    return plane.repeat(factor, axis=0).repeat(factor, axis=1)[: shape[0], : shape[1]].astype(np.float32)


def _means(hu: Float32, factor: int) -> Float32:
    """Block means, without a second volume in memory."""
    return np.concatenate([block_means(hu[z : z + factor], factor) for z in range(0, len(hu), factor)])


def interpolation(number: int, factor: int) -> NDArray[np.float64]:
    """(number, blocks): what each voxel along an axis takes of the values in the middles of the blocks."""
    starts = np.arange(0, number, factor)
    ends = np.minimum(starts + factor, number)
    middles = (starts + ends - 1) / 2
    unit = np.eye(len(starts))
    return np.stack([np.interp(np.arange(number), middles, one) for one in unit], axis=1)


def _averaged(weights: NDArray[np.float64], factor: int) -> NDArray[np.float64]:
    """(blocks, blocks): block means of what is interpolated."""
    starts = np.arange(0, len(weights), factor)
    counts = np.diff(np.append(starts, len(weights)))
    averaged: NDArray[np.float64] = np.add.reduceat(weights, starts, axis=0) / counts[:, None]
    return averaged
