"""Batches made ahead of time, so that the networks never wait for them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType

import torch
from torch import Tensor

from ipdsf_spark.ct.cube_set import CubeSet
from ipdsf_spark.training.pairs import PairSettings, pairs_of
from ipdsf_spark.training.schedule import Indices, order_of_epoch, share_of


@dataclass(frozen=True)
class Batch:
    """A worker's pairs for one step, and where the training stands after it."""

    condition: Tensor  # (b, 1, S, S, S)
    target: Tensor
    epoch: int
    position: int  # cubes of the epoch that all workers together have seen after this step


class Feed:
    """The batches of a worker from a place in the training on, without end; a thread prepares a few ahead.

    Args:
        cubes: to train on.
        numbers: those of them that take part.
        settings: what is done to them.
        batch: cubes per step of this worker.
        rank: this worker.
        size: workers.
        epoch: to begin with.
        position: cubes of that epoch that were seen.
        ahead: batches that wait ready.
    """

    def __init__(
        self,
        cubes: CubeSet,
        numbers: Indices,
        settings: PairSettings,
        *,
        batch: int,
        rank: int,
        size: int,
        epoch: int = 0,
        position: int = 0,
        ahead: int = 4,
    ) -> None:
        self._cubes, self._numbers, self._settings = cubes, numbers, settings
        self._batch, self._rank, self._size = batch, rank, size
        self._start = epoch, position
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
            for batch in self._batches():
                self._ready.put(batch)
                if self._is_closed.is_set():
                    return
        except BaseException as error:  # handed to the thread that waits for a batch
            self._ready.put(error)

    def _batches(self) -> Iterator[Batch]:
        epoch, position = self._start
        while True:
            order = self._numbers[order_of_epoch(len(self._numbers), seed=self._settings.seed, epoch=epoch)]
            while True:
                mine = share_of(order, position, batch=self._batch, rank=self._rank, size=self._size)
                if mine is None:
                    break
                position += self._batch * self._size
                yield self._made(mine, epoch, position)
            epoch, position = epoch + 1, 0

    def _made(self, mine: Indices, epoch: int, position: int) -> Batch:
        keys = [self._cubes.keys[index] for index in mine]
        condition, target = pairs_of(self._cubes.take(mine), keys, self._cubes.enhancement, self._settings, epoch=epoch)
        return Batch(torch.from_numpy(condition)[:, None], torch.from_numpy(target)[:, None], epoch, position)
