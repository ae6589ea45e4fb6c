"""The runs of the experiment with trainings."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ipdsf_spark.experiments.arithmetic import efficiency, speed_up
from ipdsf_spark.experiments.bench import Bench
from ipdsf_spark.experiments.presented import QUALITIES, TIMES, PresentedQuality, PresentedTime
from ipdsf_spark.experiments.result import Found, Table
from ipdsf_spark.experiments.training import (
    SIDE_BY_SIDE,
    WITHOUT,
    CurveRow,
    QualityRow,
    ReachRow,
    TrainingRow,
    TrainingSettings,
    named,
)
from ipdsf_spark.experiments.training_commands import begin, history_of, phantoms, rate_of, trained_together
from ipdsf_spark.imaging.cases import CASES_FILE, load_cases
from ipdsf_spark.imaging.history import TrainingHistory, time_to_reach

NAME: Final = "bench"


def measure(settings: TrainingSettings, bench: Bench) -> Found:
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
    tables = (
        Table.of("training", "Trainings on the same cubes, as many in a step of each", rows, kind=TrainingRow),
        Table.of("reach", "Time to reach [s of training]", _reached(histories), kind=ReachRow),
        Table.of("quality", "Patients that were not trained on, after stitching", quality, kind=QualityRow),
        Table.of("presented-times", "The presentation's hours, and what follows", TIMES, kind=PresentedTime),
        Table.of("presented-quality", "The presentation's patients", QUALITIES, kind=PresentedQuality),
        Table.of("curves", "Smoothed curves", _curves(histories), kind=CurveRow, is_series=True),
    )
    note = "each worker has one thread; patients and training volumes are phantoms of different seeds"
    return Found(tables, (note,))


def _command(settings: TrainingSettings, out: Path, workers: int, samples: int, where: Sequence[str]) -> list[str]:
    words = ["ct", "train", "--name", NAME, "--task", "denoise", "--threads", "1", "--json", "-o", str(out)]
    words += ["--samples", str(samples), "--set", f"training.width={settings.width}"]
    words += ["--set", f"training.ema_decay={settings.ema_decay}"]
    words += ["--set", f"training.warm_up_samples={settings.warm_up_samples}"]
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
    scores: dict[tuple[str, str], tuple[float, float, float]] = {}
    for label, workers in runs.items():
        bench.say(f"judging {label}")
        report = folder / "reports" / _folder(folder, label).name
        which = "--horovod" if workers else "--model"
        words = ["ct", "evaluate", *map(str, test), "--as", *names, which, str(_folder(folder, label))]
        words += ["--slices", str(settings.slices), "-o", str(report), "--json", *where]
        begin(*words).answers(limit_s=settings.limit_s)
        for case in load_cases(report / CASES_FILE):
            best_db = max((baseline.psnr_db for baseline in case.baselines.values()), default=math.nan)
            scores[case.volume, label] = (case.window.psnr_db, case.window.ssim, best_db)
    return [
        QualityRow(patient, label, psnr_db, ssim, scores[patient, WITHOUT][0] - psnr_db, best_db)
        for (patient, label), (psnr_db, ssim, best_db) in sorted(scores.items())
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
