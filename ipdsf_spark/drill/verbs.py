"""The verbs of `ipdsf` as processes of their own, which a drill may kill."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import psutil

STOP_S: Final = 60.0
LONGEST_LINE: Final = 400
STAMP: Final = re.compile(
    r"^(?:\d{4}-\d\d-\d\d[T ][\d:.,]+|\d\d/\d\d/\d\d [\d:]+)Z? (?:(?:WARNING|WARN|ERROR|INFO) )?|^ipdsf \w+: "
)


class Verb:
    """One verb with its arguments, started as often as the drill wants; its output is kept in one file.

    Args:
        log: file that all its runs write to.
        words: verb and arguments.
        environment: beside that of this process.
        code: folder of another version of this project, which it is to run.
    """

    def __init__(
        self,
        log: Path,
        words: Sequence[str],
        environment: Mapping[str, str] | None = None,
        code: Path | None = None,
    ) -> None:
        self.log = log
        self.words = list(words)
        self._code = code
        self._environment = {**os.environ, **(environment or {})}
        if code is not None:
            self._environment["PYTHONPATH"] = str(code)  # of Spark's Python workers too
        self._process: subprocess.Popen[bytes] | None = None
        self._groups: list[int] = []
        self._forgotten = 0

    def start(self) -> Verb:
        """Start it, in a process group of its own."""
        command = [sys.executable, "-W", "ignore", "-m", "ipdsf_spark.cli.main", *self.words]
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env=self._environment,
                cwd=self._code,  # where Python looks first
            )
        self._groups.append(self._process.pid)
        return self

    @property
    def pid(self) -> int:
        """Of the running process, 0 if none runs."""
        return self._process.pid if self._process is not None and self.is_running else 0

    @property
    def is_running(self) -> bool:
        """Whether its process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def ended_with(self) -> int | None:
        """Exit code of the last run; None while it runs."""
        return self._process.poll() if self._process is not None else None

    def children(self) -> list[psutil.Process]:
        """Processes below it: the Java machine, Python workers."""
        try:
            return list(psutil.Process(self.pid).children(recursive=True)) if self.pid else []
        except psutil.NoSuchProcess:
            return []

    def kill(self) -> None:
        """SIGKILL for the whole group, as when the power goes: driver, Java machine and Python workers at once."""
        if self._process is not None:
            signal_group(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def stop(self, *, within_s: float = STOP_S) -> int:
        """SIGTERM, and SIGKILL if that takes too long; returns the exit code."""
        if self._process is None:
            return 0
        if self.is_running:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(within_s)
        self.close()
        return int(self._process.wait())

    def close(self) -> None:
        """Leave nothing of any of its runs behind."""
        for group in self._groups:
            signal_group(group, signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def forget(self) -> None:
        """What it has said up to now belongs to the drill before."""
        self._forgotten = self.log.stat().st_size if self.log.exists() else 0

    def said(self, pattern: str) -> list[str]:
        """Lines of its output in which the pattern is found, without time and level, each once."""
        try:
            with self.log.open("rb") as file:
                file.seek(self._forgotten)
                lines = file.read().decode("utf-8", "replace").splitlines()
        except OSError:
            return []
        found = [STAMP.sub("", line).strip()[:LONGEST_LINE] for line in lines if re.search(pattern, line)]
        return list(dict.fromkeys(found))

    def tail(self, num_lines: int = 5) -> str:
        """The end of its output."""
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return "(no output)"
        return " / ".join(line.strip() for line in lines[-num_lines:])


def signal_group(group: int, how: signal.Signals) -> None:
    """Signal a process group, if it is there."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, how)
