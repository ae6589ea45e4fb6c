"""What goes wrong in a worker of a training, told to the driver in the words that one alone would say it in.

A worker that raised would be to Horovod a process that exited with 1: the driver would hear of that, and its user see
the frames of Horovod and Spark. So a worker returns its failure as its result instead. It says it on its standard error
as well, for results are lost where another worker is ended before it has one.
"""

from __future__ import annotations

import dataclasses
import json
import re
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TextIO

import torch

from ipdsf_spark import errors
from ipdsf_spark.errors import IpdsfError, PrerequisiteError

NAMED: Final[dict[str, type[IpdsfError]]] = {
    kind.__name__: kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, IpdsfError)
}
NO_MEMORY: Final = ("can't allocate memory", "not enough memory", "CUDA out of memory", "Cannot allocate memory")
MARK: Final = "ipdsf-worker-failed: "
GRACE_S: Final = 3.0  # in which the last words of a worker come through
ENDED: Final = re.compile(r"Process name: (?P<name>.*)\s+Exit code: (?P<code>-?\d+|None)")


@dataclass(frozen=True)
class Failure:
    """Why a worker did not go on.

    Attributes:
        kind: name of the class of ours that the error has; empty for an error that nobody named.
        text: what it says.
        rank: Horovod's number of the worker.
        host: on which it ran.
        trace: the worker's traceback.
        is_consequence: whether it is only that another worker had left.
    """

    kind: str
    text: str
    rank: int
    host: str
    trace: str
    is_consequence: bool = False


class WorkerTraceback(Exception):
    """A traceback of another process, to be seen in the log as the cause of what is raised here."""


class WorkerError(Exception):
    """An error in a worker that nobody named: a mistake of ours, or of a library."""


@contextmanager
def named() -> Iterator[None]:
    """Turns what a library raises where a device or a machine is too small into an error that says so.

    Raises:
        IpdsfError: there was too little memory.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:  # of which torch.OutOfMemoryError is one
        if not _is_of_memory(error):
            raise
        where = "GPU" if isinstance(error, torch.OutOfMemoryError) or "CUDA" in str(error) else "machine"
        said = " ".join(str(error).split()) or "nothing was said of how much"
        raise IpdsfError(
            f"the {where} has too little memory for this training: a smaller training.batch or training.width, or "
            f"fewer training.halvings, needs less ({said[:200]})"
        ) from error


def _is_of_memory(error: BaseException) -> bool:
    is_said = any(words in str(error) for words in NO_MEMORY)
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or is_said


def failure_of(error: Exception, *, rank: int, is_consequence: bool = False) -> Failure:
    """The failure of this worker, from the error that is being handled.

    Args:
        error: what was raised.
        rank: of this worker.
        is_consequence: whether another worker's leaving raised it.
    """
    kind, text = "", f"{type(error).__name__}: {error}"
    if isinstance(error, IpdsfError):
        kind = next(base.__name__ for base in type(error).__mro__ if base.__name__ in NAMED)
        text = str(error)
    elif isinstance(error, ModuleNotFoundError):
        kind, text = PrerequisiteError.__name__, f"needs {error.name}, which is not installed there"
    elif isinstance(error, OSError):
        where = error.filename2 or error.filename
        why = error.strerror or str(error) or type(error).__name__
        kind, text = IpdsfError.__name__, f"{where}: {why}" if where is not None else why
    return Failure(kind, text, rank, socket.gethostname(), traceback.format_exc(), is_consequence)


def told(
    work: Callable[[], dict[str, Any]],
    *,
    rank: int,
    is_consequence: Callable[[Exception], bool] = lambda error: False,
    tells_all: bool = True,
) -> dict[str, Any]:
    """What `work` returns; where it raises, its failure under the key "failure".

    Args:
        work: of this worker.
        rank: of this worker.
        is_consequence: whether another worker's leaving raised an error.
        tells_all: False lets errors that nobody named through.
    """
    try:
        with named():
            return work()
    except Exception as error:
        failure = failure_of(error, rank=rank, is_consequence=is_consequence(error))
        if not failure.kind and not tells_all:
            raise
        sys.stderr.write(f"{MARK}{json.dumps(dataclasses.asdict(failure))}\n")
        sys.stderr.flush()
        return {"failure": dataclasses.asdict(failure)}


def first_of(results: Sequence[dict[str, Any] | None]) -> dict[str, Any]:
    """The result of the first worker that has one.

    Raises:
        IpdsfError: a worker failed; of the class that one alone would raise.
        WorkerError: one failed with an error that nobody named.
    """
    failures = [Failure(**result["failure"]) for result in results if result and "failure" in result]
    if failures:
        raise_from(failures)
    return next(result for result in results if result)


def raise_from(failures: Sequence[Failure]) -> None:
    """Raise the failure that is the cause of the others.

    Raises:
        IpdsfError: a named one.
        WorkerError: one that nobody named.
    """
    first = min(failures, key=lambda failure: (failure.is_consequence, not failure.kind, failure.rank))
    more = sum(not f.is_consequence and f.text == first.text for f in failures) - 1
    also = f", and {more} more" if more > 0 else ""
    text = f"{first.text} (worker {first.rank} on {first.host}{also})"
    error = NAMED[first.kind](text) if first.kind else WorkerError(text)
    raise error from WorkerTraceback(f"\n{first.trace}")


class Overheard:
    """What workers write, on its way to a stream of the driver: their failures are kept, all else goes on line by line.

    Args:
        stream: where lines go on to.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._begun: dict[int, str] = {}  # of a line, by the thread that brings it: each worker has one of its own
        self._is_told = threading.Event()
        self.failures: list[Failure] = []

    def write(self, text: str) -> int:
        """Take a piece of what a worker wrote."""
        thread = threading.get_ident()
        *lines, self._begun[thread] = (self._begun.get(thread, "") + text).split("\n")
        for line in lines:
            _, mark, told = line.partition(MARK)
            if not mark:
                self._stream.write(line + "\n")
                continue
            try:
                failure = Failure(**json.loads(told))
            except (ValueError, TypeError):  # two processes wrote at once, or one was ended while it wrote
                self._stream.write(line + "\n")
                continue
            if not failure.is_consequence:  # that of one that was killed is told by how it ended
                self.failures.append(failure)
                self._is_told.set()
        return len(text)

    def flush(self) -> None:
        """Nothing is held back but lines that have no end."""
        self._stream.flush()

    def _rest(self) -> None:
        """Let go of lines without an end: nobody writes any more."""
        for thread, line in list(self._begun.items()):
            self._begun[thread] = ""
            if line and MARK not in line:
                self._stream.write(line + "\n")

    @contextmanager
    def named(self) -> Iterator[None]:
        """Turns Horovod's word that a process has ended into what a worker said, or else into how it ended.

        Raises:
            IpdsfError: a worker failed, was ended from outside, or ended itself without a word.
        """
        try:
            yield
            self._rest()
        except RuntimeError as error:
            self._rest()
            ended = ENDED.search(str(error))
            if ended is None:
                raise
            self._is_told.wait(GRACE_S)
            if self.failures:
                raise_from(self.failures)
            raise IpdsfError(_how(ended["name"], ended["code"])) from error


def _how(name: str, told_code: str) -> str:
    if told_code == "None":  # who would have told it is gone, too
        lost = f"the process of worker {name} was lost with its executor, or the way to it was"
        return f"{lost}; what Spark knows of it stands above; the same command goes on from the last checkpoint"
    code = int(told_code)
    number = -code if code < 0 else code - 128
    try:
        by = signal.Signals(number).name
    except ValueError:
        return f"the process of worker {name} ended with exit code {code}; what it said stands above"
    hint = "; a system short of memory ends processes so (dmesg tells)" if by == "SIGKILL" else ""
    return f"the process of worker {name} was ended by {by}{hint}; the same command goes on from the last checkpoint"
