"""Training of what makes chests of nobody: from the same cubes as every other model.

    chests.npz    the distribution of whole chests at a few mm (`ct.chests`), in closed form
    mid/, fine/   conditional GANs that double the resolution and quadruple it, trained by the same loop
    guard.npz     by which copies of training cubes are known

The volumes are put together again from their cubes. Both GANs learn the task `refine`: from block means with a noise
field to the cube itself; where the noise is the same, so is what they make of it, and neighbouring cubes agree.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.ct.chests import CHESTS_FILE, Chest, ChestModel, chest_of
from ipdsf_spark.ct.cube_set import CubeSet, ShardWriter, publish
from ipdsf_spark.ct.cubes import CubePlan, cubes_of, is_air, is_kept_for_training
from ipdsf_spark.ct.degradation import block_means
from ipdsf_spark.ct.likeness import GUARD_FILE, CubeGuard, cube_signatures
from ipdsf_spark.errors import InputError
from ipdsf_spark.training.history import Step
from ipdsf_spark.training.pairs import PairSettings
from ipdsf_spark.training.settings import TrainSettings
from ipdsf_spark.training.worker import Work, train_alone

FORMAT: Final = "ipdsf-synthesis/1"
FACTS_FILE: Final = "synthesis.json"
MID_FACTOR, FINE_FACTOR = 2, 4
STAGES: Final = {"mid": MID_FACTOR, "fine": FINE_FACTOR}
SIGMA: Final = 0.03  # of the window: the noise field from which texture is made
L1_WEIGHT: Final = 10.0  # a tenth of the restoring models': texture cannot be guessed voxel by voxel
AIR_KEPT: Final = 0.1


@dataclass(frozen=True)
class Whole:
    """A training volume put together again, at the resolution between the two stages."""

    name: str
    mid: NDArray[np.int16]
    spacing_mm: tuple[float, float, float]  # of `mid`


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
) -> dict[str, Any]:
    """Fit the chests and train both stages, half of the time each; goes on where it was interrupted.

    Args:
        cubes: folder of a cube set whose facts state shape and spacing of its volumes.
        folder: of the model.
        settings: of both trainings; their limits count for each.
        facts: what else is known about the data.
        device: "cpu", "cuda" or "" for what there is.
        threads: on a CPU.
        anew: do not go on from earlier stages.
        on_stage: told what begins.
        on_step: told after every step.

    Raises:
        InputError: the set does not say how large its volumes are, or they are too few.
    """
    found = CubeSet.load(cubes)
    on_stage("chests")
    wholes = list(put_together(found))
    chests = [chest_of(whole.mid, whole.spacing_mm, found.enhancement.window_hu) for whole in wholes]
    folder.mkdir(parents=True, exist_ok=True)
    fit_chests(chests, [whole.mid for whole in wholes], found, folder)
    mid_cubes = _mid_cubes(wholes, found, folder / ".mid-cubes")
    answer: dict[str, Any] = {"format": FORMAT, "chests": len(chests)}
    for stage, factor in STAGES.items():
        on_stage(stage)
        here = mid_cubes if stage == "mid" else cubes
        own = stage_settings(settings, factor)
        work = Work(own, str(folder / stage), str(here), {**facts, "overlap": _overlap(found)}, threads, device, anew)
        progress = train_alone(work, on_step=on_step)
        answer[stage] = {"samples": progress.samples, "seconds": round(progress.seconds, 1), "ended": progress.reason}
    shutil.rmtree(mid_cubes)  # training data, which a model must not carry
    (folder / FACTS_FILE).write_text(json.dumps(answer, indent=1) + "\n", encoding="utf-8")
    return answer


def stage_settings(settings: TrainSettings, factor: int) -> TrainSettings:
    """Those of a stage: its task, and less weight on the L1 term than texture can bear."""
    seed, is_flipped = settings.pairs.seed, settings.pairs.is_flipped
    return dataclasses.replace(
        settings,
        pairs=PairSettings("refine", (SIGMA, SIGMA), factor, is_flipped, seed),
        generator=dataclasses.replace(settings.generator, is_residual=True),
        update=dataclasses.replace(settings.update, l1_weight=min(L1_WEIGHT, settings.update.l1_weight)),
        patience=0,  # its L1 error does not say how real texture is
        validation_share=0.0,
    )


def fit_chests(chests: Sequence[Chest], mids: Sequence[NDArray[np.int16]], cubes: CubeSet, folder: Path) -> ChestModel:
    """The distribution of chests and the guard against copies, written to the folder."""
    model = ChestModel.fit(chests, cubes.enhancement.window_hu)
    model.save(folder / CHESTS_FILE)
    size, window = cubes.size, cubes.enhancement.window_hu
    guard = CubeGuard.of([cube_signatures(mid, size, window) for mid in mids])
    guard.save(folder / GUARD_FILE)
    return model


def put_together(cubes: CubeSet) -> Iterator[Whole]:
    """The volumes of a cube set, one at a time; where air cubes were left out there is air.

    Raises:
        InputError: the set does not say how large its volumes are.
    """
    sizes = {v["name"]: v for v in cubes.manifest.get("volumes", ()) if v.get("shape") and v.get("spacing_mm")}
    by_study: dict[str, list[int]] = {}
    for number, key in enumerate(cubes.keys):
        by_study.setdefault(key.study, []).append(number)
    unknown = sorted(set(by_study) - set(sizes))
    if unknown:
        raise InputError(
            f"the set of cubes does not say how large {unknown[0]} is: `ipdsf ct export` of this version does"
        )
    air = cubes.enhancement.window_hu[0]
    for study, numbers in sorted(by_study.items()):
        hu = np.full(tuple(sizes[study]["shape"]), air, np.int16)
        for number in numbers:
            _, *starts = cubes.keys[number]
            cube = cubes.take(np.array([number]))[0]
            inside = [slice(max(0, -s), min(cubes.size, n - s)) for s, n in zip(starts, hu.shape, strict=True)]
            there = tuple(slice(s + part.start, s + part.stop) for s, part in zip(starts, inside, strict=True))
            hu[there] = cube[tuple(inside)]
        mid = np.rint(block_means(hu, FINE_FACTOR)).astype(np.int16)
        z, y, x = (float(step) * FINE_FACTOR for step in sizes[study]["spacing_mm"])
        yield Whole(study, mid, (z, y, x))


def _mid_cubes(wholes: Sequence[Whole], cubes: CubeSet, folder: Path) -> Path:
    overlap, size = _overlap(cubes), cubes.size
    writer = ShardWriter(folder, 0)
    for whole in wholes:
        shape = (whole.mid.shape[0], whole.mid.shape[1], whole.mid.shape[2])
        for key, cube in cubes_of(whole.mid, CubePlan(shape, size, overlap), whole.name):
            if is_kept_for_training(key, is_air=is_air(cube), air_share_kept=AIR_KEPT):
                writer.add(cube[None], [key])
    writer.finish()
    publish(folder, cubes.enhancement, size=size, shards=1, facts={"overlap": overlap})
    return folder


def _overlap(cubes: CubeSet) -> int:
    return int(cubes.manifest.get("overlap", cubes.size // 4))
