"""Volumes that belong to nobody: a chest is drawn at a few mm, and two conditional GANs make it eight times as fine.

    chest of nobody ─► grid of 8 voxels ─► noise ─► mid (×2) ─► grey values
                                            noise ─► fine (×4) ─► grey values ⇄ block means

The noise is a field over the whole volume, the same for every cube that covers a voxel, so that neighbouring cubes
see the same condition where they overlap. Networks drift towards the mean, so both volumes are given the grey values
that were drawn with the chest, and the last one the block means of the one between the stages as well. Where that one
is less sharp than chests are no volume has both: they are given in turn, the grey values last, for they are those of
the volume that is written. Memory is the condition of the finest stage, as int16, the volume as float32, and a layer
of cubes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.ct.block_correction import give_block_means
from ipdsf_spark.ct.chests import CHESTS_FILE, STAGES, Chest, ChestModel, body_box, placed
from ipdsf_spark.ct.degradation import block_means
from ipdsf_spark.ct.grey_values import give_hu_shares
from ipdsf_spark.ct.likeness import GUARD_FILE, MAX_COPIED_SHARE, CubeGuard, cube_signatures
from ipdsf_spark.ct.window import unwindowed, windowed
from ipdsf_spark.errors import InputError
from ipdsf_spark.gan.checkpoint import load_model
from ipdsf_spark.gan.inference import Predictor
from ipdsf_spark.imaging.generate import Generation

MAX_DRAWS: Final = 50
ROUNDS: Final = 2  # of block means; the second brings what differs down by a quarter, further ones by less
SLICES_AT_ONCE: Final = 16
PARTS: Final = (*STAGES, CHESTS_FILE, GUARD_FILE)
OF_DATA: Final = ("enhancement_sha256", "trained_on", "trained_on_volumes")  # facts that both stages share
Float32 = NDArray[np.float32]
Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Drawn:
    """A chest of nobody at the resolution between the stages, and how it was judged."""

    chest: Chest
    mid: Float32  # HU [z, y, x], a quarter of the final resolution
    seed: int
    nearest: float  # to a training chest
    copied_share: float  # of its cubes
    refused: int  # chests that were drawn before and were copies


@dataclass(frozen=True)
class Synthesis:
    """All that a volume of nobody is made by."""

    chests: ChestModel
    guard: CubeGuard
    mid: Generation
    fine: Generation

    def drawn(self, shape: Shape, *, seed: int) -> Drawn:
        """A chest of nobody for a volume of a shape; copies are drawn again.

        Args:
            shape: of the volume it is for.
            seed: decides everything about it.

        Raises:
            InputError: nothing but copies comes.
        """
        reason: InputError | None = None
        for turn in range(MAX_DRAWS):
            chest = self.chests.drawn(np.random.default_rng((seed, turn)))
            nearest = self.chests.nearest(chest)
            if nearest < self.chests.copy_limit:
                continue
            try:
                mid = self.middle(chest, shape, seed=seed)
            except InputError as error:  # no body: of a network that was hardly trained
                reason = error
                continue
            reason = None
            copied = self.guard.copied_share(cube_signatures(mid, self.mid.cube_size, self.chests.window_hu))
            if copied <= MAX_COPIED_SHARE:
                return Drawn(chest, mid, seed, nearest, copied, turn)
        if reason is not None:
            raise InputError(f"the model makes no chests ({reason}): train it for longer")
        raise InputError(
            f"{MAX_DRAWS} chests in a row were copies of training chests or of their parts: nothing was written; "
            "train on more volumes"
        )

    def slabs(
        self, drawn: Drawn, shape: Shape, *, on_cubes: Callable[[int], None] = lambda cubes: None
    ) -> Iterator[Float32]:
        """HU of the full-size volume, from inferior to superior."""
        share = windowed(drawn.mid, self.chests.window_hu)
        condition = conditioned(
            share, shape, _factor(self.fine), _sigma(self.fine), self.chests.window_hu, (drawn.seed, 2)
        )
        volume, filled = np.empty(shape, np.float32), 0
        for slab in self.fine.volume(condition, on_cubes=on_cubes):
            volume[filled : filled + len(slab)] = slab
            filled += len(slab)
        factor, window = _factor(self.fine), self.chests.window_hu
        if drawn.chest.shares.size:  # a model of before knows none, and goes on as it did
            rows, columns = ((factor * first, factor * last) for first, last in body_box(drawn.mid, window[0]))
            for turn in range(ROUNDS + 1):
                if turn:
                    give_block_means(volume, drawn.mid, factor, window)
                give_hu_shares(volume, (rows, columns), drawn.chest.fine_shares, window, seed=(drawn.seed, 4, turn))
        for first in range(0, len(volume), SLICES_AT_ONCE):
            yield volume[first : first + SLICES_AT_ONCE]

    def middle(self, chest: Chest, shape: Shape, *, seed: int) -> Float32:
        """HU [z, y, x] of a chest at the resolution between the stages."""
        mid_shape = _divided(shape, _factor(self.fine))
        factor, sigma = _factor(self.mid), _sigma(self.mid)
        share = windowed(block_means(placed(chest, mid_shape, self.chests.window_hu), factor), self.chests.window_hu)
        condition = conditioned(share, mid_shape, factor, sigma, self.chests.window_hu, (seed, 1))
        mid = np.concatenate(list(self.mid.volume(condition)))
        if chest.shares.size:
            give_hu_shares(
                mid, body_box(mid, self.chests.window_hu[0]), chest.shares, self.chests.window_hu, seed=(seed, 3)
            )
        return mid


def conditioned(
    share: Float32, shape: Shape, factor: int, sigma: float, window_hu: tuple[int, int], seed: tuple[int, ...]
) -> NDArray[np.int16]:
    """HU of a coarse volume spread over a grid `factor` times as fine, with the noise field; a slice at a time."""
    condition = np.empty(shape, np.int16)
    for z in range(shape[0]):
        plane = share[z // factor].repeat(factor, axis=0).repeat(factor, axis=1)[: shape[1], : shape[2]]
        noise = np.random.default_rng((*seed, z)).standard_normal(plane.shape, np.float32)
        condition[z] = np.rint(unwindowed(np.clip(plane + np.float32(sigma) * noise, 0.0, 1.0), window_hu))
    return condition


def field_spacing(chest: Chest, shape: Shape) -> tuple[float, float, float]:
    """Of the voxels of a volume that shows a chest's whole field of view, mm (z, y, x)."""
    z, y, x = (extent / number for extent, number in zip(chest.field_mm, shape, strict=True))
    return z, y, x


def _divided(shape: Shape, factor: int) -> Shape:
    z, y, x = (-(-n // factor) for n in shape)
    return z, y, x


def _factor(generation: Generation) -> int:
    return int(_fact(generation, "factor"))


def _sigma(generation: Generation) -> float:
    return float(np.mean(_fact(generation, "sigma")))


def _fact(generation: Generation, name: str) -> Any:
    facts = generation.predictor.facts
    if facts.get("task") != "refine" or name not in facts:
        raise InputError("the model does not refine: `ipdsf ct train-synthesis` makes those that do")
    return facts[name]


def load_synthesis(folder: Path, device: str | None = None) -> Synthesis:
    """What `training.synthesis.train_synthesis` wrote.

    Raises:
        InputError: it is another model, or a part is missing, damaged, or of other training volumes than the rest: then
            the guard would not know copies of these.
    """
    missing = [name for name in PARTS if not (folder / name).exists()]
    if missing:
        raise InputError(
            f"{folder} is no whole model of chests of nobody: {missing[0]} is missing; "
            "`ipdsf ct train-synthesis` makes such models, and goes on where one was interrupted"
        )
    mid, fine = (Generation.of(Predictor(load_model(folder / stage), device)) for stage in STAGES)
    differing = [name for name in OF_DATA if mid.predictor.facts.get(name) != fine.predictor.facts.get(name)]
    if differing:
        raise InputError(
            f"the stages in {folder} were trained on different volumes ({differing[0]}): the same "
            "`ipdsf ct train-synthesis` again trains the one that was interrupted"
        )
    return Synthesis(ChestModel.load(folder / CHESTS_FILE), CubeGuard.load(folder / GUARD_FILE), mid, fine)
