"""Doing the drills one after the other, bounded in time, with nothing left behind."""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Final

import psutil
from confluent_kafka import KafkaException

from ipdsf_spark.drill.deadline import DrillError
from ipdsf_spark.drill.drills import Drill
from ipdsf_spark.drill.ground import Ground
from ipdsf_spark.drill.outcome import Found, Outcome
from ipdsf_spark.errors import IpdsfError
from ipdsf_spark.monitoring.provenance import commit, machine

logger = logging.getLogger(__name__)

GRACE_S: Final = 30.0  # beyond the limit, for a call that does not look at the deadline
HOST_HASH: Final = re.compile(r"\b[\w.-]+-[0-9a-f]{32}\b")  # by which Horovod names a host
PORT: Final = re.compile(r"\b(localhost|127\.0\.0\.1):\d+")


def run(
    drills: Sequence[Drill],
    *,
    is_short: bool = False,
    keep: Path | None = None,
    on_begin: Callable[[Drill], None] = lambda drill: None,
    on_end: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Do drills one after the other.

    Args:
        drills: in their order.
        is_short: small loads and short faults.
        keep: folder for the logs of each drill; removed with the drill by default.
        on_begin: called before each.
        on_end: called after each.
    """
    outcomes = []
    with ExitStack() as stack:
        ground: Ground | None = None
        for drill in drills:
            on_begin(drill)
            if ground is None:
                folder = stack.enter_context(
                    tempfile.TemporaryDirectory(prefix="ipdsf-drill-", ignore_cleanup_errors=True)
                )
                ground = Ground(Path(folder) / "ground", is_short=is_short)
                stack.callback(ground.close)
            outcome = one(drill, ground)
            _keep_logs(ground.folder, keep)
            if outcome.failure:
                ground.close()
                ground = None
            outcomes.append(outcome)
            on_end(outcome)
    return outcomes


def one(drill: Drill, ground: Ground) -> Outcome:
    """Do one drill. What goes wrong is its failure, never an exception."""
    began = time.monotonic()
    found: Found | None = None
    failure = ""
    folder = str(ground.folder)
    ground.begin(drill.name, drill.limit_s)
    try:
        with _ends_after(drill.limit_s + GRACE_S):
            found = drill.act(ground)
    except (IpdsfError, OSError, KafkaException, psutil.Error, RuntimeError) as error:
        logger.debug("drill %s", drill.name, exc_info=True)
        failure = _scrubbed(f"{type(error).__name__}: {error}", folder)
    if found is not None:
        found = replace(found, told=tuple(_scrubbed(line, folder) for line in found.told))
    watch = ground.pages
    return Outcome(
        name=drill.name,
        fault=drill.fault,
        how=drill.how,
        unit=drill.unit,
        found=found,
        failure=failure,
        pages_asked=watch.asked if watch else 0,
        pages_answered=watch.answered if watch else 0,
        silent_s=round(watch.silent_s, 1) if watch else 0.0,
        seconds=round(time.monotonic() - began, 1),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=_where(),
        commit=commit(),
    )


def _where() -> str:
    """The machine, and how busy it was."""
    return f"{machine()}, load {os.getloadavg()[0] / (os.cpu_count() or 1):.1f} per core"


@contextmanager
def _ends_after(seconds: float) -> Iterator[None]:
    """Raise in the main thread when the time is over, whatever it waits for."""

    def over(number: int, frame: FrameType | None) -> None:
        raise DrillError(f"not over after {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


def _scrubbed(text: str, folder: str) -> str:
    """Without what is of this machine and run only: the folder, ports, its name."""
    home = str(Path.home())
    package = str(Path(__file__).resolve().parents[2])
    host = socket.gethostname()
    names = [(folder, "…"), (package, "…"), *([(host, "HOST")] if len(host) > 3 else [])]
    for name, said in (*names, *([(home, "~")] if len(home) > 1 else [])):
        text = text.replace(name, said)
    return PORT.sub(r"\1:PORT", HOST_HASH.sub("HOST", text))


def _keep_logs(folder: Path, keep: Path | None) -> None:
    if keep is None:
        return
    keep.mkdir(parents=True, exist_ok=True)
    for log in folder.glob("*.log"):
        (keep / log.name).write_bytes(log.read_bytes())
