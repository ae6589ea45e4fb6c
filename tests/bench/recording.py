"""A benchmark's results as one line of the record."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def entry_of(name: str, **facts: Any) -> dict[str, Any]:
    """What a line says: the benchmark, its command, when, on what machine, of which commit, and what was found."""
    words = [Path(word).name if Path(word).is_absolute() else word for word in sys.argv]  # nobody else has this machine
    revision = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "benchmark": name,
        "command": " ".join(["python", *words]),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        "commit": revision.stdout.strip(),
        **facts,
    }


def append(record: Path, entry: dict[str, Any]) -> None:
    """Add a line to the record."""
    with record.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(entry) + "\n")
