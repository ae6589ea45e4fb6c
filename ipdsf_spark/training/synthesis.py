"""Training of what makes chests of nobody: from the same cubes as every other model.

    chests.npz    the distribution of whole chests at a few mm (`ct.chests`), in closed form
    mid/, fine/   conditional GANs that double the resolution and quadruple it, trained by the same loop
    guard.npz     by which copies of training cubes are known

Chests and guard are written when the first stage has ended, on the same volumes: a training that is refused leaves
those of an earlier one, whose networks would else be guarded against copies of other patients.

The volumes are put together again from their cubes. Both GANs learn the task `refine`: from block means with a noise
field to the cube itself; where the noise is the same, so is what they make of it, and neighbouring cubes agree. The
model that is kept is the one that was best in validation: after thousands of good steps one may throw a GAN far back.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np

from ipdsf_spark.ct.chests import CHESTS_FILE, STAGES, ChestModel, chest_of
from ipdsf_spark.ct.cube_set import CubeSet
from ipdsf_spark.ct.likeness import GUARD_FILE, CubeGuard, cube_signatures
from ipdsf_spark.storage.files import LocalFiles
from ipdsf_spark.storage.location import location_of
from ipdsf_spark.storage.naming import naming
from ipdsf_spark.training.history import Step
from ipdsf_spark.training.loop import STOPPED, Progress
from ipdsf_spark.training.pairs import PairSettings
from ipdsf_spark.training.settings import TrainSettings
from ipdsf_spark.training.synthesis_folder import FACTS_FILE, FORMAT, MID_CUBES, claimed_for_synthesis
from ipdsf_spark.training.wholes import MID_STEP, Whole, mid_cubes, overlap_of, put_together
from ipdsf_spark.training.worker import Work, stopping, train_alone

MID_FACTOR, FINE_FACTOR = 2, MID_STEP
MID, FINE = STAGES
FACTORS: Final = {MID: MID_FACTOR, FINE: FINE_FACTOR}
SIGMA: Final = 0.03  # of the window: the noise field from which texture is made
L1_WEIGHT: Final = 10.0  # a tenth of the restoring models': texture cannot be guessed voxel by voxel


def train_synthesis(
    cubes: Path,
    folder: Path,
    settings: TrainSettings,
    facts: dict[str, Any],
    *,
    device: str = "",
    threads: int = 0,
    anew: bool = False,
    on_stage: Callable[[str], None] = lambda stage: None,
    on_step: Callable[[Step], None] = lambda step: None,
    train: Callable[[str, Work], Progress] | None = None,
) -> dict[str, Any]:
    """Fit the chests and train both stages, half of the time each; goes on where it was interrupted.

    SIGTERM or Ctrl-C end it after a checkpoint of the stage that is under way, or before the next one begins.

    Args:
        cubes: folder of a cube set whose facts state shape and spacing of its volumes.
        folder: of the model.
        settings: of both trainings; their limits count for each.
        facts: what else is known about the data.
        device: "cpu", "cuda" or "" for what there is.
        threads: on a CPU.
        anew: do not go on from earlier stages.
        on_stage: told what begins.
        on_step: told after every step; not where `train` trains.
        train: trains a stage, "mid" or "fine", where it is not one worker in this process that does; it finds the
            cubes of "mid" itself (`wholes.mid_copy`).

    Raises:
        InputError: the set does not say how large its volumes are, or they are too few; or the folder is another's.
    """
    found = CubeSet.load(cubes)
    with claimed_for_synthesis(folder, anew=anew), stopping() as is_stopped:
        on_stage("chests")
        wholes = list(put_together(found))
        chests, guard = fitted(wholes, found)
        answer: dict[str, Any] = {"format": FORMAT, "chests": len(wholes), "ended": ""}
        about = {**facts, "overlap": overlap_of(found)}
        with _coarse(wholes, found, folder, is_needed=train is None) as coarse:
            del wholes
            for stage, factor in FACTORS.items():
                if is_stopped():
                    answer["ended"] = f"{STOPPED} before {stage!r}"
                    return answer
                on_stage(stage)
                here = coarse if stage == MID else cubes
                own = stage_settings(settings, factor)
                work = Work(own, str(folder / stage), str(here), about, threads, device, anew)
                progress = train(stage, work) if train else train_alone(work, on_step=on_step)
                if stage == MID:
                    chests.save(folder / CHESTS_FILE)
                    guard.save(folder / GUARD_FILE)
                answer[stage] = _told(progress)
                if progress.reason == STOPPED:
                    answer["ended"] = f"{STOPPED} in {stage!r}"
                    return answer
        answer["ended"] = "both stages"
        LocalFiles().write(location_of(str(folder / FACTS_FILE)), f"{json.dumps(answer, indent=1)}\n".encode())
    return answer


def _told(progress: Progress) -> dict[str, Any]:
    return {
        "samples": progress.samples,
        "seconds": round(progress.seconds, 1),
        "ended": progress.reason,
        "model_step": progress.kept_step or progress.step,
        "best_validation_psnr_db": round(progress.kept_psnr_db, 2) if np.isfinite(progress.kept_psnr_db) else None,
    }


@contextmanager
def _coarse(wholes: Sequence[Whole], cubes: CubeSet, folder: Path, *, is_needed: bool) -> Iterator[Path | None]:
    """The cubes that the first stage learns from; they are training data, which a model must not carry."""
    if not is_needed:
        yield None
        return
    place = folder / MID_CUBES

    def spoken(error: Exception) -> object:
        return getattr(error, "strerror", None) or error

    try:
        with naming(f"write cubes to {place}", spoken, kinds=OSError):
            made = mid_cubes(wholes, cubes, place)
        yield made
    finally:
        shutil.rmtree(place, ignore_errors=True)


def stage_settings(settings: TrainSettings, factor: int) -> TrainSettings:
    """Those of a stage: its task, less weight on the L1 term, and a learning rate that no batch raises.

    At batch 64 the rate that grows with its root (1.1e-3) cost a network on a GPU 10 dB within 40 steps, after
    2,600 good ones, and half of that stayed lost; at 4e-4 nothing of the kind was seen.
    """
    seed, is_flipped = settings.pairs.seed, settings.pairs.is_flipped
    return dataclasses.replace(
        settings,
        pairs=PairSettings("refine", (SIGMA, SIGMA), factor, is_flipped, seed),
        generator=dataclasses.replace(settings.generator, is_residual=True),
        update=dataclasses.replace(settings.update, l1_weight=min(L1_WEIGHT, settings.update.l1_weight)),
        scaling="none",
        patience=0,  # its PSNR does not say how real texture is; that an adversary ran away with it, it does
    )


def fitted(wholes: Sequence[Whole], cubes: CubeSet) -> tuple[ChestModel, CubeGuard]:
    """The distribution of chests and the guard against copies.

    Raises:
        InputError: too few volumes, or one without a body.
    """
    size, window = cubes.size, cubes.enhancement.window_hu
    chests = [chest_of(whole.mid, whole.spacing_mm, window, fine_shares=whole.shares) for whole in wholes]
    guard = CubeGuard.of([cube_signatures(whole.mid, size, window) for whole in wholes])
    return ChestModel.fit(chests, window), guard
