"""Cubes back into a volume, blended where they overlap, in slabs.

Along each axis a cube's weight rises as sin² over the overlap with the cube before it and falls as the mirrored cos²
over the overlap with the next: the weights of all cubes at a voxel sum to one, so none need to be stored. At the ends
of the volume there is no neighbour, and no ramp. Memory is one layer of cubes, whatever the volume's height.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.ct.cubes import CubeKey, CubePlan
from ipdsf_spark.errors import InputError

SEAM_LIMIT: Final = 1.1


def stitched(plan: CubePlan, cubes: Iterable[tuple[CubeKey, NDArray[Any]]]) -> Iterator[NDArray[np.float32]]:
    """Slabs of finished slices [z, y, x], inferior to superior, as soon as no later cube can change them.

    Args:
        plan: how the volume was cut.
        cubes: every cube of the plan once; layers inferior to superior, in any order within a layer.

    Raises:
        InputError: a cube is missing, foreign, comes twice or too late, or has another shape.
    """
    depth = plan.shape[0]
    slab = np.zeros((plan.size, *plan.shape[1:]), np.float32)
    pending = iter(cubes)
    key, cube = next(pending, (None, None))
    for layer in plan.layers:
        missing = {(y, x) for y in plan.starts[1] for x in plan.starts[2]}
        while key is not None and cube is not None and key.z == layer:
            if (key.y, key.x) not in missing:
                raise InputError(f"cube {tuple(key)} comes twice or does not belong to this volume")
            missing.remove((key.y, key.x))
            _add_inplace(slab, plan, key, cube)
            key, cube = next(pending, (None, None))
        if missing:
            y, x = min(missing)
            what = f"; cube {tuple(key)} came instead" if key is not None else ""
            raise InputError(f"{len(missing)} cubes of the layer at slice {layer} are missing, first ({y}, {x}){what}")
        is_last = layer == plan.layers[-1]
        first, last = max(0, -layer), depth - layer if is_last else plan.stride
        yield slab[first:last].copy()
        if not is_last:
            slab[: plan.overlap] = slab[plan.stride :]
            slab[plan.overlap :] = 0.0
    if key is not None:
        raise InputError(f"cube {tuple(key)} comes twice, too late or does not belong to this volume")


def stitched_volume(plan: CubePlan, cubes: Iterable[tuple[CubeKey, NDArray[Any]]]) -> NDArray[np.float32]:
    """The whole volume at once, where memory allows."""
    return np.concatenate(list(stitched(plan, cubes)))


def weights(plan: CubePlan, key: CubeKey) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Weight of the cube at `key` along z, y, x: (size,) each. Their product is the voxel's weight."""
    along = [_weight(plan, axis, start) for axis, start in enumerate((key.z, key.y, key.x))]
    return along[0], along[1], along[2]


def seam_ratio(volume: NDArray[Any], plan: CubePlan, truth: NDArray[Any] | None = None) -> float:
    """How much more neighbouring planes differ where cubes meet than elsewhere; 1 = no seam to be seen.

    Along each axis, the mean |difference| of the planes on either side of a cube's face, over that of all neighbouring
    planes inside a single cube; and the same for the planes between the faces of two overlapping cubes, where they are
    blended. The larger of the two, each averaged over the axes with their number of planes. `SEAM_LIMIT` is what a
    stitched volume may have. A plan of one cube gives 1.

    Args:
        volume: (Z, Y, X) stitched.
        plan: how it was cut.
        truth: the volume before cutting. Anatomy also changes from plane to plane; given the truth, its own ratio is
            divided out, and what remains is the cubes' doing.
    """
    at_faces, blended = _Ratio(), _Ratio()
    for axis in range(3):
        steps = _mean_steps(volume, axis)
        usual = np.ones_like(steps) if truth is None else _mean_steps(truth, axis)
        is_face, is_blended = np.zeros(len(steps), dtype=bool), np.zeros(len(steps), dtype=bool)
        for start in plan.starts[axis][1:]:
            begin, end = start - 1, start + plan.overlap - 1  # steps across the faces of two neighbours
            is_face[[k for k in (begin, end) if 0 <= k < len(steps)]] = True
            is_blended[max(0, begin) : end + 1] = True
        at_faces.add(steps, usual, is_face, ~is_blended)
        blended.add(steps, usual, is_blended, ~is_blended)
    return max(at_faces.mean, blended.mean)


class _Ratio:
    """Mean of how much planes differ at some places over how much at others, weighted with the number of places."""

    def __init__(self) -> None:
        self._total, self._count = 0.0, 0

    def add(
        self, steps: NDArray[np.float64], usual: NDArray[np.float64], here: NDArray[np.bool_], there: NDArray[np.bool_]
    ) -> None:
        above, below = steps[here].sum() * usual[there].sum(), steps[there].sum() * usual[here].sum()
        if below > 0:
            self._total += above / below * int(here.sum())
            self._count += int(here.sum())

    @property
    def mean(self) -> float:
        return self._total / self._count if self._count else 1.0


def _add_inplace(slab: NDArray[np.float32], plan: CubePlan, key: CubeKey, cube: NDArray[Any]) -> None:
    if cube.shape != (plan.size,) * 3:
        raise InputError(f"cube {tuple(key)} has the shape {cube.shape}, the plan cubes of {plan.size}")
    along_z, along_y, along_x = weights(plan, key)
    y, x = (_inside(start, plan.size, n) for start, n in zip((key.y, key.x), plan.shape[1:], strict=True))
    part = cube[:, y[1], x[1]].astype(np.float32)
    part *= along_y[y[1], None] * along_x[None, x[1]]
    part *= along_z[:, None, None]
    slab[:, y[0], x[0]] += part


def _inside(start: int, size: int, length: int) -> tuple[slice, slice]:
    """Where a cube lies in the volume, and which part of the cube that is."""
    first, last = max(0, start), min(length, start + size)
    return slice(first, last), slice(first - start, last - start)


def _weight(plan: CubePlan, axis: int, start: int) -> NDArray[np.float32]:
    weight = np.ones(plan.size)
    if plan.overlap:
        ramp = np.sin(np.pi / 2 * (np.arange(plan.overlap) + 0.5) / plan.overlap) ** 2
        starts = plan.starts[axis]
        if start > starts[0]:
            weight[: plan.overlap] = ramp
        if start < starts[-1]:
            weight[-plan.overlap :] = 1.0 - ramp
    return weight.astype(np.float32)


def _mean_steps(volume: NDArray[Any], axis: int) -> NDArray[np.float64]:
    """Mean |difference| of each pair of neighbouring planes along an axis, one pair at a time."""
    planes = np.moveaxis(volume, axis, 0)
    return np.array([np.abs(b.astype(np.float32) - a).mean(dtype=np.float64) for a, b in pairwise(planes)])
