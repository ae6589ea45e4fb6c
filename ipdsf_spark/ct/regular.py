"""A volume with evenly spaced slices that stand above each other, where its own do not and the caller accepts that."""

from __future__ import annotations

import dataclasses
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ipdsf_spark.ct.volume import AIR_HU, Hu, Vector, Volume, hu_array
from ipdsf_spark.errors import InputError

MAX_TIMES: Final = 10  # the slices that are there: more is no interpolation
SQUARE: Final = 1e-3  # scalar product of two axes at right angles


def regular(volume: Volume) -> Volume:
    """`volume` with evenly spaced slices that stand above each other.

    Missing or uneven slices are interpolated linearly between their neighbours; a tilt is undone by shifting each slice
    within its plane, also linearly; what comes in from outside is padding or air.

    Raises:
        InputError: the slices themselves are sheared, which no shift undoes, or far too few for what they span.
    """
    volume, positions = _upright(volume)
    if len(positions) != volume.grid.shape[0] or len(positions) < 2:
        return volume
    along_z, along_y, along_x = np.asarray(volume.grid.direction)
    offsets = positions - positions[0]
    spacing_z, spacing_y, spacing_x = volume.grid.spacing_mm
    shifts = np.stack([offsets @ along_y / spacing_y, offsets @ along_x / spacing_x], axis=1)
    hu = volume.hu
    if np.abs(shifts).max() > 0.01:
        outside = volume.padding_hu if volume.padding_hu is not None else AIR_HU
        hu = _in_plane(hu, shifts, outside)
    hu = _even(hu, offsets @ along_z / spacing_z)
    grid = dataclasses.replace(volume.grid, shape=(hu.shape[0], hu.shape[1], hu.shape[2]))
    return dataclasses.replace(volume, hu=hu, grid=grid)


def _in_plane(hu: Hu, shifts: NDArray[np.float64], outside: float) -> Hu:
    shifted = np.empty(hu.shape, np.float32)
    for k, shift in enumerate(shifts):
        ndimage.shift(hu[k].astype(np.float32), shift, shifted[k], order=1, mode="constant", cval=outside)
    return hu_array(np.rint(shifted) if hu.dtype == np.int16 else shifted)


def _even(hu: Hu, index: NDArray[np.float64]) -> Hu:
    """Slices at 0, 1, 2 … from slices at `index`, linearly; a slice that is there is taken as it is."""
    num_wanted = round(float(index[-1])) + 1
    if num_wanted > MAX_TIMES * len(index):
        raise InputError(
            f"{num_wanted} evenly spaced slices would have to be made of {len(index)}: one lies far from the others"
        )
    wanted = np.arange(num_wanted)
    after = np.clip(np.searchsorted(index, wanted), 1, len(index) - 1)
    weight = np.clip((wanted - index[after - 1]) / (index[after] - index[after - 1]), 0.0, 1.0)
    weight[np.abs(weight) < 0.01], weight[np.abs(weight - 1) < 0.01] = 0.0, 1.0
    even: NDArray[Any] = np.empty((len(wanted), *hu.shape[1:]), hu.dtype)
    for k, (upper, share) in enumerate(zip(after, weight, strict=True)):
        if share in (0.0, 1.0):
            even[k] = hu[upper] if share == 1.0 else hu[upper - 1]
        else:
            blend = (1 - share) * hu[upper - 1] + share * hu[upper]
            even[k] = np.rint(blend) if hu.dtype == np.int16 else blend
    return even


def _upright(volume: Volume) -> tuple[Volume, NDArray[np.float64]]:
    """The volume on axes at right angles, and the LPS position of the first voxel of each of its slices.

    A file of slices says itself where each lies; of a sheared volume they follow from its slanting first axis.
    """
    slant, along_y, along_x = np.asarray(volume.grid.direction)
    positions: NDArray[np.float64] = np.asarray(volume.source.slice_positions_mm, np.float64)
    if len(positions) or max(abs(slant @ along_y), abs(slant @ along_x), abs(along_y @ along_x)) < SQUARE:
        return volume, positions
    if abs(along_y @ along_x) >= SQUARE:
        raise InputError("the rows and columns of its slices are not at right angles: that is not undone")
    normal = np.cross(along_x, along_y)
    normal *= np.sign(normal @ slant)
    spacing_z, *in_plane = volume.grid.spacing_mm
    positions = np.asarray(volume.grid.origin_mm, np.float64) + np.outer(
        np.arange(volume.grid.shape[0]), spacing_z * slant
    )
    upright: Vector = (float(normal[0]), float(normal[1]), float(normal[2]))
    grid = dataclasses.replace(
        volume.grid,
        spacing_mm=(float(spacing_z * (normal @ slant)), in_plane[0], in_plane[1]),
        direction=(upright, *volume.grid.direction[1:]),
    )
    return dataclasses.replace(volume, grid=grid), positions
