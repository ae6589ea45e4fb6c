"""What a figure needs beside it: machine, versions, commit, command, date."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

PACKAGES: Final = ("pyspark", "confluent-kafka", "numpy", "pyarrow", "torch", "horovod")


@dataclass(frozen=True)
class Provenance:
    """Where and how a result was measured.

    Attributes:
        command: as it was typed, without paths of this machine.
        date: ISO-8601, UTC, when it began.
        machine: cores, architecture, Python.
        load: processes that wanted a core when it began, mean of a minute; NaN where the system does not say.
        versions: of the packages that do the work.
        commit: of the checkout; empty outside one.
    """

    command: str
    date: str
    machine: str
    load: float
    versions: Mapping[str, str]
    commit: str


def provenance_of(words: Sequence[str]) -> Provenance:
    """Of a command that runs now.

    Args:
        words: of the command line.
    """
    return Provenance(
        command=said(words),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=machine(),
        load=os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan"),
        versions={name: found for name in PACKAGES if (found := _version(name))},
        commit=commit(),
    )


def said(words: Sequence[str]) -> str:
    """A command line without paths of this machine, which nobody else has."""
    return " ".join(Path(word).name if Path(word).is_absolute() else word for word in words)


def machine() -> str:
    """Cores, architecture and Python in one line."""
    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"


def commit() -> str:
    """Short name of the checkout's commit, with a mark if files differ from it; empty outside a checkout."""
    try:
        where = Path(__file__).parent
        named = _git("rev-parse", "--short", "HEAD", where=where)
        return f"{named}+" if named and _git("status", "--porcelain", "-uno", where=where) else named
    except OSError:
        return ""


def _git(*words: str, where: Path) -> str:
    return subprocess.run(["git", *words], capture_output=True, text=True, check=False, cwd=where).stdout.strip()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
