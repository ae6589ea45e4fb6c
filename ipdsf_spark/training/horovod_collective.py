"""Workers that train one model, by Horovod. With `horovod_workers` the only place that imports it.

Gradients of a network travel as one buffer: one exchange per network and step, under a name of its own, so that two
optimisers in one job never collide, and the exchange costs one latency, not one per layer.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import horovod.torch as hvd
import torch
from torch import Tensor

from ipdsf_spark.gan.networks import Networks


class HorovodCollective:
    """The workers of the Horovod job this process belongs to; `hvd.init()` was called."""

    def __init__(self) -> None:
        self.rank: int = hvd.rank()
        self.size: int = hvd.size()
        self.local_rank: int = hvd.local_rank()
        self.local_size: int = hvd.local_size()

    def average(self, name: str, gradients: Sequence[Tensor]) -> None:
        """Replace tensors, in place, by their mean over the workers."""
        buffer = torch.cat([g.reshape(-1) for g in gradients])
        hvd.allreduce_(buffer, name=name, op=hvd.Average)
        offset = 0
        for gradient in gradients:
            gradient.copy_(buffer[offset : offset + gradient.numel()].view(gradient.shape))
            offset += gradient.numel()

    def total(self, name: str, values: Sequence[float]) -> list[float]:
        """Sums of numbers over the workers, the same on each."""
        summed: Any = hvd.allreduce(torch.tensor(values, dtype=torch.float64), name=name, op=hvd.Sum)
        return [float(v) for v in summed]

    def share(self, nets: Networks) -> None:
        """Give every worker the weights, averages and optimiser states of worker 0."""
        content = io.BytesIO()
        if self.rank == 0:
            torch.save(nets.state(), content)
        shared = hvd.broadcast_object(content.getvalue(), root_rank=0, name="networks")
        if self.rank != 0:
            nets.load_state(torch.load(io.BytesIO(shared), map_location="cpu", weights_only=True))
