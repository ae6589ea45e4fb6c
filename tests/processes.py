"""Processes that a test starts and that never outlive it, and Horovod's among them."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import psutil

from ipdsf_spark.drill.imaging import is_worker, steps_of

PATIENCE_S: Final = 300.0
UNDER_WAY: Final = 5  # steps after which a training has begun


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
            below = (process for root in roots() for process in root.children(recursive=True))
            if (found := next((each for each in below if is_worker(each, rank=rank)), None)) is not None:
                return found
        with suppress(subprocess.TimeoutExpired):
            training.wait(0.1)  # a look costs the cores that train
    raise AssertionError(f"no worker of rank {rank} appeared")
