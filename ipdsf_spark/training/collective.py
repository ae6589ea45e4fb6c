"""What workers that train one model have to do together, and the twin for one who trains alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from torch import Tensor

from ipdsf_spark.gan.networks import Networks
from ipdsf_spark.gan.update import alone


class Collective(Protocol):
    """Worker `rank` of `size`; `local_rank` of `local_size` on this machine."""

    rank: int
    size: int
    local_rank: int
    local_size: int

    def exchange(self, name: str, gradients: Sequence[Tensor]) -> Callable[[], None]:
        """Begin to replace tensors, in place, by their mean over the workers; what is returned waits for the end."""

    def total(self, name: str, values: Sequence[float]) -> list[float]:
        """Sums of numbers over the workers, the same on each."""

    def share(self, nets: Networks) -> None:
        """Give every worker the weights, averages and optimiser states of worker 0."""


class Solo:
    """One worker: nothing to exchange, nothing to install."""

    rank = 0
    size = 1
    local_rank = 0
    local_size = 1

    def exchange(self, name: str, gradients: Sequence[Tensor]) -> Callable[[], None]:
        """Leave them as they are."""
        return alone(name, gradients)

    def total(self, name: str, values: Sequence[float]) -> list[float]:
        """The values themselves."""
        return list(values)

    def share(self, nets: Networks) -> None:
        """Nobody to give anything to."""
