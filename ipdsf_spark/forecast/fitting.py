"""Training: the network walks through the years of many sites at once and remembers as it will in the stream.

Truncated back-propagation through time: an update sees `chunk` intervals of every site, then goes on from the hidden
state it ended with. Every site begins at another season. Now and then a site is begun anew or its history is hidden, so
that the network also knows a first day.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Protocol

import numpy as np
import torch
from torch import Tensor

from ipdsf_spark.errors import InputError
from ipdsf_spark.forecast.memory import NAMES, PER_DAY
from ipdsf_spark.forecast.model import Array
from ipdsf_spark.forecast.network import ForecastNetwork, pinball_loss, quantiles_of
from ipdsf_spark.forecast.table import Table

VOTE_EVERY: Final = 5  # updates
BEGUN_ANEW: Final = 0.04  # share of sites and chunks
HIDDEN_HISTORY: Final = 0.08
LARGEST_GRADIENT: Final = 1.0
WARM_UP: Final = 50  # updates
VALIDATION_CHUNK: Final = 2 * PER_DAY
HISTORY: Final = slice(NAMES.index("has_usual"), len(NAMES))  # features that a first day does not have


@dataclass(frozen=True)
class FitSettings:
    """How a forecast is trained.

    Attributes:
        width, num_layers: of the LSTM.
        chunk: intervals of an update.
        epochs: walks through the years, at which the learning rate has fallen to nothing.
        learning_rate: of Adam, at its highest.
        patience: validations (one per epoch) without gain after which training ends.
        minutes: to stop after; 0 = no limit.
        seed: decides everything that is drawn.
    """

    width: int = 32
    num_layers: int = 2
    chunk: int = 144
    epochs: int = 6
    learning_rate: float = 4e-3
    patience: int = 3
    minutes: float = 0.0
    seed: int = 0


class Together(Protocol):
    """What workers that train one model do together; `training.collective` has the classes."""

    rank: int
    size: int

    def exchange(self, name: str, gradients: Sequence[Tensor]) -> Callable[[], None]:
        """Begin to replace tensors, in place, by their mean over the workers; what is returned waits for the end."""

    def total(self, name: str, values: Sequence[float]) -> list[float]:
        """Sums of numbers over the workers, the same on each."""

    def share(self, nets: Any) -> None:
        """Give every worker the state of worker 0: `nets.state()` goes to `nets.load_state`."""


@dataclass
class FitProgress:
    """Where a training stands."""

    epoch: int = 0
    chunk: int = 0  # of the epoch
    updates: int = 0
    loss: float = math.nan  # a running mean over updates
    best_loss: float = math.inf  # of validation
    best_epoch: int = 0
    since_best: int = 0
    seconds: float = 0.0
    reason: str = ""


class Fit:
    """One worker's part of a training.

    Args:
        table: years of this worker's training sites: every `size`-th of all, beginning with number `rank`, and on every
            worker as many.
        validation: this worker's sites that are not trained on, at least one.
        settings: the same on every worker.
        together: the other workers.
        identity: of the data; a checkpoint must share it with the training that resumes it.
        is_stopped: asked every few updates; True on any worker ends the training.
        on_update: told after every update.
    """

    def __init__(
        self,
        table: Table,
        validation: Table,
        settings: FitSettings,
        together: Together,
        *,
        identity: Mapping[str, Any] | None = None,
        is_stopped: Callable[[], bool] = lambda: False,
        on_update: Callable[[FitProgress], None] = lambda progress: None,
    ) -> None:
        self.table, self.validation, self.settings, self.together = table, validation, settings, together
        self.progress = FitProgress()
        self.last_validation = math.nan
        torch.manual_seed(settings.seed)
        self.network = ForecastNetwork(settings.width, settings.num_layers)
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=settings.learning_rate)
        self.best: dict[str, Tensor] = self._copied()
        self.chunks = len(table) // settings.chunk
        if not self.chunks:
            raise InputError(f"{len(table)} intervals are less than the {settings.chunk} of one update")
        self.hidden = self.network.start(table.num_sites)
        self._identity = dict(identity or {})
        self._is_stopped, self._on_update = is_stopped, on_update

    @property
    def identity(self) -> dict[str, Any]:
        """What a checkpoint must share with the training that resumes it; how long it lasts may change."""
        said = asdict(self.settings)
        del said["minutes"], said["patience"]
        return said | self._identity

    def run(self) -> FitProgress:
        """Train until an end is reached."""
        p, s, all_ = self.progress, self.settings, self.together
        p.reason = ""
        all_.share(self)
        while not p.reason:
            began = time.perf_counter()
            self._update()
            if p.chunk >= self.chunks:
                p.epoch, p.chunk = p.epoch + 1, 0
                self.hidden = self.network.start(self.table.num_sites)
                self._validate()
            p.seconds += time.perf_counter() - began
            self._on_update(p)
            if p.epoch >= s.epochs:
                p.reason = f"{s.epochs} epochs"
            elif p.chunk == 0 and p.since_best >= s.patience:
                p.reason = f"no better validation in {s.patience} epochs"
            elif p.updates % VOTE_EVERY == 0:
                p.reason = self._voted()
        return p

    def _update(self) -> None:
        p = self.progress
        self.network.train()
        batch = self._batch()
        for group in self.optimiser.param_groups:
            group["lr"] = self._rate()
        self.optimiser.zero_grad(set_to_none=True)
        said, hidden = self.network(batch.features, batch.hidden)
        loss = pinball_loss(quantiles_of(said, batch.last_m, batch.usual_m), batch.target_m)
        loss.backward()  # type: ignore[no-untyped-call]
        gradients = [part.grad for part in self.network.parameters() if part.grad is not None]
        self.together.exchange("forecast", gradients)()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), LARGEST_GRADIENT)
        self.optimiser.step()
        self.hidden = (hidden[0].detach(), hidden[1].detach())
        value = float(loss.detach())
        if not math.isfinite(value):
            raise InputError(f"the loss of update {p.updates + 1} is no number: a lower learning rate may help")
        p.loss = value if math.isnan(p.loss) else 0.98 * p.loss + 0.02 * value
        p.updates, p.chunk = p.updates + 1, p.chunk + 1

    def _rate(self) -> float:
        """Rises over the first updates, then falls like a cosine."""
        s, p = self.settings, self.progress
        done = p.updates / (s.epochs * self.chunks)
        return s.learning_rate * min(1.0, (p.updates + 1) / WARM_UP) * 0.5 * (1.0 + math.cos(math.pi * min(done, 1.0)))

    def _batch(self) -> _Batch:
        p, s, table = self.progress, self.settings, self.table
        rng = np.random.default_rng([s.seed, p.epoch, p.chunk, self.together.rank])
        sites = np.arange(table.num_sites)
        number, of = sites * self.together.size + self.together.rank, table.num_sites * self.together.size
        begins = (p.chunk + number * self.chunks // of) % self.chunks  # every site at another season
        rows = begins * s.chunk + np.arange(s.chunk)[:, None]
        features = table.features[rows, sites].astype(np.float32)
        last_m, usual_m = table.last_m[rows, sites], table.usual_m[rows, sites]
        anew = (begins == 0) | (rng.random(len(sites)) < BEGUN_ANEW)
        bare = rng.random(len(sites)) < HIDDEN_HISTORY
        features[:, bare, HISTORY] = 0.0
        usual_m[:, bare] = last_m[:, bare, None]
        keep = torch.from_numpy(~anew).to(torch.float32)[None, :, None]
        hidden = (self.hidden[0] * keep, self.hidden[1] * keep)
        target_m = torch.from_numpy(table.target_m[rows, sites])
        return _Batch(torch.from_numpy(features), torch.from_numpy(last_m), torch.from_numpy(usual_m), target_m, hidden)

    def _voted(self) -> str:
        """Why to stop, the same on every worker; empty to go on."""
        p, s = self.progress, self.settings
        is_late = bool(s.minutes) and p.seconds >= 60.0 * s.minutes
        stopped, late = self.together.total("stop", [float(self._is_stopped()), float(is_late)])
        return "stopped" if stopped else f"{s.minutes:g} minutes of training" if late else ""

    def _validate(self) -> None:
        p = self.progress
        loss, num = self._validation_loss()
        total, count = self.together.total("validation", [loss * num, num])
        mean = total / count if count else math.inf
        self.last_validation = mean
        if mean < p.best_loss or not count:
            p.best_loss, p.best_epoch, p.since_best = mean, p.epoch, 0
            self.best = self._copied()
        else:
            p.since_best += 1

    @torch.no_grad()
    def _validation_loss(self) -> tuple[float, float]:
        """Mean over this worker's validation sites, and how many numbers it is a mean of."""
        self.network.eval()
        table = self.validation
        hidden = self.network.start(table.num_sites)
        total = num = 0.0
        for begin in range(0, len(table), VALIDATION_CHUNK):
            rows = slice(begin, begin + VALIDATION_CHUNK)
            said, hidden = self.network(torch.from_numpy(table.features[rows].astype(np.float32)), hidden)
            last_m, usual_m = torch.from_numpy(table.last_m[rows]), torch.from_numpy(table.usual_m[rows])
            target_m = torch.from_numpy(table.target_m[rows])
            known = float(torch.isfinite(target_m).sum())
            total += float(pinball_loss(quantiles_of(said, last_m, usual_m), target_m)) * known
            num += known
        return total / max(num, 1.0), num

    # state -----------------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Everything that a resumed training needs."""
        return {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "best": self.best,
            "hidden": list(self.hidden),
            "progress": asdict(self.progress),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`. The hidden state of other workers' sites is not in it; those begin anew."""
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.best = dict(state["best"])
        self.progress.__dict__.update(state["progress"])
        if self.together.rank == 0 and state["hidden"][0].shape == self.hidden[0].shape:
            self.hidden = (state["hidden"][0], state["hidden"][1])

    def best_arrays(self) -> dict[str, Array]:
        """The weights that were best in validation."""
        network = ForecastNetwork(self.settings.width, self.settings.num_layers)
        network.load_state_dict(self.best)
        return network.arrays()

    def _copied(self) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self.network.state_dict().items()}


@dataclass(frozen=True, eq=False)
class _Batch:
    features: Tensor
    last_m: Tensor
    usual_m: Tensor
    target_m: Tensor
    hidden: tuple[Tensor, Tensor]
