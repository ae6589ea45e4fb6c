"""Processes that a test starts and that never outlive it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress


@contextmanager
def process_group(
    command: Sequence[str], environment: Mapping[str, str] | None = None, *, stderr: int | None = subprocess.PIPE
) -> Iterator[subprocess.Popen[str]]:
    """A command in a process group of its own, killed where the test leaves it running: one that fails would wait."""
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        start_new_session=True,
        env={**os.environ, **(environment or {})},
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
