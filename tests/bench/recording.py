"""A benchmark's results as one line of the record."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ipdsf_spark.lidar.products.plain import without_nan
from ipdsf_spark.monitoring.provenance import commit, machine, said


def entry_of(name: str, **facts: Any) -> dict[str, Any]:
    """What a line says: the benchmark, its command, when, on what machine, of which commit, and what was found."""
    return {
        "benchmark": name,
        "command": said(["python", *sys.argv]),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "commit": commit(),
        **facts,
    }


def append(record: Path, entry: dict[str, Any]) -> None:
    """Add a line to the record."""
    with record.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(without_nan(entry)) + "\n")
