"""From cubes of HU to what the networks see: condition and target, both in enhanced levels.

    target     enhanced(HU)
    condition  enhanced(degraded(HU in its window))

Everything random belongs to the cube and the epoch, so it is the same whichever worker makes the pair.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.ct.cubes import CubeKey, generator_of
from ipdsf_spark.ct.degradation import TASKS, Task, noisy, pixelated
from ipdsf_spark.ct.enhancement import Enhancement
from ipdsf_spark.ct.window import unwindowed, windowed
from ipdsf_spark.errors import InputError

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class PairSettings:
    """What is done to cubes.

    Attributes:
        task: what the network has to undo.
        sigma: noise of `denoise` and `refine`, as shares of the window: drawn anew for every cube and
            epoch from this range.
        factor: edge of the blocks of `depixelate` and `refine`, voxels.
        is_flipped: whether cubes are mirrored and turned at random. A chest is not symmetric, its texture is.
        seed: of everything random.
    """

    task: Task = "denoise"
    sigma: tuple[float, float] = (0.025, 0.1)
    factor: int = 2
    is_flipped: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be done."""
        if self.task not in TASKS:
            raise InputError(f"no such task: {self.task!r}; known: {', '.join(TASKS)}")
        low, high = self.sigma
        if not 0 <= low <= high <= 1:
            raise InputError(f"the noise range must rise within 0 … 1 of the window, got {self.sigma}")
        if self.factor < 2:
            raise InputError(f"blocks of pixels have an edge of 2 and more, got {self.factor}")


def pairs_of(
    hu: NDArray[np.int16], keys: list[CubeKey], enhancement: Enhancement, settings: PairSettings, *, epoch: int
) -> tuple[Float32, Float32]:
    """Conditions and targets (B, S, S, S) of cubes of HU (B, S, S, S).

    Args:
        hu: clean cubes.
        keys: theirs.
        enhancement: of the data set.
        settings: what is done to them.
        epoch: another epoch brings other noise and other flips.
    """
    targets = np.empty(hu.shape, np.float32)
    conditions = np.empty(hu.shape, np.float32)
    for row, key in enumerate(keys):
        rng = generator_of(key, seed=settings.seed, purpose=f"epoch {epoch}")
        cube = _turned(hu[row], rng) if settings.is_flipped else hu[row]
        targets[row] = enhanced = enhancement.enhanced(cube)
        conditions[row] = enhanced if settings.task == "autoencode" else _degraded(cube, enhancement, settings, rng)
    return conditions, targets


def enhanced_share(share: NDArray[Any], enhancement: Enhancement) -> Float32:
    """Enhanced levels of shares of the window, by way of whole HU, as scanners deliver them."""
    return enhancement.enhanced(np.rint(unwindowed(share, enhancement.window_hu)).astype(np.int16))


def _degraded(
    cube: NDArray[np.int16], enhancement: Enhancement, settings: PairSettings, rng: np.random.Generator
) -> Float32:
    share = windowed(cube, enhancement.window_hu)
    if settings.task == "refine":
        coarse = pixelated(share, settings.factor)
        return enhanced_share(noisy(coarse, rng, sigma=rng.uniform(*settings.sigma)), enhancement)
    if settings.task == "denoise":
        return enhanced_share(noisy(share, rng, sigma=rng.uniform(*settings.sigma)), enhancement)
    return enhanced_share(pixelated(share, settings.factor), enhancement)


def _turned(cube: NDArray[np.int16], rng: np.random.Generator) -> NDArray[np.int16]:
    """One of sixteen ways to lay a cube down; the body's axis stays, for slices are thicker than pixels."""
    flips = rng.integers(0, 2, 4)
    turned = cube.transpose(0, 2, 1) if flips[3] else cube
    return turned[tuple(slice(None, None, -1 if flip else None) for flip in flips[:3])]
