"""The history of a training, step by step: CSV for programs, TensorBoard for people. Written by worker 0 only."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import errno
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from ipdsf_spark.errors import InputError

logger = logging.getLogger(__name__)

HISTORY_FILE: Final = "history.csv"
VALIDATION_FILE: Final = "validation.csv"
BOARD_FOLDER: Final = "tensorboard"
BOARD_EVERY_S: Final = 0.2  # of training between steps shown there: a GPU takes a hundred in a second; the CSV has all


@dataclass(frozen=True)
class Step:
    """One step of all workers together; losses are those of worker 0's batch, seconds those of worker 0."""

    step: int
    epoch: int
    samples: int  # cubes seen by all workers since the beginning
    seconds: float  # of training since the beginning, interruptions not counted
    loss_g: float
    loss_l1: float
    loss_adversarial: float
    loss_d: float
    accuracy_d: float
    psnr_db: float  # in enhanced space, data range 2
    samples_per_s: float  # of all workers
    data_s: float  # waiting for the batch
    compute_s: float  # forward, backward, optimisers
    allreduce_s: float  # waiting for the other workers' gradients
    rest_s: float  # history, checkpoints, validation, agreeing to go on
    learning_rate: float


@dataclass(frozen=True)
class Validation:
    """The averaged generator on cubes that are never trained on."""

    step: int
    samples: int
    seconds: float
    psnr_db: float


class History:
    """Appends to the files of a training; rows after `resumed_at` belong to steps that will be taken again.

    Every method raises `InputError` where the folder has gone or the disk is full.
    """

    def __init__(self, folder: Path, *, resumed_at: int = 0) -> None:
        self._folder = folder
        with self._named():
            folder.mkdir(parents=True, exist_ok=True)
            self._steps = _open(folder / HISTORY_FILE, [f.name for f in dataclasses.fields(Step)], resumed_at)
            self._validations = _open(
                folder / VALIDATION_FILE, [f.name for f in dataclasses.fields(Validation)], resumed_at
            )
            self._shown_s = -BOARD_EVERY_S
            self._board = _tensorboard(folder / BOARD_FOLDER, purge_step=resumed_at + 1)

    def add(self, row: Step | Validation) -> None:
        """Append a row."""
        file, group = (self._steps, "train") if isinstance(row, Step) else (self._validations, "validation")
        values = dataclasses.asdict(row)
        with self._named():
            csv.writer(file).writerow([f"{v:.6g}" if isinstance(v, float) else v for v in values.values()])
            is_due = not isinstance(row, Step) or row.seconds >= self._shown_s + BOARD_EVERY_S
            if self._board is not None and is_due:
                if isinstance(row, Step):
                    self._shown_s = row.seconds
                for name, value in values.items():
                    if name not in ("step", "epoch"):
                        self._board.add_scalar(f"{group}/{name}", value, row.step)

    def flush(self) -> None:
        """Make everything visible to readers."""
        with self._named():
            if not (self._folder / HISTORY_FILE).exists():
                raise FileNotFoundError(errno.ENOENT, "the folder or the file was removed while the training ran")
            self._steps.flush()
            self._validations.flush()

    def close(self) -> None:
        """Write what is left."""
        with self._named(), contextlib.ExitStack() as stack:
            if self._board is not None:
                stack.callback(self._board.close)
            stack.callback(self._validations.close)
            stack.callback(self._steps.close)

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise InputError(f"cannot write the history in {self._folder}: {error.strerror or error}") from error


def _open(path: Path, header: list[str], resumed_at: int) -> Any:
    """A table opened to append to, with the rows that a resumed training keeps; the older one stays until it is whole.

    What a crash left of a row, or a row that somebody damaged, is left out.
    """
    kept: Iterable[list[str]] = []
    if resumed_at and path.is_file():
        with path.open(newline="", encoding="utf-8", errors="replace") as file:
            lines = file.read().replace("\0", "").splitlines()
        # No value of ours is quoted, and an open quote would take the rows behind it along.
        kept = [
            row for line in lines[1:] if _is_whole(row := line.split(","), len(header)) and int(row[0]) <= resumed_at
        ]
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([header, *kept])  # by its header the folder is known as one of ours
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
    return path.open("a", newline="", encoding="utf-8")


def _is_whole(row: list[str], length: int) -> bool:
    try:
        return len(row) == length and row[0].isdecimal() and len([float(value) for value in row]) == length
    except ValueError:
        return False


def _tensorboard(folder: Path, *, purge_step: int) -> Any | None:
    try:
        from torch.utils.tensorboard.writer import SummaryWriter
    except ImportError:
        logger.warning("tensorboard is not installed: the history goes to CSV only")
        return None
    before = threading.excepthook
    if getattr(before, "func", None) is not _on_thread_error:
        threading.excepthook = partial(_on_thread_error, before)
    return SummaryWriter(str(folder), purge_step=purge_step)


def _on_thread_error(before: Callable[[threading.ExceptHookArgs], object], args: threading.ExceptHookArgs) -> None:
    """TensorBoard writes in a thread of its own, whose error the terminal need not see: the tables meet it as well."""
    if isinstance(args.exc_value, OSError) and type(args.thread).__module__.startswith("tensorboard."):
        logger.info("TensorBoard cannot write: %s", args.exc_value)
    else:
        before(args)
