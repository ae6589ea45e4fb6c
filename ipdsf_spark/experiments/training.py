"""Training without and with Horovod: time to thresholds, quality of four patients, efficiency, what a step consists of.

A step has as many cubes in all, whatever the number of workers, so all trainings are the same one; each worker has one
thread, as each of the presentation's had one GPU. Two trainings without Horovod side by side say what the machine
itself can give to two workers. Patients are phantoms of seeds that no training has seen.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ipdsf_spark.experiments.arithmetic import efficiency, speed_up
from ipdsf_spark.experiments.bench import Bench
from ipdsf_spark.experiments.presented import (
    CLAIMED_SPEED_UP,
    GPUS,
    QUALITIES,
    TIMES,
    PresentedQuality,
    PresentedTime,
    mean_lost_db,
)
from ipdsf_spark.experiments.result import Claim, Table
from ipdsf_spark.experiments.training_runs import begin, history_of, phantoms, rate_of, trained_together
from ipdsf_spark.imaging.cases import CASES_FILE, load_cases
from ipdsf_spark.imaging.history import TrainingHistory, time_to_reach

NAME: Final = "bench"
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
    """

    patient: str
    training: str
    psnr_db: float
    ssim: float
    lost_db: float


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


def measure(settings: TrainingSettings, bench: Bench) -> tuple[Table, ...]:
    """Pack, train without and with, judge."""
    folder = bench.scratch / "training"
    shutil.rmtree(folder, ignore_errors=True)
    where = ["--set", f"storage.root={folder / 'storage'}", "--set", f"training.cache_directory={folder / 'cache'}"]
    where += [word for override in bench.overrides for word in ("--set", override)]
    volumes = phantoms(folder / "volumes", settings.volumes + settings.patients, settings.shape, settings.spacing_mm)
    train, test = volumes[: settings.volumes], volumes[settings.volumes :]
    names = [f"phantom-{number}" for number in range(len(volumes))]
    bench.say(f"packing {len(volumes)} phantoms")
    begin("ct", "pack", "--name", NAME, "--train", *train, "--test", *test, "--as", *names, "--json", *where).answers(
        limit_s=settings.limit_s
    )
    runs = {WITHOUT: 0, **{named(workers): workers for workers in settings.workers}}
    histories = {}
    for label, workers in runs.items():
        histories[label] = _trained(settings, bench, folder, label, workers, where)
    rows = _rows(settings, runs, histories)
    rows.append(_side_by_side(settings, bench, folder, where, rows[0]))
    quality = _judged(settings, bench, folder, runs, test, names[settings.volumes :], where)
    shutil.rmtree(folder, ignore_errors=True)
    return (
        Table.of("training", "Trainings on the same cubes, as many in a step of each", rows, kind=TrainingRow),
        Table.of("reach", "Time to reach [s of training]", _reached(histories), kind=ReachRow),
        Table.of("quality", "Patients that were not trained on, after stitching", quality, kind=QualityRow),
        Table.of("presented-times", "The presentation's hours, and what follows", TIMES, kind=PresentedTime),
        Table.of("presented-quality", "The presentation's patients", QUALITIES, kind=PresentedQuality),
        Table.of("curves", "Smoothed curves", _curves(histories), kind=CurveRow),
    )


def named(workers: int) -> str:
    """What a training with Horovod is called."""
    return f"Horovod, {workers} worker{'' if workers == 1 else 's'}"


def _command(settings: TrainingSettings, out: Path, workers: int, samples: int, where: Sequence[str]) -> list[str]:
    words = ["ct", "train", "--name", NAME, "--task", "denoise", "--threads", "1", "--json", "-o", str(out)]
    words += ["--samples", str(samples), "--set", f"training.width={settings.width}"]
    words += ["--set", f"training.batch={max(1, settings.batch // max(workers, 1))}"]
    return [*words, *(["--workers", str(workers)] if workers else []), *where]


def _folder(folder: Path, label: str) -> Path:
    return folder / "models" / label.replace(" ", "-").replace(",", "")


def _trained(
    settings: TrainingSettings, bench: Bench, folder: Path, label: str, workers: int, where: Sequence[str]
) -> TrainingHistory:
    bench.say(f"training {label}, {settings.samples:,} cubes")
    out = _folder(folder, label)
    begin(*_command(settings, out, workers, settings.samples, where)).answers(limit_s=settings.limit_s)
    history = history_of(out)
    bench.say(f"{label}: {rate_of(history):.1f} cubes/s")
    return history


def _rows(settings: TrainingSettings, runs: dict[str, int], histories: dict[str, TrainingHistory]) -> list[TrainingRow]:
    alone = rate_of(histories[WITHOUT])
    return [_row(label, max(1, runs[label]), history, alone) for label, history in histories.items()]


def _row(label: str, workers: int, history: TrainingHistory, alone_per_s: float) -> TrainingRow:
    parts = history.step_times_ms()
    rate = rate_of(history)
    return TrainingRow(
        label,
        workers,
        int(history["samples"][-1]),
        float(history["seconds"][-1]),
        rate,
        speed_up(1 / alone_per_s, 1 / rate),
        efficiency(1 / alone_per_s, 1 / rate, workers),
        parts["data"],
        parts["forward and backward"],
        parts["allreduce"],
        parts["rest"],
    )


def _side_by_side(
    settings: TrainingSettings, bench: Bench, folder: Path, where: Sequence[str], alone: TrainingRow
) -> TrainingRow:
    """Two at once: more than this no way of training together can get out of two cores."""
    bench.say(f"training {SIDE_BY_SIDE}")
    outs = [folder / "models" / f"side-{number}" for number in range(2)]
    samples = settings.samples // 2
    commands = [begin(*_command(settings, out, 0, samples, where)) for out in outs]
    trained_together(commands, limit_s=settings.limit_s)
    histories = [history_of(out) for out in outs]
    rate = sum(rate_of(history) for history in histories)
    parts = histories[0].step_times_ms()
    return TrainingRow(
        SIDE_BY_SIDE,
        2,
        sum(int(history["samples"][-1]) for history in histories),
        max(float(history["seconds"][-1]) for history in histories),
        rate,
        rate / alone.cubes_per_s,
        rate / alone.cubes_per_s / 2,
        parts["data"],
        parts["forward and backward"],
        parts["allreduce"],
        parts["rest"],
    )


def _judged(
    settings: TrainingSettings,
    bench: Bench,
    folder: Path,
    runs: dict[str, int],
    test: Sequence[Path],
    names: Sequence[str],
    where: Sequence[str],
) -> list[QualityRow]:
    scores: dict[tuple[str, str], tuple[float, float]] = {}
    for label, workers in runs.items():
        bench.say(f"judging {label}")
        report = folder / "reports" / _folder(folder, label).name
        which = "--horovod" if workers else "--model"
        words = ["ct", "evaluate", *map(str, test), "--as", *names, which, str(_folder(folder, label))]
        words += ["--slices", str(settings.slices), "-o", str(report), "--json", *where]
        begin(*words).answers(limit_s=settings.limit_s)
        for case in load_cases(report / CASES_FILE):
            scores[case.volume, label] = (case.window.psnr_db, case.window.ssim)
    return [
        QualityRow(patient, label, psnr_db, ssim, scores[patient, WITHOUT][0] - psnr_db)
        for (patient, label), (psnr_db, ssim) in sorted(scores.items())
    ]


def _reached(histories: dict[str, TrainingHistory]) -> list[ReachRow]:
    rows = []
    for curve, seconds in time_to_reach(histories):
        alone = seconds[WITHOUT]
        for label, found in seconds.items():
            ratio = speed_up(alone, found) if alone and found else math.nan
            rows.append(ReachRow(curve, label, math.nan if found is None else found, ratio))
    return rows


def _curves(histories: dict[str, TrainingHistory], points: int = 120) -> list[CurveRow]:
    rows = []
    for label, history in histories.items():
        step = max(1, history.num_steps // points)
        for curve in ("loss_g", "loss_d", "accuracy_d"):
            values = history.smoothed(curve)[::step]
            rows += [
                CurveRow(label, curve, float(second), float(value))
                for second, value in zip(history["seconds"][::step], values, strict=True)
            ]
    return rows


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
    lost = [row.lost_db for row in quality if row.training == most.training]
    mean = sum(lost) / len(lost) if lost else math.nan
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
            f"{max(quality.lost_db for quality in QUALITIES):.1f}; here {_lost(mean)} with {most.workers} workers, as "
            "many cubes in a step as without",
            mean_lost_db() <= COMPARABLE_DB,
        ),
    )


def _lost(mean_db: float) -> str:
    return "not judged" if math.isnan(mean_db) else f"{abs(mean_db):.2f} dB {'lost' if mean_db > 0 else 'gained'}"
