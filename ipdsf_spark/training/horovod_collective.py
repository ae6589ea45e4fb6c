"""Workers that train one model, by Horovod. With `horovod_workers` the only place that imports it.

The gradients of a network travel as one buffer under a name of its own, while the worker goes on computing: two
optimisers in one job never collide, and an exchange costs one latency, not one per layer.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import horovod.torch as hvd
import torch
from torch import Tensor

from ipdsf_spark.gan.networks import Networks

POLL_S: Final = 0.0005


class HorovodCollective:
    """The workers of the Horovod job this process belongs to; `hvd.init()` was called."""

    def __init__(self) -> None:
        self.rank: int = hvd.rank()
        self.size: int = hvd.size()
        self.local_rank: int = hvd.local_rank()
        self.local_size: int = hvd.local_size()

    def exchange(self, name: str, gradients: Sequence[Tensor]) -> Callable[[], None]:
        """Begin to replace tensors, in place, by their mean over the workers; what is returned waits for the end."""
        buffer = torch.cat([_as_stored(g) for g in gradients])
        handle = hvd.allreduce_async_(buffer, name=name, op=hvd.Average)

        def wait() -> None:
            while not hvd.poll(handle):  # `synchronize` spins, on a core that others of this machine compute on
                time.sleep(POLL_S)
            hvd.synchronize(handle)
            means = torch.split(buffer, [g.numel() for g in gradients])
            for gradient, mean in zip(gradients, means, strict=True):
                _as_stored(gradient).copy_(mean)

        return wait

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


def _as_stored(gradient: Tensor) -> Tensor:
    """A flat view in the order of memory, which is the same on every worker: channels last need not be unravelled."""
    is_dense = gradient.is_contiguous() or (
        gradient.ndim == 5 and gradient.is_contiguous(memory_format=torch.channels_last_3d)
    )
    return gradient.as_strided((gradient.numel(),), (1,)) if is_dense else gradient.view(-1)
