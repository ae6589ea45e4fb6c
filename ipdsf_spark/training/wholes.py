"""Training volumes put together again from their cubes, and the coarser cubes that a first stage learns from."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.ct.chests import body_box
from ipdsf_spark.ct.cube_set import CubeSet, ShardWriter, is_whole_set, publish
from ipdsf_spark.ct.cubes import AIR_BELOW_HU, CubePlan, cubes_of, is_air, is_kept_for_training
from ipdsf_spark.ct.degradation import block_means
from ipdsf_spark.ct.grey_values import hu_shares
from ipdsf_spark.errors import InputError
from ipdsf_spark.packing.coarse_cubes import CoarseCubes

MID_STEP: Final = 4  # the finest stage multiplies the resolution by so much
AIR_KEPT: Final = 0.1
UNKNOWN: Final = -32_768


@dataclass(frozen=True)
class Whole:
    """A training volume put together again, at the resolution between the two stages."""

    name: str
    mid: NDArray[np.int16]  # within the window of the set
    spacing_mm: tuple[float, float, float]  # of `mid`
    shares: NDArray[np.float64]  # of each whole HU of the window at full resolution, within the box around the body


def put_together(cubes: CubeSet) -> Iterator[Whole]:
    """The volumes of a cube set, one at a time; where air cubes were left out there is air like that of the others.

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
    window = cubes.enhancement.window_hu
    for study, numbers in sorted(by_study.items()):
        hu = np.full(tuple(sizes[study]["shape"]), UNKNOWN, np.int16)
        air = np.zeros(window[1] - window[0] + 1)
        for number in numbers:
            _, *starts = cubes.keys[number]
            cube = cubes.take(np.array([number]))[0]
            if is_air(cube):
                air += hu_shares(cube[cube < max(AIR_BELOW_HU, window[0] + 1)], window)
            cube = np.clip(cube, *window)
            inside = [slice(max(0, -s), min(cubes.size, n - s)) for s, n in zip(starts, hu.shape, strict=True)]
            there = tuple(slice(s + part.start, s + part.stop) for s, part in zip(starts, inside, strict=True))
            hu[there] = cube[tuple(inside)]
        yield _whole(study, hu, air, tuple(float(step) for step in sizes[study]["spacing_mm"]), window)


def _whole(
    name: str, hu: NDArray[np.int16], air: NDArray[np.float64], spacing_mm: tuple[float, ...], window: tuple[int, int]
) -> Whole:
    """A volume of which some is unknown, because it was left out as air.

    Args:
        name: of the study.
        hu: `UNKNOWN` where no cube lies.
        air: how often each HU occurs in the cubes of air that were kept; all 0 if none was.
        spacing_mm: of its voxels.
        window: of HU.

    Raises:
        InputError: there is no body in it.
    """
    if not air.any():
        air[0] = 1.0
    air /= air.sum()
    filling = round(float(air @ np.arange(window[0], window[1] + 1)))
    filled = (np.where(part == UNKNOWN, np.int16(filling), part) for part in _layers(hu))
    mid = np.rint(np.concatenate([block_means(part, MID_STEP) for part in filled])).astype(np.int16)
    rows, columns = (slice(MID_STEP * first, MID_STEP * last) for first, last in body_box(mid, window[0]))
    counts, num_unknown = np.zeros(len(air)), 0
    for part in _layers(hu):
        body = part[:, rows, columns]
        known = body[body != UNKNOWN]
        counts += known.size * hu_shares(known, window)
        num_unknown += body.size - known.size
    shares = (counts + num_unknown * air) / (counts.sum() + num_unknown)
    z, y, x = (step * MID_STEP for step in spacing_mm)
    return Whole(name, mid, (z, y, x), shares)


def _layers(hu: NDArray[np.int16]) -> Iterator[NDArray[np.int16]]:
    """A volume in layers of blocks, so that what is made of it takes the memory of a layer."""
    return (hu[first : first + MID_STEP] for first in range(0, len(hu), MID_STEP))


def mid_cubes(wholes: Iterable[Whole], cubes: CubeSet, folder: Path) -> Path:
    """Write the cubes of volumes at a quarter of their resolution as a set of their own."""
    overlap, size, window = overlap_of(cubes), cubes.size, cubes.enhancement.window_hu
    writer = ShardWriter(folder, 0)
    for whole in wholes:
        shape = (whole.mid.shape[0], whole.mid.shape[1], whole.mid.shape[2])
        for key, cube in cubes_of(whole.mid, CubePlan(shape, size, overlap), whole.name):
            if is_kept_for_training(key, is_air=is_air(cube, low_hu=window[0]), air_share_kept=AIR_KEPT):
                writer.add(cube[None], [key])
    writer.finish()
    publish(folder, cubes.enhancement, size=size, shards=1, facts={"overlap": overlap})
    return folder


def overlap_of(cubes: CubeSet) -> int:
    """Voxels that neighbouring cubes of a set share."""
    return int(cubes.manifest.get("overlap", cubes.size // 4))


@contextmanager
def mid_copy(copy: Path, folder: str) -> Iterator[Path]:
    """On this machine the coarser cubes of a local copy, while a training into `folder` lasts.

    The first process of a machine makes them, the others wait; the same copy gives the same cubes on every machine.
    They lie beside the copy, never in the model, and the last process removes them; of processes that were killed, the
    next training that takes a local copy does (`local_copy`).

    Raises:
        InputError: the disk is full, or the set does not say how large its volumes are.
    """
    of = hashlib.sha256(folder.encode()).hexdigest()[:16]
    coarse = CoarseCubes.beside(copy, of)
    with _held(copy, coarse) as use:
        try:
            yield coarse.place
        finally:
            with _locked(coarse.lock):  # nobody begins to use them meanwhile
                fcntl.flock(use, fcntl.LOCK_UN)
                with contextlib.suppress(BlockingIOError):  # another process still trains on them
                    fcntl.flock(use, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(coarse.place, ignore_errors=True)


def _held(copy: Path, coarse: CoarseCubes) -> TextIO:
    """Make the cubes if nobody has, and share them: the open file by which this process does."""
    try:
        with _locked(coarse.lock):
            if not is_whole_set(coarse.place):
                found = CubeSet.load(copy)
                mid_cubes(put_together(found), found, coarse.place)
            use = coarse.use.open("w")
            fcntl.flock(use, fcntl.LOCK_SH)
            return use
    except OSError as error:
        raise InputError(f"cannot write cubes to {coarse.place}: {error.strerror or error}") from error


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
