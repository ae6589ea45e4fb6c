"""Overlapping cubes that cover a volume, each with a key that says where it came from.

Along an axis of length L, cubes of edge s with overlap o start at every s - o voxels, the first one o // 2 before the
volume, and ceil(L / (s - o)) of them reach beyond its end; what lies outside is filled by reflection and forgotten
again by `stitching`. So a border of the volume is never the border of a cube, where networks are weakest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.errors import InputError

SIZES: Final = (32, 64, 128)
DEFAULT_OVERLAP: Final = {32: 8, 64: 16, 128: 32}
AIR_BELOW_HU: Final = -900
AIR_SHARE: Final = 0.98  # of a cube's voxels; the rest may be table, clothes and noise
Voxel = TypeVar("Voxel", bound=np.generic)


class CubeKey(NamedTuple):
    """Study and first voxel of a cube; negative where the cube begins in the padding. Sorts inferior to superior."""

    study: str
    z: int
    y: int
    x: int


@dataclass(frozen=True)
class CubePlan:
    """How a volume of a shape is cut into cubes: all that stitching needs to know."""

    shape: tuple[int, int, int]  # (z, y, x) of the volume
    size: int = 32
    overlap: int = 8

    def __post_init__(self) -> None:
        """Refuse plans whose cubes would not overlap in pairs."""
        if self.size < 2 or not 0 <= self.overlap <= self.size // 2:
            raise InputError(f"cubes of {self.size} can overlap by 0 to {self.size // 2} voxels, got {self.overlap}")
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise InputError(f"a volume has three axes of at least one voxel, got {self.shape}")

    @property
    def stride(self) -> int:
        """Voxels from one cube to the next."""
        return self.size - self.overlap

    @property
    def padding(self) -> tuple[tuple[int, int], ...]:
        """Voxels added (before, after) each axis."""
        before = self.overlap // 2
        return tuple((before, len(s) * self.stride + self.overlap - before - n)
                     for s, n in zip(self.starts, self.shape, strict=True))  # fmt: skip

    @property
    def num_cubes(self) -> int:
        """How many cubes cover the volume."""
        return int(np.prod([len(starts) for starts in self.starts]))

    @property
    def layers(self) -> tuple[int, ...]:
        """First slice of each layer of cubes, inferior to superior."""
        return self.starts[0]

    def cube_keys(self, study: str = "") -> Iterator[CubeKey]:
        """All cubes, layer by layer, inferior to superior."""
        return (CubeKey(study, z, y, x) for z, y, x in product(*self.starts))

    @cached_property
    def starts(self) -> tuple[tuple[int, ...], ...]:
        """First voxels of the cubes along z, y, x."""
        return tuple(
            tuple(k * self.stride - self.overlap // 2 for k in range(-(-length // self.stride)))
            for length in self.shape
        )


def cut(volume: NDArray[Voxel], key: CubeKey, size: int) -> NDArray[Voxel]:
    """cube[z, y, x] at `key`; voxels outside the volume are mirrored into it."""
    starts = (key.z, key.y, key.x)
    indices = [mirrored(np.arange(s, s + size), n) for s, n in zip(starts, volume.shape, strict=True)]
    cube: NDArray[Voxel] = volume[np.ix_(*indices)]
    return cube


def cubes_of(volume: NDArray[Voxel], plan: CubePlan, study: str = "") -> Iterator[tuple[CubeKey, NDArray[Voxel]]]:
    """All cubes of a volume with their keys, layer by layer, inferior to superior."""
    if volume.shape != plan.shape:
        raise InputError(f"the plan is for a volume of {plan.shape}, not {volume.shape}")
    return ((key, cut(volume, key, plan.size)) for key in plan.cube_keys(study))


def is_air(cube_hu: NDArray[Any], *, low_hu: float = -np.inf) -> bool:
    """True for a cube of HU that shows nothing but air or padding; `low_hu`: of the window within which they are."""
    below = max(AIR_BELOW_HU, low_hu + 1)
    return bool(np.count_nonzero(cube_hu < below) >= AIR_SHARE * cube_hu.size)


def is_kept_for_training(key: CubeKey, *, is_air: bool, air_share_kept: float, seed: int = 0) -> bool:
    """Whether a cube takes part in training: all with tissue, and of the air cubes a share chosen by the key.

    The choice depends on nothing but seed and key, so every worker makes the same one. For inference all are kept.
    """
    return not is_air or uniform_of(key, seed=seed) < air_share_kept


def generator_of(key: CubeKey, *, seed: int = 0, purpose: str = "") -> np.random.Generator:
    """Random numbers that belong to a cube: the same on every worker, in every order."""
    digest = hashlib.blake2b(repr((seed, purpose, *key)).encode(), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest, "little"))


def uniform_of(key: CubeKey, *, seed: int = 0) -> float:
    """A number in [0, 1) that belongs to a cube."""
    digest = hashlib.blake2b(repr((seed, "keep", *key)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") / 2.0**64


def mirrored(index: NDArray[np.int_], length: int) -> NDArray[np.int_]:
    """Indices reflected at both ends of an axis, without repeating the end; an axis of one voxel repeats it."""
    if length == 1:
        return np.zeros_like(index)
    period = 2 * (length - 1)
    folded = np.mod(index, period)
    return np.where(folded < length, folded, period - folded)
