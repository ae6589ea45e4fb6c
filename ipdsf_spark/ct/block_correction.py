"""A fine volume whose block means are those of the coarse one it was made from.

A network that multiplies the resolution is free to drift from what it was given. What it was given is a mean over
blocks, so what is missing in the means is added, interpolated (Irani & Peleg 1991, CVGIP 53, 231). Because blocks and
interpolation are separable, the addition that gives exactly these means is solved for along each axis. What the ends
of the window cut off of it, in air and in bone, each block is given by itself: its voxels come nearer to that end, in
proportion to their distance from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.ct.degradation import block_means
from ipdsf_spark.ct.slices import for_each_slice

TIMES: Final = 2  # what is cut off at the ends of the window is missing in the means again
Float32 = NDArray[np.float32]
Places = tuple[NDArray[np.int64], Float32]


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
    back = [np.linalg.inv(_averaged(interpolation(n, factor), factor)) for n in hu.shape]
    places = [_places(n, factor) for n in hu.shape]
    for _ in range(TIMES):
        added: NDArray[Any] = means - _block_means(hu, factor)
        for axis, inverse in enumerate(back):
            added = np.moveaxis(np.tensordot(inverse, added, axes=(1, axis)), 0, axis)
        for_each_slice(partial(_add, hu, added.astype(np.float32), places, window_hu), range(len(hu)))
    _scale_blocks(hu, np.asarray(means, np.float32), factor, window_hu)


def _block_means(hu: Float32, factor: int) -> Float32:
    """As `degradation.block_means`, a layer of blocks on each core."""
    means = np.empty([-(-n // factor) for n in hu.shape], np.float32)

    def average(first: int) -> None:
        means[first // factor] = block_means(hu[first : first + factor], factor)[0]

    for_each_slice(average, range(0, len(hu), factor))
    return means


def _add(hu: Float32, added: Float32, places: Sequence[Places], window_hu: tuple[int, int], z: int) -> None:
    """To a slice what is missing in the means of blocks, interpolated."""
    below, share = int(places[0][0][z]), places[0][1][z]
    between = (1 - share) * added[below] + share * added[min(below + 1, len(added) - 1)]
    for axis in (0, 1):
        between = _between(between, *places[1 + axis], axis)
    np.clip(hu[z] + between, *window_hu, out=hu[z])


def _scale_blocks(hu: Float32, means: Float32, factor: int, window_hu: tuple[int, int]) -> None:
    """Bring the voxels of each block nearer to an end of the window, in proportion, so that they have their mean."""
    low, high = (np.float32(end) for end in window_hu)

    def scale_layer(first: int) -> None:
        part, wanted = hu[first : first + factor], np.clip(means[first // factor], low, high)
        there = block_means(part, factor)[0]
        is_lower = wanted < there
        end = np.where(is_lower, low, high)
        distance = there - end
        scale = np.where(distance == 0, np.float32(1), (wanted - end) / np.where(distance == 0, 1, distance))
        scale, end = (_repeated(plane, factor, part.shape[1:]) for plane in (scale, end))
        part[:] = end + (part - end) * scale

    for_each_slice(scale_layer, range(0, len(hu), factor))


def _repeated(plane: NDArray[Any], factor: int, shape: tuple[int, ...]) -> Float32:
    return plane.repeat(factor, axis=0).repeat(factor, axis=1)[: shape[0], : shape[1]].astype(np.float32)


def _places(number: int, factor: int) -> Places:
    """Of each voxel along an axis the block whose middle lies before it, and how far it is on to the next one's."""
    starts = np.arange(0, number, factor)
    middles = (starts + np.minimum(starts + factor, number) - 1) / 2
    where = np.interp(np.arange(number), middles, np.arange(len(starts)))
    below = where.astype(np.int64)
    return below, (where - below).astype(np.float32)


def _between(plane: Float32, below: NDArray[np.int64], share: Float32, axis: int) -> Float32:
    above = np.minimum(below + 1, plane.shape[axis] - 1)
    weight = share[:, None] if axis == 0 else share
    interpolated: Float32 = (1 - weight) * plane.take(below, axis) + weight * plane.take(above, axis)
    return interpolated


def interpolation(number: int, factor: int) -> NDArray[np.float64]:
    """(number, blocks): what each voxel along an axis takes of the values in the middles of the blocks."""
    below, share = _places(number, factor)
    weights = np.zeros((number, -(-number // factor)))
    weights[np.arange(number), below] = 1.0 - share
    weights[np.arange(number), np.minimum(below + 1, weights.shape[1] - 1)] += share
    return weights


def _averaged(weights: NDArray[np.float64], factor: int) -> NDArray[np.float64]:
    """(blocks, blocks): block means of what is interpolated."""
    starts = np.arange(0, len(weights), factor)
    counts = np.diff(np.append(starts, len(weights)))
    averaged: NDArray[np.float64] = np.add.reduceat(weights, starts, axis=0) / counts[:, None]
    return averaged
