"""Training on days that went through profiles and retrieval, of the package's LSTM alone or with the curtain."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from curtain_network import CurtainNetwork
from retrieved_days import Retrieved
from torch import Tensor

from ipdsf_spark.forecast.model import LOWEST_M
from ipdsf_spark.forecast.network import pinball_loss, quantiles_of
from ipdsf_spark.forecast.table import Table, table_of

CHUNK, BATCH = 72, 10  # intervals and series of an update
RATES: Final = (1e-3, 3e-3)  # of the LSTM, which is trained already, and of the rest
LARGEST_GRADIENT: Final = 1.0


@dataclass(frozen=True, eq=False)
class Batch:
    """Series of one length as tensors: (T, S, …)."""

    features: Tensor
    last_m: Tensor
    usual_m: Tensor
    target_m: Tensor
    is_gap: Tensor
    curtain: Tensor

    def part(self, begin: int, sites: Sequence[int]) -> Batch:
        """`CHUNK` intervals of some series."""
        index = torch.as_tensor(sites)
        return Batch(*(getattr(self, name)[begin : begin + CHUNK, index].float() for name in Batch.__annotations__))


def batch_of(tables: Sequence[Table], curtain: Tensor) -> Batch:
    """Of tables of one length."""

    def side_by_side(name: str) -> Tensor:
        return torch.from_numpy(np.concatenate([getattr(table, name) for table in tables], axis=1))

    is_gap = ~torch.isfinite(side_by_side("seen_m"))
    told = [side_by_side(name) for name in ("features", "last_m", "usual_m", "target_m")]
    return Batch(*told, is_gap, curtain)


def batches_of(many: Sequence[Retrieved]) -> list[Batch]:
    """One for every length of series."""
    found = []
    for length in sorted({len(retrieved.series) for retrieved in many}):
        alike = [each for each in many if len(each.series) == length]
        curtain = torch.from_numpy(np.stack([retrieved.curtain for retrieved in alike], axis=1))
        found.append(batch_of([table_of(retrieved.series) for retrieved in alike], curtain))
    return found


def loss_of(network: CurtainNetwork, part: Batch, hidden: Any) -> tuple[Tensor, Any]:
    """Of every lead, and once more of the height now in gaps, which are rare."""
    said, hidden = network(part.features, part.last_m, part.usual_m, part.curtain, hidden)
    quantiles_m = quantiles_of(said, part.last_m, part.usual_m)
    now_m = torch.full_like(part.target_m, math.nan)
    now_m[..., 0] = torch.where(part.is_gap > 0, part.target_m[..., 0], math.nan)
    return pinball_loss(quantiles_m, part.target_m) + pinball_loss(quantiles_m, now_m), hidden


@torch.no_grad()
def validation_loss(network: CurtainNetwork, batches: Sequence[Batch]) -> float:
    """Mean over updates' worth of intervals."""
    network.eval()
    losses = []
    for batch in batches:
        sites = range(batch.features.shape[1])
        hidden = network.start(len(sites))
        for begin in range(0, len(batch.features), CHUNK):
            loss, hidden = loss_of(network, batch.part(begin, sites), hidden)
            losses.append(float(loss) * len(sites))
    return sum(losses) / sum(batch.features.shape[1] * (len(batch.features) / CHUNK) for batch in batches)


@dataclass(frozen=True)
class Limits:
    """When a training ends: after so many epochs, or after so many seconds of a processor."""

    epochs: int
    seconds: float


def trained(
    file: Path, network: CurtainNetwork, train: Sequence[Batch], validation: Sequence[Batch], limits: Limits
) -> dict[str, Any]:
    """Train, from the checkpoint in `file` if there is one; the network is left as it was best in validation."""
    own = {id(value) for value in network.lstm.parameters()}
    others = [value for value in network.parameters() if id(value) not in own]
    optimiser = torch.optim.Adam([{"params": list(network.lstm.parameters())}, {"params": others}])
    at: dict[str, Any] = {"epoch": 0, "seconds": 0.0, "best": math.inf, "best_epoch": 0}
    best = {key: value.clone() for key, value in network.state_dict().items()}
    if file.exists():
        held = torch.load(file, weights_only=True)
        network.load_state_dict(held["network"])
        optimiser.load_state_dict(held["optimiser"])
        at, best = held["at"], held["best"]
    while at["epoch"] < limits.epochs and at["seconds"] < limits.seconds:
        began = time.process_time()
        one_epoch(network, optimiser, train, at["epoch"], limits.epochs)
        loss = validation_loss(network, validation)
        at["epoch"] += 1
        at["seconds"] += time.process_time() - began
        if loss < at["best"]:
            at["best"], at["best_epoch"] = loss, at["epoch"]
            best = {key: value.clone() for key, value in network.state_dict().items()}
        print(f"{file.stem}: epoch {at['epoch']}, validation {loss:.4f}, {at['seconds']:.0f} s", flush=True)
        state = {"network": network.state_dict(), "optimiser": optimiser.state_dict(), "at": at, "best": best}
        torch.save(state, file)
    network.load_state_dict(best)
    network.eval()
    return at | {"weights": sum(value.numel() for value in network.parameters())}


def one_epoch(network: CurtainNetwork, optimiser: Any, train: Sequence[Batch], epoch: int, epochs: int) -> None:
    """Every series once, in an order of its own."""
    network.train()
    for group, rate in zip(optimiser.param_groups, RATES, strict=True):
        group["lr"] = rate * 0.5 * (1.0 + math.cos(math.pi * epoch / epochs))
    rng = np.random.default_rng([5, epoch])
    walks = []
    for batch in train:
        order = rng.permutation(batch.features.shape[1]).tolist()
        walks += [(batch, order[first : first + BATCH]) for first in range(0, len(order), BATCH)]
    for walk in rng.permutation(len(walks)).tolist():
        batch, sites = walks[walk]
        hidden = network.start(len(sites))
        for begin in range(0, len(batch.features), CHUNK):
            optimiser.zero_grad(set_to_none=True)
            loss, hidden = loss_of(network, batch.part(begin, sites), hidden)
            if not loss.requires_grad or not torch.isfinite(loss):
                raise SystemExit(f"the loss is {float(loss)}")
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), LARGEST_GRADIENT)
            optimiser.step()
            hidden = tuple(value.detach() for value in hidden)


@torch.no_grad()
def quantiles_m(network: CurtainNetwork, retrieved: Retrieved, table: Table) -> Any:
    """(T, 1, L, 3)."""
    curtain = torch.from_numpy(retrieved.curtain.astype(np.float32))[:, None]
    last_m, usual_m = torch.from_numpy(table.last_m), torch.from_numpy(table.usual_m)
    features = torch.from_numpy(table.features.astype(np.float32))
    said, _ = network(features, last_m, usual_m, curtain, network.start(1))
    return np.maximum(quantiles_of(said, last_m, usual_m).numpy(), LOWEST_M)
