"""Trainings as a person starts them: each step is an `ipdsf ct` command in a process of its own."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from ipdsf_spark.ct.phantom import chest_phantom
from ipdsf_spark.ct.provenance import Provenance
from ipdsf_spark.ct.writing import write_volume
from ipdsf_spark.errors import InputError, IpdsfError
from ipdsf_spark.imaging.history import SETTLING_STEPS, TrainingHistory, read_history

LIMIT_S: Final = 3_600.0
END_TIMEOUT_S: Final = 30.0


@dataclass(frozen=True)
class Command:
    """A command that runs.

    Attributes:
        words: of it.
        process: its process.
    """

    words: tuple[str, ...]
    process: subprocess.Popen[str]

    def answers(self, *, limit_s: float = LIMIT_S) -> list[dict[str, Any]]:
        """Wait for its end; what it answered as JSON, a line each.

        Raises:
            IpdsfError: it failed, or took longer than `limit_s` and was ended.
        """
        try:
            said, wrong = self.process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired as error:
            raise IpdsfError(f"`{self}` did not end within {limit_s:.0f} s") from error
        finally:
            self.end()
        if self.process.returncode:
            raise IpdsfError(f"`{self}` failed: {wrong.strip()[-600:]}")
        return [json.loads(line) for line in said.splitlines() if line.startswith("{")]

    def end(self) -> None:
        """End it with all that it has started, if it still runs."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(END_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()

    def __str__(self) -> str:
        return shlex.join(["ipdsf", *(Path(word).name if Path(word).is_absolute() else word for word in self.words)])


def begin(*words: str | Path) -> Command:
    """Start an `ipdsf` command."""
    told = tuple(map(str, words))
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "ipdsf_spark.cli.main", *told],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a training starts a JVM and workers, which end with it
    )
    return Command(told, process)


def phantoms(
    folder: Path, number: int, shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]
) -> list[Path]:
    """Chest phantoms as NIfTI, one per seed."""
    provenance = Provenance("phantom", datetime.now(UTC))
    folder.mkdir(parents=True, exist_ok=True)
    return [
        write_volume(
            folder / f"phantom-{seed}.nii.gz", chest_phantom(shape, seed=seed, spacing_mm=spacing_mm).volume, provenance
        )
        for seed in range(number)
    ]


def history_of(folder: Path) -> TrainingHistory:
    """The history of a training that has ended.

    Raises:
        InputError: it left none.
    """
    found = read_history(folder)
    if found is None:
        raise InputError(f"the training in {folder.name} left no history")
    return found


def rate_of(history: TrainingHistory) -> float:
    """Cubes per second of all workers, after the first steps, in which caches and threads settle."""
    first = min(SETTLING_STEPS, history.num_steps // 2)
    samples, seconds = history["samples"], history["seconds"]
    return float((samples[-1] - samples[first]) / max(seconds[-1] - seconds[first], 1e-9))


def trained_together(commands: Sequence[Command], *, limit_s: float = LIMIT_S) -> None:
    """Wait for trainings that run side by side; if one fails, the others are ended.

    Raises:
        IpdsfError: one failed.
    """
    try:
        for command in commands:
            command.answers(limit_s=limit_s)
    finally:
        for command in commands:
            command.end()
