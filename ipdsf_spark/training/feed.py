"""Batches made ahead of time, so that the networks never wait for them."""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass
from types import TracebackType

from torch import Tensor

from ipdsf_spark.training.device_pairs import PairMaker
from ipdsf_spark.training.source import Portion, Source


@dataclass(frozen=True)
class Batch:
    """What one step of a worker learns from, and where the training stands after it."""

    tensors: tuple[Tensor, ...]  # as `PairMaker.prepared` left them
    epoch: int
    position: int  # cubes of the epoch that all workers together have seen after this step


class Feed:
    """The batches of a worker from a place in the training on, without end; a thread prepares a few ahead.

    Args:
        source: of the cubes.
        pairs: makes condition and target of them.
        batch: cubes per step of this worker.
        rank: this worker.
        size: workers.
        epoch: to begin with.
        position: cubes of that epoch that were seen.
        ahead: batches that wait ready.
        pins: lay them into memory from which a GPU copies while it computes.
    """

    def __init__(
        self,
        source: Source,
        pairs: PairMaker,
        *,
        batch: int,
        rank: int,
        size: int,
        epoch: int = 0,
        position: int = 0,
        ahead: int = 4,
        pins: bool = False,
    ) -> None:
        self._pairs, self._pins = pairs, pins
        self._portions = source.portions(batch=batch, rank=rank, size=size, epoch=epoch, position=position)
        self._ready: queue.Queue[Batch | BaseException] = queue.Queue(ahead)
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._prepare, name="ipdsf-feed", daemon=True)

    def __enter__(self) -> Feed:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_closed.set()
        while self._thread.is_alive():
            with self._ready.mutex:
                self._ready.queue.clear()
                self._ready.not_full.notify_all()
            self._thread.join(0.05)

    def next(self) -> Batch:
        """The next batch; an error of the thread is raised here."""
        item = self._ready.get()
        if isinstance(item, BaseException):
            raise item
        return item

    def _prepare(self) -> None:
        try:
            for portion in self._portions:
                self._ready.put(self._made(portion))
                if self._is_closed.is_set():
                    return
        except BaseException as error:  # handed to the thread that waits for a batch
            self._ready.put(error)

    def _made(self, portion: Portion) -> Batch:
        tensors = self._pairs.prepared(portion)
        if self._pins:
            tensors = tuple(tensor.pin_memory() for tensor in tensors)
        return Batch(tensors, portion.epoch, portion.position)
