"""Faults of the imaging flow: a full storage array while packing, a training worker killed."""

from __future__ import annotations

import csv
import json
import os
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import psutil

from ipdsf_spark.ct.phantom import chest_phantom
from ipdsf_spark.ct.provenance import Provenance
from ipdsf_spark.ct.writing import write_volume
from ipdsf_spark.drill.deadline import DrillError
from ipdsf_spark.drill.ground import Ground
from ipdsf_spark.drill.outcome import Account, Found
from ipdsf_spark.drill.small_disks import filled, mounted

TINY: Final = (
    *("training.width=4", "training.halvings=2", "training.discriminator_width=4", "training.precision=fp32"),
    *("training.learning_rate=1e-3", "training.warm_up_samples=8", "training.batch=2", "training.epochs=1000000"),
)
PACKED: Final = "packed"
SAMPLES: Final = 400
STEPS_BEFORE: Final = 20


def phantoms(folder: Path, count: int) -> list[Path]:
    """Volumes of a simulated chest."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"phantom-{number}.nii.gz" for number in range(count)]
    for number, path in enumerate(paths):
        phantom = chest_phantom((32, 64, 64), seed=number, spacing_mm=(8.0, 5.6, 5.6))
        write_volume(path, phantom.volume, Provenance("phantom", datetime(2026, 1, 1, tzinfo=UTC)))
    return paths


def storage_full(ground: Ground) -> Found:
    """The storage array is full while cubes are packed: it is said, and the next packing does the work."""
    array = ground.folder / "array"
    mounted(array, ground.stack)
    volumes = [str(path) for path in phantoms(ground.folder / "volumes", 3)]
    settings = (f"storage.root={json.dumps(str(array))}",)
    words = ("ct", "pack", "--name", "chest", "--train", *volumes[:2], "--test", volumes[2], "--json")
    filler = filled(array)
    refused = ground.verb(*words, settings=settings).start()
    ground.deadline.until(lambda: not refused.is_running, "the packing to end")
    if refused.ended_with == 0:
        raise DrillError("a packing onto a full disk ended as if it had succeeded")
    told = refused.said("ipdsf ct:")
    filler.unlink()
    ground.mark()
    again = ground.verb(*words, settings=settings).start()
    ground.deadline.until(lambda: not again.is_running, "the second packing to end")
    caught_up_s = ground.since_mark_s()
    if again.ended_with:
        raise DrillError(f"the packing after there was room ended with {again.ended_with}: {again.tail()}")
    manifest = json.loads((array / "cubes" / "chest" / "dataset.json").read_text())
    lost = len(volumes) - len(manifest["studies"])
    ground.kept[PACKED] = array
    return Found(Account(len(volumes), lost), None, caught_up_s, tuple(told[:3]), "packed whole by the next call")


def packed(ground: Ground) -> Path:
    """A storage array with a data set: the one of the drill before, or a new one."""
    held = ground.kept.get(PACKED)
    if isinstance(held, Path):
        return held
    array = ground.folder / "training-array"
    volumes = [str(path) for path in phantoms(ground.folder / "training-volumes", 3)]
    words = ("ct", "pack", "--name", "chest", "--train", *volumes[:2], "--test", volumes[2])
    ground.answer_of(*words, settings=(f"storage.root={json.dumps(str(array))}",))
    return array


def training_worker_killed(ground: Ground) -> Found:
    """One of two Horovod workers of an elastic training is killed; the other goes on from the last commit."""
    array, out = packed(ground), ground.folder / "model"
    settings = (
        f"storage.root={json.dumps(str(array))}",
        f"training.cache_directory={json.dumps(str(ground.folder / 'cache'))}",
    )
    words = ("ct", "train", "--name", "chest", "-o", str(out), "--json", "--threads", "1", "--device", "cpu",
             "--workers", "2", "--elastic", "--samples", str(SAMPLES))  # fmt: skip
    training = ground.verb(*words, settings=(*settings, *TINY)).start()
    history = out / "history.csv"

    def is_under_way() -> bool:
        if not training.is_running:
            raise DrillError(f"the training ended with {training.ended_with}: {training.tail()}")
        return len(steps_of(history)) > STEPS_BEFORE

    ground.deadline.until(is_under_way, "the training to take its first steps")
    victim = next((each for each in training.children() if is_worker(each, rank=1)), None)
    if victim is None:
        raise DrillError("no worker of rank 1 is there to kill")
    at_loss = len(steps_of(history))
    os.kill(victim.pid, signal.SIGKILL)
    ground.mark()
    ground.deadline.until(
        lambda: len(steps_of(history)) > at_loss or not training.is_running, "the next step of the training"
    )
    back_s = ground.since_mark_s()
    ground.deadline.until(lambda: not training.is_running, "the end of the training")
    if training.ended_with:
        raise DrillError(f"the training ended with {training.ended_with}: {training.tail()}")
    steps = steps_of(history)
    missing = len(set(range(1, max(steps) + 1)) - set(steps))
    told = training.said("(?i)worker.*(lost|gone|killed|fail)|elastic|WARNING")
    return Found(
        Account(max(steps), missing, len(steps) - len(set(steps))),
        back_s,
        None,
        tuple(told[:3]),
        f"killed after step {at_loss}",
    )


def steps_of(history: Path) -> list[int]:
    """Steps that the diary of a training holds."""
    if not history.is_file():
        return []
    with history.open(newline="", encoding="utf-8") as file:
        return [int(row["step"]) for row in csv.DictReader(file) if row.get("step")]


def is_worker(process: psutil.Process, *, rank: int) -> bool:
    """Whether a process is the Horovod worker of that rank."""
    try:
        return process.environ().get("HOROVOD_RANK") == str(rank) and "exec_fn" in " ".join(process.cmdline())
    except psutil.Error:
        return False
