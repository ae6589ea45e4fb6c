"""What every worker of a training does, whoever started it: device, threads, cubes, loop."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from ipdsf_spark.ct.cube_set import CubeSet
from ipdsf_spark.errors import IpdsfError
from ipdsf_spark.gan.checkpoint import has_checkpoint
from ipdsf_spark.gan.devices import require_device
from ipdsf_spark.storage.location import location_of
from ipdsf_spark.storage.lock import locked
from ipdsf_spark.training.collective import Collective, Solo
from ipdsf_spark.training.failures import named
from ipdsf_spark.training.folder import require_own
from ipdsf_spark.training.history import Step
from ipdsf_spark.training.loop import DIVERGED, Progress, Trainer
from ipdsf_spark.training.memory import keep_freed_memory
from ipdsf_spark.training.settings import TrainSettings
from ipdsf_spark.training.source import Source, levels_for


@dataclass(frozen=True)
class Work:
    """One training, as plain values that travel to every worker.

    Attributes:
        settings: how it is run.
        folder: for model, checkpoint and history; worker 0 must reach it.
        cubes: folder of a cube set on this machine; empty where they are read from the data set itself.
        shards: the data set (`packing.DatasetReference`), where cubes are read from it.
        facts: what else is known about the data, written into the model.
        threads: of each worker on a CPU; 0 = the machine's cores shared among its workers.
        device: "cpu", "cuda" or "" for what there is.
        anew: do not go on from an earlier training in the folder, but put this one in its place.
    """

    settings: TrainSettings
    folder: str
    cubes: str
    facts: dict[str, Any] = field(default_factory=dict)
    threads: int = 0
    device: str = ""
    anew: bool = False
    shards: Any = None


def trainer_of(
    work: Work,
    collective: Collective | None = None,
    *,
    gpus: tuple[str, ...] = (),
    is_stopped: Callable[[], bool] = lambda: False,
    on_step: Callable[[Step], None] = lambda step: None,
) -> Trainer:
    """The loop of this worker, at the checkpoint if there is one.

    Args:
        work: the training.
        collective: the other workers.
        gpus: addresses of the GPUs Spark has given to this worker's task.
        is_stopped: True on any worker ends the training after a checkpoint.
        on_step: told after every step, on worker 0.
    """
    collective = collective or Solo()
    device = device_of(work.device, collective.local_rank, gpus)
    if device.type == "cpu":
        keep_freed_memory()
        torch.set_num_threads(work.threads or max(1, (os.cpu_count() or 1) // collective.local_size))
    else:
        torch.cuda.set_device(device)
        torch.backends.cudnn.benchmark = True  # every step has the same shapes: the fastest convolution is found once
    trainer = Trainer(
        _source(work),
        work.settings,
        Path(work.folder),
        collective=collective,
        device=device,
        facts=work.facts,
        is_stopped=is_stopped,
        on_step=on_step,
        anew=work.anew,
    )
    if not work.anew:
        trainer.resume()
    return trainer


def _source(work: Work) -> CubeSet | Source:
    if work.shards is None:
        return CubeSet.load(Path(work.cubes))
    from ipdsf_spark.training.shards import ShardedCubes  # loads Petastorm, which copied cubes do without

    levels = levels_for(work.settings.pairs.task, work.shards.enhancement)
    shards = replace(work.shards, enhancement=levels)
    return ShardedCubes(shards, seed=work.settings.seed, validation_share=work.settings.validation_share)


def train_alone(work: Work, on_step: Callable[[Step], None] = lambda step: None) -> Progress:
    """The training by one worker in this process: needs numpy and torch, nothing else."""
    with claimed(work), stopping() as is_stopped, named():
        return converged(trainer_of(work, is_stopped=is_stopped, on_step=on_step).run(), work)


def converged(progress: Progress, work: Work) -> Progress:
    """The progress of a training that did not diverge.

    Raises:
        IpdsfError: it did.
    """
    if not progress.reason.startswith(DIVERGED):
        return progress
    folder = Path(work.folder)
    left = (
        f"{folder} keeps the last checkpoint that was sound"
        if has_checkpoint(folder)
        else "there was no checkpoint yet"
    )
    raise IpdsfError(
        f"the training {progress.reason}; {left}. A lower training.learning_rate, a longer training.warm_up_samples or "
        "training.norm=group may help"
    )


@contextmanager
def claimed(work: Work) -> Iterator[None]:
    """Hold the folder of a training against others.

    Raises:
        InputError: another training writes to it, or it holds what no training wrote.
    """
    folder = Path(work.folder)
    require_own(folder, anew=work.anew)
    with locked(location_of(work.folder), "training"):
        require_own(folder, anew=work.anew)
        yield


def device_of(wanted: str, local_rank: int, gpus: tuple[str, ...] = ()) -> torch.device:
    """The GPU that Spark gave to the task, else the one of this worker's number on its machine, else the CPU.

    Raises:
        InputError: a GPU is asked for and there is none.
    """
    require_device(wanted)
    if wanted == "cpu" or (not wanted and not torch.cuda.is_available()):
        return torch.device("cpu")
    number = int(gpus[0]) if gpus else local_rank % max(1, torch.cuda.device_count())
    return torch.device("cuda", number)


class stopping:
    """Turns SIGTERM and Ctrl-C into a question that the loop asks: it ends after a checkpoint.

    A second one ends it at once.

    Args:
        on_stop: called by the first signal.
    """

    def __init__(self, on_stop: Callable[[], object] = lambda: None) -> None:
        self._asked = threading.Event()
        self._on_stop = on_stop
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Callable[[], bool]:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._stop)
        return self._asked.is_set

    def _stop(self, *_: object) -> None:
        if self._asked.is_set():
            raise KeyboardInterrupt
        self._asked.set()
        self._on_stop()

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
