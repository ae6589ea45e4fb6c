"""The history of a training, read back: smoothed curves, and when they first reach a value."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.errors import InputError

HISTORY_FILE: Final = "history.csv"
SMOOTHING_STEPS: Final = 50
SETTLING_STEPS: Final = 20  # of warm-up that say nothing of the time a step takes

Series = NDArray[np.float64]


@dataclass(frozen=True)
class TrainingHistory:
    """One value per step and name: `seconds`, `samples`, `loss_g`, `loss_d`, `accuracy_d`, `data_s` and so on."""

    columns: dict[str, Series]

    def __getitem__(self, name: str) -> Series:
        return self.columns[name]

    @property
    def num_steps(self) -> int:
        """Steps taken."""
        return len(self.columns["step"])

    def smoothed(self, name: str) -> Series:
        """Exponentially weighted mean over about `SMOOTHING_STEPS`, without the pull of the first value."""
        values, weight = self.columns[name], 1.0 / SMOOTHING_STEPS
        mean, mass = 0.0, 0.0
        smooth = np.empty_like(values)
        for k, value in enumerate(values):
            mean = (1 - weight) * mean + weight * value
            mass = (1 - weight) * mass + weight
            smooth[k] = mean / mass
        return smooth

    def seconds_to_reach(self, name: str, value: float, *, falling: bool) -> float | None:
        """Training time after which the smoothed curve is first at or beyond `value`; None if never."""
        smooth = self.smoothed(name)
        reached = np.flatnonzero(smooth <= value if falling else smooth >= value)
        return float(self.columns["seconds"][reached[0]]) if len(reached) else None

    def step_times_ms(self) -> dict[str, float]:
        """Mean time of a step by what it went to, after the first steps; checkpoints and validations are in `rest`."""
        first = min(SETTLING_STEPS, self.num_steps // 2)
        names = {"data": "data_s", "forward and backward": "compute_s", "allreduce": "allreduce_s", "rest": "rest_s"}
        return {label: 1000 * float(self.columns[name][first:].mean()) for label, name in names.items()}


def read_history(folder: Path) -> TrainingHistory | None:
    """The history beside a model; None if there is none.

    Raises:
        InputError: it is damaged.
    """
    path = folder / HISTORY_FILE
    if not path.is_file():
        return None
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        columns = {name: np.array([float(row[name]) for row in rows]) for name in rows[0]} if rows else {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is no history of a training, or a damaged one ({error})") from error
    needed = {"step", "seconds", "loss_g", "loss_d", "accuracy_d", "data_s", "compute_s", "allreduce_s", "rest_s"}
    if rows and not needed <= set(columns):
        raise InputError(f"{path} lacks the columns {', '.join(sorted(needed - set(columns)))}")
    return TrainingHistory(columns) if rows else None


def time_to_reach(histories: dict[str, TrainingHistory]) -> list[tuple[str, dict[str, float | None]]]:
    """Rows "what" → seconds by training: when losses and accuracy first reach values that all of them can be asked for.

    Levels are chosen between where the trainings begin and the best that the best of them reaches.
    """
    rows: list[tuple[str, dict[str, float | None]]] = []
    for name, label, falling in (
        ("loss_g", "generator loss ≤", True),
        ("loss_d", "discriminator loss ≤", True),
        ("accuracy_d", "discriminator accuracy ≥", False),
    ):
        curves = [h.smoothed(name) for h in histories.values()]
        begin = float(np.mean([c[0] for c in curves]))
        best = min(float(c.min()) for c in curves) if falling else max(float(c.max()) for c in curves)
        for share in (0.5, 0.8, 0.95):
            level = begin + share * (best - begin)
            rows.append(
                (
                    f"{label} {level:.3g}",
                    {k: h.seconds_to_reach(name, level, falling=falling) for k, h in histories.items()},
                )
            )
    return rows
