"""The local copy of every file: dated folders, kept for years within a disk budget, never at a delivery's price."""

from __future__ import annotations

import logging
import os
from datetime import UTC, datetime
from pathlib import Path

from ipdsf_spark.edge.journal import Entry, Journal

logger = logging.getLogger(__name__)


def keep(root: Path, name: str, sha256: str, raw: bytes, seen_s: float) -> str:
    """Write a copy below `root` and return its relative path; it is on disk when this returns.

    The first digits of the checksum are part of the name: the same name with other bytes never overwrites.
    """
    day = datetime.fromtimestamp(seen_s, UTC)
    flat = name.replace(os.sep, "__")
    relative = Path(f"{day:%Y}", f"{day:%m}", f"{day:%d}", f"{sha256[:8]}-{flat}"[-200:])
    target = root / relative
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".part")
    with partial.open("wb") as file:
        file.write(raw)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(target)
    return str(relative)


def prune(root: Path, journal: Journal, *, budget_bytes: int, keep_days: int, now_s: float) -> int:
    """Delete the oldest delivered copies that are too old or over the budget; returns how many.

    What was not delivered stays, whatever the budget says.
    """
    copies = journal.deliverable_copies()
    total = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
    deleted = 0
    for entry in copies:
        is_old = entry.seen_s < now_s - keep_days * 86_400
        if not is_old and total <= budget_bytes:
            break
        path = root / entry.copy
        if path.exists():
            total -= path.stat().st_size
            path.unlink()
        journal.forget_copy(entry)
        deleted += 1
    if total > budget_bytes:
        logger.warning(
            "local copies take %d bytes, over the budget of %d: the rest is not delivered yet", total, budget_bytes
        )
    return deleted


def read(root: Path, entry: Entry) -> bytes:
    """The bytes of a copy."""
    return (root / entry.copy).read_bytes()
