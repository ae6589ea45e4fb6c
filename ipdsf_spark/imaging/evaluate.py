"""A model judged on a volume it has not seen: degrade, generate, stitch, measure beside methods without a network."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.ct.metrics import Quality, quality
from ipdsf_spark.ct.noise_spectrum import noise_spectrum
from ipdsf_spark.ct.perceived import VIF_SCALES, ms_ssim, num_scales, vif
from ipdsf_spark.ct.stitching import seam_ratio
from ipdsf_spark.ct.tissues import histogram_distance_hu, mae_by_tissue
from ipdsf_spark.ct.volume import Volume
from ipdsf_spark.ct.window import unwindowed, windowed
from ipdsf_spark.errors import InputError
from ipdsf_spark.imaging.cases import MODEL, Case, Measures, Scores
from ipdsf_spark.imaging.degrade import Degradation
from ipdsf_spark.imaging.generate import Generation
from ipdsf_spark.imaging.nodules import nodule_scores

Float32 = NDArray[np.float32]
Voxel = TypeVar("Voxel", bound=np.generic)
MIN_SLICES = 8
MIN_SIDE = 7  # voxels: the window of SSIM
MAX_PERCEIVED_SLICES = 16
BLOCK = 8  # a choice of slices is a whole number of blocks of the coarsest pixels


@dataclass(frozen=True)
class Slices:
    """The middle axial slice of a case in three forms, as shares of the window: for the figure."""

    original: Float32
    condition: Float32
    prediction: Float32
    spacing_yx_mm: tuple[float, float]


def central(hu: NDArray[Voxel], num_slices: int) -> NDArray[Voxel]:
    """At most `num_slices` slices from the middle of a volume, a multiple of eight; 0 = all there are.

    Raises:
        InputError: fewer than eight slices.
    """
    if len(hu) < MIN_SLICES or 0 < num_slices < MIN_SLICES:
        few = min(len(hu), num_slices or len(hu))
        raise InputError(f"a volume of {few} slices cannot be judged: SSIM and pixels need {MIN_SLICES} and more")
    if not num_slices:
        return hu
    wanted = min(num_slices, len(hu)) // BLOCK * BLOCK
    first = (len(hu) - wanted) // 2
    return hu[first : first + wanted]


def evaluate(
    generation: Generation,
    volume: Volume,
    degradation: Degradation,
    *,
    model: str,
    num_workers: int,
    num_slices: int = 0,
    with_strong: bool = True,
    with_nodules: bool = True,
    on_cubes: Callable[[int], None] = lambda cubes: None,
) -> tuple[Case, Slices]:
    """Judge a model on a volume.

    Args:
        generation: the model.
        volume: clean, of a patient the model was not trained on.
        degradation: what is done to it; the whole volume at once, numpy seed 0.
        model: its name.
        num_workers: Horovod processes that trained it; 0 = without Horovod.
        num_slices: from the middle, in whole blocks of eight; 0 = all.
        with_strong: beside the classical methods too, which take their time.
        with_nodules: plant nodules in the lung and say what is left of them.
        on_cubes: told how many cubes were made.

    Raises:
        InputError: the volume is too small to be judged.
    """
    _, rows, columns = volume.grid.shape
    if min(rows, columns) < MIN_SIDE:
        raise InputError(f"slices of {rows} × {columns} voxels cannot be judged: SSIM needs {MIN_SIDE} on each side")
    window = generation.enhancement.window_hu
    hu = central(np.rint(volume.hu).astype(np.int16, copy=False), num_slices)
    truth = windowed(hu, window)
    degraded = degradation.applied(truth)
    started = time.monotonic()
    degraded_hu = degradation.degraded_hu(degraded, window)
    levels = np.concatenate(list(generation.levels(degraded_hu, on_cubes=on_cubes)))
    predicted = windowed(generation.enhancement.restored(levels), window)
    seconds = time.monotonic() - started
    plan = generation.plan((hu.shape[0], hu.shape[1], hu.shape[2]))
    baselines = degradation.baselines(truth, degraded, with_strong=with_strong)
    spacing = volume.grid.spacing_mm
    case = Case(
        volume=volume.study,
        task=degradation.task,
        degradation=degradation.name,
        model=model,
        num_workers=num_workers,
        shape=plan.shape,
        spacing_mm=volume.grid.spacing_mm,
        window_hu=window,
        window=_scores(quality(predicted, truth, data_range=1.0)),
        enhanced=_scores(quality(levels, generation.enhancement.enhanced(hu), data_range=2.0)),
        baselines={name: _scores(quality(baseline, truth, data_range=1.0)) for name, baseline in baselines.items()},
        seam_ratio=seam_ratio(predicted, plan, truth),
        seconds=seconds,
        num_cubes=plan.num_cubes,
        measures={
            name: measured(share, truth, (spacing[1], spacing[2]), window)
            for name, share in {MODEL: predicted, **baselines}.items()
        },
        nodules=nodule_scores(generation, hu, spacing, degradation) if with_nodules else {},
    )
    middle = len(hu) // 2
    return case, Slices(truth[middle], degraded[middle], predicted[middle], (spacing[1], spacing[2]))


def measured(
    share: Float32, truth: Float32, spacing_yx_mm: tuple[float, float], window_hu: tuple[int, int]
) -> Measures:
    """What reviewers ask for; MS-SSIM and VIF of at most 16 slices, evenly chosen."""
    hu, true_hu = unwindowed(share, window_hu), unwindowed(truth, window_hu)
    chosen = np.unique(np.linspace(0, len(truth) - 1, MAX_PERCEIVED_SLICES).round().astype(int))
    a, b = share[chosen], truth[chosen]
    noise = noise_spectrum(hu - true_hu, spacing_yx_mm)
    return Measures(
        ms_ssim=ms_ssim(a, b, data_range=1.0) if num_scales(b.shape) else None,
        vif=vif(a, b, data_range=1.0) if min(b.shape[1:]) >= VIF_SCALES[0] else None,
        mae_hu=mae_by_tissue(hu, true_hu),
        histogram_hu=histogram_distance_hu(hu, true_hu, window_hu),
        noise_hu=noise.sigma_hu,
        noise_frequency_per_mm=noise.mean_frequency_per_mm,
    )


def _scores(found: Quality) -> Scores:
    return Scores(found.psnr_db, found.ssim)
