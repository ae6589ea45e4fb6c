"""Steps of the demonstration: commands in processes of their own, which end with us, however that comes."""

from __future__ import annotations

import shlex
import subprocess
import sys
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import IO, Final

from ipdsf_spark.errors import IpdsfError

IPDSF: Final = (sys.executable, "-m", "ipdsf_spark.cli.main")
ENDS_WITHIN_S: Final = 60.0  # a training ends after its checkpoint


class Steps:
    """Commands that run as long as a `with` block is not left by an error, an interruption among them.

    Args:
        command: that the words of every step are told to.
    """

    def __init__(self, command: Sequence[str] = IPDSF) -> None:
        self._command = command
        self._running: list[subprocess.Popen[bytes]] = []
        self._is_over = False
        self._lock = threading.Lock()

    def __enter__(self) -> Steps:
        """Nothing runs yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """After an error, end what still runs and let nothing begin."""
        if kind is None:
            return
        with self._lock:
            self._is_over = True
            running = list(self._running)
        for process in running:
            process.terminate()
        for process in running:
            try:
                process.wait(ENDS_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def run(self, words: Sequence[str]) -> None:
        """One step, whose output is ours.

        Raises:
            IpdsfError: it failed.
        """
        process = self._begin(words)
        if process.wait():
            raise IpdsfError(f"`{shlex.join(['ipdsf', *words])}` failed; its reason stands above")

    def run_quietly(self, steps: Sequence[Sequence[str]]) -> str:
        """One after the other; what they said, without the bars that move.

        Raises:
            IpdsfError: one failed, or all is over.
        """
        told = []
        for words in steps:
            process = self._begin(words, stdout=subprocess.PIPE)
            said, _ = process.communicate()  # bytes: as text, a line that is written over would be two
            lines = [line.rsplit("\r", 1)[-1] for line in said.decode(errors="replace").split("\n")]
            told.append("\n".join(lines))
            if process.returncode:
                raise IpdsfError(f"`{shlex.join(['ipdsf', *words])}` failed: {lines[-2:]}")
        return "".join(told)

    def _begin(self, words: Sequence[str], stdout: int | IO[bytes] | None = None) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._is_over:
                raise IpdsfError(f"`{shlex.join(['ipdsf', *words])}` was not begun: another step did not end")
            process = subprocess.Popen(
                [*self._command, *words],
                stdout=stdout,
                stderr=None if stdout is None else subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C comes once, from us: the second ends a training without its checkpoint
            )
            self._running.append(process)
        return process
