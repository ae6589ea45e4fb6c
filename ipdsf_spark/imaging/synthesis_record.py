"""What is said of the volumes of nobody in a folder: one record for all of them, whichever command made them."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ipdsf_spark.errors import InputError

RECORD_FILE: Final = "synthesis.json"


def recorded(folder: Path) -> list[dict[str, Any]]:
    """What is said of the volumes that lie in a folder; nothing of those that were taken away.

    Raises:
        InputError: a file of the record's name is something else, as in the folder of a model.
    """
    path = folder / RECORD_FILE
    if not path.exists():
        return []
    try:
        volumes = json.loads(path.read_text(encoding="utf-8"))["volumes"]
        return [dict(facts) for facts in volumes if (folder / Path(facts["out"]).name).exists()]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} says nothing of volumes and is not replaced: name another folder") from error


def record(folder: Path, facts: Mapping[str, Any], *, model: str) -> None:
    """Add what is said of a volume; the record is replaced whole or not at all, by one process after the other.

    Raises:
        InputError: a file of the record's name is something else.
    """
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(held, fcntl.LOCK_EX)
        said = {"model": model, "volumes": [*recorded(folder), dict(facts)]}
        part = folder / f".{RECORD_FILE}.part"
        part.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
        part.replace(folder / RECORD_FILE)
    finally:
        os.close(held)
