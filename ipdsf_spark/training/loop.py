"""The training loop, the same for one worker and for many.

A step: the next batch, one update with averaged gradients, a row of history. Every few steps the workers vote whether
to stop; at intervals the averaged generator is validated, and worker 0 writes a checkpoint.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import logging
import math
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
from ipdsf_spark.errors import InputError
from ipdsf_spark.gan.checkpoint import has_checkpoint, load_checkpoint, save_checkpoint, save_model
from ipdsf_spark.gan.networks import Networks
from ipdsf_spark.gan.update import Wait
from ipdsf_spark.training.choices import memory_layout, pair_maker, update_of
from ipdsf_spark.training.collective import Collective, Solo
from ipdsf_spark.training.feed import Feed
from ipdsf_spark.training.folder import remove_training
from ipdsf_spark.training.history import History, Step, Validation
from ipdsf_spark.training.settings import TrainSettings
from ipdsf_spark.training.source import CopiedCubes, Source, levels_for
from ipdsf_spark.training.validation import validated

logger = logging.getLogger(__name__)

VOTE_EVERY: Final = 5  # steps
STOPPED: Final = "stopped"
DIVERGED: Final = "diverged"


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
    kept_psnr_db: float = -np.inf  # of the averaged generator that is kept as the model
    kept_step: int = 0
    reason: str = ""  # why it ended; empty while it has not


class Trainer:
    """One worker's part of a training.

    Args:
        cubes: the training set, the same on every worker: on this machine, or where they are read from.
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
        cubes: CubeSet | Source,
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
        self.source: Source = _copied(cubes, settings) if isinstance(cubes, CubeSet) else cubes
        self.settings, self.folder = settings, folder
        self.collective: Collective = collective or Solo()
        self._layout = memory_layout(settings, torch.device(device))
        self.nets = Networks.new(
            settings.generator,
            settings.discriminator,
            settings.optimiser,
            seed=settings.seed,
            device=device,
            dtype=torch.float64 if settings.is_double else torch.float32,
            channels_last=self._layout is torch.channels_last_3d,
            compiles=settings.compiles,
        )
        self._pairs = pair_maker(self.source, settings, self.nets.device, rank=self.collective.rank)
        self._update = update_of(self.nets, settings, self.collective)
        self.progress = Progress()
        self._facts = dict(facts or {})
        self._is_stopped, self._on_step, self._anew = is_stopped, on_step, anew
        self._history: History | None = None
        self._saved_s = time.monotonic()
        self._clock_s = time.perf_counter()  # where the last step ended
        self._vote: tuple[Tensor, Wait] | None = None
        self._is_diverged = False
        self._kept_pairs: dict[int, Any] | None = {} if self.nets.device.type == "cuda" else None

    @property
    def identity(self) -> dict[str, Any]:
        """What a checkpoint must share with the training that resumes it."""
        pairs = dataclasses.asdict(self.settings.pairs)
        return {
            "pairs": {**pairs, "sigma": list(pairs["sigma"])},
            "generator": self.settings.generator.facts,
            "discriminator": dataclasses.asdict(self.settings.discriminator),
            "seed": self.settings.seed,
            "cube_size": self.source.size,
            "num_cubes": self.source.num_cubes,
            "enhancement_sha256": self.source.enhancement.sha256,
            "volumes_sha256": _sha256_of_volumes(self._facts),
            "feed": self.source.kind,
            "adversary": self.settings.update.is_adversarial,
        }

    def resume(self) -> bool:
        """Go on from the checkpoint in the folder, if there is one.

        Raises:
            InputError: it is of another data set, enhancement, task or shape.
        """
        if not has_checkpoint(self.folder):
            return False
        stored = load_checkpoint(self.folder, self.nets, require=self._require_same)
        self.progress = Progress(**{**stored["progress"], "reason": ""})
        return True

    def _require_same(self, stored: Mapping[str, Any]) -> None:
        """Refuse what another training saved.

        Raises:
            InputError: it differs in what decides the result.
        """
        here = self.identity
        # What older checkpoints do not say.
        there = {"adversary": True, "feed": "copy", "volumes_sha256": here["volumes_sha256"], **stored["identity"]}
        differing = sorted(k for k, v in here.items() if there.get(k) != v)
        if differing:
            said = "; ".join(f"{k}: {there.get(k)!r} there, {here[k]!r} here" for k in differing)
            raise InputError(f"the checkpoint in {self.folder} is of another training ({said}): name another folder")

    def run(self, commit: Callable[[], None] = lambda: None) -> Progress:
        """Train until an end is reached; returns where it stands.

        Args:
            commit: called where every worker agrees on the state, for those who must be able to return to it.

        Raises:
            InputError: there are too few cubes for a step.
        """
        p, s, all_ = self.progress, self.settings, self.collective
        self.source.require_one_step(batch=s.batch, size=all_.size)
        all_.share(self.nets)
        feed = Feed(
            self.source,
            self._pairs,
            batch=s.batch,
            rank=all_.rank,
            size=all_.size,
            epoch=p.epoch,
            position=p.position,
            pins=self.nets.device.type == "cuda",
        )
        try:
            with feed:
                self._clock_s = time.perf_counter()
                self._begin_vote()
                if p.step:
                    self._end_vote()  # a training that had ended does not go on
                while not p.reason:
                    self._step(feed)
                    self._end_vote()
                    if p.step % VOTE_EVERY == 0:
                        self._begin_vote()
                        commit()
                        if self._history is not None:
                            self._history.flush()
                if self._vote is not None:
                    self._vote[1]()  # nobody leaves while others wait for a vote
        except InputError:
            if all_.rank == 0 and p.step:
                with contextlib.suppress(InputError):  # the first reason is the one to be told
                    self._save()
            raise
        finally:
            self._close_history()
        self.nets.apply_deferred()
        self._agree_on_divergence()
        self._consider_last_average()
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
        there = tuple(tensor.to(self.nets.device, non_blocking=True) for tensor in batch.tensors)
        condition, target = (
            t.to(self.nets.dtype).contiguous(memory_format=self._layout)
            for t in self._pairs.finished(there, epoch=batch.epoch, position=batch.position)
        )
        report = self._update(condition, target)
        self._is_diverged |= not (math.isfinite(report.loss_g) and math.isfinite(report.loss_d))
        computed = time.perf_counter()
        p.step, p.samples = p.step + 1, p.samples + s.batch * all_.size
        p.epoch, p.position = batch.epoch, batch.position
        self._begin_history()
        self._validate_when_due()
        self._save_when_due()
        self._clock_s = ended = time.perf_counter()
        p.seconds += ended - started
        if self._history is not None and not self._is_diverged:
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

    def _begin_vote(self) -> None:
        """Tell all workers what one of them may know alone: it was stopped, its time is up, its loss is no number."""
        p, s = self.progress, self.settings
        is_late = bool(s.minutes) and p.seconds >= 60 * s.minutes
        mine = torch.tensor([float(self._is_stopped()), float(is_late), float(self._is_diverged)])
        self._vote = mine, self.collective.exchange("vote to stop", [mine])

    def _end_vote(self) -> None:
        """Whether to go on, the same on every worker: by their votes of a step ago, and by progress."""
        p, s = self.progress, self.settings
        is_stopped = is_late = is_diverged = False
        if self._vote is not None:
            mean, await_votes = self._vote
            self._vote = None
            await_votes()
            is_stopped, is_late, is_diverged = (mean > 0).tolist()
        if is_diverged or (self._is_diverged and self.collective.size == 1):
            p.reason = DIVERGED
        elif is_stopped:
            p.reason = STOPPED
        elif s.samples and p.samples >= s.samples:
            p.reason = f"{s.samples} cubes seen"
        elif p.epoch >= s.epochs - 1 and p.position >= self._epoch_end(p.epoch):
            p.reason = f"{s.epochs} epochs"
        elif is_late:
            p.reason = f"{s.minutes:g} minutes of training"
        elif s.patience and p.since_best >= s.patience:
            p.reason = f"no better validation in {s.patience} (by {s.min_gain_db:g} dB)"

    def _epoch_end(self, epoch: int) -> int:
        return self.source.epoch_end(epoch, batch=self.settings.batch, size=self.collective.size)

    def _validate_when_due(self) -> None:
        p, s = self.progress, self.settings
        if not len(self.source.validation_numbers) or p.samples < p.next_validation + s.validate_every:
            return
        p.next_validation = p.samples
        psnr = self._validated()
        self._keep_if_best(psnr)
        if psnr >= p.best_psnr_db + s.min_gain_db:
            p.best_psnr_db, p.since_best = psnr, 0
        else:
            p.since_best += 1
        if self._history is not None:
            self._history.add(Validation(p.step, p.samples, p.seconds, psnr))

    def _validated(self) -> float:
        held_out = self.source.validation, self.source.validation_numbers
        return validated(self.nets, *held_out, self.settings, self.collective, self._kept_pairs)

    def _keep_if_best(self, psnr: float) -> None:
        p = self.progress
        if psnr > p.kept_psnr_db:
            p.kept_psnr_db, p.kept_step = psnr, p.step
            self.nets.keep_average()

    def _agree_on_divergence(self) -> None:
        """At the end, for a loss that was no number after the last vote."""
        mine = self._is_diverged or not self.nets.is_finite()
        self._is_diverged = self.collective.total("diverged", [float(mine)])[0] > 0
        if self._is_diverged:
            self.progress.reason = f"{DIVERGED} by step {self.progress.step}: the loss is no number"

    def _consider_last_average(self) -> None:
        """At the end: the last steps may have brought the best model. Patience counts nothing of it."""
        p = self.progress
        has_more = p.step and p.samples > p.next_validation
        if len(self.source.validation_numbers) and has_more and p.reason != STOPPED and not self._is_diverged:
            self._keep_if_best(self._validated())

    def _save_when_due(self) -> None:
        if self.collective.rank == 0 and time.monotonic() - self._saved_s >= self.settings.checkpoint_every_s:
            self._save()

    def _save(self) -> None:
        """Write a checkpoint and the model, unless the training has diverged: then the last good ones stay."""
        p = self.progress
        self._is_diverged |= not self.nets.is_finite()
        if self._is_diverged:
            return
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
            "cube_size": self.source.size,
            "enhancement": self.source.enhancement.to_json(),
            "enhancement_sha256": self.source.enhancement.sha256,
            "step": p.step,
            "samples": p.samples,
            "epochs": p.epoch,
            "training_s": round(p.seconds, 1),
            "model_step": p.kept_step or p.step,
            "model_validation_psnr_db": p.kept_psnr_db if np.isfinite(p.kept_psnr_db) else None,
            "best_validation_psnr_db": p.kept_psnr_db if np.isfinite(p.kept_psnr_db) else None,
            "adversary": s.update.is_adversarial,
            "ended": p.reason,
            "num_workers": self.collective.size,
            "batch": s.batch,
            "precision": "bfloat16" if s.update.is_mixed else "float32",
            "device": _device_name(self.nets.device),
            "torch": torch.__version__,
        }


def _copied(cubes: CubeSet, settings: TrainSettings) -> CopiedCubes:
    share = settings.validation_share
    cubes = dataclasses.replace(cubes, enhancement=levels_for(settings.pairs.task, cubes.enhancement))
    return CopiedCubes(cubes, seed=settings.seed, order_seed=settings.pairs.seed, validation_share=share)


def _sha256_of_volumes(facts: Mapping[str, Any]) -> str:
    """By their content where it is known, else by their names; empty where nothing is said of them.

    A straight enhancement is that of every data set, and other volumes may fill as many cubes.
    """
    volumes = [str(v.get("content") or v["name"]) for v in facts.get("trained_on_volumes", ())]
    volumes = volumes or [str(name) for name in facts.get("trained_on", ())]
    return hashlib.sha256("\n".join(sorted(volumes)).encode()).hexdigest() if volumes else ""


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
