"""Processes that a test starts and that never outlive it, and Horovod's among them."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, TypeVar

import psutil

from ipdsf_spark.drill.imaging import is_worker, steps_of

PATIENCE_S: Final = 300.0
UNDER_WAY: Final = 5  # steps after which a training has begun

Seen = TypeVar("Seen")


@contextmanager
def process_group(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdout: int | None = subprocess.PIPE,
    stderr: int | None = subprocess.PIPE,
) -> Iterator[subprocess.Popen[str]]:
    """A command in a process group of its own, killed where the test leaves it running: one that fails would wait."""
    with subprocess.Popen(
        command, stdout=stdout, stderr=stderr, text=True, start_new_session=True, env=env, cwd=cwd
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)


def each_below(
    pid: int, look: Callable[[psutil.Process], Seen], *, named: str = "", with_itself: bool = False
) -> list[Seen]:
    """What is seen of every process below one that still runs, without those that end while they are looked at.

    A process that has ended is listed until its parent has waited for it, and may end between any two calls.

    Args:
        pid: the process above them.
        look: what is to be seen.
        named: only programs whose name holds this.
        with_itself: with the process above them.
    """
    listed: list[psutil.Process] = []
    with suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        listed = ([root] if with_itself else []) + root.children(recursive=True)
    seen = []
    for process in listed:
        with suppress(psutil.NoSuchProcess):
            if named in process.name():
                seen.append(look(process))
    return seen


def horovod_worker(
    training: subprocess.Popen[str], model: Path, roots: Callable[[], Iterable[psutil.Process]], *, rank: int
) -> psutil.Process:
    """The process of a rank, once its training has taken some steps.

    Args:
        training: the driver.
        model: folder of the model that is trained.
        roots: processes below which workers are.
        rank: Horovod's number of the worker.
    """
    deadline = time.monotonic() + PATIENCE_S
    while training.poll() is None and time.monotonic() < deadline:
        if len(steps_of(model / "history.csv")) > UNDER_WAY:
            for root in roots():
                if found := [each for each in each_below(root.pid, lambda each: each) if is_worker(each, rank=rank)]:
                    return found[0]
        with suppress(subprocess.TimeoutExpired):
            training.wait(0.1)  # a look costs the cores that train
    raise AssertionError(f"no worker of rank {rank} appeared")
