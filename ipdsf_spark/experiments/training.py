"""Training without and with Horovod: time to thresholds, quality of four patients, efficiency, what a step consists of.

A step has as many cubes in all, whatever the number of workers, so all trainings are the same one; each worker has one
thread, as each of the presentation's had one GPU. Two trainings without Horovod side by side say what the machine
itself can give to two workers. Patients are phantoms of seeds that no training has seen.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ipdsf_spark.experiments.presented import CLAIMED_SPEED_UP, GPUS, QUALITIES, TIMES, mean_lost_db
from ipdsf_spark.experiments.result import Claim, Table

WITHOUT: Final = "without Horovod"
SIDE_BY_SIDE: Final = "two without, side by side"
LINEAR: Final = 0.9  # speed-up per worker that may be called linear
COMPARABLE_DB: Final = 0.2


@dataclass(frozen=True)
class TrainingSettings:
    """What is measured."""

    samples: int = 8_000
    workers: tuple[int, ...] = (1, 2)
    batch: int = 8
    width: int = 16
    volumes: int = 3
    patients: int = 4
    shape: tuple[int, int, int] = (48, 128, 128)
    spacing_mm: tuple[float, float, float] = (6.0, 2.8, 2.8)
    slices: int = 24
    ema_decay: float = 0.999  # less for trainings of few steps, or the average is still where it began
    warm_up_samples: int = 800
    limit_s: float = 1_800.0


@dataclass(frozen=True)
class TrainingRow:
    """One training.

    Attributes:
        training: without Horovod, or with so many workers.
        workers: processes.
        cubes: seen.
        seconds: of training.
        cubes_per_s: of all workers, after the first steps.
        speed_up: of that, against the training without Horovod.
        efficiency: speed-up per worker.
        data_ms, compute_ms, allreduce_ms, rest_ms: of a step; allreduce is exchange and waiting for each other.
    """

    training: str
    workers: int
    cubes: int
    seconds: float
    cubes_per_s: float
    speed_up: float
    efficiency: float
    data_ms: float
    compute_ms: float
    allreduce_ms: float
    rest_ms: float


@dataclass(frozen=True)
class ReachRow:
    """When a smoothed curve first reaches a value.

    Attributes:
        curve: and value.
        training: which.
        seconds: of training; NaN if never.
        speed_up: against the training without Horovod.
    """

    curve: str
    training: str
    seconds: float
    speed_up: float


@dataclass(frozen=True)
class QualityRow:
    """A patient, restored and stitched.

    Attributes:
        patient: a phantom that was not trained on.
        training: of the model.
        psnr_db, ssim: in the HU window, data range 1.
        lost_db: against the model trained without Horovod.
        best_baseline_db: of what needs no network; a model below it has not been trained long enough to be compared.
    """

    patient: str
    training: str
    psnr_db: float
    ssim: float
    lost_db: float
    best_baseline_db: float


@dataclass(frozen=True)
class CurveRow:
    """A point of a curve, for the picture.

    Attributes:
        training: which.
        curve: loss_g, loss_d or accuracy_d.
        seconds: of training.
        value: smoothed.
    """

    training: str
    curve: str
    seconds: float
    value: float


def named(workers: int) -> str:
    """What a training with Horovod is called."""
    return f"Horovod, {workers} worker{'' if workers == 1 else 's'}"


def claims(settings: TrainingSettings, tables: Sequence[Table]) -> tuple[Claim, ...]:
    """What the presentation says of it, by its own figures and by ours."""
    rows = [row for row in tables[0].as_rows(TrainingRow) if row.training != SIDE_BY_SIDE]
    quality = tables[2].as_rows(QualityRow)
    own = ", ".join(
        f"{time.what} {time.without_h:g} to {time.with_h:g} h is {time.speed_up:.2f} times" for time in TIMES
    )
    best = max(time.speed_up for time in TIMES)
    low, high = (round(100 * each(time.efficiency for time in TIMES)) for each in (min, max))
    most = max(rows, key=lambda row: row.workers)
    here = f"here {most.speed_up:.2f} times with {most.workers} workers on {os.cpu_count()} cores"
    judged = [row for row in quality if row.training == most.training]
    return (
        Claim(
            f"training time is reduced by a factor of {CLAIMED_SPEED_UP:g} with {GPUS} GPUs",
            f"by its own figures: {own}; {here}",
            best >= CLAIMED_SPEED_UP,
        ),
        Claim(
            "scaling is linear with the number of GPUs",
            f"by its own figures {low} to {high} % of linear; here {100 * most.efficiency:.0f} % with {most.workers} "
            "workers",
            low >= 100 * LINEAR,
        ),
        Claim(
            "with Horovod the quality is comparable",
            f"by its own figures {mean_lost_db():.1f} dB are lost in the mean, up to "
            f"{max(quality.lost_db for quality in QUALITIES):.1f}; here {_compared(judged)} with {most.workers} "
            "workers, as many cubes in a step as without",
            mean_lost_db() <= COMPARABLE_DB,
        ),
    )


def _compared(judged: Sequence[QualityRow]) -> str:
    if not judged:
        return "not judged"
    mean_db = sum(row.lost_db for row in judged) / len(judged)
    told = f"{abs(mean_db):.2f} dB {'lost' if mean_db > 0 else 'gained'}"
    is_trained = all(row.psnr_db > row.best_baseline_db for row in judged)
    return told if is_trained else f"{told} by models that do not beat the best baseline yet, so no comparison,"
