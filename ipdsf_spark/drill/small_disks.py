"""Small disks of their own, in memory, which a drill may fill to the last byte."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from ipdsf_spark.drill.deadline import DrillError

SIZE_MB: Final = 64
BLOCKS: Final = (65_536, 512, 1)


def mounted(place: Path, stack: ExitStack) -> None:
    """Mount a small disk; where that is not permitted the place stays a folder, which no drill fills.

    Args:
        place: made if it is not there.
        stack: takes the disk away again.
    """
    place.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m", "tmpfs", str(place)]
    if shutil.which("mount") and not subprocess.run(command, capture_output=True, check=False).returncode:
        stack.callback(subprocess.run, ["umount", "-l", str(place)], check=False)


def filled(disk: Path) -> Path:
    """Somebody else takes all the room there is; returns the file to remove.

    Raises:
        DrillError: it is no disk of its own.
    """
    if not disk.is_mount():
        raise DrillError("no small disk could be mounted: that takes root")
    path = disk / "somebody-else"
    with path.open("ab", buffering=0) as file:
        for block in BLOCKS:
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(block))
    return path
