"""The training loop, the same for one worker and for many.

A step: the next batch, one adversarial update with averaged gradients, a row of history. Every few steps the workers
ask each other whether to go on; at intervals the averaged generator is validated, and worker 0 writes a checkpoint.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import platform
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from ipdsf_spark.ct.cube_set import CubeSet
from ipdsf_spark.ct.cubes import uniform_of
from ipdsf_spark.errors import InputError
from ipdsf_spark.gan.checkpoint import has_checkpoint, load_checkpoint, save_checkpoint, save_model
from ipdsf_spark.gan.networks import Networks
from ipdsf_spark.gan.update import Wait, adversarial_update
from ipdsf_spark.training.collective import Collective, Solo
from ipdsf_spark.training.feed import Feed
from ipdsf_spark.training.folder import remove_training
from ipdsf_spark.training.history import History, Step, Validation
from ipdsf_spark.training.schedule import require_one_step
from ipdsf_spark.training.settings import TrainSettings
from ipdsf_spark.training.validation import validated

logger = logging.getLogger(__name__)

ASK_EVERY: Final = 5  # steps


@dataclass
class Progress:
    """Where a training stands; all of it is in a checkpoint."""

    step: int = 0
    samples: int = 0
    epoch: int = 0
    position: int = 0  # cubes of the epoch that all workers together have seen
    seconds: float = 0.0
    next_validation: int = 0
    best_psnr_db: float = -np.inf
    since_best: int = 0  # validations
    reason: str = ""  # why it ended; empty while it has not


class Trainer:
    """One worker's part of a training.

    Args:
        cubes: the training set, the same on every worker.
        settings: the same on every worker.
        folder: where worker 0 writes model, checkpoint and history.
        collective: the other workers.
        device: torch device.
        facts: what else is known about the data, written into the model.
        is_stopped: asked every few steps; True on any worker ends the training after a checkpoint.
        on_step: told after every step, on worker 0.
        anew: an earlier training in the folder is removed once the first step of this one is made.
    """

    def __init__(
        self,
        cubes: CubeSet,
        settings: TrainSettings,
        folder: Path,
        *,
        collective: Collective | None = None,
        device: torch.device | str = "cpu",
        facts: Mapping[str, Any] | None = None,
        is_stopped: Callable[[], bool] = lambda: False,
        on_step: Callable[[Step], None] = lambda step: None,
        anew: bool = False,
    ) -> None:
        self.cubes, self.settings, self.folder = cubes, settings, folder
        self.collective: Collective = collective or Solo()
        self.nets = Networks.new(
            settings.generator,
            settings.discriminator,
            settings.optimiser,
            seed=settings.seed,
            device=device,
            dtype=torch.float64 if settings.is_double else torch.float32,
            channels_last=settings.channels_last,
        )
        self.progress = Progress()
        self._facts = dict(facts or {})
        self._is_stopped, self._on_step, self._anew = is_stopped, on_step, anew
        self._history: History | None = None
        held_out = np.array([uniform_of(key, seed=settings.seed + 1) for key in cubes.keys])
        self._validation = np.flatnonzero(held_out < settings.validation_share)
        self._training = np.flatnonzero(held_out >= settings.validation_share)
        self._saved_s = time.monotonic()
        self._clock_s = time.perf_counter()  # where the last step ended
        self._asked: tuple[Tensor, Wait] | None = None

    @property
    def identity(self) -> dict[str, Any]:
        """What a checkpoint must share with the training that resumes it."""
        pairs = dataclasses.asdict(self.settings.pairs)
        return {
            "pairs": {**pairs, "sigma": list(pairs["sigma"])},
            "generator": dataclasses.asdict(self.settings.generator),
            "discriminator": dataclasses.asdict(self.settings.discriminator),
            "seed": self.settings.seed,
            "cube_size": self.cubes.size,
            "num_cubes": len(self.cubes),
            "enhancement_sha256": self.cubes.enhancement.sha256,
        }

    def resume(self) -> bool:
        """Go on from the checkpoint in the folder, if there is one.

        Raises:
            InputError: it is of another data set, enhancement, task or shape.
        """
        if not has_checkpoint(self.folder):
            return False
        stored = load_checkpoint(self.folder, self.nets)
        differing = sorted(k for k, v in self.identity.items() if stored["identity"].get(k) != v)
        if differing:
            said = "; ".join(f"{k}: {stored['identity'].get(k)!r} there, {self.identity[k]!r} here" for k in differing)
            raise InputError(f"the checkpoint in {self.folder} is of another training ({said}): name another folder")
        self.progress = Progress(**{**stored["progress"], "reason": ""})
        return True

    def run(self, commit: Callable[[], None] = lambda: None) -> Progress:
        """Train until an end is reached; returns where it stands.

        Args:
            commit: called where every worker agrees on the state, for those who must be able to return to it.

        Raises:
            InputError: there are too few cubes for a step.
        """
        p, s, all_ = self.progress, self.settings, self.collective
        require_one_step(len(self._training), batch=s.batch, size=all_.size)
        all_.share(self.nets)
        feed = Feed(
            self.cubes,
            self._training,
            s.pairs,
            batch=s.batch,
            rank=all_.rank,
            size=all_.size,
            epoch=p.epoch,
            position=p.position,
        )
        try:
            with feed:
                self._clock_s = time.perf_counter()
                self._ask()
                if p.step:
                    self._hear()  # a training that had ended does not go on
                while not p.reason:
                    self._step(feed)
                    self._hear()
                    if p.step % ASK_EVERY == 0:
                        self._ask()
                        commit()
                        if self._history is not None:
                            self._history.flush()
                if self._asked is not None:
                    self._asked[1]()  # nobody leaves while others wait for an answer
        except InputError:
            if all_.rank == 0 and p.step:
                with contextlib.suppress(InputError):  # the first reason is the one to be told
                    self._save()
            raise
        finally:
            self._close_history()
        self.nets.settle()
        if all_.rank == 0:
            self._save()
        return p

    def _close_history(self) -> None:
        history, self._history = self._history, None
        if history is None:
            return
        if sys.exc_info()[0] is None:
            history.close()
        else:
            with contextlib.suppress(InputError):
                history.close()

    def _begin_history(self) -> None:
        """When the first step is made: until then nothing of an earlier training is touched."""
        if self._history is None and self.collective.rank == 0:
            if self._anew and self.progress.step == 1:
                remove_training(self.folder)
            self._history = History(self.folder, resumed_at=self.progress.step - 1)

    def _step(self, feed: Feed) -> None:
        p, s, all_ = self.progress, self.settings, self.collective
        started, asked = self._clock_s, time.perf_counter()
        batch = feed.next()
        waited = time.perf_counter()
        rate = s.learning_rate(p.samples, all_.size)
        self.nets.learning_rate = rate
        layout = torch.channels_last_3d if s.channels_last else torch.contiguous_format
        condition, target = (
            t.to(self.nets.device, self.nets.dtype, non_blocking=True).contiguous(memory_format=layout)
            for t in (batch.condition, batch.target)
        )
        report = adversarial_update(self.nets, condition, target, s.update, all_.exchange)
        computed = time.perf_counter()
        p.step, p.samples = p.step + 1, p.samples + s.batch * all_.size
        p.epoch, p.position = batch.epoch, batch.position
        self._begin_history()
        self._validate_when_due()
        self._save_when_due()
        self._clock_s = ended = time.perf_counter()
        p.seconds += ended - started
        if self._history is not None:
            step = Step(
                step=p.step,
                epoch=p.epoch,
                samples=p.samples,
                seconds=p.seconds,
                loss_g=report.loss_g,
                loss_l1=report.loss_l1,
                loss_adversarial=report.loss_adversarial,
                loss_d=report.loss_d,
                accuracy_d=report.accuracy_d,
                psnr_db=report.psnr_db,
                samples_per_s=s.batch * all_.size / (ended - started),
                data_s=waited - asked,
                compute_s=computed - waited - report.exchange_s,
                allreduce_s=report.exchange_s,
                rest_s=(ended - computed) + (asked - started),
                learning_rate=rate,
            )
            self._history.add(step)
            self._on_step(step)

    def _ask(self) -> None:
        """Ask all workers what only one of them may know: whether it was stopped, or its time is up."""
        p, s = self.progress, self.settings
        is_late = bool(s.minutes) and p.seconds >= 60 * s.minutes
        word = torch.tensor([float(self._is_stopped()), float(is_late)])
        self._asked = word, self.collective.exchange("word", [word])

    def _hear(self) -> None:
        """Whether to go on, the same on every worker: by their answers, a step after the question, and by progress."""
        p, s = self.progress, self.settings
        is_stopped = is_late = False
        if self._asked is not None:
            word, arrive = self._asked
            self._asked = None
            arrive()
            is_stopped, is_late = (word > 0).tolist()
        if is_stopped:
            p.reason = "stopped"
        elif s.samples and p.samples >= s.samples:
            p.reason = f"{s.samples} cubes seen"
        elif p.epoch >= s.epochs - 1 and p.position + s.batch * self.collective.size > len(self._training):
            p.reason = f"{s.epochs} epochs"
        elif is_late:
            p.reason = f"{s.minutes:g} minutes of training"
        elif s.patience and p.since_best >= s.patience:
            p.reason = f"no better validation in {s.patience} (by {s.min_gain_db:g} dB)"

    def _validate_when_due(self) -> None:
        p, s = self.progress, self.settings
        if not len(self._validation) or p.samples < p.next_validation + s.validate_every:
            return
        p.next_validation = p.samples
        psnr = validated(self.nets, self.cubes, self._validation, s, self.collective)
        if psnr >= p.best_psnr_db + s.min_gain_db:
            p.best_psnr_db, p.since_best = psnr, 0
        else:
            p.since_best += 1
        if self._history is not None:
            self._history.add(Validation(p.step, p.samples, p.seconds, psnr))

    def _save_when_due(self) -> None:
        if self.collective.rank == 0 and time.monotonic() - self._saved_s >= self.settings.checkpoint_every_s:
            self._save()

    def _save(self) -> None:
        p = self.progress
        save_checkpoint(self.folder, self.nets, {"identity": self.identity, "progress": dataclasses.asdict(p)})
        save_model(self.folder, self.nets, self.facts())
        self._saved_s = time.monotonic()

    def facts(self) -> dict[str, Any]:
        """What is written into the model."""
        p, s = self.progress, self.settings
        return {
            **self._facts,
            "task": s.pairs.task,
            "sigma": list(s.pairs.sigma),
            "factor": s.pairs.factor,
            "cube_size": self.cubes.size,
            "enhancement": self.cubes.enhancement.to_json(),
            "enhancement_sha256": self.cubes.enhancement.sha256,
            "step": p.step,
            "samples": p.samples,
            "epochs": p.epoch,
            "training_s": round(p.seconds, 1),
            "best_validation_psnr_db": p.best_psnr_db if np.isfinite(p.best_psnr_db) else None,
            "ended": p.reason,
            "num_workers": self.collective.size,
            "batch": s.batch,
            "precision": "bfloat16" if s.update.is_mixed else "float32",
            "device": _device_name(self.nets.device),
            "torch": torch.__version__,
        }


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
