"""A full-size volume from a trained generator: cut, predict, stitch, undo the enhancement, a layer of cubes at a time.

Memory is one layer of cubes and a batch, beside the volume itself; the generated slices leave as they are finished.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.ct.cubes import CubeKey, CubePlan, cut
from ipdsf_spark.ct.enhancement import Enhancement
from ipdsf_spark.ct.stitching import stitched
from ipdsf_spark.errors import InputError
from ipdsf_spark.gan.inference import Predictor
from ipdsf_spark.imaging.on_device import generated_slabs

BATCH: Final = 16
GPU_BATCH: Final = 128
Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class Generation:
    """A model ready for volumes.

    Attributes:
        predictor: the generator on its device.
        enhancement: it was trained with.
        cube_size: it was trained on.
        overlap: of neighbouring cubes, in which they are blended.
    """

    predictor: Predictor
    enhancement: Enhancement
    cube_size: int
    overlap: int

    @classmethod
    def of(cls, predictor: Predictor, *, overlap: int | None = None) -> Generation:
        """With what the model says of itself.

        Raises:
            InputError: the model does not say how its cubes were made.
        """
        facts = predictor.facts
        try:
            enhancement = Enhancement.from_json(str(facts["enhancement"]))
            size = int(facts["cube_size"])
            stated = int(facts.get("overlap", size // 4))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"the model does not say how its cubes were made ({error})") from error
        if enhancement.sha256 != facts.get("enhancement_sha256"):
            raise InputError("the model's enhancement is not the one it was trained with")
        return cls(predictor, enhancement, size, stated if overlap is None else overlap)

    def plan(self, shape: tuple[int, int, int]) -> CubePlan:
        """How a volume is cut for this model."""
        return CubePlan(shape, self.cube_size, self.overlap)

    @property
    def is_on_gpu(self) -> bool:
        """Whether everything happens on a GPU (`on_device`)."""
        return self.predictor.device.type == "cuda"

    def levels(
        self, hu: NDArray[Any], *, batch: int = 0, on_cubes: Callable[[int], None] = lambda cubes: None
    ) -> Iterator[Float32]:
        """Slabs of generated levels in [-1, 1], from inferior to superior.

        Args:
            hu: the degraded volume, int16 or float32 HU [z, y, x].
            batch: cubes at once; 0 = as many as suit the device.
            on_cubes: told how many cubes were made.
        """
        if self.is_on_gpu:
            return self.slabs_on_device(hu, batch=batch or GPU_BATCH, is_restored=False, on_cubes=on_cubes)
        batch = batch or BATCH
        plan = self.plan((hu.shape[0], hu.shape[1], hu.shape[2]))
        return stitched(plan, self._cubes(hu, plan, batch, on_cubes))

    def volume(
        self, hu: NDArray[Any], *, batch: int = 0, on_cubes: Callable[[int], None] = lambda cubes: None
    ) -> Iterator[Float32]:
        """Slabs of generated HU, from inferior to superior: `levels` with the enhancement undone."""
        if self.is_on_gpu:
            yield from self.slabs_on_device(hu, batch=batch or GPU_BATCH, is_restored=True, on_cubes=on_cubes)
            return
        for slab in self.levels(hu, batch=batch, on_cubes=on_cubes):
            yield self.enhancement.restored(slab)

    def slabs_on_device(
        self,
        hu: NDArray[Any],
        *,
        batch: int,
        is_restored: bool,
        on_cubes: Callable[[int], None] = lambda cubes: None,
    ) -> Iterator[Float32]:
        """Slabs of levels or HU, made on the predictor's device from end to end."""
        plan, device = self.plan((hu.shape[0], hu.shape[1], hu.shape[2])), self.predictor.device
        return generated_slabs(
            hu,
            plan,
            self.enhancement,
            self.predictor.predicted,
            device,
            batch=batch,
            is_restored=is_restored,
            on_cubes=on_cubes,
        )

    def _cubes(
        self, hu: NDArray[Any], plan: CubePlan, batch: int, on_cubes: Callable[[int], None]
    ) -> Iterator[tuple[CubeKey, Float32]]:
        for keys in _batches(plan.cube_keys(), batch):
            conditions = np.stack([self.enhancement.enhanced(cut(hu, key, plan.size)) for key in keys])
            yield from zip(keys, self.predictor.predict(conditions), strict=True)
            on_cubes(len(keys))


def facts_of(predictor: Predictor) -> str:
    """What a model says of itself, without the long curve of its enhancement."""
    return json.dumps({k: v for k, v in predictor.facts.items() if k != "enhancement"}, indent=1)


def _batches(keys: Iterable[CubeKey], size: int) -> Iterator[list[CubeKey]]:
    rest = iter(keys)
    while batch := list(islice(rest, size)):
        yield batch
